"""Means with 95 % intervals by cluster bootstrap over parent compounds, of judged rows.

What belongs here: from rows (one a condition and predictor) to the figures of a table. What does
not: judging (``truth_scores.py``), wording (``models_report.py``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap

ROW = ("draw", names.DRUG, names.DOSE_UM, names.CELL_LINE_ID, names.PLATE)
Figure = dict[str, Any]


def wide(rows: pd.DataFrame, figure: str) -> tuple[pd.DataFrame, ClusterBootstrap]:
    """One column a predictor, one row a judged condition, and draws of its compounds."""
    table = rows.pivot_table(
        index=[*ROW, names.PARENT_COMPOUND], columns="predictor", values=figure, sort=True
    )
    parents = table.index.get_level_values(names.PARENT_COMPOUND).to_numpy()
    return table, ClusterBootstrap(parents, BootstrapConfig())


def means(rows: pd.DataFrame, figure: str, predictors: Sequence[str]) -> dict[str, Figure]:
    """Mean of a figure for each predictor, with interval, n and number of compounds."""
    table, bootstrap = wide(rows, figure)
    there = [name for name in predictors if name in table]
    estimates = bootstrap.means(table[there].to_numpy(dtype=np.float64))
    return {name: _figure(estimates, column, bootstrap) for column, name in enumerate(there)}


def difference(rows: pd.DataFrame, figure: str, name: str, reference: str) -> Figure:
    """Mean of a figure of one predictor minus that of another, paired by condition."""
    table, bootstrap = wide(rows, figure)
    pair = [table[[one]].to_numpy(dtype=np.float64) for one in (name, reference)]
    return _figure(bootstrap.differences(*pair), 0, bootstrap)


def gap_closed(rows: pd.DataFrame, figure: str, *, name: str, low: str, high: str | None) -> Figure:
    """Share of the gap between two predictors that a third one closes; a ceiling of 1 for None."""
    table, bootstrap = wide(rows, figure)
    table = table.assign(one=1.0)
    values = table[[name, low, high or "one"]].to_numpy(dtype=np.float64)
    mean = np.nanmean(values, axis=0)
    drawn = bootstrap.resampled(values)
    share = (drawn[:, 0] - drawn[:, 1]) / (drawn[:, 2] - drawn[:, 1])
    bounds = np.quantile(share, [0.025, 0.975]) if len(share) else [np.nan, np.nan]
    return {
        "value": round(float((mean[0] - mean[1]) / (mean[2] - mean[1])), 4),
        "low": round(float(bounds[0]), 4),
        "high": round(float(bounds[1]), 4),
        "n": len(table),
        "n_compounds": int(bootstrap.weight_BP.shape[1]),
    }


def _figure(estimates: Any, column: int, bootstrap: ClusterBootstrap) -> Figure:
    parts = {"value": estimates.value_M, "low": estimates.low_M, "high": estimates.high_M}
    return {
        **{name: round(float(values[column]), 6) for name, values in parts.items()},
        "n": int(estimates.n_M[column]),
        "n_compounds": int(bootstrap.weight_BP.shape[1]),
    }
