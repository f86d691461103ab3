"""The forward network of a split: an ensemble that predicts the residual of a linear base.

Shapes: N = conditions, B = batch, G = genes.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drug_pipeline.linear import Conditions
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import DrugNetwork, ForwardInputs
from drug_pipeline.model.networks import make_network
from drug_pipeline.training.network.encoding import InputEncoder

CHUNK = 2048
"""Conditions predicted at once."""


def build_network(encoder: InputEncoder, config: ModelConfig) -> DrugNetwork:
    """A network with random weights (torch's seed) that fits an encoder's inputs."""
    tokens_T = torch.from_numpy(np.array(encoder.token_genes_T, dtype=np.int64))
    return make_network(config, encoder.sizes(), tokens_T)


def as_network(model: nn.Module) -> DrugNetwork:
    """The model, known to be the network: both ways of training leave it as it is."""
    assert isinstance(model, DrugNetwork)
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
    """Ensemble of fitted networks: the mean of their predicted residuals, in natural log."""

    def __init__(self, members: list[DrugNetwork], encoder: InputEncoder) -> None:
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


def _slice(inputs: ForwardInputs, at: slice) -> ForwardInputs:
    drug: Any = inputs.drug
    taken = {name: tensor[at] for name, tensor in vars(drug).items()}
    return ForwardInputs(
        drug=replace(drug, **taken), cell_BC=inputs.cell_BC[at], control_BT=inputs.control_BT[at]
    )
