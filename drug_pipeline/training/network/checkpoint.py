"""Networks on disk, and training runs that can be resumed.

A network is kept as safetensors beside a JSON that says what it belongs to: configuration, gene
order, data, split and embedding keys. It is refused where any of these differs.
"""

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import DrugNetwork, ModelSizes
from drug_pipeline.model.networks import make_network
from drug_pipeline.storage.files import read_json, replacing, write_json
from drug_pipeline.training.network.identity import Identity
from drug_pipeline.training.network.loop import TrainState

FORMAT = 2
"""Raised when an older reader could not understand a newer file."""


def save_module(
    path: Path, module: nn.Module, description: Mapping[str, Any], identity: Identity
) -> list[Path]:
    """The two files written: ``<path>.safetensors`` and ``<path>.json``."""
    weights, about = path.with_suffix(".safetensors"), path.with_suffix(".json")
    tensors = {name: tensor.contiguous().cpu() for name, tensor in module.state_dict().items()}
    with replacing(weights) as temporary:
        save_file(tensors, temporary)
    write_json({**description, "format": FORMAT, "identity": asdict(identity)}, about)
    return [weights, about]


def load_module(path: Path, identity: Identity) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The description and the tensors of :func:`save_module`.

    Raises
    ------
    CheckpointError
        If a file is missing or cannot be read, or it belongs to other genes, data, split or
        embeddings.
    """
    weights, about = path.with_suffix(".safetensors"), path.with_suffix(".json")
    if not weights.is_file() or not about.is_file():
        msg = f"there is no checkpoint {path}. Materialise the model first."
        raise CheckpointError(msg)
    try:
        document = read_json(about)
        found = Identity.from_json(document["identity"])
        tensors = load_file(weights)
    except (json.JSONDecodeError, KeyError, TypeError, SafetensorError) as error:
        msg = f"{path} is not a checkpoint that can be read ({error}). Train again."
        raise CheckpointError(msg) from error
    if document["format"] != FORMAT:
        msg = (
            f"{about} has format {document['format']}, this code reads {FORMAT}. Materialise the "
            "model again."
        )
        raise CheckpointError(msg)
    identity.require(found, path)
    return document, tensors


def save_network(path: Path, model: DrugNetwork, identity: Identity) -> list[Path]:
    """The files written for one forward or inverse network."""
    description = {"config": asdict(model.config), "sizes": asdict(model.sizes)}
    return save_module(path, model, description, identity)


def load_network(path: Path, identity: Identity) -> DrugNetwork:
    """The network of :func:`save_network`, on the CPU and in evaluation mode.

    Raises
    ------
    CheckpointError
        See :func:`load_module`.
    """
    document, tensors = load_module(path, identity)
    config = ModelConfig(**document["config"])
    model = make_network(config, ModelSizes(**document["sizes"]), tensors["token_genes_T"])
    model.load_state_dict(tensors)
    return model.eval()


def save_state(path: Path, state: TrainState, identity: Identity) -> None:
    """Everything that training changes, so that it goes on exactly as if it had not stopped."""
    document = {
        "identity": json.dumps(asdict(identity), sort_keys=True),
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "averaged": state.averaged,
        "best": state.best,
        "scalars": _scalars(state),
        "history": state.history,
        "rng": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        document["cuda_rng"] = torch.cuda.get_rng_state()
    with replacing(path) as temporary:
        torch.save(document, temporary)


def load_state(path: Path, state: TrainState, identity: Identity) -> bool:
    """Put a saved run into ``state``; False where there is none. Torch's generator is restored.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or belongs to another run.
    """
    if not path.is_file():
        return False
    device = next(state.model.parameters()).device
    try:
        document: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        found = json.loads(document["identity"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        msg = f"{path} is not a saved training run ({error}). Delete it to start afresh."
        raise CheckpointError(msg) from error
    identity.require(Identity.from_json(found), path)
    try:
        state.model.load_state_dict(document["model"])
        state.optimizer.load_state_dict(document["optimizer"])
    except (RuntimeError, ValueError) as error:
        msg = f"{path} is of a network of another shape. Delete it to start afresh."
        raise CheckpointError(msg) from error
    state.averaged, state.best = document["averaged"], document["best"]
    state.history = document["history"]
    for name, value in document["scalars"].items():
        setattr(state, name, value)
    torch.set_rng_state(document["rng"].cpu())
    if "cuda_rng" in document and torch.cuda.is_available():
        torch.cuda.set_rng_state(document["cuda_rng"].cpu())
    return True


def _scalars(state: TrainState) -> dict[str, Any]:
    return {
        "best_score": state.best_score,
        "best_epoch": state.best_epoch,
        "epoch": state.epoch,
        "step": state.step,
        "is_stopped": state.is_stopped,
    }
