"""Strata of the evaluation: all rows, active ones, one line, one dose, one drug.

What belongs here: the cuts and what is resampled within each. What does not: metrics.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.evaluation.scoring.bootstrap import has_interval
from drug_pipeline.evaluation.scoring.noise import ACTIVE

ALL: Final = "all"
ACTIVITY: Final = "activity"
ACTIVE_PREFIX: Final = "active_"
COLUMNS: Final = {
    "line": names.CELL_LINE_ID,
    "dose": names.DOSE_UM,
    "drug": names.DRUG,
}
"""Stratum kind → column of the conditions."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Some rows, and the clusters that a bootstrap draws whole.

    Clusters are parent compounds; within one drug, where there is just one, cell lines.
    """

    kind: str
    name: str
    rows: NDArray[np.int64]
    cluster: NDArray[np.str_]


def strata_of(conditions: pd.DataFrame, label_N: NDArray[np.str_]) -> list[Stratum]:
    """Every stratum of some conditions that is not empty, the whole first.

    Kinds: ``all``; ``activity`` (active, inactive, unknown); ``line``, ``dose``, ``drug``;
    and the same three over active conditions alone, as ``active_line``… Active conditions of fewer
    than five compounds are no stratum of their own: no interval stands beside such a figure, and
    what reads strata takes all conditions in its place.

    Parameters
    ----------
    label_N
        Activity of each row (``noise.Noise.label_N``).
    """
    everything = np.arange(len(conditions))
    active = np.flatnonzero(label_N == ACTIVE)
    parent_N = conditions[names.PARENT_COMPOUND].to_numpy(dtype=str)
    labels = [
        str(label)
        for label in np.unique(label_N)
        if label != ACTIVE or has_interval(parent_N[active])
    ]
    cuts = [(ALL, ALL, everything)]
    cuts += [(ACTIVITY, label, np.flatnonzero(label_N == label)) for label in labels]
    for kind, column in COLUMNS.items():
        text_N = _as_text(conditions[column])
        for prefix, rows in (("", everything), (ACTIVE_PREFIX, active)):
            cuts += [
                (prefix + kind, str(value), rows[text_N[rows] == value])
                for value in pd.unique(text_N[rows])
            ]
    line_N = conditions[names.CELL_LINE_ID].to_numpy(dtype=str)
    return [
        Stratum(
            kind=kind,
            name=name,
            rows=rows,
            cluster=(line_N if kind.removeprefix(ACTIVE_PREFIX) == "drug" else parent_N)[rows],
        )
        for kind, name, rows in cuts
        if len(rows)
    ]


def active_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows over active conditions; over all where none is known to be active."""
    if frame.empty:
        return frame
    active = frame[(frame["stratum_kind"] == ACTIVITY) & (frame["stratum"] == ACTIVE)]
    return active if len(active) else frame[frame["stratum_kind"] == ALL]


def _as_text(column: pd.Series) -> NDArray[np.str_]:
    if column.dtype.kind == "f":
        return np.array([f"{value:g}" for value in column], dtype=str)
    return column.to_numpy(dtype=str)
