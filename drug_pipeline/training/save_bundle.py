"""Writes the deploy bundle of fitted splits; what stands in it is told in ``deployed/bundle_files.py``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.linear import Features
from drug_pipeline.storage.arrays import write_arrays
from drug_pipeline.storage.files import files_below, seal_folder, write_json
from drug_pipeline.training.deployed.bundle_files import FORMAT
from drug_pipeline.training.deployed.features_state import features_state
from drug_pipeline.training.fit_inverse import gallery_doses
from drug_pipeline.training.fit_split import FittedSplit
from drug_pipeline.training.network.checkpoint import save_network


def save_bundle(folder: Path, fitted: Mapping[str, FittedSplit], genes: pd.DataFrame) -> list[Path]:
    """The files written for some fitted splits of one Δ table."""
    data = next(iter(fitted.values())).data
    for name, split in fitted.items():
        save_split(folder / name, split)
    return complete_bundle(
        folder,
        list(fitted),
        genes,
        features=data.features,
        parent_of=data.parent_of,
        data_fingerprint=data.data_fingerprint,
    )


def complete_bundle(
    folder: Path,
    splits: Sequence[str],
    genes: pd.DataFrame,
    *,
    features: Features,
    parent_of: Mapping[str, str],
    data_fingerprint: str,
) -> list[Path]:
    """All files of a bundle whose splits are in place, with what they share and their hashes."""
    document = {
        "format": FORMAT,
        "splits": list(splits),
        "genes": {column: genes[column].tolist() for column in genes},
        "parent_of": dict(parent_of),
        "data_fingerprint": data_fingerprint,
    }
    about, vectors = folder / "bundle.json", folder / "features.npz"
    write_json(document, about)
    write_arrays(features_state(features), vectors)
    files = [about, vectors, *(file for name in splits for file in files_below(folder / name))]
    return [*files, seal_folder(folder, files)]


def save_split(folder: Path, fitted: FittedSplit) -> list[Path]:
    """The files written for one fitted split, in a folder of its own."""
    forward, inverse = fitted.forward, fitted.inverse
    shipped = forward.shipped
    wanted = set(shipped.weights) | {forward.best_linear, forward.base}
    wanted_rankers = {name for name, weight in inverse.weights.items() if weight > 0}
    wanted_rankers.add(names.RANK_COSINE)  # predicted Δ are compared by it
    if names.WHITENED_GALLERY in wanted_rankers:
        wanted_rankers.add(names.LDA_COSINE)
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
