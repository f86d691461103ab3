"""Cross-well validation: predictions scored against other wells of the same drug and line.

All lines share a well, so a model gains on held-out pairs by learning the artefacts of their wells.
Each (drug, line) pair is measured in several wells, one a dose: a prediction for one of them that
must fit ANOTHER one gains nothing by an artefact. What that was worth on simulated counts with known
truth, and what it costs on measured figures, stands in ``docs/experiments.md``.

Shapes: N = validation conditions, G = genes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import mse
from drug_pipeline.training.selection.blending import MIN_WEIGHT, least_squares_weights, mix

GUARD_SHARES = tuple(number / 20 for number in range(20, 0, -1))
"""Shares of the cross-well weights that are tried, largest first."""
MIN_WELL_PAIRS = 50
"""With fewer pairs of wells the cross-well weights are not fitted."""

WellPairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows predicted for, and rows of the same pair in another well."""


def other_wells(drug_N: NDArray[np.str_], line_N: NDArray[np.str_]) -> WellPairs:
    """Ordered pairs of rows of one drug in one line, measured in different wells.

    A condition is a dose (or a plate) of its own, so any two rows of a (drug, line) pair are.
    """
    _, pair_N = np.unique(np.char.add(np.char.add(drug_N, "|"), line_N), return_inverse=True)
    rows_of = [np.flatnonzero(pair_N == pair) for pair in range(int(pair_N.max(initial=-1)) + 1)]
    found = [(i, j) for rows in rows_of for i in rows for j in rows if i != j]
    left, right = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return left, right


def cross_well_weights(
    predicted: Mapping[str, NDArray[Any]],
    measured_NG: NDArray[Any],
    wells: WellPairs,
) -> dict[str, float]:
    """Stacking weights across wells: predictions for one well fitted to ANOTHER of the same pair.

    They are scaled so that predictions have the right size for their own wells. Empty where
    nothing predicts anything.

    Notes
    -----
    Products between independent measurements have no noise of their own: Walther et al. (2016),
    "Reliability of dissimilarity measures for multi-voxel pattern analysis". Weights by
    non-negative least squares: :func:`blending.least_squares_weights`.
    """
    left, right = wells
    across = {name: member[left] for name, member in predicted.items()}
    weights = least_squares_weights(across, list(across), measured_NG[right])
    kept = {name: weight for name, weight in weights.items() if weight > 0}
    if not kept:
        return {}
    blended_NG = mix(predicted, kept)
    power = float(np.einsum("ng,ng->", blended_NG, blended_NG, dtype=np.float64))
    shared = float(np.einsum("ng,ng->", blended_NG, measured_NG, dtype=np.float64))
    scale = max(shared / power, 0.0) if power > 0 else 0.0
    weights = {name: scale * weight for name, weight in kept.items()}
    return {name: weight for name, weight in weights.items() if weight >= MIN_WEIGHT / 2}


def cross_well_cosine(
    predicted_NG: NDArray[Any],
    measured_NG: NDArray[Any],
    wells: WellPairs,
) -> float:
    """Cosine similarity, over all rows and genes, of predictions to the pair's OTHER wells.

    Notes
    -----
    Cross-validated products as in Walther et al. (2016), "Reliability of dissimilarity measures for
    multi-voxel pattern analysis".
    """
    left_NG, right_NG = predicted_NG[wells[0]], measured_NG[wells[1]]
    shared = float(np.einsum("ng,ng->", left_NG, right_NG, dtype=np.float64))
    left = float(np.einsum("ng,ng->", left_NG, left_NG, dtype=np.float64))
    right = float(np.einsum("ng,ng->", right_NG, right_NG, dtype=np.float64))
    return shared / np.sqrt(left * right) if left > 0 and right > 0 else 0.0


def guarded(
    predicted: Mapping[str, NDArray[Any]],
    measured_NG: NDArray[Any],
    *,
    safe: Mapping[str, float],
    wanted: Mapping[str, float],
    best: str,
) -> dict[str, float]:
    """The largest share of the wanted weights that costs no validation error, the rest safe ones.

    Never worse on validation than the predictor named ``best``, as long as ``safe`` is not.
    """
    limit = mse(predicted[best], measured_NG, axis=None)
    for share in GUARD_SHARES:
        names = [name for name in predicted if name in safe or name in wanted]
        weights = {
            name: share * wanted.get(name, 0.0) + (1.0 - share) * safe.get(name, 0.0)
            for name in names
        }
        if mse(mix(predicted, weights), measured_NG, axis=None) <= limit:
            return {name: weight for name, weight in weights.items() if weight > 0}
    return dict(safe)
