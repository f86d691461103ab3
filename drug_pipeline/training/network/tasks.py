"""Training objectives of the network: loss of a batch and validation figures, forward and inverse.

What belongs here: the two tasks that the training loop runs. What does not: how a batch is made
(``network/dataset.py``), how a fitted network answers (``network/forward_network.py``,
``network/rankers.py``).

Shapes: N = conditions, B = batch, G = genes, D = training drugs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from drug_pipeline.model.losses import drug_softmax_loss, rank_loss, weighted_mse
from drug_pipeline.training.config import ForwardConfig
from drug_pipeline.training.network.dataset import (
    ForwardBatch,
    ForwardDataset,
    InverseBatch,
    InverseDataset,
    LineSampler,
)
from drug_pipeline.training.network.forward_network import as_network, run_forward
from drug_pipeline.training.network.loop import LossTerms
from drug_pipeline.training.selection.blending import MAX_ALPHA

SEED_STEP = 100
"""Between the seeds of processes that draw noise beside each other."""


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
        """Batches per epoch."""
        return self.sampler.n_batches()

    def shard(self, rank: int, world_size: int) -> "ForwardTask":
        """The task with the batches of one process of several."""
        return replace(self, sampler=self.sampler.shard(rank, world_size))

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
    """CLIP loss between the expression tower and the drug tower, over all training drugs."""
    network = as_network(model)
    return drug_softmax_loss(
        model(batch.inputs),
        network.embed_drugs(*tower),
        is_positive_BD=batch.is_positive_BD,
        weight_B=batch.weight_B,
        inverse_tau=network.inverse_tau(),
    )


@dataclass(frozen=True)
class InverseTask:
    """Inverse training: a softmax over all training drugs, twins counting as right."""

    train: InverseDataset
    tower: tuple[torch.Tensor, torch.Tensor]
    sampler: LineSampler
    seed: int
    figures: Callable[[nn.Module], dict[str, float]]

    def n_batches(self) -> int:
        """Batches per epoch."""
        return self.sampler.n_batches()

    def shard(self, rank: int, world_size: int) -> "InverseTask":
        """The task with the batches, and the noise, of one process of several."""
        sampler = self.sampler.shard(rank, world_size)
        return replace(self, sampler=sampler, seed=self.seed + SEED_STEP * rank)

    def batches(self, epoch: int) -> Iterator[InverseBatch]:
        """Augmented batches; the noise depends on the seed and the epoch alone."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        for rows in self.sampler.epoch(epoch):
            yield self.train.collate(rows, generator)

    def loss(self, model: nn.Module, batch: InverseBatch, progress: float) -> LossTerms:
        """The softmax loss."""
        del progress
        return {"loss": align_loss(model, batch, self.tower)}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Validation figures of the rankings; ``score`` is minus the mean reciprocal rank."""
        return self.figures(model)


def _mean_centred_pearson(data: ForwardDataset, predicted_NG: torch.Tensor) -> float:
    """As ``domain/metrics.py``, in torch: each epoch, on tensors that never leave the GPU."""
    left_NG = predicted_NG - data.centre_NG
    right_NG = data.delta_NG - data.centre_NG
    left_NG = left_NG - left_NG.mean(dim=1, keepdim=True)
    right_NG = right_NG - right_NG.mean(dim=1, keepdim=True)
    return float(nn.functional.cosine_similarity(left_NG, right_NG, dim=1).mean())
