"""Out-of-fold predictions of the linear base, made the way the test will be.

In-sample residuals of a good base carry no signal, and random folds mislead where the test hides
most drugs of a line. So pairs are hidden as the split's kind hides them.

Shapes: N = training conditions, G = genes, K = folds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear import Conditions, Factory, Features


def pair_folds(train: Conditions, *, n_folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Masks of the hidden rows: each (parent compound, line) pair is hidden in exactly one fold."""
    _, unit_N = np.unique(_pairs(train), return_inverse=True)
    fold_of_unit = _shuffled_folds(int(unit_N.max()) + 1, n_folds, seed)
    return [fold_of_unit[unit_N] == fold for fold in range(n_folds)]


def few_shot_folds(
    train: Conditions, *, n_folds: int, hidden_frac: float, seed: int
) -> list[NDArray[np.bool_]]:
    """Masks that hide most drugs of some lines, each line in one group of lines.

    Each group gives two masks, hiding the first and the last ``hidden_frac`` of the shuffled
    parents of its lines, so that with ``hidden_frac >= 0.5`` every row is hidden at least once.
    """
    _, line_N = np.unique(train.line_N, return_inverse=True)
    _, unit_N = np.unique(_pairs(train), return_inverse=True)
    n_folds = min(n_folds, int(line_N.max()) + 1)
    fold_of_line = _shuffled_folds(int(line_N.max()) + 1, n_folds, seed)
    uniform_N = np.random.default_rng([seed, 1]).random(int(unit_N.max()) + 1)[unit_N]
    masks = []
    for fold in range(n_folds):
        is_in_group_N = fold_of_line[line_N] == fold
        masks.append(is_in_group_N & (uniform_N < hidden_frac))
        masks.append(is_in_group_N & (uniform_N >= 1.0 - hidden_frac))
    return masks


def line_folds(train: Conditions, *, n_folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Masks that hide whole lines, each line once."""
    _, line_N = np.unique(train.line_N, return_inverse=True)
    fold_of_line = _shuffled_folds(int(line_N.max()) + 1, n_folds, seed)
    return [fold_of_line[line_N] == fold for fold in range(n_folds)]


def out_of_fold(
    make: Factory,
    train: Conditions,
    delta_NG: NDArray[np.float32],
    weight_N: NDArray[np.float64],
    features: Features,
    masks: list[NDArray[np.bool_]],
    on_fold: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Predictions of rows while they were hidden, averaged over their folds, and who has one.

    A fold that would hide everything or nothing is skipped.
    """
    total_NG = np.zeros(delta_NG.shape, dtype=np.float32)
    times_N = np.zeros(len(train))
    for number, is_hidden_N in enumerate(masks):
        on_fold(number, len(masks))
        if not is_hidden_N.any() or is_hidden_N.all():
            continue
        seen = np.flatnonzero(~is_hidden_N)
        hidden = np.flatnonzero(is_hidden_N)
        predictor = make().fit(train.take(seen), delta_NG[seen], weight_N[seen], features)
        total_NG[hidden] += predictor.predict(train.take(hidden))
        times_N[hidden] += 1
    total_NG /= np.maximum(times_N, 1)[:, None]
    return total_NG, times_N > 0


def _pairs(train: Conditions) -> NDArray[Any]:
    return np.char.add(np.char.add(train.parent_N.astype(str), "|"), train.line_N.astype(str))


def _shuffled_folds(n_units: int, n_folds: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return rng.permutation(np.arange(n_units) % n_folds)
