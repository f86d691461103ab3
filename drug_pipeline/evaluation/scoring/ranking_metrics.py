"""Metrics of rankings: which candidate does a query point to? One function each, and its row.

What belongs here: metrics at K, and their rows. What does not: ranks and relevance
(``ranking_inputs``), averages and intervals (``long_table``). To add a metric, add its function and
its row here.

Positions are read from mid-ranks, so that ties have one rule (``ranking_inputs``). A query with
fewer than two candidates has nothing to rank, and one without a relevant candidate
nothing to find: both give NaN, are left out of averages and counted. K larger than the gallery means
the whole gallery.

Shapes: Q = queries, D = candidates, P = identities (parent compounds).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import Array, FloatRows, reciprocal_rank
from drug_pipeline.evaluation.scoring.metric import Metric
from drug_pipeline.evaluation.scoring.ranking_inputs import ranks


def hit_at(rank_Q: Array, k: int) -> FloatRows:
    """Hits@k: whether the right answer is among the first k, 1 or 0.

    Notes
    -----
    Bordes et al., NeurIPS 2013 (TransE), Hits@10.
    """
    rank_Q = np.asarray(rank_Q, dtype=np.float64)
    return np.where(np.isnan(rank_Q), np.nan, (rank_Q <= k).astype(np.float64))


def normalised_rank(rank_Q: Array, n_candidates_Q: Array) -> FloatRows:
    """ROC AUC of one right answer: share of others ranked below it; 1 best, ½ chance, 0 worst.

    Notes
    -----
    The area under the ROC curve of one right answer (Hanley & McNeil, Radiology 143 (1982) 29).
    """
    others_Q = np.asarray(n_candidates_Q, dtype=np.float64) - 1.0
    below_Q = 1.0 - (np.asarray(rank_Q, dtype=np.float64) - 1.0) / np.maximum(others_Q, 1.0)
    return np.where(others_Q > 0, below_Q, np.nan)


def precision_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Precision@k: share of the first k candidates that are relevant.

    Notes
    -----
    Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008), section 8.4.
    """
    found_Q = ((ranks_QD <= k) & is_relevant_QD).sum(axis=1)
    n_shown_Q = np.minimum(k, np.isfinite(ranks_QD).sum(axis=1))
    return _where_answerable(found_Q / np.maximum(n_shown_Q, 1), ranks_QD, is_relevant_QD)


def recall_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Recall@k: share of relevant candidates among the first k; at most min(k, R) / R.

    Notes
    -----
    Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008), section 8.3.
    """
    relevant_QD = is_relevant_QD & np.isfinite(ranks_QD)
    found_Q = ((ranks_QD <= k) & relevant_QD).sum(axis=1)
    n_relevant_Q = np.maximum(relevant_QD.sum(axis=1), 1)
    return _where_answerable(found_Q / n_relevant_Q, ranks_QD, is_relevant_QD)


def recall_ceiling_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Largest recall that any ranking could reach: min(k, R) / R.

    Notes
    -----
    Recall (Introduction to Information Retrieval, section 8.3) of the best possible order.
    """
    n_relevant_Q = (is_relevant_QD & np.isfinite(ranks_QD)).sum(axis=1)
    ceiling_Q = np.minimum(k, n_relevant_Q) / np.maximum(n_relevant_Q, 1)
    return _where_answerable(ceiling_Q, ranks_QD, is_relevant_QD)


def average_precision_at(ranks_QD: Array, is_relevant_QD: NDArray[np.bool_], k: int) -> FloatRows:
    """Average precision@k: precision at each hit, averaged over the min(k, R) possible.

    The precision at a relevant candidate is its rank among the relevant over its rank among all;
    both are mid-ranks. The mean over queries is mAP@K.

    Notes
    -----
    Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008), section 8.4. Without
    ties and with k = D equals ``sklearn.metrics.average_precision_score``.
    """
    relevant_QD = is_relevant_QD & np.isfinite(ranks_QD)
    among_relevant_QD = ranks(-ranks_QD, relevant_QD)
    is_hit_QD = relevant_QD & (ranks_QD <= k)
    precision_QD = np.zeros(ranks_QD.shape)
    np.divide(among_relevant_QD, ranks_QD, out=precision_QD, where=is_hit_QD)
    reachable_Q = np.clip(relevant_QD.sum(axis=1), 1, k)
    return _where_answerable(precision_QD.sum(axis=1) / reachable_Q, ranks_QD, relevant_QD)


def ndcg_at(ranks_QD: Array, gain_QD: Array, k: int) -> FloatRows:
    """NDCG@k: discounted gain of the first k candidates, over that of the best order, 0 to 1.

    Parameters
    ----------
    gain_QD
        Worth of each candidate, ≥ 0; :func:`gain_of` turns graded relevance into 2^grade - 1.

    Notes
    -----
    Järvelin & Kekäläinen, ACM Trans. Inf. Syst. 20 (2002) 422, with the discount 1 / log2(1 + rank)
    of Burges et al., ICML 2005 (RankNet). Without ties equals ``sklearn.metrics.ndcg_score(k=k)``;
    a tied candidate is discounted at its mid-rank.
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


def _where_answerable(
    value_Q: Array, ranks_QD: Array, is_relevant_QD: NDArray[np.bool_]
) -> FloatRows:
    """The values, NaN where there are fewer than two candidates or none of them is relevant."""
    is_candidate_QD = np.isfinite(ranks_QD)
    has_choice_Q = is_candidate_QD.sum(axis=1) > 1
    has_answer_Q = (is_relevant_QD & is_candidate_QD).any(axis=1)
    return np.where(has_choice_Q & has_answer_Q, value_Q, np.nan)


# One right answer: what the metrics at K come to, without a pass over the gallery.


def _precision_of_one(rank_Q: Array, n_candidates_Q: Array, k: int) -> FloatRows:
    return np.asarray(hit_at(rank_Q, k) / np.clip(n_candidates_Q, 1, k))


def _average_precision_of_one(rank_Q: Array, k: int) -> FloatRows:
    return hit_at(rank_Q, k) * reciprocal_rank(rank_Q)


def _ndcg_of_one(rank_Q: Array, k: int) -> FloatRows:
    return np.asarray(hit_at(rank_Q, k) / np.log2(1.0 + rank_Q))


def _rank(rank_Q: Array) -> FloatRows:
    return np.asarray(rank_Q, dtype=np.float64)


_IIR = "Manning, Raghavan & Schütze, Introduction to Information Retrieval (2008)"
_NDCG = "Järvelin & Kekäläinen, ACM Trans. Inf. Syst. 20 (2002) 422"
_RELATED = "drugs of other parent compounds with the same targets or the same clear mechanism"

METRICS: Final = (
    Metric(
        name="mrr",
        title="MRR",
        definition="Mean of 1 / rank of the right parent compound.",
        source="Voorhees, TREC-8 question answering track (1999)",
        functions={("rank",): reciprocal_rank},
        columns=(0,),
        target_columns=(0,),
    ),
    Metric(
        name="hit",
        title="Hit@K",
        definition="Share of queries whose parent compound is among the first K.",
        source="Bordes et al., NeurIPS 2013 (TransE), Hits@10",
        functions={("rank", "k"): hit_at},
        columns=(1, 10),
    ),
    Metric(
        name="recall",
        title="Recall@K",
        definition="Share of the relevant candidates among the first K. Identity level: Hit@K.",
        source=f"{_IIR}, section 8.3",
        functions={("ranks", "is_relevant", "k"): recall_at, ("rank", "k"): hit_at},
        in_every_stratum=False,
        target_columns=(5,),
    ),
    Metric(
        name="recall_ceiling",
        title="Recall@K, most possible",
        definition="min(K, R) / R with R relevant candidates.",
        source=f"{_IIR}, section 8.3, of the best possible order",
        functions={("ranks", "is_relevant", "k"): recall_ceiling_at},
        in_every_stratum=False,
        target_columns=(5,),
    ),
    Metric(
        name="median_rank",
        title="Median rank",
        definition="Median rank of the right parent compound.",
        source="Bordes et al., NeurIPS 2013 (TransE), with the median for the mean",
        functions={("rank",): _rank},
        is_error=True,
        is_median=True,
        columns=(0,),
        target_columns=(0,),
        digits=1,
    ),
    Metric(
        name="normalised_rank",
        title="Normalised rank",
        definition="Share of the other candidates ranked below the right one; chance is one half.",
        source="ROC area of one right answer: Hanley & McNeil, Radiology 143 (1982) 29",
        functions={("rank", "n_candidates"): normalised_rank},
        columns=(0,),
    ),
    Metric(
        name="precision",
        title="Precision@K",
        definition="Share of the first K candidates that are relevant. Identity level: at most "
        "1 / K, as there is one right parent compound.",
        source=f"{_IIR}, section 8.4",
        functions={
            ("ranks", "is_relevant", "k"): precision_at,
            ("rank", "n_candidates", "k"): _precision_of_one,
        },
        in_every_stratum=False,
    ),
    Metric(
        name="map",
        title="mAP@K",
        definition="Mean average precision over the first K.",
        source=f"{_IIR}, section 8.4",
        functions={
            ("ranks", "is_relevant", "k"): average_precision_at,
            ("rank", "k"): _average_precision_of_one,
        },
        in_every_stratum=False,
    ),
    Metric(
        name="ndcg",
        title="NDCG@K",
        definition="Gain of the first K discounted by 1 / log2(1 + rank), over the best possible.",
        source=f"{_NDCG}; discount of Burges et al., ICML 2005 (RankNet)",
        functions={
            ("ranks", "is_relevant", "k"): ndcg_at,
            ("rank", "k"): _ndcg_of_one,
        },
        in_every_stratum=False,
    ),
    Metric(
        name="graded_ndcg",
        title="NDCG@K, graded",
        definition="NDCG with grades 3 same parent compound, 2 same targets, 1 same fine mechanism "
        '("unclear" is none), gain 2^grade - 1.',
        source=f"{_NDCG}; gain and discount of Burges et al., ICML 2005 (RankNet)",
        functions={("graded_ranks", "gain", "k"): ndcg_at},
        columns=(10,),
    ),
    Metric(
        name="related_precision",
        title="Precision@K, related",
        definition=f"Precision over {_RELATED}; the drug's own forms are left out.",
        source=f"{_IIR}, section 8.4",
        functions={("other_ranks", "is_related", "k"): precision_at},
        in_every_stratum=False,
    ),
    Metric(
        name="related_recall",
        title="Recall@K, related",
        definition=f"Recall over {_RELATED}; the drug's own forms are left out.",
        source=f"{_IIR}, section 8.3",
        functions={("other_ranks", "is_related", "k"): recall_at},
        in_every_stratum=False,
    ),
    Metric(
        name="related_map",
        title="mAP@K, related",
        definition=f"mAP over {_RELATED}; the drug's own forms are left out.",
        source=f"{_IIR}, section 8.4",
        functions={("other_ranks", "is_related", "k"): average_precision_at},
        in_every_stratum=False,
        columns=(10,),
    ),
)
"""Metrics of rankings, one value per query, in the order of the report's columns."""
