"""What every network of a split is asked, and what it must answer.

What belongs here: the types of the two inputs and the interface of a network. ``ForwardInputs`` has
no field that could hold anything computed from the treated cells of the condition asked, and
``InverseInputs`` has no drug: which mode runs is decided by the type. Torch only.

Shapes: B = batch, T = gene tokens, G = genes of the panel, K = tower width, D = drugs, F = chemistry
features, C = cell-line features, P = response-profile features.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn

from drug_pipeline.model.config import ModelConfig

N_DOSE_FEATURES = 3
"""log10 dose, its square, and whether the dose is known."""
UNKNOWN_DRUG = 0
"""Identity of a drug that was never trained on; its embedding is always zero."""


class _TensorRecord:
    """Moves every tensor field of a dataclass at once."""

    def to(self, device: torch.device) -> Self:
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**moved)

    def take(self, rows: Tensor) -> Self:
        taken = {f.name: getattr(self, f.name)[rows] for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**taken)


@dataclass(frozen=True, kw_only=True)
class DrugInputs(_TensorRecord):
    """What is known of the drug asked: structure, dose, identity, response in OTHER lines.

    ``drug_id_B`` is ``UNKNOWN_DRUG`` for a drug never trained on; ``has_chemistry_B`` and
    ``has_profile_B`` are 0 or 1, and where 0 the features beside them are zero.
    """

    chemistry_BF: Tensor
    has_chemistry_B: Tensor
    dose_B3: Tensor
    drug_id_B: Tensor
    profile_BP: Tensor
    has_profile_B: Tensor


@dataclass(frozen=True, kw_only=True)
class ForwardInputs(_TensorRecord):
    """A question: the Δ that this drug at this dose will cause in this line.

    ``control_BT`` is the control expression of the line at the token genes (standardised).
    """

    drug: DrugInputs
    cell_BC: Tensor
    control_BT: Tensor


@dataclass(frozen=True, kw_only=True)
class InverseInputs(_TensorRecord):
    """A question: the drug that causes this signature in this line.

    ``signature_BG`` is the query Δ, centred, in units of the training RMS, clipped to ±6.
    """

    cell_BC: Tensor
    signature_BG: Tensor


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Widths that the data give: genes, features, drugs trained on."""

    n_genes: int
    n_chemistry: int
    n_cell: int
    n_profile: int
    n_drugs: int


class DrugNetwork(nn.Module, ABC):
    """A network with a forward mode (drug, dose, line → Δ) and an inverse mode (Δ → drug).

    Parameters
    ----------
    token_genes_T
        Panel positions of the gene tokens, chosen on training conditions.

    Attributes
    ----------
    head
        The last layer of :meth:`predict_delta` (to G genes), all zero before training, so that the
        network then adds nothing to the base.
    gene_embedding
        Vectors of the gene tokens (T, E), which the ablation report looks at.
    """

    token_genes_T: Tensor
    head: nn.Linear
    gene_embedding: nn.Embedding

    def __init__(self, config: ModelConfig, sizes: ModelSizes, token_genes_T: Tensor) -> None:
        super().__init__()
        self.config = config
        self.sizes = sizes
        self.register_buffer("token_genes_T", token_genes_T)

    def forward(self, inputs: object) -> Tensor:
        """The residual Δ (B, G) of a forward question, or the query vector (B, K) of an inverse one.

        Raises
        ------
        TypeError
            If the inputs are of neither type.
        """
        if isinstance(inputs, ForwardInputs):
            return self.predict_delta(inputs)
        if isinstance(inputs, InverseInputs):
            return self.embed_signature(inputs)
        msg = f"expected ForwardInputs or InverseInputs, got {type(inputs).__name__}"
        raise TypeError(msg)

    @abstractmethod
    def predict_delta(self, inputs: ForwardInputs) -> Tensor:
        """What the network adds to the base, in units of the training RMS (B, G)."""

    @abstractmethod
    def embed_signature(self, inputs: InverseInputs) -> Tensor:
        """Unit vectors of queries in the space shared with drugs (B, K)."""

    @abstractmethod
    def embed_drugs(self, chemistry_DF: Tensor, drug_id_D: Tensor) -> Tensor:
        """Unit vectors of drugs in the space shared with queries (D, K)."""

    @abstractmethod
    def inverse_tau(self) -> Tensor:
        """Factor on cosines of the two before the softmax over drugs (scalar)."""
