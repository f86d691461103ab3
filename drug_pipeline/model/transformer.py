"""The forward + inverse transformer over ``[CLS] [DRUG] [CELL] g1 ... gn``.

What belongs here: the network. What does not: the types of its two inputs (``interface.py``).

Shapes: B = batch, T = gene tokens, G = genes of the panel, E = width, K = tower width,
D = drugs, F = chemistry features, C = cell-line features, P = response-profile features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import (
    N_DOSE_FEATURES,
    UNKNOWN_DRUG,
    DrugInputs,
    DrugNetwork,
    ForwardInputs,
    InverseInputs,
    ModelSizes,
)
from drug_pipeline.model.layers import Encoder, keep_some, mlp

START_TAU = 1.0 / 12.0
MIN_TAU = 1.0 / 40.0


class DrugTransformer(DrugNetwork):
    """One encoder with a forward mode (drug, dose, line → Δ) and an inverse mode (Δ → drug).

    Parameters
    ----------
    token_genes_T
        Panel positions of the gene tokens, chosen on training conditions.
    """

    def __init__(self, config: ModelConfig, sizes: ModelSizes, token_genes_T: Tensor) -> None:
        super().__init__(config, sizes, token_genes_T)
        width, dropout = config.width, config.dropout
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.mode = nn.Parameter(torch.randn(2, width) * 0.02)
        self.masked_drug = nn.Parameter(torch.randn(width) * 0.02)
        torch.randn(width)  # of a parameter that is gone: without it a seed gives other networks
        self.gene_embedding = nn.Embedding(max(len(token_genes_T), 1), width)
        self.gene_embedding.weight.requires_grad_(config.is_gene_embedding_learned)
        self.value = nn.Linear(1, width)
        self.chemistry = mlp(sizes.n_chemistry, 2 * width, width, dropout=0.2)
        self.dose = mlp(N_DOSE_FEATURES, width, width, dropout=0.0)
        self.drug_identity = nn.Embedding(sizes.n_drugs + 1, width, padding_idx=UNKNOWN_DRUG)
        self.profile = mlp(sizes.n_profile, 2 * width, width, dropout=dropout)
        self.cell = mlp(sizes.n_cell, 2 * width, width, dropout=dropout)
        self.encoder = Encoder(
            n_layers=config.n_layers, width=width, n_heads=config.n_heads, dropout=dropout
        )
        self._build_readouts()

    def _build_readouts(self) -> None:
        width, sizes, config = self.config.width, self.sizes, self.config
        self.skip_norm = nn.LayerNorm(3 * width)
        self.skip = nn.Linear(3 * width, width)
        self.hidden = nn.Linear(width, 4 * width)
        self.head = nn.Linear(4 * width, sizes.n_genes)
        nn.init.zeros_(self.head.weight)  # step 0 equals the base exactly
        nn.init.zeros_(self.head.bias)
        self.signature = mlp(
            sizes.n_genes, config.signature_width, width, dropout=config.signature_dropout
        )
        self.to_tower = nn.Linear(width, config.tower_width)
        self.drug_tower = mlp(sizes.n_chemistry, 2 * width, config.tower_width, dropout=0.2)
        self.tower_identity = nn.Embedding(
            sizes.n_drugs + 1, config.tower_width, padding_idx=UNKNOWN_DRUG
        )
        with torch.no_grad():
            for identity in (self.drug_identity, self.tower_identity):
                identity.weight.mul_(0.1)
        self.log_inverse_tau = nn.Parameter(torch.tensor(1.0 / START_TAU).log())

    def predict_delta(self, inputs: ForwardInputs) -> Tensor:
        """What the network adds to the base, in units of the training RMS (B, G)."""
        drug_BE = self.drug_token(inputs.drug)
        cell_BE = self.cell_token(inputs.cell_BC)
        cls_BE = (self.cls + self.mode[0]).expand_as(drug_BE)
        value_BTE = self.value(inputs.control_BT.unsqueeze(-1))
        z_BE = self._encode(cls_BE, drug_BE, cell_BE, value_BTE)
        if self.config.has_skip:
            together = torch.cat([drug_BE, cell_BE, drug_BE * cell_BE], dim=-1)
            z_BE = z_BE + self.skip(self.skip_norm(together))
        residual_BG: Tensor = self.head(F.gelu(self.hidden(z_BE)))
        return residual_BG

    def embed_signature(self, inputs: InverseInputs) -> Tensor:
        """Unit vectors of query signatures in the tower space (B, K); the drug stays masked."""
        cell_BE = self.cell_token(inputs.cell_BC)
        cls_BE = self.cls + self.mode[1] + self.signature(inputs.signature_BG)
        drug_BE = self.masked_drug.expand_as(cell_BE)
        value_BTE = self.value(inputs.signature_BG[:, self.token_genes_T].unsqueeze(-1))
        z_BE = self._encode(cls_BE, drug_BE, cell_BE, value_BTE)
        vector_BK: Tensor = self.to_tower(z_BE)
        return F.normalize(vector_BK, dim=-1)

    def embed_drugs(self, chemistry_DF: Tensor, drug_id_D: Tensor) -> Tensor:
        """Unit vectors of drugs in the tower space (D, K), from structure and known identity."""
        identity_DK = keep_some(
            self.tower_identity(drug_id_D), drop=self.config.id_dropout, is_training=self.training
        )
        drugs_DK: Tensor = self.drug_tower(chemistry_DF) + identity_DK
        return F.normalize(drugs_DK, dim=-1)

    def inverse_tau(self) -> Tensor:
        """Learned sharpness of the softmax over drugs, 1 / tau, capped."""
        return self.log_inverse_tau.exp().clamp(max=1.0 / MIN_TAU)

    def drug_token(self, drug: DrugInputs) -> Tensor:
        """The ``[DRUG]`` token (B, E)."""
        drop, is_training = self.config.id_dropout, self.training
        token_BE: Tensor = self.chemistry(drug.chemistry_BF) * drug.has_chemistry_B[:, None]
        token_BE = token_BE + self.dose(drug.dose_B3)
        identity_BE = self.drug_identity(drug.drug_id_B)
        profile_BE = self.profile(drug.profile_BP) * drug.has_profile_B[:, None]
        token_BE = token_BE + keep_some(identity_BE, drop=drop, is_training=is_training)
        token_BE = token_BE + keep_some(profile_BE, drop=drop, is_training=is_training)
        return token_BE

    def cell_token(self, cell_BC: Tensor) -> Tensor:
        """The ``[CELL]`` token (B, E); zero where the network is to do without."""
        token_BE: Tensor = self.cell(cell_BC)
        return token_BE if self.config.has_cell_token else torch.zeros_like(token_BE)

    def _encode(
        self, cls_BE: Tensor, drug_BE: Tensor, cell_BE: Tensor, value_BTE: Tensor
    ) -> Tensor:
        tokens = [torch.stack([cls_BE, drug_BE, cell_BE], dim=1)]
        if len(self.token_genes_T):
            tokens.append(self.gene_embedding.weight + value_BTE)
        encoded_BE: Tensor = self.encoder(torch.cat(tokens, dim=1))
        return encoded_BE
