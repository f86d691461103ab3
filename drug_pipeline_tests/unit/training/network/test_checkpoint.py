from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import ModelSizes
from drug_pipeline.model.transformer import DrugTransformer
from drug_pipeline.training.network.checkpoint import (
    Identity,
    load_network,
    load_state,
    save_network,
    save_state,
)
from drug_pipeline.training.network.loop import Hooks, start_state, train
from drug_pipeline_tests.unit.training.network.test_loop import CONFIG, LineTask, line_model


def vectors(*keys: str, value: float = 1.0) -> EmbeddingTable:
    return EmbeddingTable(
        key_name="key",
        keys=keys,
        vectors_KF=np.full((len(keys), 2), value, dtype=np.float32),
        feature_names=("f0", "f1"),
        blocks={"morgan": (0, 2)},
        trained_on="a test",
    )


WHOSE = {"genes": (3, 5, 7), "data": "d", "split": "s"}
IDENTITY = Identity.of(**WHOSE, drugs=vectors("a", "b"), lines=vectors("x"))


def network() -> DrugTransformer:
    torch.manual_seed(0)
    config = ModelConfig(width=8, n_heads=2, n_gene_tokens=2, signature_width=8, tower_width=4)
    sizes = ModelSizes(n_genes=3, n_chemistry=4, n_cell=2, n_profile=2, n_drugs=2)
    return DrugTransformer(config, sizes, torch.tensor([0, 2])).eval()


def test_a_network_comes_back_as_it_was_saved(tmp_path):
    saved = network()

    save_network(tmp_path / "net", saved, IDENTITY)
    loaded = load_network(tmp_path / "net", IDENTITY)

    assert loaded.config == saved.config
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_the_same_network_gives_the_same_bytes(tmp_path):
    first = save_network(tmp_path / "a", network(), IDENTITY)
    second = save_network(tmp_path / "b", network(), IDENTITY)

    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genes": (3, 5, 9)}, "other genes than asked for.* not in it: 9"),
        ({"genes": (7, 5, 3)}, "The genes are the same, in another order"),
        ({"data": "other"}, "other data than"),
        ({"split": "other"}, "other split than"),
        ({"drug_keys": "other"}, "other drug keys than"),
        ({"line_keys": "other"}, "other cell-line keys than"),
        ({"drug_vectors": "other"}, "other drug vectors than"),
        ({"line_vectors": "other"}, "other cell-line vectors than"),
    ],
    ids=["genes", "gene-order", "data", "split", "drugs", "lines", "drug-vectors", "line-vectors"],
)
def test_a_checkpoint_of_something_else_is_refused_and_the_difference_named(
    tmp_path, changes, message
):
    save_network(tmp_path / "net", network(), IDENTITY)

    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path / "net", replace(IDENTITY, **changes))


def test_vectors_of_the_same_drugs_made_in_another_way_are_another_identity():
    other = Identity.of(**WHOSE, drugs=vectors("a", "b", value=2.0), lines=vectors("x"))

    assert other.drug_keys == IDENTITY.drug_keys
    with pytest.raises(CheckpointError, match="of other drug vectors than asked for"):
        IDENTITY.require(other, Path("net"))


def test_a_checkpoint_from_before_vectors_were_hashed_is_known_by_its_keys(tmp_path):
    old = replace(IDENTITY, drug_vectors="", line_vectors="")
    save_network(tmp_path / "net", network(), old)

    load_network(tmp_path / "net", IDENTITY)
    with pytest.raises(CheckpointError, match="other drug keys"):
        load_network(tmp_path / "net", replace(IDENTITY, drug_keys="other"))


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint .*net"):
        load_network(tmp_path / "net", IDENTITY)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_checkpoint_is_refused(tmp_path, suffix):
    save_network(tmp_path / "net", network(), IDENTITY)
    (tmp_path / f"net{suffix}").write_bytes(b"damaged")

    with pytest.raises(CheckpointError, match="is not a checkpoint that can be read"):
        load_network(tmp_path / "net", IDENTITY)


class _Killed(Exception):
    """Stands for a process that is killed."""


def _kill_after(n_saves, path):
    saves = []

    def save(state):
        save_state(path, state, IDENTITY)
        saves.append(state.epoch)
        if len(saves) == n_saves:
            raise _Killed

    return Hooks(save=save)


def test_a_killed_run_goes_on_exactly_as_one_that_was_not(tmp_path):
    torch.manual_seed(5)
    whole = train(start_state(line_model(), CONFIG), LineTask(), CONFIG)

    path = tmp_path / "run.pt"
    torch.manual_seed(5)
    with pytest.raises(_Killed):
        train(start_state(line_model(), CONFIG), LineTask(), CONFIG, hooks=_kill_after(2, path))
    torch.manual_seed(99)
    resumed = start_state(line_model(), CONFIG)
    assert load_state(path, resumed, IDENTITY)
    train(resumed, LineTask(), CONFIG)

    assert resumed.history == whole.history
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name
    for name, tensor in whole.averaged.items():
        assert torch.equal(resumed.averaged[name], tensor), name


def test_without_a_saved_run_there_is_nothing_to_resume(tmp_path):
    assert not load_state(tmp_path / "run.pt", start_state(line_model(), CONFIG), IDENTITY)


def test_a_saved_run_of_other_data_is_refused(tmp_path):
    save_state(tmp_path / "run.pt", start_state(line_model(), CONFIG), IDENTITY)

    with pytest.raises(CheckpointError, match="other data than asked for"):
        load_state(
            tmp_path / "run.pt",
            start_state(line_model(), CONFIG),
            replace(IDENTITY, data="other"),
        )


def test_a_damaged_saved_run_is_refused(tmp_path):
    (tmp_path / "run.pt").write_bytes(b"damaged")

    with pytest.raises(CheckpointError, match="is not a saved training run"):
        load_state(tmp_path / "run.pt", start_state(line_model(), CONFIG), IDENTITY)
