"""Metrics of rankings: which candidate does a query point to? One function each, one value a query.

What belongs here: ranks, identity and graded relevance, metrics at K. What does not: how scores came
about, averages and intervals (``tables``).

**Ties have one rule**: candidates with equal scores share their mid-rank, and every metric reads
positions from these ranks. A ranker that gives all candidates the same score therefore ranks each at
(D + 1) / 2 and earns nothing at small K. Candidates that a ranker cannot score (NaN) come last, tied.
A query with fewer than two candidates has nothing to rank, and one without a relevant candidate
nothing to find: both give NaN, are left out of averages and counted. K larger than the gallery means
the whole gallery.

Shapes: Q = queries, D = candidates, P = identities (parent compounds).
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names

FloatRows: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]

SAME_PARENT = 3
SAME_TARGETS = 2
SAME_MOA = 1
UNRELATED = 0


def ranks(scores_QD: Array, candidates_QD: NDArray[np.bool_] | None = None) -> FloatRows:
    """Ranks from 1, best first, mid-ranks for ties (Q, D); infinity for what is no candidate.

    Notes
    -----
    Equals ``scipy.stats.rankdata(-scores, axis=1)`` where all are candidates and scored.
    """
    from scipy.stats import rankdata

    scores_QD = np.asarray(scores_QD, dtype=np.float64)
    if scores_QD.size == 0:
        return np.zeros(scores_QD.shape)
    if candidates_QD is None:
        candidates_QD = np.ones(scores_QD.shape, dtype=bool)
    unscored = np.finfo(np.float64).min
    filled_QD = np.where(np.isnan(scores_QD), unscored, np.maximum(scores_QD, unscored))
    ranks_QD = rankdata(np.where(candidates_QD, -filled_QD, np.inf), axis=1)
    return np.where(candidates_QD, ranks_QD, np.inf)


def by_identity(scores_QD: Array, groups: Sequence[str]) -> tuple[FloatRows, NDArray[np.str_]]:
    """Best score of each identity (Q, P), and the P identities, sorted.

    Salts and twins of one parent compound are one answer; it is as good as its best form.
    """
    identities_P, code_D = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    best_QP = np.full((len(scores_QD), len(identities_P)), np.nan)
    for column, identity in enumerate(code_D):
        best_QP[:, identity] = np.fmax(best_QP[:, identity], scores_QD[:, column])
    return best_QP, identities_P


def identity_ranks(
    scores_QD: Array,
    groups: Sequence[str],
    wanted_Q: Array,
    candidates_QD: NDArray[np.bool_] | None = None,
) -> tuple[FloatRows, NDArray[np.int64]]:
    """Rank of the right identity among the candidates, and the number of candidates, per query.

    NaN where the right identity is not among the candidates, or there are fewer than two.

    Parameters
    ----------
    groups
        Identity of each of the D gallery entries.
    wanted_Q
        Identity of each query.
    candidates_QD
        Which gallery entries count for which query (the plate's panel); all where None.
    """
    best_QP, identities_P = by_identity(scores_QD, groups)
    if candidates_QD is None:
        candidates_QP = np.ones(best_QP.shape, dtype=bool)
    else:
        candidates_QP = by_identity(candidates_QD.astype(np.float64), groups)[0] > 0
    ranks_QP = ranks(best_QP, candidates_QP)
    is_wanted_QP = identities_P[None, :] == np.asarray(wanted_Q, dtype=str)[:, None]
    n_candidates_Q = candidates_QP.sum(axis=1)
    is_ranked_Q = (is_wanted_QP & candidates_QP).any(axis=1) & (n_candidates_Q > 1)
    rank_Q = np.where(is_wanted_QP, ranks_QP, np.inf).min(axis=1, initial=np.inf)
    return np.where(is_ranked_Q, rank_Q, np.nan), n_candidates_Q.astype(np.int64)


def reciprocal_rank(rank_Q: Array) -> FloatRows:
    """1 / rank of the right answer; its mean is the MRR."""
    return np.asarray(1.0 / np.asarray(rank_Q, dtype=np.float64))


def hit_at(rank_Q: Array, k: int) -> FloatRows:
    """Whether the right answer is among the first k: 1 or 0."""
    rank_Q = np.asarray(rank_Q, dtype=np.float64)
    return np.where(np.isnan(rank_Q), np.nan, (rank_Q <= k).astype(np.float64))


def normalised_rank(rank_Q: Array, n_candidates_Q: Array) -> FloatRows:
    """Share of the other candidates ranked below the right one: 1 best, ½ chance, 0 worst."""
    others_Q = np.asarray(n_candidates_Q, dtype=np.float64) - 1.0
    below_Q = 1.0 - (np.asarray(rank_Q, dtype=np.float64) - 1.0) / np.maximum(others_Q, 1.0)
    return np.where(others_Q > 0, below_Q, np.nan)


def precision_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Share of the first k candidates that are relevant."""
    found_Q = ((ranks_QD <= k) & is_relevant_QD).sum(axis=1)
    n_shown_Q = np.minimum(k, np.isfinite(ranks_QD).sum(axis=1))
    return _where_answerable(found_Q / np.maximum(n_shown_Q, 1), ranks_QD, is_relevant_QD)


def recall_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Share of the relevant candidates that are among the first k; at most min(k, R) / R."""
    relevant_QD = is_relevant_QD & np.isfinite(ranks_QD)
    found_Q = ((ranks_QD <= k) & relevant_QD).sum(axis=1)
    n_relevant_Q = np.maximum(relevant_QD.sum(axis=1), 1)
    return _where_answerable(found_Q / n_relevant_Q, ranks_QD, is_relevant_QD)


def recall_ceiling_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Largest recall that any ranking could reach: min(k, R) / R."""
    n_relevant_Q = (is_relevant_QD & np.isfinite(ranks_QD)).sum(axis=1)
    ceiling_Q = np.minimum(k, n_relevant_Q) / np.maximum(n_relevant_Q, 1)
    return _where_answerable(ceiling_Q, ranks_QD, is_relevant_QD)


def average_precision_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Precision at each relevant candidate among the first k, averaged over the min(k, R) possible.

    The precision at a relevant candidate is its rank among the relevant over its rank among all;
    both are mid-ranks. The mean over queries is mAP@K.

    Notes
    -----
    Without ties and with k = D equals ``sklearn.metrics.average_precision_score``.
    """
    relevant_QD = is_relevant_QD & np.isfinite(ranks_QD)
    among_relevant_QD = ranks(-ranks_QD, relevant_QD)
    is_hit_QD = relevant_QD & (ranks_QD <= k)
    precision_QD = np.zeros(ranks_QD.shape)
    np.divide(among_relevant_QD, ranks_QD, out=precision_QD, where=is_hit_QD)
    reachable_Q = np.clip(relevant_QD.sum(axis=1), 1, k)
    return _where_answerable(precision_QD.sum(axis=1) / reachable_Q, ranks_QD, relevant_QD)


def ndcg_at(ranks_QD: Array, gain_QD: Array, k: int) -> FloatRows:
    """Discounted gain of the first k candidates, over that of the best possible order, 0 to 1.

    Parameters
    ----------
    gain_QD
        Worth of each candidate, ≥ 0; :func:`gain_of` turns graded relevance into 2^grade - 1.

    Notes
    -----
    Without ties equals ``sklearn.metrics.ndcg_score(k=k)``; a tied candidate is discounted at its
    mid-rank.
    """
    is_candidate_QD = np.isfinite(ranks_QD)
    worth_QD = np.where(is_candidate_QD, gain_QD, 0.0)
    position_QD = np.where(is_candidate_QD, ranks_QD, 1.0)
    discounted_QD = np.where(ranks_QD <= k, worth_QD / np.log2(1.0 + position_QD), 0.0)
    ideal_QD = -np.sort(-worth_QD, axis=1)[:, :k]
    places_K = np.arange(1.0, ideal_QD.shape[1] + 1.0)
    best_Q = (ideal_QD / np.log2(1.0 + places_K)[None, :]).sum(axis=1)
    share_Q = discounted_QD.sum(axis=1) / np.where(best_Q > 0, best_Q, 1.0)
    return _where_answerable(share_Q, ranks_QD, worth_QD > 0)


def gain_of(grade_QD: Array) -> FloatRows:
    """2^grade - 1: 7 for the same parent, 3 for the same targets, 1 for the same mechanism."""
    return np.asarray(np.exp2(np.asarray(grade_QD, dtype=np.float64)) - 1.0)


def grades(drugs: pd.DataFrame, queries: Sequence[str], gallery: Sequence[str]) -> NDArray[np.int8]:
    """Graded relevance of each gallery drug for each query drug (Q, D).

    3 same parent compound; 2 the same non-empty set of targets; 1 the same fine mechanism, where
    "unclear" is no mechanism; 0 otherwise, and for drugs that the table does not know.

    Parameters
    ----------
    drugs
        Follows ``schemas.DRUGS``.
    """
    by_drug = drugs.set_index(names.DRUG)
    parent = by_drug[names.PARENT_COMPOUND].to_dict()
    targets = {drug: "|".join(sorted(symbols)) for drug, symbols in by_drug[names.TARGETS].items()}
    moa = by_drug[names.MOA_FINE].replace(names.UNCLEAR_MOA, "").fillna("").to_dict()
    grade_QD = np.zeros((len(queries), len(gallery)), dtype=np.int8)
    for grade, key in ((SAME_MOA, moa), (SAME_TARGETS, targets), (SAME_PARENT, parent)):
        query_Q = np.array([key.get(drug, "") for drug in queries], dtype=str)
        gallery_D = np.array([key.get(drug, "") for drug in gallery], dtype=str)
        is_same_QD = (query_Q[:, None] == gallery_D[None, :]) & (query_Q != "")[:, None]
        grade_QD[is_same_QD] = grade
    return grade_QD


def _where_answerable(
    value_Q: Array, ranks_QD: Array, is_relevant_QD: NDArray[np.bool_]
) -> FloatRows:
    """The values, NaN where there are fewer than two candidates or none of them is relevant."""
    is_candidate_QD = np.isfinite(ranks_QD)
    has_choice_Q = is_candidate_QD.sum(axis=1) > 1
    has_answer_Q = (is_relevant_QD & is_candidate_QD).any(axis=1)
    return np.where(has_choice_Q & has_answer_Q, value_Q, np.nan)
