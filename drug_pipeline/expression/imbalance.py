"""The long tail: how unevenly cells fall on drugs, cell lines and pairs.

What belongs here: the figures of the three levels. What does not: pictures and pages
(``ingest/imbalance_pictures.py``, ``ingest/imbalance.py``).
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names

DRUG_LEVEL: Final = "drug"
CELL_LINE_LEVEL: Final = "cell line"
PAIR_LEVEL: Final = "pair"
LEVELS: Final = (DRUG_LEVEL, CELL_LINE_LEVEL, PAIR_LEVEL)
THRESHOLDS: Final = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000)
"""Cells at which items are counted; 200, 500, 1,000 and 10,000 are published for Tahoe-100M."""


def level_table(counts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per level: items, cells, min, median and max cells per item, and the Gini index.

    Parameters
    ----------
    counts
        A table with ``n_cells``, one row per item, for each of ``LEVELS``; vehicle included.
    """
    rows = []
    for level in LEVELS:
        cells = counts[level][names.N_CELLS].to_numpy(dtype=np.int64)
        rows.append(
            {
                "level": level,
                "n_items": len(cells),
                "n_treated": int(_is_treated(counts[level]).sum()),
                "n_cells": int(cells.sum()),
                "min_cells": int(cells.min()),
                "median_cells": float(np.median(cells)),
                "max_cells": int(cells.max()),
                "gini": gini(cells),
            }
        )
    return pd.DataFrame(rows)


def threshold_table(counts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Items with at least so many cells, by level and threshold, and what share of cells they hold.

    ``n_treated`` leaves the vehicle out; thresholds above the largest item are left out.
    """
    rows = []
    for level in LEVELS:
        cells = counts[level][names.N_CELLS].to_numpy(dtype=np.int64)
        is_treated = _is_treated(counts[level])
        for min_cells in THRESHOLDS:
            has_enough = cells >= min_cells
            rows.append(
                {
                    "level": level,
                    "min_cells": min_cells,
                    "n_items": int(has_enough.sum()),
                    "n_treated": int((has_enough & is_treated).sum()),
                    "item_frac": float(has_enough.mean()),
                    "cell_frac": float(cells[has_enough].sum() / cells.sum()),
                }
            )
            if not has_enough.any():
                break
    return pd.DataFrame(rows)


def gini(cells: NDArray[np.int64]) -> float:
    """Gini index of counts: 0 where all items have as many, towards 1 where one has all.

    Notes
    -----
    ``sum_i (2 i - n - 1) x_i / (n sum x)`` over the counts in ascending order.
    """
    ascending = np.sort(cells).astype(np.float64)
    n = len(ascending)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * ascending).sum() / (n * ascending.sum()))


def pair_matrix(counts_per_pair: pd.DataFrame) -> pd.DataFrame:
    """Cells by drug (rows) and cell line (columns), 0 where never seen, largest totals first."""
    matrix = counts_per_pair.pivot_table(
        index=names.DRUG,
        columns=names.CELL_LINE_ID,
        values=names.N_CELLS,
        aggfunc="sum",
        fill_value=0,
    )
    drugs = matrix.sum(axis=1).sort_values(ascending=False, kind="stable").index
    lines = matrix.sum(axis=0).sort_values(ascending=False, kind="stable").index
    return matrix.loc[drugs, lines]


def _is_treated(items: pd.DataFrame) -> NDArray[np.bool_]:
    if names.DRUG not in items.columns:
        return np.ones(len(items), dtype=np.bool_)
    return (items[names.DRUG] != names.CONTROL_DRUG).to_numpy(dtype=np.bool_)
