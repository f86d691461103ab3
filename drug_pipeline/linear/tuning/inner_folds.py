"""Inner cross-validation folds that hold out what the test split does, to choose shrinkage on.

Folds that choose settings are by hash of the unit's name, so that adding data hardly moves a unit;
a random hold-out of rows would look better than the test and choose too little shrinkage. Folds
that a seed deals out, for out-of-fold predictions, are made here as well.

Shapes: N = training conditions.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.split_kinds import SplitKind, kind_of
from drug_pipeline.linear.base import Conditions, Flags, Floats, Ints, MeasuredConditions, Texts
from drug_pipeline.linear.means import join_keys, unit_keys

Rows = tuple[Ints, Ints]
"""Rows to fit on, rows to score."""
Candidate = TypeVar("Candidate")
LEAST_GAIN = 1e-3
"""Share of the error of each fold that vectors of unknown worth have to take off."""
FEW_SHOT_HIDDEN_FRAC = 0.7
"""Share of a few-shot line's parents that a fold hides."""


def unit_hash(units_N: Texts, salt: str) -> Floats:
    """A number in [0, 1) for each unit, from its name and the salt alone."""
    unique_U, position_N = np.unique(units_N, return_inverse=True)
    hash_U = [
        int(hashlib.sha256(f"{salt}|{unit}".encode()).hexdigest()[:13], 16) / 16**13
        for unit in unique_U
    ]
    return np.array(hash_U)[position_N]


def balanced_fold(units_N: Texts, n_folds: int, salt: str) -> Ints:
    """Fold of each unit (group k-fold): units in hash order, folds of equal numbers of units."""
    unique_U, position_N = np.unique(units_N, return_inverse=True)
    rank_U = np.argsort(np.argsort(unit_hash(unique_U, salt), kind="stable"), kind="stable")
    return np.asarray(rank_U % n_folds)[position_N]


def shuffled_fold(units_N: NDArray[Any], n_folds: int, seed: int) -> Ints:
    """Fold of each row (group k-fold): units shuffled by seed, all rows of a unit in one fold."""
    unique_U, position_N = np.unique(units_N, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(unique_U)) % n_folds)[position_N]


def inner_folds(train: Conditions, kind: str, *, n_folds: int = 3, seed: int = 0) -> list[Rows]:
    """Inner cross-validation folds that hold out, of the training side, what such a split does.

    A fold with an empty side is left out; with one line or one drug the list may be empty, and
    the caller takes its default.

    Raises
    ------
    ConfigurationError
        If there is no such kind.

    Notes
    -----
    Folds by blocks like those of the test: Roberts et al. (2017), "Cross-validation strategies for
    data with temporal, spatial, hierarchical, or phylogenetic structure".
    """
    salt = f"inner|{kind}|{seed}"
    row = kind_of(kind)
    rows = []
    for fold in range(n_folds):
        is_held_N, is_fit_N = _sides(train, row, n_folds, fold, salt)
        if is_held_N.any() and is_fit_N.any():
            rows.append((np.flatnonzero(is_fit_N), np.flatnonzero(is_held_N)))
    return rows


def _sides(
    train: Conditions, kind: SplitKind, n_folds: int, fold: int, salt: str
) -> tuple[Flags, Flags]:
    if kind.is_few_shot:
        is_line_N = balanced_fold(train.line_N, max(n_folds, 4), salt) == fold
        pair_N = join_keys(train.parent_N, train.line_N)
        is_held_N = is_line_N & (unit_hash(pair_N, salt) < FEW_SHOT_HIDDEN_FRAC)
        return is_held_N, ~is_held_N
    is_hidden_UN = np.stack(
        [
            balanced_fold(unit_keys(train, columns), n_folds, salt) == fold
            for columns in kind.folds_hide
        ]
    )
    return np.all(is_hidden_UN, axis=0), ~np.any(is_hidden_UN, axis=0)


def choose(
    candidates: Sequence[Candidate],
    default: Candidate,
    folds: Sequence[Rows],
    measured: MeasuredConditions,
    predict: Callable[[Rows, Sequence[Candidate]], Sequence[NDArray[Any]]],
    *,
    further: Sequence[Candidate] = (),
) -> Candidate:
    """The candidate of lowest cross-validation error: weighted squared error of held-out rows.

    ``predict`` answers for all candidates at once, so that a family can share one decomposition.
    The first of equals wins; without folds it is the default. A ``further`` candidate has to beat
    the best of the others on every fold, by :data:`LEAST_GAIN`: it reads vectors of unknown worth,
    and noise would win the sum every other time where it hardly matters.

    Notes
    -----
    Stone (1974), "Cross-validatory choice and assessment of statistical predictions".
    """
    if not folds:
        return default
    all_candidates = [*candidates, *further]
    error_FC = np.zeros((len(folds), len(all_candidates)))
    for fold, (fit_rows, held_rows) in enumerate(folds):
        answers = predict((fit_rows, held_rows), all_candidates)
        for number, predicted_HG in enumerate(answers):
            miss_HG = predicted_HG - measured.delta_NG[held_rows]
            weight_H = measured.weight_N[held_rows]
            error_FC[fold, number] = np.einsum("h,hg,hg->", weight_H, miss_HG, miss_HG)
    error_C = error_FC.sum(axis=0)
    best = int(np.argmin(error_C[: len(candidates)]))
    is_open_C = np.asarray((error_FC < (1.0 - LEAST_GAIN) * error_FC[:, [best]]).all(axis=0))
    is_open_C[: len(candidates)] = False
    is_open_C[best] = True
    return all_candidates[int(np.argmin(np.where(is_open_C, error_C, np.inf)))]
