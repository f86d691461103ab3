"""Means and variances from the fixed-point sums of the pseudobulk.

What belongs here: the fixed-point format and what is read out of it.
What does not: making the sums (``kernel.py``).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drug_pipeline.domain.errors import RawDataError

X_SCALE: Final = float(2**36)
"""Units of a sum of x (log1p_cp10k): rounding costs at most 2e-11 of it."""
X2_SCALE: Final = float(2**32)
"""Units of a sum of x squared: rounding costs at most 6e-10 of it."""
COUNT_SHIFT: Final = 24
"""Counts stand above this bit, cells with a count below it: ``counts << 24 | cells``."""


MAX_CELLS: Final = 14_500_000
"""Cells of one group beyond which a sum of x could pass 63 bits (2^27 / ln(10,001))."""
MAX_COUNTS: Final = 2 ** (63 - COUNT_SHIFT)
"""Counts of one group beyond which ``counts << 24 | cells`` could pass 63 bits."""


def check_capacity(n_cells_W: NDArray[np.int64], total_counts_W: NDArray[np.int64]) -> None:
    """Refuse sums that 63 bits might not hold.

    Raises
    ------
    RawDataError
        If a group has too many cells or counts.
    """
    most_cells = int(n_cells_W.max(initial=0))
    most_counts = int(total_counts_W.max(initial=0))
    if most_cells > MAX_CELLS or most_counts >= MAX_COUNTS:
        msg = (
            f"one group has {most_cells:,} cells and another {most_counts:,} counts; exact sums "
            f"hold up to {MAX_CELLS:,} cells and {MAX_COUNTS:,} counts each. Give its wells "
            "sample names of their own."
        )
        raise RawDataError(msg)


def mean_of_sums(sum_x: NDArray[np.int64], n_cells: ArrayLike) -> NDArray[np.float64]:
    """Mean of x, natural log; NaN where there is no cell. ``n_cells`` broadcasts."""
    n = np.asarray(n_cells, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, sum_x / X_SCALE / n, np.nan)


def variance_of_sums(
    sum_x: NDArray[np.int64], sum_x2: NDArray[np.int64], n_cells: ArrayLike
) -> NDArray[np.float64]:
    """Unbiased variance of x over cells; NaN with fewer than two. ``n_cells`` broadcasts.

    Exact to about 1e-9 absolute, the rounding of the squares; what that leaves below 0 is 0.
    """
    n = np.asarray(n_cells, dtype=np.float64)
    total = sum_x / X_SCALE
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (sum_x2 / X2_SCALE - total * total / n) / (n - 1)
    return np.where(n > 1, np.maximum(variance, 0.0), np.nan)


def nonzero_cells_of(counts_nnz: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of cells with a count."""
    return counts_nnz & ((1 << COUNT_SHIFT) - 1)
