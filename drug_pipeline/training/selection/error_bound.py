"""Predictive uncertainty: expected RMS error of each condition, and a split-conformal bound.

The squared error of a prediction is written as a non-negative sum of what is known beforehand
(a floor, how much its parts disagree, how large it is) fitted on validation conditions, and the
bound that 90 % of them stay under comes from the same conditions (split conformal). Where whole
lines or compounds are new, errors of one of them go together, and the bound comes from the
distribution over lines or compounds.

Shapes: N = conditions, G = genes, K = terms, C = clusters (lines or compounds).

Notes
-----
Split conformal prediction with errors in units of their expectation: Lei, G'Sell, Rinaldo,
Tibshirani & Wasserman (2018), "Distribution-free predictive inference for regression". The bound
over clusters pools their distributions as Dunn, Wasserman & Ramdas (2023), "Distribution-free
prediction sets for two-layer hierarchical models". The terms of the expected error are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

COVERAGE = 0.9
"""Share of conditions whose error should stay under the bound."""
MIN_CONDITIONS = 20
"""With fewer validation conditions nothing is calibrated."""
LEAST_SHARE = 0.01
"""Of the mean squared error, below which no condition's expected error counts as yet smaller."""
N_REWEIGHTED = 10
"""Fits of the expected error, each weighted by the one before; few change a digit after five."""


@dataclass(frozen=True, kw_only=True)
class ErrorModel:
    """Expected RMS error ``sqrt(terms @ coefficients)`` and the factor to its 90 % bound.

    The error is against a measurement of typical noise, natural log: what a user will see.
    """

    coefficients_K: tuple[float, ...]
    bound_factor: float

    def expected(self, terms_NK: NDArray[Any]) -> NDArray[np.float32]:
        """Expected RMS error over genes (N,)."""
        expected_N = terms_NK @ np.array(self.coefficients_K)
        return np.asarray(np.sqrt(np.maximum(expected_N, 0.0)), dtype=np.float32)

    def coverage(
        self, terms_NK: NDArray[Any], predicted_NG: NDArray[Any], measured_NG: NDArray[Any]
    ) -> float:
        """Share of conditions whose RMS error is under the 90 % bound."""
        if not len(predicted_NG):
            return float("nan")
        bound_N = self.bound_factor * self.expected(terms_NK)
        return float(np.mean(rms_error(predicted_NG, measured_NG) <= bound_N))


def error_terms(shipped_NG: NDArray[Any], parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Regressors of each condition's squared error (N, 3): 1, disagreement², size²."""
    disagreement_N = np.zeros(len(shipped_NG))
    for part_NG in parts:
        difference_NG = part_NG - shipped_NG
        disagreement_N += np.mean(difference_NG.astype(np.float64) ** 2, axis=1) / len(parts)
    size_N = np.mean(shipped_NG.astype(np.float64) ** 2, axis=1)
    return np.stack([np.ones(len(shipped_NG)), disagreement_N, size_N], axis=1)


def fit_error_model(
    terms_NK: NDArray[Any],
    predicted_NG: NDArray[Any],
    measured_NG: NDArray[Any],
    cluster_N: NDArray[Any] | None = None,
) -> ErrorModel | None:
    """An error model calibrated on held-out conditions; None where there are too few of them.

    Parameters
    ----------
    cluster_N
        What errs together and is new as a whole where the model is used: the bound then holds for
        a condition of another cluster.

    Notes
    -----
    Locally weighted split conformal prediction: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman
    (2018), "Distribution-free predictive inference for regression". Expectation and bound are
    fitted on the same conditions, so that coverage is close and not exact.
    """
    if len(predicted_NG) < MIN_CONDITIONS:
        return None
    squared_N = rms_error(predicted_NG, measured_NG) ** 2
    coefficients_K = _squared_error_of(terms_NK, squared_N)
    expected_N = np.sqrt(terms_NK @ coefficients_K)
    ratio_N = np.sqrt(squared_N) / np.maximum(expected_N, 1e-12)
    return ErrorModel(
        coefficients_K=tuple(map(float, coefficients_K)),
        bound_factor=_covering(ratio_N) if cluster_N is None else over_clusters(ratio_N, cluster_N),
    )


def _squared_error_of(
    terms_NK: NDArray[Any], squared_N: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coefficients (K,), none negative, of the mean squared error given the terms.

    Least squares in shares of what is expected, so that one strong condition does not decide the
    floor of all others: weights come of the fit before, never of the errors themselves, which
    would count small errors more and promise too little.
    """
    mean = max(float(squared_N.mean()), 1e-12)
    expected_N = np.full(len(squared_N), mean)
    for _ in range(N_REWEIGHTED):
        scale_N = 1.0 / np.maximum(expected_N, LEAST_SHARE * mean)
        coefficients_K, _ = nnls(terms_NK * scale_N[:, None], squared_N * scale_N)
        if not coefficients_K.any():
            return np.array([mean, *([0.0] * (terms_NK.shape[1] - 1))])
        expected_N = terms_NK @ coefficients_K
    return np.asarray(coefficients_K)


def over_clusters(ratio_N: NDArray[np.float64], cluster_N: NDArray[Any]) -> float:
    """Hierarchical conformal bound: what a condition of a new cluster stays under, at 90 %.

    Each cluster weighs 1 / (C + 1) whatever its size, and so does the new one, which may be
    anywhere. With fewer than nine clusters no finite bound is sure: then it is the largest of the
    bounds that cover 90 % of one cluster.

    Notes
    -----
    Pooled distributions of Dunn, Wasserman & Ramdas (2023), "Distribution-free prediction sets for
    two-layer hierarchical models"; what stands in with few clusters is ours.
    """
    _, code_N, size_C = np.unique(cluster_N, return_inverse=True, return_counts=True)
    n_clusters = len(size_C)
    if n_clusters + 1 < 1.0 / (1.0 - COVERAGE) - 1e-9:
        return max(_covering(ratio_N[code_N == code]) for code in range(n_clusters))
    order_N = np.argsort(ratio_N, kind="stable")
    mass_N = np.cumsum(1.0 / size_C[code_N][order_N]) / (n_clusters + 1)
    first = int(np.searchsorted(mass_N, COVERAGE - 1e-9))
    return float(ratio_N[order_N][min(first, len(ratio_N) - 1)])


def _covering(ratio_N: NDArray[np.float64]) -> float:
    """The ratio that the next condition of the same kind stays under with 90 % probability."""
    level = min(COVERAGE * (1.0 + 1.0 / len(ratio_N)), 1.0)
    return float(np.quantile(ratio_N, level, method="higher"))


def rms_error(predicted_NG: NDArray[Any], measured_NG: NDArray[Any]) -> NDArray[np.float64]:
    """Root mean squared error over genes of each condition (N,)."""
    difference_NG = predicted_NG.astype(np.float64) - measured_NG
    return np.asarray(np.sqrt(np.mean(difference_NG**2, axis=1)))
