"""The small-panel prototype fitted: targets and drugs ranked for a signature.

What belongs here: its panel of target genes, its training task, its rankings. What does not: the
network (``model/prototype.py``), files of the data folder (``model_assets.py``).

Shapes: N = conditions, P = panel genes, G = genes, T = targets, D = drugs, Q = queries.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear import Features
from drug_pipeline.model.losses import (
    drug_softmax_loss,
    multi_positive_infonce,
    sampled_bce,
)
from drug_pipeline.model.prototype import TargetPrototype
from drug_pipeline.storage.predictions import Rankings, SplitPredictions
from drug_pipeline.training.config import PrototypeTrainConfig, TrainConfig
from drug_pipeline.training.fit_inverse import query_weight
from drug_pipeline.training.network.checkpoint import save_module
from drug_pipeline.training.network.dataset import INACTIVE_WEIGHT, LineSampler
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.identity import Identity, identity_of
from drug_pipeline.training.network.loop import Hooks, LossTerms, start_state, train
from drug_pipeline.training.parallel.runtime import running
from drug_pipeline.training.selection.ranker_weights import mean_reciprocal_rank
from drug_pipeline.training.split_data import Part, SplitData, is_right, prepare

MATCHING = "target_matching"
"""Targets by cosine of the signature's vector to each target's vector."""
THROUGH_DRUGS = "targets_of_drugs"
"""Targets by the share of the drug softmax that falls on drugs that have them."""
DRUG_TOWER = "drug_tower"
"""Drugs by cosine of the signature's vector to the drug tower."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Vocabulary of the prototype: input genes, organs, targets and drugs.

    ``panel_P`` are positions in the gene panel: target genes first, filled with the genes that
    vary most over training conditions. ``has_target_DT`` says which training drug has which target.
    """

    panel_P: NDArray[np.int64]
    organs: tuple[str, ...]
    organ_of_line: dict[str, int]
    targets: tuple[str, ...]
    drugs: tuple[str, ...]
    has_target_DT: NDArray[np.bool_]

    def organ_ids(self, line_N: NDArray[np.str_]) -> Tensor:
        """Organ number of each line (N,); 0 is not known."""
        return torch.tensor([self.organ_of_line.get(str(line), 0) for line in line_N])


def vocabulary_of(
    data: SplitData,
    encoder: InputEncoder,
    *,
    symbols: list[str],
    drugs: pd.DataFrame,
    cell_lines: pd.DataFrame,
    config: PrototypeTrainConfig,
) -> Vocabulary:
    """The vocabulary of a split, from its training conditions.

    Raises
    ------
    EmptyResultError
        If no training drug has a known target.
    """
    targets_of = dict(zip(drugs[names.DRUG], drugs[names.TARGETS], strict=True))
    trained = encoder.drugs
    listed = pd.Series([gene for drug in trained for gene in targets_of.get(drug, ())], dtype=str)
    counts = listed.value_counts()
    targets = tuple(sorted(counts.index[counts >= config.min_drugs_per_target]))
    if not targets:
        msg = (
            f"none of {len(trained)} training drugs has a known target; the prototype has nothing "
            "to match. Check the targets column of the drug metadata."
        )
        raise EmptyResultError(msg)
    column = {target: number for number, target in enumerate(targets)}
    has_target_DT = np.zeros((len(trained), len(targets)), dtype=bool)
    for row, drug in enumerate(trained):
        has_target_DT[row, [column[g] for g in targets_of.get(drug, ()) if g in column]] = True
    organ_of = dict(zip(cell_lines[names.CELL_LINE_ID], cell_lines[names.ORGAN], strict=True))
    lines = sorted(set(data.features.lines))
    organs = ("unknown", *sorted({str(organ_of[line]) for line in lines if line in organ_of}))
    number_of = {organ: number for number, organ in enumerate(organs)}
    return Vocabulary(
        panel_P=_panel(data.train.delta_NG, symbols, set(counts.index), config.model.n_gene_tokens),
        organs=organs,
        organ_of_line={line: number_of.get(str(organ_of.get(line)), 0) for line in lines},
        targets=targets,
        drugs=trained,
        has_target_DT=has_target_DT,
    )


def _panel(
    delta_NG: NDArray[np.float32], symbols: list[str], targets: set[str], n_genes: int
) -> NDArray[np.int64]:
    variance_G = delta_NG.astype(np.float64).var(axis=0)
    is_target_G = np.array([symbol in targets for symbol in symbols])
    order_G = np.lexsort((np.arange(len(symbols)), -variance_G, ~is_target_G))
    return np.sort(order_G[:n_genes]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """Small-panel signatures of a part, with their labels."""

    signature_NP: Tensor
    organ_N: Tensor
    is_target_NT: Tensor
    is_positive_ND: Tensor
    weight_N: Tensor

    @classmethod
    def of(
        cls, part: Part, data: SplitData, encoder: InputEncoder, vocabulary: Vocabulary
    ) -> "Signatures":
        """The signatures of one role; a drug not trained on has no target to be learned."""
        inputs = encoder.inverse_inputs(part.delta_NG, part.asked.line_N)
        row_of = {drug: row for row, drug in enumerate(vocabulary.drugs)}
        padded_DT = np.vstack([vocabulary.has_target_DT, np.zeros((1, len(vocabulary.targets)))])
        is_target_NT = padded_DT[[row_of.get(str(drug), -1) for drug in part.asked.drug_N]]
        evidence_N = query_weight(part)
        weight_N = INACTIVE_WEIGHT + (1 - INACTIVE_WEIGHT) * evidence_N
        return cls(
            signature_NP=inputs.signature_BG[:, torch.from_numpy(vocabulary.panel_P)],
            organ_N=vocabulary.organ_ids(part.asked.line_N),
            is_target_NT=torch.from_numpy(is_target_NT > 0),
            is_positive_ND=torch.from_numpy(is_right(part, list(vocabulary.drugs), data.parent_of)),
            weight_N=torch.from_numpy(weight_N.astype(np.float32)),
        )

    def to(self, device: torch.device) -> "Signatures":
        """The same on a device."""
        return Signatures(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def take(self, rows: Tensor) -> "Signatures":
        """Some rows."""
        return Signatures(**{name: tensor[rows] for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class PrototypeTask:
    """Drug-target matching (sampled BCE, multi-positive InfoNCE) plus CLIP to the drug tower."""

    train: Signatures
    validation: Signatures
    chemistry_DF: Tensor
    sampler: LineSampler
    config: PrototypeTrainConfig

    def n_batches(self) -> int:
        """Batches per epoch."""
        return self.sampler.n_batches()

    def batches(self, epoch: int) -> Iterator[Signatures]:
        """Rows of the training side."""
        for rows in self.sampler.epoch(epoch):
            yield self.train.take(torch.from_numpy(rows).to(self.train.organ_N.device))

    def loss(self, model: nn.Module, batch: Signatures, progress: float) -> LossTerms:
        """The weighted sum and its terms."""
        del progress
        assert isinstance(model, TargetPrototype)
        query_BK = model(batch.signature_NP, batch.organ_N)
        cosine_BT = model.target_scores(query_BK)
        terms = {
            "bce": sampled_bce(cosine_BT, batch.is_target_NT, n_negatives=self.config.n_negatives),
            "match": multi_positive_infonce(cosine_BT, batch.is_target_NT, tau=self.config.tau),
            "clip": drug_softmax_loss(
                query_BK,
                model.embed_drugs(self.chemistry_DF),
                is_positive_BD=batch.is_positive_ND,
                weight_B=batch.weight_N,
                inverse_tau=model.inverse_tau(),
            ),
        }
        loss = terms["match"] + self.config.lambda_bce * terms["bce"]
        return {"loss": loss + self.config.lambda_clip * terms["clip"], **terms}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Mean reciprocal ranks of the best target and of the drug, on validation conditions."""
        assert isinstance(model, TargetPrototype)
        data = self.validation
        if not len(data.organ_N):
            return {}
        query_NK = model(data.signature_NP, data.organ_N)
        weight_N = data.weight_N.cpu().numpy().astype(np.float64)
        drugs_ND = query_NK @ model.embed_drugs(self.chemistry_DF).T
        target = mean_reciprocal_rank(
            model.target_scores(query_NK).cpu().numpy(), data.is_target_NT.cpu().numpy(), weight_N
        )
        drug = mean_reciprocal_rank(
            drugs_ND.cpu().numpy(), data.is_positive_ND.cpu().numpy(), weight_N
        )
        return {"score": -(target + drug), "target_mrr": target, "drug_mrr": drug}


@dataclass(frozen=True, kw_only=True)
class FittedPrototype:
    """The fitted prototype with what it reads and answers with."""

    data: SplitData
    config: TrainConfig
    encoder: InputEncoder
    vocabulary: Vocabulary
    model: TargetPrototype
    identity: Identity
    figures: dict[str, dict[str, float]]
    shipped_target: str

    def rankings(self, part: Part) -> dict[str, Rankings]:
        """Targets and drugs ranked for every condition of a part."""
        scores = self._scores(part)
        gallery = self.data.gallery
        parent_of = self.data.parent_of
        target = Rankings(
            query_rows_Q=part.rows_N,
            gallery=self.vocabulary.targets,
            groups=self.vocabulary.targets,
            scores={name: scores[name] for name in (MATCHING, THROUGH_DRUGS)},
            shipped=self.shipped_target,
        )
        drug = Rankings(
            query_rows_Q=part.rows_N,
            gallery=tuple(gallery),
            groups=tuple(parent_of[name] for name in gallery),
            scores={DRUG_TOWER: scores[DRUG_TOWER]},
            shipped=DRUG_TOWER,
        )
        return {names.TARGET_TASK: target, names.DRUG_TASK: drug}

    def predictions(self, table: DeltaTable) -> SplitPredictions:
        """What evaluation reads: the rankings of the test side."""
        data = self.data
        return SplitPredictions.of_test(
            table,
            data.split,
            predictions={},
            rankings=self.rankings(data.test),
            validation=self.figures,
            notes={
                "n_train": len(data.train),
                "n_panel_genes": len(self.vocabulary.panel_P),
                "n_targets": len(self.vocabulary.targets),
            },
        )

    def save(self, path: Path) -> list[Path]:
        """The files written: weights, and what they belong to."""
        description: dict[str, Any] = {
            "config": asdict(self.config.prototype.model),
            "panel": self.vocabulary.panel_P.tolist(),
            "organs": list(self.vocabulary.organs),
            "targets": list(self.vocabulary.targets),
        }
        return save_module(path, self.model, description, self.identity)

    @torch.no_grad()
    def _scores(self, part: Part) -> dict[str, NDArray[np.float32]]:
        model, encoder = self.model, self.encoder
        device = model.cls.device
        signatures = Signatures.of(part, self.data, encoder, self.vocabulary).to(device)
        query_NK = model(signatures.signature_NP, signatures.organ_N)
        trained_DF = encoder.tower_inputs(list(encoder.drugs))[0].to(device)
        gallery_DF = encoder.tower_inputs(self.data.gallery)[0].to(device)
        logits_ND = model.inverse_tau() * query_NK @ model.embed_drugs(trained_DF).T
        has_target_DT = torch.from_numpy(self.vocabulary.has_target_DT).to(query_NK)
        return {
            MATCHING: model.target_scores(query_NK).cpu().numpy(),
            THROUGH_DRUGS: (logits_ND.softmax(dim=1) @ has_target_DT).cpu().numpy(),
            DRUG_TOWER: (query_NK @ model.embed_drugs(gallery_DF).T).cpu().numpy(),
        }


def fit_prototype(
    table: DeltaTable,
    features: Features,
    split: Split,
    config: TrainConfig,
    *,
    drugs: pd.DataFrame,
    cell_lines: pd.DataFrame,
    hooks: Hooks | None = None,
) -> FittedPrototype:
    """The prototype of one split, fitted on its training and stopped on its validation side.

    Parameters
    ----------
    drugs, cell_lines
        Cleaned metadata (``schemas.DRUGS``, ``schemas.CELL_LINES``).

    Raises
    ------
    EmptyResultError
        If a side of the split is empty, or no training drug has a known target.
    """
    data = prepare(table, features, split)
    part, settings = data.train, config.prototype
    encoder = InputEncoder.fit(part.record(features), config)
    vocabulary = vocabulary_of(
        data,
        encoder,
        symbols=table.genes[names.GENE_SYMBOL].tolist(),
        drugs=drugs,
        cell_lines=cell_lines,
        config=settings,
    )
    with running(config) as runtime:
        device = runtime.device
        model = TargetPrototype(
            settings.model,
            n_panel_genes=len(vocabulary.panel_P),
            n_organs=len(vocabulary.organs),
            n_targets=len(vocabulary.targets),
            n_chemistry=encoder.sizes().n_chemistry,
        ).to(device)
        _, line_N = np.unique(part.asked.line_N, return_inverse=True)
        task = PrototypeTask(
            train=Signatures.of(part, data, encoder, vocabulary).to(device),
            validation=Signatures.of(data.validation, data, encoder, vocabulary).to(device),
            chemistry_DF=encoder.tower_inputs(list(encoder.drugs))[0].to(device),
            sampler=LineSampler(line_N, settings.loop, seed=config.seed),
            config=settings,
        )
        state = start_state(model, settings.loop)
        train(state, task, settings.loop, hooks=hooks, is_bf16=runtime.is_bf16, text="prototype")
    fitted = FittedPrototype(
        data=data,
        config=config,
        encoder=encoder,
        vocabulary=vocabulary,
        model=model,
        identity=identity_of(data),
        figures={},
        shipped_target=MATCHING,
    )
    return _choose(fitted)


def _choose(fitted: FittedPrototype) -> FittedPrototype:
    """The prototype with validation figures, shipping the better of the two ways to a target."""
    part = fitted.data.validation
    if not len(part):
        return fitted
    scores = fitted._scores(part)
    signatures = Signatures.of(part, fitted.data, fitted.encoder, fitted.vocabulary)
    weight_N = query_weight(part)
    is_target_NT = signatures.is_target_NT.numpy()
    figures = {
        name: {"mrr": mean_reciprocal_rank(scores[name], is_target_NT, weight_N)}
        for name in (MATCHING, THROUGH_DRUGS)
    }
    shipped = max(figures, key=lambda name: figures[name]["mrr"])
    is_drug_ND = is_right(part, fitted.data.gallery, fitted.data.parent_of)
    drug_mrr = mean_reciprocal_rank(scores[DRUG_TOWER], is_drug_ND, weight_N)
    figures[DRUG_TOWER] = {"mrr": drug_mrr}
    return replace(fitted, figures=figures, shipped_target=shipped)
