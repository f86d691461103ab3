"""The forward network of a split: what it adds to a linear base, how it is fitted and asked.

Shapes: N = conditions, B = batch, G = genes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drug_pipeline.linear import Conditions
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.losses import drug_softmax_loss, rank_loss, weighted_mse
from drug_pipeline.model.transformer import DrugTransformer, ForwardInputs
from drug_pipeline.training.config import ForwardConfig
from drug_pipeline.training.dataset import (
    ForwardBatch,
    ForwardDataset,
    InverseBatch,
    InverseDataset,
    LineSampler,
)
from drug_pipeline.training.encoding import InputEncoder
from drug_pipeline.training.gate import MAX_ALPHA
from drug_pipeline.training.loop import LossTerms

CHUNK = 2048
"""Conditions predicted at once."""


def build_network(encoder: InputEncoder, config: ModelConfig) -> DrugTransformer:
    """A network with random weights (torch's seed) that fits an encoder's inputs."""
    tokens_T = torch.from_numpy(np.array(encoder.token_genes_T, dtype=np.int64))
    return DrugTransformer(config, encoder.sizes(), tokens_T)


@dataclass(frozen=True)
class ForwardTask:
    """Forward training: ``λ_mse·MSE + λ_rank(t)·InfoNCE + λ_align·CLIP`` on base plus residual."""

    train: ForwardDataset
    validation: ForwardDataset | None
    align: InverseDataset | None
    tower: tuple[torch.Tensor, torch.Tensor]
    sampler: LineSampler
    config: ForwardConfig

    def n_batches(self) -> int:
        """Batches an epoch."""
        return self.sampler.n_batches()

    def shared(self, rank: int, n_ranks: int) -> "ForwardTask":
        """The task with the batches of one process of several."""
        return replace(self, sampler=self.sampler.shared(rank, n_ranks))

    def batches(self, epoch: int) -> Iterator[tuple[ForwardBatch, InverseBatch | None]]:
        """Forward batches and, where the towers are aligned, an inverse batch of some of the rows."""
        for rows in self.sampler.epoch(epoch):
            inverse = None
            if self.align is not None:
                n_aligned = max(1, round(self.config.align_frac * len(rows)))
                some = rows[np.linspace(0, len(rows) - 1, n_aligned).astype(np.int64)]
                inverse = self.align.collate(some, None)
            yield self.train.collate(rows), inverse

    def loss(
        self, model: nn.Module, batch: tuple[ForwardBatch, InverseBatch | None], progress: float
    ) -> LossTerms:
        """The weighted sum and its terms."""
        forward, inverse = batch
        config = self.config
        total_BG = forward.base_BG + model(forward.inputs)
        terms: LossTerms = {"mse": weighted_mse(total_BG, forward.delta_BG, forward.weight_B)}
        loss = config.lambda_mse * terms["mse"]
        lambda_rank = config.lambda_rank * rank_ramp(progress, config.rank_warmup_frac)
        if lambda_rank > 0:
            terms["rank"] = rank_loss(
                total_BG - forward.centre_BG,
                forward.delta_BG - forward.centre_BG,
                line_B=forward.line_B,
                parent_B=forward.parent_B,
                evidence_B=forward.evidence_B,
                tau=config.tau,
            )
            loss = loss + lambda_rank * terms["rank"]
        if inverse is not None:
            terms["align"] = align_loss(model, inverse, self.tower)
            loss = loss + config.lambda_align * terms["align"]
        return {"loss": loss, **terms}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Validation MSE with the best gate (``score``), over the base's; and without a gate."""
        if self.validation is None:
            return {}
        data = self.validation
        network_NG = run_forward(model, data.inputs)
        missing_NG = data.delta_NG - data.base_NG
        power = float(network_NG.square().sum())
        shared = float((network_NG * missing_NG).sum())
        alpha = min(max(shared / power, 0.0), MAX_ALPHA) if power > 0 else 0.0
        base_mse = max(float(missing_NG.square().mean()), 1e-12)  # 0 where Δ is constant
        gated = float((missing_NG - alpha * network_NG).square().mean())
        plain = float((missing_NG - network_NG).square().mean())
        centred = _mean_centred_pearson(data, data.base_NG + alpha * network_NG)
        return {
            "score": gated / base_mse,
            "mse_over_base": plain / base_mse,
            "alpha": alpha,
            "centred_pearson": centred,
        }


def rank_ramp(progress: float, warmup_frac: float) -> float:
    """Share of λ_rank in force: rises from 0 to 1 over the first ``warmup_frac`` of training."""
    return 1.0 if warmup_frac <= 0 else min(progress / warmup_frac, 1.0)


def align_loss(
    model: nn.Module, batch: InverseBatch, tower: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """CLIP between the expression tower and the drug tower, over all training drugs."""
    network = as_network(model)
    return drug_softmax_loss(
        model(batch.inputs),
        network.embed_drugs(*tower),
        is_positive_BD=batch.is_positive_BD,
        weight_B=batch.weight_B,
        inverse_tau=network.inverse_tau(),
    )


def as_network(model: nn.Module) -> DrugTransformer:
    """The model, known to be the network: both ways of training leave it as it is."""
    assert isinstance(model, DrugTransformer)
    return model


@torch.no_grad()
def run_forward(model: nn.Module, inputs: ForwardInputs) -> torch.Tensor:
    """The network's residual for any number of conditions (N, G), chunk by chunk."""
    n_conditions = len(inputs.cell_BC)
    chunks = [
        model(_slice(inputs, slice(start, start + CHUNK)))
        for start in range(0, n_conditions, CHUNK)
    ]
    return torch.cat(chunks)


class ForwardNetwork:
    """Fitted networks asked as one: the mean of their residuals, in natural log."""

    def __init__(self, members: list[DrugTransformer], encoder: InputEncoder) -> None:
        self.members = [member.eval() for member in members]
        self.encoder = encoder

    def residuals(self, asked: Conditions) -> NDArray[np.float32]:
        """What each member adds to the base (members, N, G)."""
        n_genes = self.encoder.sizes().n_genes
        if len(asked) == 0:
            return np.zeros((len(self.members), 0, n_genes), dtype=np.float32)
        device = next(self.members[0].parameters()).device
        inputs = self.encoder.forward_inputs(asked).to(device)
        stacked = torch.stack([run_forward(member, inputs) for member in self.members])
        return np.asarray(stacked.cpu().numpy() * np.float32(self.encoder.rms))

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        """The mean residual of the members (N, G)."""
        return np.asarray(self.residuals(asked).mean(axis=0))

    def with_encoder(self, encoder: InputEncoder) -> "ForwardNetwork":
        """The same networks over other features."""
        return ForwardNetwork(self.members, encoder)


def _mean_centred_pearson(data: ForwardDataset, predicted_NG: torch.Tensor) -> float:
    left_NG = predicted_NG - data.centre_NG
    right_NG = data.delta_NG - data.centre_NG
    left_NG = left_NG - left_NG.mean(dim=1, keepdim=True)
    right_NG = right_NG - right_NG.mean(dim=1, keepdim=True)
    return float(nn.functional.cosine_similarity(left_NG, right_NG, dim=1).mean())


def _slice(inputs: ForwardInputs, at: slice) -> ForwardInputs:
    drug: Any = inputs.drug
    taken = {name: tensor[at] for name, tensor in vars(drug).items()}
    return ForwardInputs(
        drug=replace(drug, **taken), cell_BC=inputs.cell_BC[at], control_BT=inputs.control_BT[at]
    )
