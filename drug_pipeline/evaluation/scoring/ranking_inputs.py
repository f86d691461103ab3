"""Ranks of candidates and what is right for a query: the inputs of the metrics of rankings.

What belongs here: ranks, identity and graded relevance. What does not: how scores came about, the
metrics (``ranking_metrics``).

**Ties have one rule**: candidates with equal scores share their mid-rank, and every metric reads
positions from these ranks. A ranker that gives all candidates the same score therefore ranks each at
(D + 1) / 2 and earns nothing at small K. Candidates that a ranker cannot score (NaN) come last, tied.

Shapes: Q = queries, D = candidates, P = identities (parent compounds).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import Array, FloatRows
from drug_pipeline.evaluation.scoring.metric import Inputs

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

    Notes
    -----
    The maximum over a group's members, CombMAX of Fox & Shaw, TREC-2 (1994).
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
    if candidates_QD is not None:  # a compound's form that does not compete lends it no score
        scores_QD = np.where(candidates_QD, scores_QD, np.nan)
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


def gain_of(grade_QD: Array) -> FloatRows:
    """2^grade - 1: 7 for the same parent, 3 for the same targets, 1 for the same mechanism.

    Notes
    -----
    Burges et al., ICML 2005 (RankNet).
    """
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


def of_one_answer(rank_Q: Array, n_candidates_Q: Array) -> Inputs:
    """What metrics may need of rankings with one right answer per query, from its rank alone."""
    return Inputs({"rank": lambda: rank_Q, "n_candidates": lambda: n_candidates_Q})


def of_grades(ranks_QD: FloatRows, grade_QD: NDArray[np.int8], beside: Inputs) -> Inputs:
    """What metrics of graded relevance may need: gains of all, and ranks of related drugs alone.

    Related are drugs of the same targets or mechanism; forms of the query's own parent compound
    are no candidates there, so that finding the drug itself earns nothing.
    """
    is_other_QD = grade_QD < SAME_PARENT
    return Inputs(
        {
            "graded_ranks": lambda: ranks_QD,
            "gain": lambda: gain_of(grade_QD),
            "other_ranks": lambda: ranks(-ranks_QD, np.isfinite(ranks_QD) & is_other_QD),
            "is_related": lambda: (grade_QD > UNRELATED) & is_other_QD,
        },
        beside,
    )


def of_relevance(ranks_QD: FloatRows, is_relevant_QD: NDArray[np.bool_]) -> Inputs:
    """What metrics may need of rankings with several right answers per query (protein targets)."""
    first_Q = np.where(is_relevant_QD, ranks_QD, np.inf).min(axis=1, initial=np.inf)
    has_choice_Q = np.isfinite(ranks_QD).sum(axis=1) > 1
    rank_Q = np.where(np.isfinite(first_Q) & has_choice_Q, first_Q, np.nan)
    return Inputs(
        {
            "rank": lambda: rank_Q,
            "ranks": lambda: ranks_QD,
            "is_relevant": lambda: is_relevant_QD,
        }
    )
