"""The few figures that a stamp, a tracker or an asset page shows of an evaluation.

What belongs here: flat names and numbers. What does not: words for people (``report``).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from drug_pipeline.domain.split_kinds import PEARSON_CENTRED
from drug_pipeline.evaluation.evaluate import SplitEvaluation
from drug_pipeline.evaluation.report.figures import rows_of
from drug_pipeline.evaluation.report.retrieval_sections import shipped_ranker
from drug_pipeline.evaluation.report.tables import record
from drug_pipeline.evaluation.scoring.strata import ALL, active_rows

FORWARD_FIGURES: Final = (PEARSON_CENTRED, "mse")
RETRIEVAL_FIGURES: Final = ("mrr", "normalised_rank")


def headline_figures(
    evaluations: Sequence[SplitEvaluation], *, prefix: str = ""
) -> dict[str, float]:
    """Shipped, best linear and shipped-ranker figures by flat name: ``pair_shipped_mse``.

    Correlations and ranks are over active conditions, MSE over all; figures that are not defined
    are left out.
    """
    found: dict[str, float] = {}
    for one in evaluations:
        for metric in dict.fromkeys((one.main_metric, *FORWARD_FIGURES)):
            rows = (
                rows_of(one, metric, stratum_kind=ALL, stratum=ALL)
                if metric == "mse"
                else rows_of(one, metric)
            )
            for role, name in (
                ("shipped", one.predictions.shipped),
                ("best_linear", one.predictions.best_linear),
            ):
                row = record(rows, "predictor", name) if name else None
                if row is not None:
                    found[f"{prefix}{one.split}_{role}_{metric}"] = row["value"]
        for task in one.predictions.rankings:
            rows = active_rows(one.metrics[one.metrics["task"] == prefix + task])
            for metric in RETRIEVAL_FIGURES:
                row = record(
                    rows[rows["metric"] == metric], "predictor", shipped_ranker(one, prefix + task)
                )
                if row is not None:
                    found[f"{prefix}{one.split}_{task}_{metric}"] = row["value"]
    return {name: round(float(value), 6) for name, value in found.items() if np.isfinite(value)}
