"""Stacking of linear models and network: the network's gate α, and non-negative blend weights.

Everything here is fitted on validation conditions of the split's own kind, in closed form or by
non-negative least squares, so that what is shipped is never worse there than the best linear
model, and the network counts for nothing (α → 0) where its inputs say nothing.

Shapes: N = validation conditions, G = genes, P = predictors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from drug_pipeline.domain.metrics import mse

MAX_ALPHA = 1.2
"""Largest gate: a little over 1, since early stopping leaves the network too small."""
MIN_WEIGHT = 0.02
"""Blend weights below this are set to 0: a predictor that hardly counts need not be shipped."""


def fit_alpha(missing_NG: NDArray[Any], network_NG: NDArray[Any]) -> float:
    """Least-squares coefficient α of the network on the residual of the base, clipped to [0, 1.2].

    ``α = <missing, network> / <network, network>``; 0 for a network that says nothing.

    Notes
    -----
    Least squares through the origin with one regressor, clipped; the limits are ours.
    """
    power = float(np.einsum("ng,ng->", network_NG, network_NG, dtype=np.float64))
    if power <= 0.0 or not len(missing_NG):
        return 0.0
    shared = float(np.einsum("ng,ng->", missing_NG, network_NG, dtype=np.float64))
    return float(np.clip(shared / power, 0.0, MAX_ALPHA))


def blend_weights(
    predicted: Mapping[str, NDArray[Any]], measured_NG: NDArray[Any], best: str
) -> dict[str, float]:
    """Stacking weights: non-negative least squares of measured Δ on the predictors.

    Small weights are dropped and the rest refitted. The result is never worse than the predictor
    named ``best``: where it would be, that one alone gets weight 1.

    Notes
    -----
    Stacking with non-negative weights: Breiman (1996), "Stacked regressions", after Wolpert (1992),
    "Stacked generalization". Dropping small weights and falling back to one predictor are ours.
    """
    names = list(predicted)
    weights = least_squares_weights(predicted, names, measured_NG)
    kept = [name for name in names if weights[name] >= MIN_WEIGHT] or [best]
    weights = least_squares_weights(predicted, kept, measured_NG)
    blended_NG = mix(predicted, weights)
    if not mse(blended_NG, measured_NG, axis=None) < mse(predicted[best], measured_NG, axis=None):
        return {best: 1.0}
    return {name: weight for name, weight in weights.items() if weight > 0}


def mix(predicted: Mapping[str, NDArray[Any]], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """The weighted sum of predictions (N, G)."""
    first = next(iter(predicted.values()))
    total_NG = np.zeros(first.shape, dtype=np.float32)
    for name, weight in weights.items():
        total_NG += np.float32(weight) * predicted[name]
    return total_NG


def least_squares_weights(
    predicted: Mapping[str, NDArray[Any]], names: list[str], measured_NG: NDArray[Any]
) -> dict[str, float]:
    """Non-negative least-squares weights of the named predictors for measured Δ.

    Notes
    -----
    Lawson & Hanson (1974), "Solving least squares problems", chapter 23 (non-negative least
    squares).
    """
    flat_PX = np.stack([np.asarray(predicted[name], dtype=np.float64).ravel() for name in names])
    gram_PP = flat_PX @ flat_PX.T
    shared_P = flat_PX @ measured_NG.ravel().astype(np.float64)
    size = float(np.trace(gram_PP)) / len(names)
    if size <= 0:
        return dict.fromkeys(names, 0.0)
    # The factor of the Gram matrix is a P-row problem with the same minimum; the small ridge
    # decides between predictors that say the same.
    factor_PP = np.linalg.cholesky(gram_PP + 1e-6 * size * np.eye(len(names)))
    solution_P, _ = nnls(factor_PP.T, np.linalg.solve(factor_PP, shared_P))
    return dict(zip(names, map(float, solution_P), strict=True))
