"""Batches: two collators with two types, so that a forward batch cannot carry a treated profile.

What belongs here: ``ForwardBatch``, ``InverseBatch``, the datasets that collate them from row
numbers (one fetch per batch, no loader workers), and the order of rows in an epoch.

Shapes: B = batch, N = training conditions, G = genes, D = training drugs.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.model.interface import ForwardInputs, InverseInputs
from drug_pipeline.training.config import InverseConfig, LoopConfig
from drug_pipeline.training.network.encoding import InputEncoder, sizes
from drug_pipeline.training.split_data import Part, SplitData, is_right


@dataclass(frozen=True, kw_only=True)
class ForwardBatch:
    """Minibatch of forward inputs and, apart from them, the measured Δ (in training RMS).

    ``base_BG`` is what the linear base says, ``centre_BG`` the training mean of the line.
    """

    inputs: ForwardInputs
    delta_BG: Tensor
    base_BG: Tensor
    centre_BG: Tensor
    weight_B: Tensor
    evidence_B: Tensor
    line_B: Tensor
    parent_B: Tensor


@dataclass(frozen=True, kw_only=True)
class InverseBatch:
    """Minibatch of query signatures and, apart, which training drugs are right (twins too)."""

    inputs: InverseInputs
    is_positive_BD: Tensor
    weight_B: Tensor


@dataclass(frozen=True, kw_only=True)
class ForwardDataset:
    """All forward examples of one role, as tensors on one device; Δ in training RMS."""

    inputs: ForwardInputs
    delta_NG: Tensor
    base_NG: Tensor
    centre_NG: Tensor
    weight_N: Tensor
    evidence_N: Tensor
    line_N: Tensor
    parent_N: Tensor

    def __len__(self) -> int:
        return len(self.delta_NG)

    def collate(self, rows: NDArray[np.int64]) -> ForwardBatch:
        """The forward batch of some rows."""
        at = torch.from_numpy(rows).to(self.delta_NG.device)
        return ForwardBatch(
            inputs=_take_forward(self.inputs, at),
            delta_BG=self.delta_NG[at],
            base_BG=self.base_NG[at],
            centre_BG=self.centre_NG[at],
            weight_B=self.weight_N[at],
            evidence_B=self.evidence_N[at],
            line_B=self.line_N[at],
            parent_B=self.parent_N[at],
        )


@dataclass(frozen=True, kw_only=True)
class InverseDataset:
    """All inverse examples of one role; augmented when collated for training.

    ``noise_NG`` is the standard error of each signature, in units of the signature's own RMS.
    """

    inputs: InverseInputs
    noise_NG: Tensor
    is_positive_ND: Tensor
    weight_N: Tensor
    scale_range: tuple[float, float]
    noise_sd: float

    def __len__(self) -> int:
        return len(self.weight_N)

    def collate(self, rows: NDArray[np.int64], generator: torch.Generator | None) -> InverseBatch:
        """The inverse batch of some rows; with a generator, scaled and noised at random."""
        at = torch.from_numpy(rows).to(self.weight_N.device)
        signature_BG = self.inputs.signature_BG[at]
        if generator is not None:
            low, high = self.scale_range
            uniform_B1 = torch.rand(len(rows), 1, generator=generator)
            normal_BG = torch.randn(signature_BG.shape, generator=generator)
            signature_BG = signature_BG * (low + (high - low) * uniform_B1).to(signature_BG)
            noise_BG = self.noise_NG[at] * normal_BG.to(signature_BG)
            signature_BG = signature_BG + self.noise_sd * noise_BG
        return InverseBatch(
            inputs=InverseInputs(cell_BC=self.inputs.cell_BC[at], signature_BG=signature_BG),
            is_positive_BD=self.is_positive_ND[at],
            weight_B=self.weight_N[at],
        )


class LineSampler:
    """The order of rows in each epoch: batches of a few lines with many conditions of each.

    Every row comes once per epoch. The order depends on the seed and the epoch alone, so that a
    run that is resumed at an epoch goes on exactly.
    """

    def __init__(
        self,
        line_N: NDArray[np.int64],
        config: LoopConfig,
        *,
        seed: int,
    ) -> None:
        if len(line_N) == 0:
            msg = "no condition to train on: the training side of the split is empty."
            raise EmptyResultError(msg)
        self._rows_of_line = [np.flatnonzero(line_N == line) for line in np.unique(line_N)]
        self._config = config
        self._seed = seed
        self._rank, self._n_ranks = 0, 1

    def shard(self, rank: int, world_size: int) -> "LineSampler":
        """The same order, of which process ``rank`` takes every ``world_size``-th batch.

        All take as many: where the batches run out, some of them come twice.
        """
        part = copy.copy(self)
        part._rank, part._n_ranks = rank, world_size
        return part

    def n_batches(self) -> int:
        """Batches per epoch and process."""
        size = self._config.conditions_per_line
        n_chunks = sum(-(-len(rows) // size) for rows in self._rows_of_line)
        n_batches = -(-n_chunks // self._config.lines_per_batch)
        return -(-n_batches // self._n_ranks)

    def epoch(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Row numbers of each batch of an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        size = self._config.conditions_per_line
        chunks: list[NDArray[np.int64]] = []
        for rows in self._rows_of_line:
            shuffled = rng.permutation(rows)
            n_chunks = -(-len(rows) // size)
            chunks.extend(np.array_split(shuffled, n_chunks))  # even sizes: no batch of one
        order = rng.permutation(len(chunks))
        per_batch = self._config.lines_per_batch
        starts = range(0, len(order), per_batch)
        batches = [
            np.sort(np.concatenate([chunks[i] for i in order[start : start + per_batch]]))
            for start in starts
        ]
        for number in range(self.n_batches()):
            yield batches[(number * self._n_ranks + self._rank) % len(batches)]


def _take_forward(inputs: ForwardInputs, at: Tensor) -> ForwardInputs:
    return ForwardInputs(
        drug=inputs.drug.take(at), cell_BC=inputs.cell_BC[at], control_BT=inputs.control_BT[at]
    )


INACTIVE_WEIGHT = 0.1
"""Weight in the inverse loss of a condition without any evidence of a response."""


def forward_dataset(
    part: Part,
    encoder: InputEncoder,
    base_NG: NDArray[np.float32],
    weight_N: NDArray[np.float64],
    device: torch.device,
) -> ForwardDataset:
    """Forward examples of a part; Δ and base in training RMS."""
    asked = part.asked
    scale = np.float32(1.0 / encoder.rms)
    _, line_N = np.unique(asked.line_N, return_inverse=True)
    _, parent_N = np.unique(part.parent_N, return_inverse=True)
    return ForwardDataset(
        inputs=encoder.forward_inputs(asked).to(device),
        delta_NG=torch.from_numpy(part.delta_NG * scale).to(device),
        base_NG=torch.from_numpy(base_NG * scale).to(device),
        centre_NG=torch.from_numpy(encoder.centre.predict(asked) * scale).to(device),
        weight_N=torch.from_numpy(weight_N.astype(np.float32)).to(device),
        evidence_N=torch.from_numpy(part.evidence_N.astype(np.float32)).to(device),
        line_N=torch.from_numpy(line_N.astype(np.int64)).to(device),
        parent_N=torch.from_numpy(parent_N.astype(np.int64)).to(device),
    )


def inverse_dataset(
    data: SplitData, part: Part, encoder: InputEncoder, config: InverseConfig, device: torch.device
) -> InverseDataset:
    """Inverse examples of a part: signatures, and the training drugs that count as right."""
    evidence_N = part.evidence_N
    weight_N = INACTIVE_WEIGHT + (1 - INACTIVE_WEIGHT) * evidence_N / (1.0 + evidence_N)
    se_NG = np.nan_to_num(np.asarray(data.se_NG[part.rows_N]), nan=0.0)
    left_NG = encoder.without_line_response(part.delta_NG, part.asked.line_N)
    size_N1 = sizes(left_NG, part.delta_NG)
    return InverseDataset(
        inputs=encoder.inverse_inputs(part.delta_NG, part.asked.line_N).to(device),
        noise_NG=torch.from_numpy((se_NG / size_N1).astype(np.float32)).to(device),
        is_positive_ND=torch.from_numpy(is_right(part, list(encoder.drugs), data.parent_of)).to(
            device
        ),
        weight_N=torch.from_numpy(weight_N.astype(np.float32)).to(device),
        scale_range=config.scale_range,
        noise_sd=config.noise_sd,
    )
