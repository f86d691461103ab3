"""The reference of every "centred" figure: mean Δ of the line over training conditions.

What belongs here: means over training conditions, looked up for test conditions. What does not:
metrics. A centred Δ is Δ minus such a mean, for prediction and measurement alike: what remains is
what the drug does beyond what any drug does in that line, so that a predictor of the line's mean
scores nothing.

Shapes: N = rows of the Δ table, A = rows asked for, G = genes, K = groups seen in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import EmptyResultError

BY_LINE = (names.CELL_LINE_ID,)
"""The centre of the report's main figures."""
BY_LINE_AND_DOSE = (names.CELL_LINE_ID, names.DOSE_UM)
"""A stricter centre: knowing that high doses do more earns nothing either."""


@dataclass(frozen=True, kw_only=True)
class Centre:
    """Training means (K, G), natural log, and which of them each asked row is centred by (A,).

    ``is_own_A`` is whether the mean is of the row's own group (False: the group was never trained
    on, a wider mean stands in).
    """

    means_KG: NDArray[np.float32]
    group_A: NDArray[np.int64]
    is_own_A: NDArray[np.bool_]

    def of(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """The means of some asked rows, one row each."""
        return np.asarray(self.means_KG[self.group_A[rows]])


def training_centre(
    delta_NG: NDArray[np.float32],
    conditions: pd.DataFrame,
    train_rows: NDArray[np.int64],
    asked_rows: NDArray[np.int64],
    *,
    by: Sequence[str] = BY_LINE,
) -> Centre:
    """Mean Δ over the training conditions of each asked row's group.

    A group without training conditions (a line never trained on) takes the mean of the remaining
    columns of ``by`` (its dose), and failing that the mean over all training conditions.

    Raises
    ------
    EmptyResultError
        If there is no training condition at all.

    Notes
    -----
    The perturbed mean as reference: Viñas Torné et al., Nat. Biotechnol. 2025, doi
    10.1038/s41587-025-02777-8 (Systema).
    """
    if len(train_rows) == 0:
        msg = "nothing to centre by: the split has no training condition. Check the split."
        raise EmptyResultError(msg)
    levels = [list(by[start:]) for start in range(len(by))] + [[]]
    means: list[NDArray[np.float32]] = []
    group_A = np.full(len(asked_rows), -1, dtype=np.int64)
    is_own_A = np.zeros(len(asked_rows), dtype=bool)
    n_before = 0
    for depth, columns in enumerate(levels):
        key_N = _keys(conditions, columns)
        groups_K, code_T = np.unique(key_N[train_rows], return_inverse=True)
        n_train_K = np.bincount(code_T).astype(np.int64)
        means.append(_group_means(delta_NG, train_rows, code_T, n_train_K))
        place_A = np.minimum(np.searchsorted(groups_K, key_N[asked_rows]), len(groups_K) - 1)
        is_new_A = (group_A < 0) & (groups_K[place_A] == key_N[asked_rows])
        group_A[is_new_A] = n_before + place_A[is_new_A]
        is_own_A |= is_new_A & (depth == 0)
        n_before += len(groups_K)
    return Centre(
        means_KG=np.concatenate(means),
        group_A=group_A,
        is_own_A=is_own_A,
    )


def _keys(conditions: pd.DataFrame, columns: list[str]) -> NDArray[np.str_]:
    key_N = np.full(len(conditions), "", dtype=object)
    for column in columns:
        key_N = key_N + "|" + conditions[column].astype(str).to_numpy(dtype=object)
    return key_N.astype(str)


def _group_means(
    delta_NG: NDArray[np.float32],
    train_rows: NDArray[np.int64],
    code_T: NDArray[np.int64],
    count_K: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Mean of each group, one group in memory at a time."""
    means_KG = np.empty((len(count_K), delta_NG.shape[1]), dtype=np.float32)
    order_T = np.argsort(code_T, kind="stable")
    for group, places in enumerate(np.split(order_T, np.cumsum(count_K)[:-1])):
        means_KG[group] = delta_NG[train_rows[places]].mean(axis=0, dtype=np.float64)
    return means_KG
