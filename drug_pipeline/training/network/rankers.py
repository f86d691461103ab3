"""Ranking drugs for a signature by the network: the expression tower.

What belongs here: the ranker that needs the network. Those that compare with measured Δ are in
``linear/``, that with predicted Δ in ``training/network/forward_gallery.py``; all of them answer
``scores(queries, gallery)``. What does not: how they are weighted
(``selection/ranker_weights.py``).

Shapes: Q = queries, D = gallery drugs, K = tower width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drug_pipeline.domain import names
from drug_pipeline.linear import Queries
from drug_pipeline.model.interface import DrugNetwork
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_network import CHUNK, as_network


class TowerRanker:
    """Cosine of the query's vector to each drug's vector; ranks drugs never measured."""

    def __init__(self, members: list[DrugNetwork], encoder: InputEncoder) -> None:
        self.members = [member.eval() for member in members]
        self.encoder = encoder

    @property
    def name(self) -> str:
        """The name in every table."""
        return names.TOWER

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Mean cosine over the members (Q, D)."""
        inputs = self.encoder.inverse_inputs(queries.signature_QG, queries.line_Q)
        tower = self.encoder.tower_inputs(list(gallery))
        totals = [tower_scores(member, inputs, tower) for member in self.members]
        return np.asarray(torch.stack(totals).mean(dim=0).cpu().numpy())

    def with_encoder(self, encoder: InputEncoder) -> "TowerRanker":
        """The same networks over other features."""
        return TowerRanker(self.members, encoder)


@torch.no_grad()
def tower_scores(
    model: nn.Module, inputs: Any, tower: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Cosine of each query to each gallery drug (Q, D), on the model's device."""
    network = as_network(model)
    device = next(network.parameters()).device
    drugs_DK = network.embed_drugs(tower[0].to(device), tower[1].to(device))
    chunks = []
    for start in range(0, len(inputs.cell_BC), CHUNK):
        part = type(inputs)(
            cell_BC=inputs.cell_BC[start : start + CHUNK].to(device),
            signature_BG=inputs.signature_BG[start : start + CHUNK].to(device),
        )
        chunks.append(network.embed_signature(part) @ drugs_DK.T)
    return torch.cat(chunks) if chunks else torch.zeros(0, len(drugs_DK))
