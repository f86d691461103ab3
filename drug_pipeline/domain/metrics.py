"""Measures of agreement that fits are chosen by and that reports state: each exists once, here.

What belongs here: MSE, cosine, Pearson, reciprocal rank, on plain arrays. What does not: the other
metrics of the report and the table of all of them (``evaluation/scoring``), means over conditions.

One rule for input on which a correlation is not defined: a **measured** row without variation gives
NaN (it can tell no two predictors apart), a **predicted** one gives 0, the value of knowing nothing.

Shapes: N = conditions, G = genes, Q = queries.
"""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
FloatRows: TypeAlias = NDArray[np.float64]

ROUNDING: Final = 1e-6
"""A row of Δ whose norm is below this is zero, up to the rounding of float32."""


def mse(predicted_NG: Array, measured_NG: Array, *, axis: int | None = 1) -> FloatRows:
    """Mean squared error over genes (N,), or over everything with ``axis=None``; squared logs.

    Notes
    -----
    Equals ``sklearn.metrics.mean_squared_error`` row by row.
    """
    difference_NG = np.subtract(predicted_NG, measured_NG, dtype=np.float64)
    return np.asarray(np.square(difference_NG).mean(axis=axis))


def cosine(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Cosine of the angle between predicted and measured Δ, -1 to 1; 0 for a prediction of zeros.

    Notes
    -----
    Equals ``1 - scipy.spatial.distance.cosine`` row by row; NaN where the measured row is zero.
    """
    predicted_NG = np.asarray(predicted_NG, dtype=np.float64)
    measured_NG = np.asarray(measured_NG, dtype=np.float64)
    energy_N = np.einsum("ng,ng->n", measured_NG, measured_NG)
    own_energy_N = np.einsum("ng,ng->n", predicted_NG, predicted_NG)
    says_N = (own_energy_N > ROUNDING**2) & (energy_N > ROUNDING**2)
    norm_N = np.sqrt(own_energy_N * energy_N)
    dot_N = np.einsum("ng,ng->n", predicted_NG, measured_NG)
    similarity_N = np.where(says_N, dot_N / np.where(says_N, norm_N, 1.0), 0.0)
    return np.where(energy_N > ROUNDING**2, np.clip(similarity_N, -1.0, 1.0), np.nan)


def pearson(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Pearson correlation over genes, -1 to 1; 0 for a constant prediction.

    Centred Pearson is the same of Δ minus the training mean of the line, on both sides.

    Notes
    -----
    Pearson, Proc. R. Soc. Lond. 58 (1895) 240. Equals ``scipy.stats.pearsonr`` row by row; NaN
    where the measured row is constant.
    """
    return cosine(minus_mean(predicted_NG), minus_mean(measured_NG))


def minus_mean(values_NG: Array) -> FloatRows:
    """Rows minus their mean over genes (N, G)."""
    values_NG = np.asarray(values_NG, dtype=np.float64)
    return np.asarray(values_NG - values_NG.mean(axis=1, keepdims=True))


def reciprocal_rank(rank_Q: Array) -> FloatRows:
    """1 / rank of the right answer; its mean over queries is the MRR.

    Notes
    -----
    Voorhees, "The TREC-8 Question Answering Track Report" (1999).
    """
    return np.asarray(1.0 / np.asarray(rank_Q, dtype=np.float64))
