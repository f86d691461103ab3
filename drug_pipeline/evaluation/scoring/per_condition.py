"""All metrics of one predictor, or one ranker, over the conditions of a split: one row each.

What belongs here: which arrays go into which metric. What does not: the metrics themselves,
averages and intervals (``tables``).

Shapes: N = test conditions, G = genes, M = metrics, Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import ceilings, delta_metrics, ranking_metrics
from drug_pipeline.evaluation.scoring.centring import (
    BY_LINE,
    BY_LINE_AND_DOSE,
    Centre,
    training_centre,
)
from drug_pipeline.evaluation.scoring.noise import Noise

Values: TypeAlias = NDArray[np.float64]
MetricKey: TypeAlias = tuple[str, int]
"""Name of a metric and its k; 0 where it has none."""

BLOCK_ROWS = 2048


ROW_METRICS: tuple[MetricKey, ...] = (
    ("pearson_centred", 0),
    ("pearson", 0),
    ("mse", 0),
    ("pearson_centred_dose", 0),
    ("cosine_centred", 0),
    ("spearman_centred", 0),
    ("cosine", 0),
    ("spearman", 0),
    ("weighted_mse", 0),
    ("mae", 0),
    ("r2", 0),
)
"""Metrics of one row alone, in column order; those at k and the discrimination scores follow."""


@dataclass(frozen=True, kw_only=True)
class ForwardTask:
    """The test side of one split: what was measured, and what each row is centred by."""

    table: DeltaTable
    rows_N: NDArray[np.int64]
    by_line: Centre
    by_dose: Centre
    de_genes: tuple[int, ...]

    @classmethod
    def of(
        cls,
        table: DeltaTable,
        train_rows: NDArray[np.int64],
        test_rows: NDArray[np.int64],
        de_genes: Sequence[int],
    ) -> "ForwardTask":
        """The task of predicting ``test_rows``; centres come from ``train_rows`` alone."""
        line, dose = (
            training_centre(table.delta_NG, table.conditions, train_rows, test_rows, by=by)
            for by in (BY_LINE, BY_LINE_AND_DOSE)
        )
        usable = tuple(k for k in de_genes if k < len(table.genes))
        return cls(table=table, rows_N=test_rows, by_line=line, by_dose=dose, de_genes=usable)

    @property
    def keys(self) -> tuple[MetricKey, ...]:
        """The M metrics of every row, in column order."""
        return (*ROW_METRICS, *self._k_metrics(), ("pds", 0), ("pds_cosine", 0))

    def measured(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Measured Δ of some places of the test side."""
        return np.asarray(self.table.delta_NG[self.rows_N[rows]])

    def scores(self, predictions: Mapping[str, NDArray[np.float32]]) -> dict[str, Values]:
        """Every metric of every row, predictor → (N, M), block by block of rows."""
        parts: dict[str, list[Values]] = {name: [] for name in predictions}
        for start in range(0, len(self.rows_N), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            measured = _Measured.of(self, block)
            for name, predicted_NG in predictions.items():
                predicted_BG = np.asarray(predicted_NG[block])
                columns = self._row_scores(predicted_BG, measured)
                parts[name].append(np.stack(columns, axis=1))
        empty_NM = np.zeros((0, len(self.keys) - 2))
        return {
            name: np.concatenate(
                [np.concatenate([*blocks, empty_NM]), self._discrimination(predictions[name])],
                axis=1,
            )
            for name, blocks in parts.items()
        }

    def ceiling(self, noise_N: Values) -> Values:
        """What a perfect prediction would score on each row (N, M); NaN where no ceiling is known.

        Parameters
        ----------
        noise_N
            Noise variance of the measured rows, mean over genes.
        """
        measured_NG = self.measured(slice(None))
        centred_NG = measured_NG - self.by_line.of(slice(None))
        by_dose_NG = measured_NG - self.by_dose.of(slice(None))
        reachable = ceilings.reachable_correlation
        known = {
            "mse": np.asarray(noise_N, dtype=np.float64),
            "pearson": reachable(measured_NG, noise_N),
            "cosine": reachable(measured_NG, noise_N, about_mean=False),
            "pearson_centred": reachable(centred_NG, noise_N),
            "cosine_centred": reachable(centred_NG, noise_N, about_mean=False),
            "pearson_centred_dose": reachable(by_dose_NG, noise_N),
        }
        unknown_N = np.full(len(self.rows_N), np.nan)
        return np.stack([known.get(name, unknown_N) for name, _ in self.keys], axis=1)

    def replicate(self) -> Values:
        """The same metrics with another plate's measurement as the prediction (N, M), or NaN."""
        place_R, row_R = ceilings.replicate_rows(self.table.conditions, self.rows_N)
        values_NM = np.full((len(self.rows_N), len(self.keys)), np.nan)
        if len(place_R):
            replicate_NG = self.measured(slice(None)).copy()
            replicate_NG[place_R] = self.table.delta_NG[row_R]
            values_NM[place_R] = self.scores({ceilings.REPLICATE: replicate_NG})[
                ceilings.REPLICATE
            ][place_R]
        return values_NM

    def _k_metrics(self) -> list[MetricKey]:
        return [(name, k) for name in ("overlap", "direction") for k in self.de_genes]

    def _row_scores(self, predicted_BG: NDArray[np.float32], measured: "_Measured") -> list[Values]:
        """Metrics in the order of ``ROW_METRICS`` and ``_k_metrics``."""
        by_line_BG = predicted_BG - measured.line_BG
        delta_BG, centred_BG = measured.delta_BG, measured.centred_BG
        at_k = {"overlap": delta_metrics.overlap_at, "direction": delta_metrics.direction_at}
        return [
            delta_metrics.pearson(by_line_BG, centred_BG),
            delta_metrics.pearson(predicted_BG, delta_BG),
            delta_metrics.mse(predicted_BG, delta_BG),
            delta_metrics.pearson(predicted_BG - measured.dose_BG, delta_BG - measured.dose_BG),
            delta_metrics.cosine(by_line_BG, centred_BG),
            delta_metrics.pearson(delta_metrics.ranks(by_line_BG), measured.centred_ranks_BG),
            delta_metrics.cosine(predicted_BG, delta_BG),
            delta_metrics.pearson(delta_metrics.ranks(predicted_BG), measured.ranks_BG),
            delta_metrics.weighted_mse(predicted_BG, delta_BG, measured.se_BG),
            delta_metrics.mae(predicted_BG, delta_BG),
            delta_metrics.r2(predicted_BG, delta_BG),
            *(at_k[name](predicted_BG, delta_BG, k) for name, k in self._k_metrics()),
        ]

    def _discrimination(self, predicted_NG: NDArray[np.float32]) -> Values:
        conditions = self.table.conditions.iloc[self.rows_N]
        group_N = (conditions[names.CELL_LINE_ID] + "|" + conditions[names.PLATE]).to_numpy()
        parent_N = conditions[names.PARENT_COMPOUND].to_numpy()
        measured_NG = self.measured(slice(None))
        centre_NG = self.by_line.of(slice(None))
        by_l1_N, _ = delta_metrics.discrimination(predicted_NG, measured_NG, group_N, parent_N)
        by_cosine_N, _ = delta_metrics.discrimination(
            predicted_NG - centre_NG, measured_NG - centre_NG, group_N, parent_N, distance="cosine"
        )
        return np.stack([by_l1_N, by_cosine_N], axis=1)


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What every predictor of a block is compared with, computed once."""

    delta_BG: NDArray[np.float32]
    se_BG: NDArray[np.float32]
    line_BG: NDArray[np.float32]
    dose_BG: NDArray[np.float32]
    centred_BG: NDArray[np.float32]
    ranks_BG: Values
    centred_ranks_BG: Values

    @classmethod
    def of(cls, task: ForwardTask, block: slice) -> "_Measured":
        delta_BG, line_BG = task.measured(block), task.by_line.of(block)
        centred_BG = delta_BG - line_BG
        return cls(
            delta_BG=delta_BG,
            se_BG=np.asarray(task.table.se_NG[task.rows_N[block]]),
            line_BG=line_BG,
            dose_BG=task.by_dose.of(block),
            centred_BG=centred_BG,
            ranks_BG=delta_metrics.ranks(delta_BG),
            centred_ranks_BG=delta_metrics.ranks(centred_BG),
        )


def ceiling_scores(task: ForwardTask, noise: Noise) -> dict[str, Values]:
    """Ceilings and replicates as if they were predictors: name → (N, M).

    ``ceiling_plate`` holds what its means are made of (correlation with the replicate, half the
    squared difference); ``tables`` takes the root of the mean correlations.
    """
    replicate_NM = task.replicate()
    plate_NM = np.full_like(replicate_NM, np.nan)
    for column, (name, _) in enumerate(task.keys):
        if name == "mse":
            plate_NM[:, column] = 0.5 * replicate_NM[:, column]
        elif name in PLATE_CORRELATIONS:
            plate_NM[:, column] = replicate_NM[:, column]
    found = {
        ceilings.REPLICATE: replicate_NM,
        ceilings.PLATE: plate_NM,
        ceilings.WELL: task.ceiling(noise.well_N[task.rows_N]),
        ceilings.COUNTING: task.ceiling(noise.counting_N[task.rows_N]),
    }
    return {name: values_NM for name, values_NM in found.items() if np.isfinite(values_NM).any()}


PLATE_CORRELATIONS = (
    "pearson",
    "cosine",
    "pearson_centred",
    "cosine_centred",
    "pearson_centred_dose",
    "spearman",
    "spearman_centred",
)
"""Metrics whose plate ceiling is the root of the mean over replicates."""


def identity_scores(
    rank_Q: Values, n_candidates_Q: NDArray[np.int64], ks: Sequence[int]
) -> dict[MetricKey, Values]:
    """Metrics of one right answer a query, from its rank.

    With a single relevant identity Recall@K is Hit@K, Precision@K is Hit@K / K, mAP@K is 1 / rank
    within K, and NDCG@K is 1 / log2(1 + rank) within K.
    """
    scores: dict[MetricKey, Values] = {
        ("mrr", 0): ranking_metrics.reciprocal_rank(rank_Q),
        ("normalised_rank", 0): ranking_metrics.normalised_rank(rank_Q, n_candidates_Q),
        ("median_rank", 0): rank_Q,
    }
    for k in ks:
        hit_Q = ranking_metrics.hit_at(rank_Q, k)
        scores["hit", k] = hit_Q
        scores["precision", k] = hit_Q / np.clip(n_candidates_Q, 1, k)
        scores["recall", k] = hit_Q
        scores["map", k] = hit_Q * ranking_metrics.reciprocal_rank(rank_Q)
        scores["ndcg", k] = hit_Q / np.log2(1.0 + rank_Q)
    return scores


def graded_scores(
    ranks_QD: Values, grade_QD: NDArray[np.int8], ks: Sequence[int]
) -> dict[MetricKey, Values]:
    """Metrics of graded relevance: NDCG over all grades, the rest over related drugs alone.

    Related are drugs of the same targets or mechanism; forms of the query's own parent compound
    are no candidates there, so that finding the drug itself earns nothing.
    """
    is_other_QD = grade_QD < ranking_metrics.SAME_PARENT
    is_related_QD = (grade_QD > ranking_metrics.UNRELATED) & is_other_QD
    others_QD = ranking_metrics.ranks(-ranks_QD, np.isfinite(ranks_QD) & is_other_QD)
    scores: dict[MetricKey, Values] = {}
    for k in ks:
        gain_QD = ranking_metrics.gain_of(grade_QD)
        scores["graded_ndcg", k] = ranking_metrics.ndcg_at(ranks_QD, gain_QD, k)
        scores["related_precision", k] = ranking_metrics.precision_at(others_QD, is_related_QD, k)
        scores["related_recall", k] = ranking_metrics.recall_at(others_QD, is_related_QD, k)
        scores["related_map", k] = ranking_metrics.average_precision_at(others_QD, is_related_QD, k)
    return scores


def relevance_scores(
    ranks_QD: Values, is_relevant_QD: NDArray[np.bool_], ks: Sequence[int]
) -> dict[MetricKey, Values]:
    """Metrics of several right answers a query (protein targets)."""
    first_Q = np.where(is_relevant_QD, ranks_QD, np.inf).min(axis=1, initial=np.inf)
    n_candidates_Q = np.isfinite(ranks_QD).sum(axis=1)
    rank_Q = np.where(np.isfinite(first_Q) & (n_candidates_Q > 1), first_Q, np.nan)
    scores: dict[MetricKey, Values] = {
        ("mrr", 0): ranking_metrics.reciprocal_rank(rank_Q),
        ("median_rank", 0): rank_Q,
    }
    for k in ks:
        scores["hit", k] = ranking_metrics.hit_at(rank_Q, k)
        scores["precision", k] = ranking_metrics.precision_at(ranks_QD, is_relevant_QD, k)
        scores["recall", k] = ranking_metrics.recall_at(ranks_QD, is_relevant_QD, k)
        scores["recall_ceiling", k] = ranking_metrics.recall_ceiling_at(ranks_QD, is_relevant_QD, k)
        scores["map", k] = ranking_metrics.average_precision_at(ranks_QD, is_relevant_QD, k)
        scores["ndcg", k] = ranking_metrics.ndcg_at(ranks_QD, is_relevant_QD.astype(np.float64), k)
    return scores
