"""How far an answer can be trusted: what the same model reached on held-out data of the same kind.

What belongs here: choosing the kind of question, and looking its figure up in the evaluation's
``metrics.parquet``. What does not: computing a metric.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd

from drug_pipeline.domain.split_kinds import KINDS, PEARSON_CENTRED

FORWARD_TASK: Final = "forward"
COMBINED: Final = "combined"
"""Name of what ships among rankers."""
RETRIEVAL_METRIC: Final = "mrr"
GLOBAL: Final = "all"
LINE: Final = "line"
"""Kind of the strata of one cell line each."""
IN_THIS_LINE: Final = "in this cell line"


@dataclass(frozen=True, kw_only=True)
class Trust:
    """One figure of the evaluation, with its interval; ``value`` is None where there is none.

    ``kind`` is the kind of split whose test it is of, or a question that no split asks, in words;
    ``where`` says of which cell lines its conditions are, where that is not the kind's own matter.
    """

    kind: str
    metric: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    gallery: int = 0
    where: str = ""

    def sentence(self) -> str:
        """The figure in words."""
        asked = KINDS[self.kind].question if self.kind in KINDS else self.kind
        if self.value is None:
            return f"How good answers for {asked} are has not been measured here."
        interval = ""
        if self.ci_low is not None and self.ci_high is not None:
            interval = f" (95 % interval {self.ci_low:.2f} to {self.ci_high:.2f})"
        among = f", gallery of {self.gallery}" if self.gallery else ""
        where = f", {self.where}" if self.where else ""
        return (
            f"On held-out data for {asked}{where}, {self.metric.replace('_', ' ')} was "
            f"{self.value:.2f}{interval}, n = {self.n:,}{among}."
        )


def quotable_figures(metrics: pd.DataFrame, shipped: Mapping[str, str]) -> pd.DataFrame:
    """The rows of the long table that answers may quote: of what ships and of ranked drugs."""
    quoted = {PEARSON_CENTRED, RETRIEVAL_METRIC, *(kind.main_metric for kind in KINDS.values())}
    return metrics[
        metrics["metric"].isin(quoted)
        & metrics["stratum_kind"].isin([GLOBAL, LINE])
        & metrics["predictor"].isin([COMBINED, *shipped.values()])
    ].reset_index(drop=True)


def no_figure(question: str) -> Trust:
    """That answers for such a question were not evaluated."""
    return Trust(kind=question, metric="", value=None)


def forward_trust(
    metrics: pd.DataFrame | None, split: str, predictor: str, line: str | None = None
) -> Trust:
    """The main metric of a predictor on the test side of a split, see :func:`ranking_trust`."""
    metric = KINDS[split].main_metric if split in KINDS else PEARSON_CENTRED
    return _find(metrics, split, FORWARD_TASK, predictor, metric, line)


def ranking_trust(
    metrics: pd.DataFrame | None, split: str, task: str, ranker: str, line: str | None = None
) -> Trust:
    """Mean reciprocal rank of a ranker on the test side of a split.

    Parameters
    ----------
    line
        Cell line that is asked, where the kind of split does not hold out lines: its own figure
        where there are compounds enough for an interval, else that of all lines, said to be so.
    """
    return _find(metrics, split, task, ranker, RETRIEVAL_METRIC, line)


def _find(
    metrics: pd.DataFrame | None,
    kind: str,
    task: str,
    predictor: str,
    metric: str,
    line: str | None,
) -> Trust:
    unknown = Trust(kind=kind, metric=metric, value=None)
    if metrics is None:
        return unknown
    found = metrics[
        (metrics["split"] == kind)
        & (metrics["task"] == task)
        & (metrics["predictor"] == predictor)
        & (metrics["metric"] == metric)
        & metrics["value"].notna()
    ]
    of_all = found[found["stratum_kind"] == GLOBAL]
    of_line = found[(found["stratum_kind"] == LINE) & (found["stratum"] == line)]
    where = ""
    if line is not None and not of_line.empty and of_line["ci_low"].notna().all():
        of_all, where = of_line, IN_THIS_LINE
    elif line is not None:
        where = "in other cell lines, none in this one"
        where = where if of_line.empty else "in all cell lines (too few in this one)"
    if of_all.empty:
        return unknown
    row = of_all.iloc[0]
    return Trust(
        kind=kind,
        metric=metric,
        value=float(row["value"]),
        ci_low=_number(row["ci_low"]),
        ci_high=_number(row["ci_high"]),
        n=int(row["n"]),
        gallery=0 if pd.isna(row["gallery"]) else int(row["gallery"]),
        where=where,
    )


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
