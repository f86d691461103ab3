"""The deploy bundle on disk: what a query or the registered model loads, and nothing else.

One folder, complete in itself::

    <folder>/bundle.json               splits, genes, gallery, formats
             features.npz              drug and cell-line vectors, control profiles
             <split>/deployed.json     weights, α, rankers, error model, identity
                     encoder.npz       scalers and components
                     linear/<name>.npz fitted linear predictors that count
                     rankers/<name>.npz fitted measured rankers that count
                     forward-<i>.*, inverse-<i>.*  networks

Shapes: G = genes, L = lines.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.linear import Features, restored, restored_ranker
from drug_pipeline.storage.arrays import read_arrays, write_arrays
from drug_pipeline.storage.files import read_json, write_json
from drug_pipeline.training.bundle import Bundle, DeployedSplit
from drug_pipeline.training.checkpoint import Identity, load_network, save_network
from drug_pipeline.training.encoding import InputEncoder
from drug_pipeline.training.experiment import FittedSplit
from drug_pipeline.training.features_state import features_of, features_state
from drug_pipeline.training.forward import ForwardNetwork
from drug_pipeline.training.inverse import WHITENED_GALLERY, WHITENING, TowerRanker
from drug_pipeline.training.inverse_stage import gallery_doses
from drug_pipeline.training.shipped import ShippedPredictor
from drug_pipeline.training.uncertainty import ErrorModel

FORMAT = 1
"""Raised when an older reader could not understand a newer bundle."""


def save_bundle(folder: Path, fitted: Mapping[str, FittedSplit], genes: pd.DataFrame) -> list[Path]:
    """The files written for some fitted splits of one Δ table."""
    first = next(iter(fitted.values()))
    document = {
        "format": FORMAT,
        "splits": list(fitted),
        "genes": {column: genes[column].tolist() for column in genes},
        "parent_of": first.data.parent_of,
        "data_fingerprint": first.data.data_fingerprint,
    }
    files = [folder / "bundle.json", folder / "features.npz"]
    write_json(document, files[0])
    write_arrays(features_state(first.data.features), files[1])
    for name, split in fitted.items():
        files += _save_split(folder / name, split)
    return files


def load_bundle(folder: Path) -> Bundle:
    """The bundle of :func:`save_bundle`, ready to answer.

    Raises
    ------
    CheckpointError
        If a file is missing, of another format, or does not belong to the others.
    """
    path = folder / "bundle.json"
    if not path.is_file():
        msg = f"there is no model in {folder}. Materialise model_full first."
        raise CheckpointError(msg)
    document = read_json(path)
    if document["format"] != FORMAT:
        msg = f"{path} has format {document['format']}, this code reads {FORMAT}."
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


def _save_split(folder: Path, fitted: FittedSplit) -> list[Path]:
    forward, inverse = fitted.forward, fitted.inverse
    shipped = forward.shipped
    wanted = set(shipped.weights) | {forward.best_linear, forward.base}
    wanted_rankers = {name for name, weight in inverse.weights.items() if weight > 0}
    if WHITENED_GALLERY in wanted_rankers:
        wanted_rankers.add(WHITENING)
    ranker_names = [name for name in inverse.measured if name in wanted_rankers]
    document = {
        "split": fitted.data.split.name,
        "kind": fitted.data.split.kind,
        "identity": asdict(fitted.identity),
        "weights": dict(shipped.weights),
        "network_weight": shipped.network_weight,
        "base": forward.base,
        "alpha": forward.alpha,
        "best_linear": forward.best_linear,
        "linear": sorted(wanted),
        "n_members": len(forward.network.members),
        "doses_um": gallery_doses(fitted.data.train.asked.dose_um_N),
        "ranker_weights": inverse.weights,
        "measured_rankers": sorted(ranker_names),
        "trained_drugs": sorted(set(fitted.data.known.asked.drug_N.tolist())),
        "trained_lines": sorted(set(fitted.data.known.asked.line_N.tolist())),
        "error_model": asdict(fitted.error_model) if fitted.error_model else None,
        "notes": fitted.notes,
    }
    files = [folder / "deployed.json"]
    write_json(document, files[0])
    files.append(write_arrays(fitted.encoder.state(), folder / "encoder.npz"))
    for name in sorted(wanted):
        files.append(write_arrays(forward.linear[name].state(), folder / "linear" / f"{name}.npz"))
    for name in sorted(ranker_names):
        state = inverse.measured[name].state()
        files.append(write_arrays(state, folder / "rankers" / f"{name}.npz"))
    for number, member in enumerate(forward.network.members):
        files += save_network(folder / f"forward-{number}", member, fitted.identity)
    for number, member in enumerate(inverse.towers.members):
        files += save_network(folder / f"inverse-{number}", member, fitted.identity)
    return files


def _load_split(folder: Path, features: Features, belonging: Identity) -> DeployedSplit:
    """The models of one split, which must belong to the genes and vectors of the bundle."""
    document = read_json(folder / "deployed.json")
    identity = Identity.from_json(document["identity"])
    belonging.require(identity, folder)
    encoder = InputEncoder(read_arrays(folder / "encoder.npz"), features)
    members = [
        load_network(folder / f"forward-{number}", identity)
        for number in range(document["n_members"])
    ]
    towers = [
        load_network(folder / f"inverse-{number}", identity)
        for number in range(document["n_members"])
    ]
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
            network=ForwardNetwork(members, encoder),
            network_weight=document["network_weight"],
        ),
        base=document["base"],
        alpha=document["alpha"],
        best_linear=document["best_linear"],
        towers=TowerRanker(towers, encoder),
        measured=measured,
        ranker_weights=document["ranker_weights"],
        doses_um=tuple(document["doses_um"]),
        trained_drugs=frozenset(document["trained_drugs"]),
        trained_lines=frozenset(document["trained_lines"]),
        error_model=error_model,
        notes=document["notes"],
    )
