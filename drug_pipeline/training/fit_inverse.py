"""Inverse fit of one split: the tower, the measured rankers, the forward gallery, their weights.

Shapes: Q = queries, D = gallery drugs, G = genes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drug_pipeline.domain import names
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.linear import Queries, Ranker
from drug_pipeline.model.interface import DrugNetwork
from drug_pipeline.model.networks import make_network
from drug_pipeline.training.deployed.shipped_predictor import ShippedPredictor
from drug_pipeline.training.fit_forward import ForwardFit
from drug_pipeline.training.network.dataset import LineSampler
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.fit_run import FitRun
from drug_pipeline.training.network.forward_gallery import (
    COMPARED_BY,
    ForwardGalleryRanker,
    ScoringRanker,
    cached,
)
from drug_pipeline.training.network.rankers import TowerRanker, tower_scores
from drug_pipeline.training.network.tasks import InverseTask
from drug_pipeline.training.selection.clustered_tests import clusterings
from drug_pipeline.training.selection.ranker_weights import (
    FALLBACK_WEIGHT,
    chosen_weights,
    combine,
    known_scores,
    mean_reciprocal_rank,
)
from drug_pipeline.training.split_data import Part, SplitData, is_right

MAX_DOSES = 6
"""Doses at which the forward gallery is predicted."""
MAX_VALIDATION_QUERIES = 2000
FOREIGN_NOISE, FOREIGN_MISSING = 0.7, 0.3
"""Noise, in SDs of a gene, and share of genes missing in queries of another laboratory."""


@dataclass(frozen=True, kw_only=True)
class InverseFit:
    """Result of the inverse stage: rankers, weights, scores of the test queries."""

    gallery: list[str]
    towers: TowerRanker
    measured: dict[str, Ranker]
    weights: dict[str, float]
    test: dict[str, NDArray[np.float32]]
    figures: dict[str, dict[str, float]]


def fit_inverse_stage(
    run: FitRun,
    forward: ForwardFit,
    *,
    measured: Mapping[str, Ranker],
    final_measured: Mapping[str, Ranker],
) -> InverseFit:
    """The rankers of a split, fitted on its training and weighted on its validation side.

    Parameters
    ----------
    measured, final_measured
        Rankers that compare with measured conditions, fitted on the training side, and on training
        and validation together.
    """
    data, gallery = run.data, run.data.gallery
    tower = TowerRanker(_fit_towers(run, forward), run.encoder)
    # Validation queries choose the weights: they are ranked by models that have not seen them.
    # Test queries, and users, are ranked by models that know both.
    joined = data.train if final_measured is measured else data.known
    scored = []
    rankers: dict[str, ScoringRanker] = {}
    for by_measured, predictor, known, asking in (
        (measured, forward.trained, data.train, asked_two_ways(data)),
        (final_measured, forward.shipped, joined, data.test.queries()),
    ):
        spaces = [by_measured[name] for name in COMPARED_BY if name in by_measured]
        galleries = _forward_galleries(predictor, data, run.encoder, spaces)
        rankers = {**by_measured, names.TOWER: tower, **galleries}
        scores = score_all(rankers, asking, gallery)
        is_measured_D = np.isin(gallery, known.asked.drug_N)
        for name in by_measured:
            scores[name] = known_scores(scores[name], is_measured_D)
        scored.append(scores)
    validation, test = scored
    part = data.validation
    is_right_QD = np.tile(answerable(data), (2, 1))
    weight_Q, line_Q = np.tile(query_weight(part), 2), np.tile(part.asked.line_N, 2)
    grouped = [np.tile(one, 2) for one in clusterings(part.asked, part.parent_N, data.split.kind)]
    weights = chosen_weights(validation, is_right_QD, weight_Q, line_Q, grouped)
    weights[names.RANK_GALLERY] = max(weights[names.RANK_GALLERY], FALLBACK_WEIGHT)
    validation[names.COMBINED] = combine(validation, weights)
    test[names.COMBINED] = combine(test, weights)
    weight = query_weight(part)
    figures = {
        name: {"mrr": mean_reciprocal_rank(one[: len(part)], is_right_QD[: len(part)], weight)}
        for name, one in validation.items()
        if len(part)
    }
    return InverseFit(
        gallery=gallery,
        towers=tower,
        measured=dict(final_measured),
        weights=weights,
        test=test,
        figures=figures,
    )


def _forward_galleries(
    predictor: ShippedPredictor, data: SplitData, encoder: InputEncoder, spaces: Sequence[Ranker]
) -> dict[str, ScoringRanker]:
    """The rankers that compare with predicted Δ, by plain cosine and as some rankers compare."""
    predict = cached(predictor.predict)
    rankers = [
        ForwardGalleryRanker(
            predict,
            encoder,
            parent_of=data.parent_of,
            doses_um=gallery_doses(data.train.asked.dose_um_N),
            compared_by=one,
        )
        for one in (None, *spaces)
    ]
    return {ranker.name: ranker for ranker in rankers}


def asked_two_ways(data: SplitData) -> Queries:
    """Validation queries as measured, then with simulated noise and missing genes.

    Each gene in units of its SD over the training conditions, with noise of .7 of that, and 30 %
    of the genes missing: a ranker that is chosen on a library's own Δ alone may fail on others.
    """
    queries = data.validation.queries()
    rng = np.random.default_rng([len(queries), queries.signature_QG.shape[1]])
    scale_G = data.train.delta_NG.std(axis=0)
    scale_G = np.where(scale_G > 0, scale_G, 1.0).astype(np.float32)
    noise_QG = rng.standard_normal(queries.signature_QG.shape, dtype=np.float32)
    foreign_QG = queries.signature_QG / scale_G + np.float32(FOREIGN_NOISE) * noise_QG
    n_genes = queries.signature_QG.shape[1]
    foreign_QG[:, rng.permutation(n_genes)[: int(FOREIGN_MISSING * n_genes)]] = np.nan
    return Queries(
        signature_QG=np.concatenate([queries.signature_QG, foreign_QG]),
        line_Q=np.tile(queries.line_Q, 2),
        plate_Q=np.tile(queries.plate_Q, 2),
    )


def answerable(data: SplitData) -> NDArray[np.bool_]:
    """Relevance of gallery drugs for each validation query (Q, D), as users will ask.

    Where a split stands for questions about known drugs, a query whose drug training has never
    seen says nothing of how to rank those: no drug is right for it.
    """
    is_right_QD = is_right(data.validation, data.gallery, data.parent_of)
    if kind_of(data.split.kind).is_drug_new:
        return is_right_QD
    return is_right_QD & np.isin(data.gallery, data.train.asked.drug_N)


def score_all(
    rankers: Mapping[str, ScoringRanker], queries: Queries, gallery: list[str]
) -> dict[str, NDArray[np.float32]]:
    """Scores (Q, D) of every ranker."""
    return {name: ranker.scores(queries, gallery) for name, ranker in rankers.items()}


def gallery_doses(dose_um_N: NDArray[np.float64]) -> list[float]:
    """Doses (µM) at which drugs are predicted for a gallery: those trained on, at most six."""
    doses = np.unique(dose_um_N)
    if len(doses) > MAX_DOSES:
        doses = doses[np.linspace(0, len(doses) - 1, MAX_DOSES).round().astype(int)]
    return [float(dose) for dose in doses]


def query_weight(part: Part) -> NDArray[np.float64]:
    """Weight of each query: its evidence e / (1 + e), so that null responses hardly count."""
    return np.asarray(part.evidence_N / (1.0 + part.evidence_N))


def _fit_towers(run: FitRun, forward: ForwardFit) -> list[DrugNetwork]:
    """One inverse network per forward network, started from its weights."""
    data, loop = run.data, run.config.inverse.loop
    train_data, tower = run.inverse_data(), run.tower_inputs()
    _, line_N = np.unique(data.train.asked.line_N, return_inverse=True)
    members = []
    for number, start in enumerate(forward.network.members):
        seed = run.config.seed + 1000 * number + 1
        torch.manual_seed(seed)
        model = make_network(start.config, start.sizes, start.token_genes_T)
        model = model.to(run.runtime.device)
        model.load_state_dict(start.state_dict())
        task = InverseTask(
            train=train_data,
            tower=tower,
            sampler=LineSampler(line_N, loop, seed=seed),
            seed=seed,
            figures=ValidationFigures(data, run.encoder),
        )
        run.train(model, task, loop, mode="inverse", number=number, seed=seed)
        members.append(model)
    return members


class ValidationFigures:
    """Mean reciprocal rank of validation queries by the tower alone."""

    def __init__(self, data: SplitData, encoder: InputEncoder) -> None:
        part = data.validation
        rows = np.arange(len(part))[:MAX_VALIDATION_QUERIES]
        self._gallery = data.gallery
        self._inputs = encoder.inverse_inputs(part.delta_NG[rows], part.asked.line_N[rows])
        self._tower = encoder.tower_inputs(self._gallery)
        self._is_right_QD = is_right(part, self._gallery, data.parent_of)[rows]
        self._weight_Q = query_weight(part)[rows]

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The figures of a network; empty without validation queries."""
        if not len(self._is_right_QD):
            return {}
        scores_QD = tower_scores(model, self._inputs, self._tower).cpu().numpy()
        reciprocal = mean_reciprocal_rank(scores_QD, self._is_right_QD, self._weight_Q)
        return {"score": -reciprocal, "mrr": reciprocal}
