"""Rank fusion: rankers' scores standardised and combined, weights from validation queries.

What belongs here: which rankers count for a split, and how much. What does not: any ranker
(``linear/``, ``network/rankers.py``).

Shapes: Q = validation queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import reciprocal_rank
from drug_pipeline.domain.names import (
    CENTRED_COSINE,
    RANK_COSINE,
    RANK_GALLERY,
    RAW_COSINE,
)
from drug_pipeline.linear.rankers.gallery import UNKNOWN_SCORE
from drug_pipeline.training.selection.clustered_tests import (
    cross_fitted,
    is_above_one_error,
    upper_bound,
)

WEIGHT_GRID = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
"""Relative weights that are tried when rankers are combined."""
OTHER_DEFAULTS: Final = (RANK_GALLERY, RAW_COSINE)
"""In place of rank cosine where above it: predicted Δ, where no drug that is asked for was measured,
or plain correlation."""
PLAIN: Final = (RAW_COSINE, CENTRED_COSINE)
"""Plain correlation is never combined, and what ships may be below it in no line."""
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
    """Score fusion: weighted mean of each ranker's standardised scores (Q, D).

    A drug that a ranker does not know (NaN) is judged by the others; one that nobody knows stays
    NaN.

    Notes
    -----
    CombSUM of Fox & Shaw (1994), "Combination of multiple searches", with weights and as a mean.
    """
    names = [name for name, weight in weights.items() if weight > 0]
    parts = {name: standardised(scores[name]) for name in names}
    return _weighted(parts, {name: weights[name] for name in names}).astype(np.float32)


def standardised(scores_QD: NDArray[Any]) -> NDArray[np.float64]:
    """z-scores of each query's scores over the drugs known; NaN stays NaN.

    Notes
    -----
    Zero mean and unit variance: Montague & Aslam (2001), "Relevance score normalization for
    metasearch".
    """
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
    line_Q: NDArray[np.str_],
    clusterings: Sequence[NDArray[Any]],
) -> dict[str, float]:
    """Fusion weights that ship: rank cosine alone, or what is shown to be better across lines.

    Every line counts the same. Another ranker, or a combination with its weights fitted on other
    clusters than it is judged on, ships only where its reciprocal rank is above that of the
    default by more than a standard error, under each clustering and between lines: what was
    learned from the queries of one line need not hold in another. It must not fall below plain
    correlation in any line, either. Predicted Δ or plain correlation take the place of the default
    where they are above it.

    Parameters
    ----------
    line_Q
        Cell line of each query.
    clusterings
        What errs together (Q,) each; see :func:`clustered_tests.clusterings`.

    Notes
    -----
    The one standard error rule of Breiman, Friedman, Olshen & Stone (1984), "Classification and
    Regression Trees", with errors by cluster; that it must hold between lines is ours.
    """
    evidence_Q = same_for_each_line(weight_Q, line_Q)
    chosen = RANK_COSINE if RANK_COSINE in scores else best_single(scores, is_right_QD, evidence_Q)
    has_right_Q = is_right_QD.any(axis=1)
    if not has_right_Q.any():
        return {name: float(name == chosen) for name in scores}
    judge = _Judge(
        scores=_rows(scores, np.flatnonzero(has_right_Q)),
        is_right_QD=is_right_QD[has_right_Q],
        evidence_Q=evidence_Q[has_right_Q],
        line_Q=line_Q[has_right_Q],
        clusterings=[cluster_Q[has_right_Q] for cluster_Q in clusterings],
    )
    for name in OTHER_DEFAULTS:
        if name in scores and judge.is_above(judge.scores[name], judge.scores[chosen]):
            chosen = name
    single = best_single(judge.scores, judge.is_right_QD, judge.evidence_Q)
    if judge.is_shown(judge.scores[single], judge.scores[chosen]):
        chosen = single
    mixed = {name: one for name, one in scores.items() if name not in PLAIN}
    weights = fit_combination(mixed, is_right_QD, evidence_Q)
    is_combination = sum(weight > 0 for weight in weights.values()) > 1
    if is_combination and judge.is_shown(judge.combined_elsewhere(), judge.scores[chosen]):
        return {name: weights.get(name, 0.0) for name in scores}
    return {name: float(name == chosen) for name in scores}


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Validation queries that have a right drug, and what may be said of scores for them."""

    scores: Mapping[str, NDArray[Any]]
    is_right_QD: NDArray[np.bool_]
    evidence_Q: NDArray[np.float64]
    line_Q: NDArray[np.str_]
    clusterings: Sequence[NDArray[Any]]

    def gain(self, candidate_QD: NDArray[Any], reference_QD: NDArray[Any]) -> NDArray[np.float64]:
        """Gain in reciprocal rank of each query (Q,)."""
        candidate_Q = reciprocal_ranks(candidate_QD, self.is_right_QD)
        return candidate_Q - reciprocal_ranks(reference_QD, self.is_right_QD)

    def is_above(self, candidate_QD: NDArray[Any], reference_QD: NDArray[Any]) -> bool:
        """Whether the weighted gain is above its standard error under each clustering."""
        gain_Q = self.gain(candidate_QD, reference_QD) * self.evidence_Q / self.evidence_Q.mean()
        return all(is_above_one_error(gain_Q, one) for one in self.clusterings)

    def is_shown(self, candidate_QD: NDArray[Any], reference_QD: NDArray[Any]) -> bool:
        """Whether the gain also holds between lines, and never costs against plain correlation."""
        gain_Q = self.gain(candidate_QD, reference_QD) * self.evidence_Q / self.evidence_Q.mean()
        return (
            self.is_above(candidate_QD, reference_QD)
            and is_above_one_error(gain_Q, self.line_Q)
            and not any(
                self._is_below_in_a_line(candidate_QD, self.scores[name])
                for name in PLAIN
                if name in self.scores
            )
        )

    def _is_below_in_a_line(self, candidate_QD: NDArray[Any], plain_QD: NDArray[Any]) -> bool:
        gain_Q = self.gain(candidate_QD, plain_QD)
        parent_Q = self.clusterings[-1]
        return any(
            upper_bound(gain_Q[self.line_Q == line], parent_Q[self.line_Q == line]) < 0
            for line in np.unique(self.line_Q)
        )

    def combined_elsewhere(self) -> NDArray[np.float32]:
        """Scores of a combination whose weights were fitted on other clusters (Q, D)."""
        mixed = {name: one for name, one in self.scores.items() if name not in PLAIN}

        def mix(others: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float32]:
            right_QD, evidence_Q = self.is_right_QD[others], self.evidence_Q[others]
            return combine(
                _rows(mixed, held), fit_combination(_rows(mixed, others), right_QD, evidence_Q)
            )

        return cross_fitted(mixed, self.clusterings[0], mix)


def same_for_each_line(weight_Q: NDArray[Any], line_Q: NDArray[np.str_]) -> NDArray[np.float64]:
    """Weights of queries that add up to the same in every line; equal ones where all are 0."""
    _, row_Q = np.unique(line_Q, return_inverse=True)
    weight_Q = np.asarray(weight_Q, dtype=np.float64) + 1e-12
    return np.asarray(weight_Q / np.bincount(row_Q, weights=weight_Q)[row_Q])


def best_single(
    scores: Mapping[str, NDArray[Any]], is_right_QD: NDArray[np.bool_], weight_Q: NDArray[Any]
) -> str:
    """The ranker with the highest mean reciprocal rank by itself; the first one without queries."""
    return max(scores, key=lambda name: mean_reciprocal_rank(scores[name], is_right_QD, weight_Q))


def fit_combination(
    scores: Mapping[str, NDArray[Any]], is_right_QD: NDArray[np.bool_], weight_Q: NDArray[Any]
) -> dict[str, float]:
    """Fusion weights of highest mean reciprocal rank, by coordinate ascent on a grid; may be 0.

    Starts from the best single ranker and sweeps over all of them, each taking the weight of the
    grid that helps most, until nothing changes. Without queries the first ranker counts alone.

    Notes
    -----
    Coordinate ascent on the metric itself: Metzler & Croft (2007), "Linear feature-based models for
    information retrieval".
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

    Notes
    -----
    Voorhees (1999), "The TREC-8 question answering track report".
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
