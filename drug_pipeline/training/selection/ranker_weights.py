"""Rankers combined: their scores made comparable, weights from validation queries, what ships.

What belongs here: which rankers count for a split, and how much. What does not: any ranker
(``linear/``, ``network/rankers.py``).

Shapes: Q = validation queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import reciprocal_rank
from drug_pipeline.linear.rankers.gallery import UNKNOWN_SCORE
from drug_pipeline.training.selection.clustered_tests import cross_fitted, is_above_one_error

WEIGHT_GRID = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Relative weights that are tried when rankers are combined."""
FALLBACK_WEIGHT = 1e-6
"""Least weight of the forward gallery: it decides alone on a drug that no other ranker knows."""
MAX_SWEEPS = 3
MIN_GAIN = 1e-4
"""Smallest gain in mean reciprocal rank for which a weight is changed."""


def known_scores(
    scores_QD: NDArray[np.float32], is_measured_D: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Scores of a measured ranker (Q, D), NaN where it has no profile of the drug to compare with."""
    is_known_QD = is_measured_D & (scores_QD > UNKNOWN_SCORE)
    return np.where(is_known_QD, scores_QD, np.float32(np.nan))


def combine(
    scores: Mapping[str, NDArray[Any]], weights: Mapping[str, float]
) -> NDArray[np.float32]:
    """Weighted mean of each ranker's standardised scores (Q, D).

    A drug that a ranker does not know (NaN) is judged by the others; one that nobody knows stays
    NaN.
    """
    names = [name for name, weight in weights.items() if weight > 0]
    parts = {name: standardised(scores[name]) for name in names}
    return _weighted(parts, {name: weights[name] for name in names}).astype(np.float32)


def standardised(scores_QD: NDArray[Any]) -> NDArray[np.float64]:
    """Scores of each query with mean 0 and variance 1 over the drugs known; NaN stays NaN."""
    scores_QD = np.array(scores_QD, dtype=np.float64)
    is_known_QD = np.isfinite(scores_QD)
    n_known_Q1 = np.maximum(is_known_QD.sum(axis=1, keepdims=True), 1)
    filled_QD = np.where(is_known_QD, scores_QD, 0.0)
    filled_QD = filled_QD - filled_QD.sum(axis=1, keepdims=True) / n_known_Q1
    filled_QD = np.where(is_known_QD, filled_QD, 0.0)
    sd_Q1 = np.sqrt((filled_QD**2).sum(axis=1, keepdims=True) / n_known_Q1)
    return np.where(is_known_QD, filled_QD / np.maximum(sd_Q1, 1e-9), np.nan)


def _weighted(
    parts: Mapping[str, NDArray[np.float64]], weights: Mapping[str, float]
) -> NDArray[np.float64]:
    shape = next(iter(parts.values())).shape
    total_QD, weight_QD = np.zeros(shape), np.zeros(shape)
    for name, weight in weights.items():
        is_known_QD = np.isfinite(parts[name])
        total_QD += weight * np.where(is_known_QD, parts[name], 0.0)
        weight_QD += weight * is_known_QD
    return np.where(weight_QD > 0, total_QD / np.maximum(weight_QD, 1e-12), np.nan)


def chosen_weights(
    scores: Mapping[str, NDArray[Any]],
    is_right_QD: NDArray[np.bool_],
    weight_Q: NDArray[Any],
    clusterings: Sequence[NDArray[Any]],
    *,
    network: str = "",
) -> dict[str, float]:
    """The weights that ship: the best single ranker's alone, or those of a better combination.

    A combination ships only where, with its weights fitted on other clusters than it is judged
    on, its reciprocal rank is above the single ranker's by more than a standard error, under each
    clustering: weights of many rankers fitted to a few queries rank worse than one.

    Parameters
    ----------
    network
        The ranker that is one; it is the best single one only where it is above all others by
        more than a standard error as well.
    """
    plain = {name: scores_QD for name, scores_QD in scores.items() if name != network}
    single = best_single(plain, is_right_QD, weight_Q)
    has_right_Q = is_right_QD.any(axis=1)
    if not has_right_Q.any():
        return {name: float(name == single) for name in scores}
    asked = _rows(scores, np.flatnonzero(has_right_Q))
    right_QD, evidence_Q = is_right_QD[has_right_Q], weight_Q[has_right_Q] + 1e-12
    groups = [cluster_Q[has_right_Q] for cluster_Q in clusterings]

    def is_better(candidate_QD: NDArray[Any], reference_QD: NDArray[Any]) -> bool:
        gain_Q = reciprocal_ranks(candidate_QD, right_QD) - reciprocal_ranks(reference_QD, right_QD)
        gain_Q *= evidence_Q / evidence_Q.mean()
        return all(is_above_one_error(gain_Q, one) for one in groups)

    def combined_elsewhere(
        others: NDArray[np.int64], held: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        fitted = fit_combination(_rows(asked, others), right_QD[others], evidence_Q[others])
        return combine(_rows(asked, held), fitted)

    if network in asked and is_better(asked[network], asked[single]):
        single = network
    weights = fit_combination(scores, is_right_QD, weight_Q)
    is_combination = sum(weight > 0 for weight in weights.values()) > 1
    if is_combination and is_better(
        cross_fitted(asked, groups[0], combined_elsewhere), asked[single]
    ):
        return weights
    return {name: float(name == single) for name in scores}


def best_single(
    scores: Mapping[str, NDArray[Any]], is_right_QD: NDArray[np.bool_], weight_Q: NDArray[Any]
) -> str:
    """The ranker with the highest mean reciprocal rank by itself; the first one without queries."""
    return max(scores, key=lambda name: mean_reciprocal_rank(scores[name], is_right_QD, weight_Q))


def fit_combination(
    scores: Mapping[str, NDArray[Any]], is_right_QD: NDArray[np.bool_], weight_Q: NDArray[Any]
) -> dict[str, float]:
    """Weights with the highest mean reciprocal rank, found one ranker at a time; may be 0.

    Starts from the best single ranker and sweeps over all of them, each taking the weight of the
    grid that helps most, until nothing changes. Without queries the first ranker counts alone.
    """
    names = list(scores)
    if not len(is_right_QD):
        return {name: float(name == names[0]) for name in names}
    parts = {name: standardised(scores[name]) for name in names}

    def figure(weights: Mapping[str, float]) -> float:
        counting = {name: weight for name, weight in weights.items() if weight > 0}
        if not counting:
            return -np.inf
        return mean_reciprocal_rank(_weighted(parts, counting), is_right_QD, weight_Q)

    start = best_single(scores, is_right_QD, weight_Q)
    chosen, best = {name: float(name == start) for name in names}, figure({start: 1.0})
    for _ in range(MAX_SWEEPS):
        before = best
        for name in names:
            for weight in WEIGHT_GRID:
                tried = {**chosen, name: weight}
                reached = figure(tried)
                if reached > best + MIN_GAIN:
                    chosen, best = tried, reached
        if best <= before:
            break
    return chosen


def mean_reciprocal_rank(
    scores_QD: NDArray[Any], is_right_QD: NDArray[np.bool_], weight_Q: NDArray[Any]
) -> float:
    """Weighted mean of 1 / mid-rank of the best right drug; queries without one are left out.

    0 where no query has one.
    """
    has_right_Q = is_right_QD.any(axis=1)
    if not has_right_Q.any():
        return 0.0
    reciprocal_Q = reciprocal_ranks(scores_QD[has_right_Q], is_right_QD[has_right_Q])
    return float(np.average(reciprocal_Q, weights=weight_Q[has_right_Q] + 1e-12))


def reciprocal_ranks(
    scores_QD: NDArray[Any], is_right_QD: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """1 / mid-rank of the best right drug of each query (Q,), each with one at least.

    Drugs without a score (NaN) come last; other right drugs above it cost no rank.
    """
    scores_QD = np.where(np.isfinite(scores_QD), scores_QD, -np.inf)
    best_Q1 = np.where(is_right_QD, scores_QD, -np.inf).max(axis=1, keepdims=True)
    n_above_Q = ((scores_QD > best_Q1) & ~is_right_QD).sum(axis=1)
    n_tied_Q = ((scores_QD == best_Q1) & ~is_right_QD).sum(axis=1)
    return reciprocal_rank(1.0 + n_above_Q + 0.5 * n_tied_Q)


def _rows(scores: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: scores_QD[rows] for name, scores_QD in scores.items()}
