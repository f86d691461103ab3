"""The small-panel prototype: targets and drugs by signature.

``[CLS] [ORGAN]`` and at most 256 tokens of target genes, drug-target matching by cosine, and CLIP
to the drug tower. The sanity check of the architecture and of the retrieval metrics. Torch only.

Shapes: B = batch, P = panel genes, E = width, K = tower width, D = drugs, F = chemistry features,
O = organs, T = targets.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drug_pipeline.model.config import PrototypeConfig
from drug_pipeline.model.layers import Encoder, mlp
from drug_pipeline.model.transformer import MIN_TAU, START_TAU


class TargetPrototype(nn.Module):
    """An encoder of small-panel signatures beside a table of targets and a tower of drugs."""

    def __init__(
        self,
        config: PrototypeConfig,
        *,
        n_panel_genes: int,
        n_organs: int,
        n_targets: int,
        n_chemistry: int,
    ) -> None:
        super().__init__()
        width = config.width
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.organ = nn.Embedding(n_organs, width)
        self.gene_embedding = nn.Parameter(torch.randn(n_panel_genes, width))
        self.value = nn.Linear(1, width)
        self.signature = mlp(n_panel_genes, 2 * width, width, dropout=0.3)
        self.encoder = Encoder(
            n_layers=config.n_layers,
            width=width,
            n_heads=config.n_heads,
            dropout=config.dropout,
        )
        self.to_tower = nn.Linear(width, config.tower_width)
        self.target = nn.Parameter(torch.randn(n_targets, config.tower_width))
        self.drug_tower = mlp(n_chemistry, 2 * width, config.tower_width, dropout=0.2)
        self.log_inverse_tau = nn.Parameter(torch.tensor(1.0 / START_TAU).log())

    def forward(self, signature_BP: Tensor, organ_B: Tensor) -> Tensor:
        """Unit vectors of signatures in the tower space (B, K)."""
        cls_BE = self.cls + self.signature(signature_BP)
        organ_BE = self.organ(organ_B)
        gene_BPE = self.gene_embedding + self.value(signature_BP.unsqueeze(-1))
        tokens_BTE = torch.cat([torch.stack([cls_BE, organ_BE], dim=1), gene_BPE], dim=1)
        return F.normalize(self.to_tower(self.encoder(tokens_BTE)), dim=-1)

    def target_scores(self, query_BK: Tensor) -> Tensor:
        """Cosine of each query to each target (B, T)."""
        return query_BK @ F.normalize(self.target, dim=-1).T

    def embed_drugs(self, chemistry_DF: Tensor) -> Tensor:
        """Unit vectors of drugs from their structure (D, K)."""
        drugs_DK: Tensor = self.drug_tower(chemistry_DF)
        return F.normalize(drugs_DK, dim=-1)

    def inverse_tau(self) -> Tensor:
        """Learned sharpness of the softmax over drugs, 1 / tau, capped."""
        return self.log_inverse_tau.exp().clamp(max=1.0 / MIN_TAU)
