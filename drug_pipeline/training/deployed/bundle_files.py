"""The deploy bundle on disk: what a query or the registered model loads, and nothing else.

One folder, complete in itself::

    <folder>/bundle.json               splits, genes, gallery, formats
             hashes.json               SHA-256 of each of the others
             features.npz              drug and cell-line vectors, control profiles
             <split>/deployed.json     weights, α, rankers, error model, identity
                     encoder.npz       scalers and components
                     linear/<name>.npz fitted linear predictors that count
                     rankers/<name>.npz fitted measured rankers that count
                     forward-<i>.*, inverse-<i>.*  networks

What belongs here: reading it. What does not: writing it (``save_bundle.py``).

Shapes: G = genes, L = lines.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.linear import Features, restored, restored_ranker
from drug_pipeline.storage.arrays import read_arrays
from drug_pipeline.storage.files import read_json, refuse_changed
from drug_pipeline.training.deployed.bundle import Bundle, DeployedSplit
from drug_pipeline.training.deployed.features_state import features_of
from drug_pipeline.training.deployed.shipped_predictor import ShippedPredictor
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.identity import Identity
from drug_pipeline.training.selection.error_bound import ErrorModel

if TYPE_CHECKING:
    from drug_pipeline.model.interface import DrugNetwork

FORMAT = 2
"""Raised when an older reader could not understand a newer bundle."""


def load_bundle(folder: Path) -> Bundle:
    """The bundle of :func:`save_bundle`, ready to answer.

    Raises
    ------
    CheckpointError
        If a file is missing, of another format, or does not belong to the others.
    ForeignFileError
        If a file was changed since it was saved.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        msg = f"there is no model in {folder}. Materialise model_full first."
        raise CheckpointError(msg)
    refuse_changed(folder)
    document = read_json(path)
    if document["format"] != FORMAT:
        msg = (
            f"{path} has format {document['format']}, this code reads {FORMAT}. Materialise "
            "model_full again."
        )
        raise CheckpointError(msg)
    features = features_of(read_arrays(folder / "features.npz"))
    genes = pd.DataFrame(document["genes"])
    belonging = Identity.of(
        genes=tuple(map(int, genes[names.TOKEN_ID])),
        data=document["data_fingerprint"],
        split="",
        drugs=features.drugs,
        lines=features.cell_lines,
    )
    splits = {name: _load_split(folder / name, features, belonging) for name in document["splits"]}
    return Bundle(
        genes=genes,
        features=features,
        parent_of=document["parent_of"],
        splits=splits,
        data_fingerprint=document["data_fingerprint"],
    )


def load_towers(folder: Path, split: str) -> "list[DrugNetwork]":
    """The inverse networks of one split of a bundle, whether they count for what ships or not."""
    from drug_pipeline.training.network.checkpoint import load_network

    document = read_json(folder / split / "deployed.json")
    identity = Identity.from_json(document["identity"])
    n_members = document["n_members"]
    return [load_network(folder / split / f"inverse-{i}", identity) for i in range(n_members)]


def _load_split(folder: Path, features: Features, belonging: Identity) -> DeployedSplit:
    """The models of one split, which must belong to the genes and vectors of the bundle."""
    document = read_json(folder / "deployed.json")
    identity = Identity.from_json(document["identity"])
    belonging.require(identity, folder)
    encoder = InputEncoder(read_arrays(folder / "encoder.npz"), features)
    network = towers = None
    n_members, tower_weight = document["n_members"], document["ranker_weights"][names.TOWER]
    if n_members and (document["network_weight"] or tower_weight):
        from drug_pipeline.training.network.checkpoint import load_network
        from drug_pipeline.training.network.forward_network import ForwardNetwork
        from drug_pipeline.training.network.rankers import TowerRanker

        members = {
            mode: [load_network(folder / f"{mode}-{i}", identity) for i in range(n_members)]
            for mode, weight in (
                ("forward", document["network_weight"]),
                ("inverse", tower_weight),
            )
            if weight
        }
        network = ForwardNetwork(members["forward"], encoder) if "forward" in members else None
        towers = TowerRanker(members["inverse"], encoder) if "inverse" in members else None
    kind = document["kind"]
    linear = {
        name: restored(name, kind, read_arrays(folder / "linear" / f"{name}.npz"), features)
        for name in document["linear"]
    }
    measured = {
        name: restored_ranker(name, read_arrays(folder / "rankers" / f"{name}.npz"), features)
        for name in document["measured_rankers"]
    }
    error_model = document["error_model"]
    if error_model is not None:
        error_model = ErrorModel(
            coefficients_K=tuple(error_model["coefficients_K"]),
            bound_factor=error_model["bound_factor"],
        )
    return DeployedSplit(
        name=document["split"],
        kind=kind,
        encoder=encoder,
        linear=linear,
        shipped=ShippedPredictor(
            linear=linear,
            weights=document["weights"],
            network=network,
            network_weight=document["network_weight"],
        ),
        base=document["base"],
        alpha=document["alpha"],
        best_linear=document["best_linear"],
        towers=towers,
        measured=measured,
        ranker_weights=document["ranker_weights"],
        doses_um=tuple(document["doses_um"]),
        trained_drugs=frozenset(document["trained_drugs"]),
        trained_lines=frozenset(document["trained_lines"]),
        error_model=error_model,
        notes=document["notes"],
    )
