"""LDA-whitened cosine: similarity along the directions that discriminate between drugs.

Within-drug scatter (other lines, doses and plates of the same compound) is noise to retrieval.
The signatures are projected on their main axes and whitened by the shrunk within-drug covariance;
a cosine in that space is the anchor that a learned encoder must beat, raw cosine is not.

What belongs here: that space and how its two settings are chosen on training data. What does not:
plain cosines (``rankers/cosine.py``).

Shapes: N = measured conditions, Q = queries, G = genes, K = main axes, P = compounds,
R = reference rows.

Notes
-----
Linear discriminant analysis with a ridge towards the identity (Friedman 1989, regularised
discriminant analysis, with one shared covariance).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import reciprocal_rank
from drug_pipeline.linear.base import MeasuredConditions, Queries, State
from drug_pipeline.linear.main_axes import main_axes
from drug_pipeline.linear.means import group_sums
from drug_pipeline.linear.rankers.gallery import (
    GalleryRanker,
    centred,
    line_means,
    unit_rows,
    without_line_response,
)

N_AXES: Final = (10, 20, 40, 80, 150)
"""Numbers of main axes tried."""
SHRINKAGES: Final = (0.03, 0.1, 0.3, 0.7)
"""Weights of the identity in the within-drug covariance tried."""
MOST_CHOSEN_BY: Final = 4000
"""Conditions by which the settings are chosen, evenly spaced; more change nothing but the time."""

Space = tuple[NDArray[np.float64], NDArray[np.float64], float]
"""Whitened axes (G, K), the training rows on them (N, K), and the shrinkage that was chosen."""


class LdaCosine(GalleryRanker):
    """Cosine in the LDA-whitened space to each drug's centroid, or to its nearest condition.

    The number of axes and the shrinkage are those with the best mean reciprocal rank when each
    training condition asks for its compound and its compound's conditions in the same line are
    left out of the compound's mean (the condition alone, where there is no other line).

    Parameters
    ----------
    is_nearest
        Compare with every measured condition of a drug in place of their mean: better where the
        drug was measured in the query's line, worse where it was not.
    is_elsewhere
        Compare with the measured conditions of other lines alone. Where the right drug was never
        measured in the query's line, every profile of that line is one of a wrong drug.
    space
        :func:`space_of` the very conditions that it will be fitted on, where several rankers need
        it; made when fitted otherwise.

    Notes
    -----
    Friedman (1989), "Regularized discriminant analysis", with one covariance for all classes; the
    cosine in that space is ours.
    """

    def __init__(
        self, *, is_nearest: bool = False, is_elsewhere: bool = False, space: Space | None = None
    ) -> None:
        name = "lda_nearest" if is_nearest else "lda_cosine"
        super().__init__("lda_elsewhere" if is_elsewhere else name, is_elsewhere=is_elsewhere)
        self._is_nearest = is_nearest or is_elsewhere
        self._space = space

    def _reference(
        self, measured: MeasuredConditions
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        axes_GK, white_NK, shrinkage = self._space or space_of(measured)
        self._space = None  # as large as the conditions: no fitted ranker carries it along
        assert len(white_NK) == len(measured), "a space of other conditions"
        state = line_means(measured) | {
            "whitened_axes_GK": axes_GK,
            "shrinkage": np.asarray(shrinkage),
        }
        if self._is_nearest:
            return white_NK, measured.conditions.drug_N, state
        drugs_R, mean_RK = weighted_means(white_NK, measured.conditions.drug_N, measured.weight_N)
        return mean_RK, drugs_R, state

    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        centred_QG = without_line_response(queries.signature_QG, queries.line_Q, state)
        return np.asarray(centred_QG @ state["whitened_axes_GK"])


def space_of(measured: MeasuredConditions) -> Space:
    """The whitened space of measured conditions, each centred on the mean of its line."""
    centred_NG = centred(measured.delta_NG, measured.conditions.line_N, line_means(measured))
    axes_GK = main_axes(centred_NG * np.sqrt(measured.weight_N)[:, None], max(N_AXES)).T
    scored = measured.with_delta(centred_NG @ axes_GK)
    n_axes, shrinkage = choose_settings(scored)
    kept = scored.with_delta(scored.delta_NG[:, :n_axes])
    whitening_KK = whitening(kept, shrinkage)
    return axes_GK[:, :n_axes] @ whitening_KK, kept.delta_NG @ whitening_KK, shrinkage


def whitening(scored: MeasuredConditions, shrinkage: float) -> NDArray[np.float64]:
    """Inverse square root (K, K) of the within-compound covariance, shrunk towards the identity.

    Notes
    -----
    Friedman (1989), "Regularized discriminant analysis", the shrinkage towards a multiple of the
    identity.
    """
    scores_NK, weight_N = scored.delta_NG, scored.weight_N
    parent_N = scored.conditions.parent_N
    parents_P, mean_PK = weighted_means(scores_NK, parent_N, weight_N)
    residual_NK = scores_NK - mean_PK[np.searchsorted(parents_P, parent_N)]
    within_KK = (residual_NK * weight_N[:, None]).T @ residual_NK / weight_N.sum()
    scale = np.trace(within_KK) / len(within_KK)
    if not scale > 0:  # one condition a compound: nothing to whiten by
        return np.eye(len(within_KK))
    shrunk_KK = (1 - shrinkage) * within_KK + shrinkage * scale * np.eye(len(within_KK))
    values_K, vectors_KK = np.linalg.eigh(shrunk_KK)
    return np.asarray((vectors_KK / np.sqrt(values_K)) @ vectors_KK.T)


def choose_settings(scored: MeasuredConditions) -> tuple[int, float]:
    """Number of axes and shrinkage with the best leave-one-out mean reciprocal rank.

    Notes
    -----
    Stone (1974), "Cross-validatory choice and assessment of statistical predictions".
    """
    best = (-1.0, min(N_AXES), max(SHRINKAGES))
    for n_axes in sorted({min(n_axes, scored.delta_NG.shape[1]) for n_axes in N_AXES}):
        kept = scored.with_delta(scored.delta_NG[:, :n_axes])
        for shrinkage in SHRINKAGES:
            white = kept.with_delta(kept.delta_NG @ whitening(kept, shrinkage))
            figure = held_out_reciprocal_rank(white)
            if figure > best[0]:
                best = (figure, n_axes, shrinkage)
    return best[1], best[2]


def held_out_reciprocal_rank(white: MeasuredConditions) -> float:
    """Leave-one-out mean reciprocal rank of training conditions that query their own compound.

    The mean of a condition's own compound is taken without its conditions in that line, or
    without the condition itself where there are no others. Compounds of one condition are not
    asked for. Weighted by the strength of the response, since a null response names no drug.

    Notes
    -----
    Leave-one-out as in Stone (1974), "Cross-validatory choice and assessment of statistical
    predictions"; the figure: Voorhees (1999), "The TREC-8 question answering track report".
    """
    train, white_NK, weight_N = white.conditions, white.delta_NG, white.weight_N
    parents_P, total_PK, weight_P = _totals(white_NK, train.parent_N, weight_N)
    pair_N = np.char.add(np.char.add(train.parent_N, "|"), train.line_N)
    pairs, pair_total, pair_weight = _totals(white_NK, pair_N, weight_N)
    compound_N = np.searchsorted(parents_P, train.parent_N)
    pair_row_N = np.searchsorted(pairs, pair_N)
    has_other_line_N = weight_P[compound_N] - pair_weight[pair_row_N] > 1e-9
    own_NK, own_N = white_NK * weight_N[:, None], weight_N
    out_NK = np.where(has_other_line_N[:, None], pair_total[pair_row_N], own_NK)
    out_N = np.where(has_other_line_N, pair_weight[pair_row_N], own_N)
    asked = np.flatnonzero(weight_P[compound_N] - out_N > 1e-9)
    if not len(asked):
        return 0.0
    asked = asked[:: max(1, len(asked) // MOST_CHOSEN_BY)]
    query_QK = unit_rows(white_NK[asked])
    cosine_QP = query_QK @ unit_rows(total_PK).T
    kept_QK = unit_rows(total_PK[compound_N[asked]] - out_NK[asked])
    own_Q = np.einsum("qk,qk->q", query_QK, kept_QK)
    cosine_QP[np.arange(len(asked)), compound_N[asked]] = own_Q
    rank_Q = 1 + (cosine_QP > own_Q[:, None]).sum(axis=1)
    strength_Q = np.linalg.norm(white_NK[asked], axis=1)
    return float(np.average(reciprocal_rank(rank_Q), weights=np.maximum(strength_Q, 1e-12)))


def weighted_means(
    rows_NK: NDArray[np.float64], key_N: NDArray[np.str_], weight_N: NDArray[np.float64]
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Keys, sorted, and the weighted mean of the rows of each; 0 where all weights are 0."""
    keys, total, weight = _totals(rows_NK, key_N, weight_N)
    return keys, total / np.where(weight > 0, weight, 1.0)[:, None]


def _totals(
    rows_NK: NDArray[np.float64], key_N: NDArray[np.str_], weight_N: NDArray[np.float64]
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    keys, row_N = np.unique(key_N, return_inverse=True)
    total = group_sums(rows_NK * weight_N[:, None], row_N, len(keys))
    return keys, total, np.bincount(row_N, weights=weight_N, minlength=len(keys)).astype(np.float64)
