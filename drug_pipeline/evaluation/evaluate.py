"""One split judged: per-row metrics, tables, comparisons. Arrays in, frames out.

What belongs here: which parts are judged and against what. What does not: files (``evaluation_report``), the
metrics themselves, pictures.

Shapes: N = test conditions, G = genes, Q = queries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.rankings.oracle import replicate_scores
from drug_pipeline.evaluation.rankings.ranking_tasks import RankingScores, drug_tasks, target_task
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.calibration import reliability
from drug_pipeline.evaluation.scoring.long_table import COLUMNS, differences, gaps, long_table
from drug_pipeline.evaluation.scoring.metric import Values
from drug_pipeline.evaluation.scoring.noise import Noise
from drug_pipeline.evaluation.scoring.per_condition import ForwardTask, ceiling_scores
from drug_pipeline.evaluation.scoring.strata import active_rows, strata_of
from drug_pipeline.storage.predictions import SplitPredictions

FORWARD_TASK: Final = "forward"
ROLES: Final = (names.TRAIN, names.VALIDATION, names.TEST, names.UNUSED)
MEANS: Final = ("line_mean", "global_mean", "zero")
SIMPLE: Final = ("additive", "additive_svd", "drug_mean", *MEANS)
"""Baselines that a model must beat to be worth its name, the strongest first."""


@dataclass(frozen=True, kw_only=True)
class SplitEvaluation:
    """Everything that is told about one split.

    ``metrics``, ``comparisons`` and ``gaps`` are the long tables of ``long_table``; ``rows`` has one row
    a predicted condition with its activity and the shipped predictor's metrics; ``reliability``
    bins expected against actual errors. ``best_simple`` is the simple baseline with the best main
    figure on the test itself: what the shipped predictor is compared with, and shares of the gap
    are counted from. ``sizes`` counts conditions by role, ``n_unanswerable``
    queries without an answer by task.
    """

    split: str
    kind: str
    predictions: SplitPredictions
    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    gaps: pd.DataFrame = field(default_factory=pd.DataFrame)
    best_simple: str = ""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    sizes: Mapping[str, int] = field(default_factory=dict)
    n_unanswerable: Mapping[str, int] = field(default_factory=dict)

    @property
    def main_metric(self) -> str:
        """The metric that its predictions are judged by in short."""
        return kind_of(self.kind).main_metric

    @cached_property
    def _by_metric(self) -> dict[Any, pd.DataFrame]:
        keys = ["task", "metric", "k", "stratum_kind"]
        return dict(iter(self.metrics.groupby(keys, sort=False)))

    def metric_rows(self, task: str, metric: str, k: int, stratum_kind: str) -> pd.DataFrame:
        """Rows of ``metrics`` of one metric by one kind of stratum; a report asks thousands of times."""
        return self._by_metric.get((task, metric, k, stratum_kind), self.metrics.iloc[:0])


def evaluate_split(
    table: DeltaTable,
    split: Split,
    predictions: SplitPredictions,
    drugs: pd.DataFrame,
    noise: Noise,
    config: EvaluationConfig,
    *,
    task_prefix: str = "",
) -> SplitEvaluation:
    """All figures of one split.

    Parameters
    ----------
    drugs
        Follows ``schemas.DRUGS``: parents, targets and mechanisms for graded relevance.
    task_prefix
        Put before the task names of a second model on the same split (``prototype_``).

    Raises
    ------
    StaleInputError, AlignmentError
        If the predictions belong to another Δ table or split, or name rows outside the test.
    """
    _require_match(table, split, predictions)
    forward = _forward(table, split, predictions, noise, config, task_prefix)
    ranked, n_unanswerable = _retrieval(
        table, split, predictions, drugs, noise, config, task_prefix
    )
    return replace(
        forward,
        metrics=_stacked([forward.metrics, *(metrics for metrics, _ in ranked)]),
        comparisons=_stacked([forward.comparisons, *(compared for _, compared in ranked)]),
        n_unanswerable=n_unanswerable,
    )


def best_simple(metrics: pd.DataFrame, main: str) -> str:
    """The simple baseline with the best main figure, over active conditions where those are known.

    The strongest by rule where none has a figure; empty where none was fitted.
    """
    present = [name for name in SIMPLE if name in set(metrics["predictor"])]
    rows = active_rows(metrics[metrics["metric"] == main])
    value_of = dict(zip(rows["predictor"], rows["value"], strict=True))
    return max(present, key=lambda name: value_of.get(name, -np.inf), default="")


def _forward(
    table: DeltaTable,
    split: Split,
    predictions: SplitPredictions,
    noise: Noise,
    config: EvaluationConfig,
    prefix: str,
) -> SplitEvaluation:
    """The figures of the predictions; rankings are not in it."""
    empty = SplitEvaluation(
        split=split.name,
        kind=split.kind,
        predictions=predictions,
        metrics=pd.DataFrame(columns=list(COLUMNS)),
        comparisons=pd.DataFrame(),
        sizes={role: len(split.rows(role)) for role in ROLES},
    )
    if not predictions.predictions:
        return empty
    task = ForwardTask.of(table, split.rows(names.TRAIN), predictions.rows_N, config.de_genes)
    scores = task.scores(predictions.predictions)
    with_ceilings = {**scores, **ceiling_scores(task, noise)}
    strata = strata_of(predictions.conditions, noise.label_N[predictions.rows_N])
    bootstrap = BootstrapConfig(n_resamples=config.n_resamples, seed=config.seed)
    name = prefix + FORWARD_TASK
    metrics = long_table(
        with_ceilings, task.keys, strata, split=split.name, task=name, config=bootstrap
    )
    baseline = best_simple(metrics, kind_of(split.kind).main_metric)
    rows = _row_table(task, scores[predictions.shipped], noise, split.name)
    return replace(
        empty,
        metrics=metrics,
        comparisons=differences(
            scores,
            task.keys,
            strata,
            predictor=predictions.shipped,
            split=split.name,
            task=name,
            config=bootstrap,
        ),
        gaps=gaps(
            with_ceilings, task.keys, strata, baseline=baseline, split=split.name, config=bootstrap
        ),
        best_simple=baseline,
        rows=rows,
        reliability=reliability(predictions.uncertainty_N, np.sqrt(rows["mse"].to_numpy())),
    )


def _retrieval(
    table: DeltaTable,
    split: Split,
    predictions: SplitPredictions,
    drugs: pd.DataFrame,
    noise: Noise,
    config: EvaluationConfig,
    prefix: str,
) -> tuple[list[tuple[pd.DataFrame, pd.DataFrame]], dict[str, int]]:
    """Metrics and comparisons of every retrieval task, and its queries without an answer."""
    from drug_pipeline.evaluation.rankings.measured_galleries import (
        measured_scores,  # scipy: a second
    )

    bootstrap = BootstrapConfig(n_resamples=config.n_resamples, seed=config.seed)
    train_rows = split.rows(names.TRAIN)
    frames, n_unanswerable = [], {}
    for task, rankings in predictions.rankings.items():
        found: dict[str, RankingScores]
        if task == names.TARGET_TASK:
            one = target_task(
                rankings, table.conditions, train_rows, drugs, config.gallery_ks, seed=config.seed
            )
            found = {task: one}
        else:
            found = drug_tasks(
                task,
                rankings,
                table.conditions,
                train_rows,
                drugs,
                config.gallery_ks,
                seed=config.seed,
                oracle=replicate_scores(table, train_rows, rankings.query_rows_Q, rankings.gallery),
                by_line={}
                if prefix or not len(train_rows)
                else measured_scores(table, train_rows, rankings.query_rows_Q, rankings.gallery),
            )
        rows_Q = rankings.query_rows_Q
        strata = strata_of(table.conditions.iloc[rows_Q], noise.label_N[rows_Q])
        for name, ranked in found.items():
            full_name = prefix + name
            n_unanswerable[full_name] = ranked.n_unanswerable
            metrics = long_table(
                ranked.scores,
                ranked.keys,
                strata,
                split=split.name,
                task=full_name,
                config=bootstrap,
                gallery_N=ranked.gallery_Q,
            )
            compared = differences(
                ranked.scores,
                ranked.keys,
                strata,
                predictor=rankings.shipped,
                split=split.name,
                task=full_name,
                config=bootstrap,
            )
            frames.append((metrics, compared))
    return frames, n_unanswerable


def _row_table(task: ForwardTask, shipped_NM: Values, noise: Noise, split: str) -> pd.DataFrame:
    """One row per test condition: what it is, how active, and how well the shipped predictor did."""
    keys = [*names.CONDITION_KEY, names.PARENT_COMPOUND, names.N_CELLS]
    rows = task.table.conditions.iloc[task.rows_N][keys].reset_index(drop=True)
    rows.insert(0, "split", split)
    rows["activity"] = noise.activity_N[task.rows_N]
    rows["label"] = noise.label_N[task.rows_N]
    rows["noise"] = noise.counting_N[task.rows_N]
    for column, (name, k) in enumerate(task.keys):
        rows[f"{name}@{k}" if k else name] = shipped_NM[:, column]
    return rows


def _require_match(table: DeltaTable, split: Split, predictions: SplitPredictions) -> None:
    predictions.require_table(table)
    if split.fingerprint != predictions.split_fingerprint:
        msg = (
            f"predictions of split {predictions.split!r} were made for another draw of it "
            f"({predictions.split_fingerprint[:12]}, now {split.fingerprint[:12]}). "
            "Materialise model_full again."
        )
        raise AlignmentError(msg)
    foreign = np.setdiff1d(predictions.rows_N, split.rows(names.TEST))
    if len(foreign):
        msg = (
            f"{len(foreign)} of {len(predictions.rows_N)} predicted conditions of split "
            f"{split.name!r} are not in its test; first row: {foreign[0]}. Predict the test alone."
        )
        raise AlignmentError(msg)


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The frames below each other; the first one, which is empty, where all are."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
