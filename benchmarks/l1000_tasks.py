"""The held-out questions on measured L1000: which conditions train, which choose, which judge.

Each task is a list of splits of the one Δ table; conditions that a task does not use have no role.
The choosing side is drawn the way the test is, from what is not the test.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import Split
from drug_pipeline.expression.splits.split_units import hash_position

A375, HT115 = "CVCL_0132", "L1000_HT115"
DOSE_PLATE = "LJP005_A375_24H_X1"
"""59 drugs at six doses in A375, one well each."""
PANEL_PREFIX = "TSG_"
"""Plates of the 14 drugs in 43 lines."""
N_REPEATS, N_FOLDS = 3, 5


def dose_splits(conditions: pd.DataFrame) -> Iterator[Split]:
    """Each dose of the A375 plate held out in turn; the next lower one chooses.

    For the lowest dose it is the next higher one.
    """
    is_used_N = (conditions[names.PLATE] == DOSE_PLATE).to_numpy()
    dose_N = conditions[names.DOSE_UM].round(2).to_numpy()
    doses = np.unique(dose_N[is_used_N])
    for place, dose in enumerate(doses):
        chooser = doses[place - 1] if place else doses[1]
        yield _split(
            f"dose_{dose:g}", "dose", is_used_N, is_used_N & (dose_N == dose), dose_N == chooser
        )


def drug_splits(conditions: pd.DataFrame, line: str) -> Iterator[Split]:
    """Parent compounds of a line held out: three times five folds; an eighth of the rest chooses."""
    is_used_N = (conditions[names.CELL_LINE_ID] == line).to_numpy()
    is_used_N &= ~conditions[names.PLATE].str.startswith(PANEL_PREFIX).to_numpy()
    parent_N = conditions[names.PARENT_COMPOUND].to_numpy(dtype=str)
    for repeat in range(N_REPEATS):
        fold_N = _folds(parent_N, is_used_N, repeat, N_FOLDS)
        chooser_N = _folds(parent_N, is_used_N, 100 + repeat, 8) == 0
        for fold in range(N_FOLDS):
            yield _split(
                f"drug_{repeat}_{fold}", "drug", is_used_N, is_used_N & (fold_N == fold), chooser_N
            )


def pair_splits(conditions: pd.DataFrame) -> Iterator[Split]:
    """Each pair of the 14 drugs in 43 lines held out in turn; a sixth of the others chooses.

    A pair whose drug or line has no other condition asks another question and is left out.
    """
    is_used_N = conditions[names.PLATE].str.startswith(PANEL_PREFIX).to_numpy()
    used = conditions[is_used_N]
    pair_N = (conditions[names.PARENT_COMPOUND] + "|" + conditions[names.CELL_LINE_ID]).to_numpy()
    n_drug = conditions[names.PARENT_COMPOUND].map(used[names.PARENT_COMPOUND].value_counts())
    n_line = conditions[names.CELL_LINE_ID].map(used[names.CELL_LINE_ID].value_counts())
    is_asked_N = is_used_N & (n_drug > 1).to_numpy() & (n_line > 1).to_numpy()
    chooser_N = _folds(pair_N, is_used_N, 0, 6) == 0
    for pair in np.unique(pair_N[is_asked_N]):
        yield _split(f"pair_{pair}", "pair", is_used_N, is_used_N & (pair_N == pair), chooser_N)


def _split(
    name: str,
    kind: str,
    is_used_N: NDArray[np.bool_],
    is_test_N: NDArray[np.bool_],
    is_chooser_N: NDArray[np.bool_],
) -> Split:
    roles_N = np.where(is_used_N, names.TRAIN, names.UNUSED).astype("<U12")
    roles_N[is_used_N & is_chooser_N] = names.VALIDATION
    roles_N[is_test_N] = names.TEST
    return Split(name=name, kind=kind, roles_N=roles_N, fingerprint=name)


def _folds(
    unit_N: NDArray[np.str_], is_used_N: NDArray[np.bool_], seed: int, n_folds: int
) -> NDArray[np.int64]:
    """Fold of each row by its unit, folds of equal size; -1 for rows that are not used."""
    units = np.unique(unit_N[is_used_N])
    order = np.argsort([hash_position(seed, "l1000", unit) for unit in units], kind="stable")
    fold_of = dict(zip(units[order], np.arange(len(units)) % n_folds, strict=True))
    return np.array([fold_of.get(unit, -1) for unit in unit_N])
