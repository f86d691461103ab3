"""Another network behind the same two input types: a class and a row, and every stage trains it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.linear import Conditions
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import DrugNetwork, ForwardInputs, InverseInputs, ModelSizes
from drug_pipeline.model.networks import NETWORKS
from drug_pipeline.training.deployed.bundle_files import load_bundle, load_towers
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.save_bundle import save_bundle
from drug_pipeline_tests.unit.training.conftest import drug_split


class Additive(DrugNetwork):
    """Linear maps: structure and line to Δ; signatures and structures to one space."""

    def __init__(self, config: ModelConfig, sizes: ModelSizes, token_genes_T: Tensor) -> None:
        super().__init__(config, sizes, token_genes_T)
        self.gene_embedding = nn.Embedding(max(len(token_genes_T), 1), config.width)
        self.head = nn.Linear(sizes.n_chemistry + sizes.n_cell, sizes.n_genes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.signature = nn.Linear(sizes.n_genes, config.tower_width)
        self.structure = nn.Linear(sizes.n_chemistry, config.tower_width)

    def predict_delta(self, inputs: ForwardInputs) -> Tensor:
        return self.head(torch.cat([inputs.drug.chemistry_BF, inputs.cell_BC], dim=1))

    def embed_signature(self, inputs: InverseInputs) -> Tensor:
        return F.normalize(self.signature(inputs.signature_BG), dim=1)

    def embed_drugs(self, chemistry_DF: Tensor, drug_id_D: Tensor) -> Tensor:
        del drug_id_D
        return F.normalize(self.structure(chemistry_DF), dim=1)

    def inverse_tau(self) -> Tensor:
        return torch.tensor(12.0)


def test_a_network_is_added_by_a_class_and_a_row(world, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "additive", Additive)
    config = replace(tiny, model=replace(tiny.model, architecture="additive"))

    fitted = fit_split(world.table, world.features, drug_split(world), config)
    save_bundle(tmp_path, {"drug": fitted}, world.table.genes)
    bundle = load_bundle(tmp_path)

    network = load_towers(tmp_path, "drug")[0]
    assert isinstance(network, Additive)
    assert fitted.forward.histories[0][-1]["epoch"] == config.forward.loop.n_epochs
    asked = Conditions.from_frame(world.table.conditions).take(np.arange(3))
    assert np.isfinite(bundle.predict(asked)).all()


def test_a_network_that_is_not_there_is_refused_with_those_that_are(world, tiny):
    config = replace(tiny, model=replace(tiny.model, architecture="perceptron"))

    with pytest.raises(ConfigurationError, match="'perceptron'; there are: transformer"):
        fit_split(world.table, world.features, drug_split(world), config)
