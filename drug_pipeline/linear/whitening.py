"""LDA-whitened cosine: compare signatures along the directions that tell drugs apart.

Within-drug scatter (other lines, doses and plates of the same compound) is noise to retrieval.
The signatures are projected on their main axes and whitened by the shrunk within-drug covariance;
a cosine in that space is the anchor that a learned encoder must beat, raw cosine is not.

What belongs here: that space and how its two settings are chosen on training data. What does not:
plain cosines (``cosine.py``).

Shapes: N = measured conditions, Q = queries, G = genes, K = main axes, P = compounds,
R = reference rows.

Notes
-----
Linear discriminant analysis with a ridge towards the identity (Friedman 1989, regularised
discriminant analysis, with one shared covariance).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import Conditions, Queries, State
from drug_pipeline.linear.folds import balanced_fold
from drug_pipeline.linear.gallery import GalleryRanker, centred, line_means, unit_rows
from drug_pipeline.linear.means import join_keys

N_AXES: Final = (10, 20, 40, 80, 150)
"""Numbers of main axes tried."""
SHRINKAGES: Final = (0.03, 0.1, 0.3, 0.7)
"""Weights of the identity in the within-drug covariance tried."""
N_FOLDS: Final = 5
"""Folds of lines that are hidden in turn."""
MOST_CHOSEN_BY: Final = 4000
"""Conditions by which the settings are chosen, evenly spaced; more change nothing but the time."""


class LdaCosine(GalleryRanker):
    """Cosine in the whitened space to each drug's mean, or to its nearest condition.

    The number of axes and the shrinkage are those with the best mean reciprocal rank of training
    conditions in lines that were hidden (:func:`choose_settings`).

    Parameters
    ----------
    is_nearest
        Compare with every measured condition of a drug in place of their mean: better where the
        drug was measured in the query's line, worse where it was not.
    """

    def __init__(self, *, is_nearest: bool = False) -> None:
        super().__init__("lda_nearest" if is_nearest else "lda_cosine")
        self._is_nearest = is_nearest

    def _reference(
        self, train: Conditions, delta_NG: NDArray[np.float32], weight_N: NDArray[np.float64]
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        state = line_means(train.line_N, delta_NG, weight_N)
        centred_NG = centred(delta_NG, train.line_N, state)
        axes_GK = main_axes(centred_NG, weight_N, n_axes=max(N_AXES))
        scores_NK = centred_NG @ axes_GK
        n_axes, shrinkage = choose_settings(train, scores_NK, weight_N)
        whitening_KK = whitening(scores_NK[:, :n_axes], train.parent_N, weight_N, shrinkage)
        white_NK = scores_NK[:, :n_axes] @ whitening_KK
        state |= {
            "whitened_axes_GK": axes_GK[:, :n_axes] @ whitening_KK,
            "shrinkage": np.asarray(shrinkage),
        }
        if self._is_nearest:
            return white_NK, train.drug_N, state
        drugs_R, mean_RK = weighted_means(white_NK, train.drug_N, weight_N)
        return mean_RK, drugs_R, state

    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        centred_QG = centred(queries.signature_QG, queries.line_Q, state)
        return np.asarray(centred_QG @ state["whitened_axes_GK"])


def main_axes(
    centred_NG: NDArray[np.float64], weight_N: NDArray[np.float64], *, n_axes: int
) -> NDArray[np.float64]:
    """Leading right singular vectors of the weighted rows (G, K), K ≤ ``n_axes``.

    Axes without variance are left out, so that fewer conditions or genes than axes is no error.
    """
    weighted_NG = centred_NG * np.sqrt(weight_N)[:, None]
    values_K, axes_GK = np.linalg.eigh(weighted_NG.T @ weighted_NG)
    kept = np.flatnonzero(values_K > 1e-10 * max(values_K[-1], 1e-300))[::-1][:n_axes]
    if not len(kept):
        kept = np.asarray([len(values_K) - 1])
    return np.asarray(axes_GK[:, kept])


def whitening(
    scores_NK: NDArray[np.float64],
    parent_N: NDArray[np.str_],
    weight_N: NDArray[np.float64],
    shrinkage: float,
) -> NDArray[np.float64]:
    """Inverse square root (K, K) of the within-compound covariance, shrunk towards the identity."""
    parents_P, mean_PK = weighted_means(scores_NK, parent_N, weight_N)
    residual_NK = scores_NK - mean_PK[np.searchsorted(parents_P, parent_N)]
    within_KK = (residual_NK * weight_N[:, None]).T @ residual_NK / weight_N.sum()
    scale = np.trace(within_KK) / len(within_KK)
    if not scale > 0:  # one condition a compound: nothing to whiten by
        return np.eye(len(within_KK))
    shrunk_KK = (1 - shrinkage) * within_KK + shrinkage * scale * np.eye(len(within_KK))
    values_K, vectors_KK = np.linalg.eigh(shrunk_KK)
    return np.asarray((vectors_KK / np.sqrt(values_K)) @ vectors_KK.T)


def choose_settings(
    train: Conditions, scores_NK: NDArray[np.float64], weight_N: NDArray[np.float64]
) -> tuple[int, float]:
    """The number of axes and the shrinkage with the best mean reciprocal rank on hidden lines.

    Each fold hides lines (lines and doses, where there are fewer than three lines): its conditions
    ask for their compounds, which the others know, in a space that the others whiten. A covariance
    that has seen the query's own residual would be trusted too much, and shrunk too little.
    """
    axes = sorted({min(n_axes, scores_NK.shape[1]) for n_axes in N_AXES})
    settings = [(n_axes, shrinkage) for n_axes in axes for shrinkage in SHRINKAGES]
    total_S, weight = np.zeros(len(settings)), 0.0
    fold_N = _folds(train)
    for fold in np.unique(fold_N):
        held, known = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
        held = held[np.isin(train.parent_N[held], train.parent_N[known])]
        if not len(held):
            continue
        held = held[:: max(1, len(held) * N_FOLDS // MOST_CHOSEN_BY)]
        # A null response names no drug: strong ones decide, in a space all settings share.
        strength_Q = np.linalg.norm(scores_NK[held], axis=1) + 1e-12
        reciprocal_SQ = _reciprocal_ranks(train, scores_NK, weight_N, known, held, settings)
        total_S += reciprocal_SQ @ strength_Q
        weight += float(strength_Q.sum())
    best = int(np.argmax(total_S)) if weight > 0 else settings.index((axes[0], max(SHRINKAGES)))
    return settings[best]


def _folds(train: Conditions) -> NDArray[np.int64]:
    unit_N = train.line_N
    if len(np.unique(unit_N)) < 3:
        unit_N = join_keys(train.line_N, train.dose_um_N)
    return balanced_fold(unit_N, N_FOLDS, "whitening")


def _reciprocal_ranks(
    train: Conditions,
    scores_NK: NDArray[np.float64],
    weight_N: NDArray[np.float64],
    known: NDArray[np.int64],
    held: NDArray[np.int64],
    settings: Sequence[tuple[int, float]],
) -> NDArray[np.float64]:
    """Reciprocal rank of each held-out condition's compound under each setting (S, Q)."""
    parent_N, weight_N = train.parent_N[known], weight_N[known]
    parents_P, mean_PK = weighted_means(scores_NK[known], parent_N, weight_N)
    right_Q = np.searchsorted(parents_P, train.parent_N[held])
    answers = []
    for n_axes, shrinkage in settings:
        whitening_KK = whitening(scores_NK[known, :n_axes], parent_N, weight_N, shrinkage)
        query_QK = unit_rows(scores_NK[held, :n_axes] @ whitening_KK)
        cosine_QP = query_QK @ unit_rows(mean_PK[:, :n_axes] @ whitening_KK).T
        own_Q1 = np.take_along_axis(cosine_QP, right_Q[:, None], axis=1)
        answers.append(1.0 / (1 + (cosine_QP > own_Q1).sum(axis=1)))
    return np.array(answers)


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
    total = np.zeros((len(keys), rows_NK.shape[1]))
    np.add.at(total, row_N, rows_NK * weight_N[:, None])
    return keys, total, np.bincount(row_N, weights=weight_N, minlength=len(keys)).astype(np.float64)
