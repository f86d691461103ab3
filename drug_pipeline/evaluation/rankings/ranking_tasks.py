"""Retrieval tasks: from scores of a gallery to one row of metrics per query.

What belongs here: who is right for which query, and who competes: all drugs, or those of the query's
plate. What does not: the metrics (``ranking_metrics``), averages (``long_table``).

Shapes: Q = queries, D = gallery entries, M = metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.rankings.oracle import ORACLE
from drug_pipeline.evaluation.scoring import ranking_inputs, ranking_metrics
from drug_pipeline.evaluation.scoring.metric import MetricKey, Values, computed
from drug_pipeline.storage.predictions import Rankings

IN_PANEL: Final = "_in_panel"
"""Suffix of a retrieval task whose candidates are the drugs of the query's plate."""

Scores: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Ranker → scores (Q, D) of gallery drugs; NaN where nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class RankingScores:
    """Metrics of every ranker on one task: ranker → (Q, M), with M keys and gallery sizes (Q,).

    ``n_unanswerable`` counts queries whose answer is not among the candidates, or that have fewer
    than two: they are in no figure.
    """

    keys: tuple[MetricKey, ...]
    scores: Mapping[str, Values]
    gallery_Q: NDArray[np.int64]
    n_unanswerable: int


def drug_tasks(
    name: str,
    rankings: Rankings,
    conditions: pd.DataFrame,
    train_rows: NDArray[np.int64],
    drugs: pd.DataFrame,
    ks: Sequence[int],
    *,
    seed: int,
    oracle: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None,
    by_line: Mapping[str, Scores] | None = None,
) -> dict[str, RankingScores]:
    """The task over all gallery drugs, and over the panel of each query's plate.

    Parameters
    ----------
    oracle
        Scores of the measured replicates, and which queries have one (``rankings/oracle.py``); it is told
        beside the rankers over these queries alone, and not at all where there is none.
    by_line
        Scores by measured profiles of the query's own line and of other lines, by task suffix
        (``rankings/measured_galleries.py``): tasks of their own, in which only drugs measured there compete.
    """
    queries = conditions.iloc[rankings.query_rows_Q]
    grade_QD = ranking_inputs.grades(drugs, list(queries[names.DRUG]), rankings.gallery)
    wanted_Q = queries[names.PARENT_COMPOUND].to_numpy(dtype=str)
    by_chance = chance.chance_scores(
        conditions, train_rows, rankings.query_rows_Q, rankings.gallery, seed=seed
    )
    on_panel_QD = chance.panel(conditions, rankings.query_rows_Q, rankings.gallery)
    looking = {**by_chance, **rankings.scores}
    if oracle is not None and oracle[1].any():
        looking[ORACLE] = oracle[0]
    competing = {
        name: (looking, np.ones(on_panel_QD.shape, dtype=bool)),
        name + IN_PANEL: (looking, on_panel_QD),
    }
    for suffix, scores in (by_line or {}).items():
        is_there_QD: NDArray[np.bool_] = np.isfinite(next(iter(scores.values())))
        competing[name + suffix] = ({**by_chance, **scores}, is_there_QD)
    tasks = {
        task: _drug_task(scores, candidates_QD, rankings.groups, wanted_Q, grade_QD, ks)
        for task, (scores, candidates_QD) in competing.items()
    }
    if oracle is not None:
        for task in tasks.values():
            if ORACLE in task.scores:
                task.scores[ORACLE][~oracle[1]] = np.nan
    return tasks


def _drug_task(
    scores: Mapping[str, NDArray[Any]],
    candidates_QD: NDArray[np.bool_],
    groups: Sequence[str],
    wanted_Q: NDArray[np.str_],
    grade_QD: NDArray[np.int8],
    ks: Sequence[int],
) -> RankingScores:
    """Every metric of every ranker, over each query's candidates."""
    columns: dict[str, Values] = {}
    keys: tuple[MetricKey, ...] = ()
    for ranker, scores_QD in scores.items():
        rank_Q, gallery_Q = ranking_inputs.identity_ranks(
            scores_QD, groups, wanted_Q, candidates_QD
        )
        one_answer = ranking_inputs.of_one_answer(rank_Q, gallery_Q)
        ranks_QD = ranking_inputs.ranks(scores_QD, candidates_QD)
        inputs = ranking_inputs.of_grades(ranks_QD, grade_QD, one_answer)
        found = computed(ranking_metrics.METRICS, inputs, ks)
        keys = tuple(found)
        columns[ranker] = np.stack(list(found.values()), axis=1)
    return RankingScores(
        keys=keys,
        scores=columns,
        gallery_Q=gallery_Q,
        n_unanswerable=int(np.isnan(rank_Q).sum()),
    )


def target_task(
    rankings: Rankings,
    conditions: pd.DataFrame,
    train_rows: NDArray[np.int64],
    drugs: pd.DataFrame,
    ks: Sequence[int],
    *,
    seed: int,
) -> RankingScores:
    """Ranking of protein targets; a query whose drug has no target in the gallery is left out."""
    targets_of = dict(zip(drugs[names.DRUG], drugs[names.TARGETS], strict=True))
    query_drugs = conditions[names.DRUG].iloc[rankings.query_rows_Q]
    is_relevant_QD = np.array(
        [np.isin(rankings.gallery, list(targets_of.get(drug, ()))) for drug in query_drugs]
    ).reshape(len(query_drugs), len(rankings.gallery))
    train_drugs = conditions[names.DRUG].iloc[train_rows].unique()
    popularity = pd.Series(
        [symbol for drug in train_drugs for symbol in targets_of.get(drug, ())]
    ).value_counts()
    shape = (len(query_drugs), len(rankings.gallery))
    popularity_D = np.array([popularity.get(symbol, 0) for symbol in rankings.gallery])
    on_plate_QD = chance.targets_of_panel(
        conditions, rankings.query_rows_Q, rankings.gallery, targets_of
    )
    rng = np.random.default_rng(seed)
    by_chance = {
        chance.RANDOM: rng.random(shape),
        chance.POPULARITY: np.broadcast_to(popularity_D, shape),
        chance.PLATE_ONLY: on_plate_QD + 0.5 * rng.random(shape),
    }
    columns: dict[str, Values] = {}
    keys: tuple[MetricKey, ...] = ()
    for ranker, scores_QD in {**by_chance, **rankings.scores}.items():
        inputs = ranking_inputs.of_relevance(ranking_inputs.ranks(scores_QD), is_relevant_QD)
        found = computed(ranking_metrics.METRICS, inputs, ks)
        keys = tuple(found)
        columns[ranker] = np.stack(list(found.values()), axis=1)
    return RankingScores(
        keys=keys,
        scores=columns,
        gallery_Q=np.full(len(query_drugs), len(rankings.gallery)),
        n_unanswerable=int((~is_relevant_QD.any(axis=1)).sum()),
    )
