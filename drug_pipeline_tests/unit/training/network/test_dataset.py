from dataclasses import fields

import numpy as np
import pytest
import torch

from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.training.config import LoopConfig
from drug_pipeline.training.network.dataset import (
    ForwardBatch,
    InverseBatch,
    LineSampler,
    forward_dataset,
    inverse_dataset,
)
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import pair_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(world):
    return prepare(world.table, world.features, pair_split(world))


@pytest.fixture(scope="module")
def encoder(data, tiny):
    part = data.train
    return InputEncoder.fit(part.record(data.features), tiny)


def test_the_two_collators_give_two_types(data, encoder, tiny):
    part = data.train
    base_NG = np.zeros_like(part.delta_NG)
    rows = np.array([0, 3, 5])

    forward = forward_dataset(part, encoder, base_NG, part.weight_N, CPU).collate(rows)
    inverse = inverse_dataset(data, part, encoder, tiny.inverse, CPU).collate(rows, None)

    assert type(forward) is ForwardBatch
    assert type(inverse) is InverseBatch
    assert "delta_BG" not in {field.name for field in fields(forward.inputs)}
    assert "drug" not in {field.name for field in fields(inverse.inputs)}


def test_the_inputs_of_a_forward_batch_do_not_change_with_what_was_measured(data, encoder):
    part = data.train
    zeros_NG = np.zeros_like(part.delta_NG)
    noise_NG = np.random.default_rng(0).normal(size=part.delta_NG.shape).astype(np.float32)
    other = type(part)(**{**vars(part), "delta_NG": noise_NG})
    rows = np.arange(len(part))

    first = forward_dataset(part, encoder, zeros_NG, part.weight_N, CPU).collate(rows)
    second = forward_dataset(other, encoder, zeros_NG, part.weight_N, CPU).collate(rows)

    assert torch.equal(first.inputs.cell_BC, second.inputs.cell_BC)
    assert torch.equal(first.inputs.control_BT, second.inputs.control_BT)
    for name, tensor in vars(first.inputs.drug).items():
        assert torch.equal(tensor, getattr(second.inputs.drug, name)), name
    assert not torch.equal(first.delta_BG, second.delta_BG)


def test_a_twin_counts_as_right_in_the_inverse_batch(data, encoder, tiny):
    part = data.train
    row = int(np.flatnonzero(part.asked.drug_N == "drug11")[0])

    batch = inverse_dataset(data, part, encoder, tiny.inverse, CPU).collate(np.array([row]), None)

    right = [encoder.drugs[number] for number in np.flatnonzero(batch.is_positive_BD[0].numpy())]
    assert right == ["drug11", "drug12"]


def test_augmented_signatures_depend_on_the_generator_alone(data, encoder, tiny):
    dataset = inverse_dataset(data, data.train, encoder, tiny.inverse, CPU)
    rows = np.arange(4)

    first, again, other = (
        dataset.collate(rows, torch.Generator().manual_seed(seed)).inputs.signature_BG
        for seed in (1, 1, 2)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_epoch_holds_every_row_once_in_batches_of_a_few_lines():
    line_N = np.repeat(np.arange(6), 10)
    config = LoopConfig(lines_per_batch=2, conditions_per_line=5)
    sampler = LineSampler(line_N, config, seed=0)

    batches = list(sampler.epoch(0))

    assert len(batches) == sampler.n_batches() == 6
    assert sorted(np.concatenate(batches).tolist()) == list(range(60))
    assert all(len(np.unique(line_N[batch])) <= 2 for batch in batches)


def test_an_epoch_depends_on_seed_and_number_alone():
    config = LoopConfig(lines_per_batch=2, conditions_per_line=5)
    line_N = np.repeat(np.arange(6), 10)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [rows.tolist() for rows in LineSampler(line_N, config, seed=seed).epoch(epoch)]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_processes_share_an_epoch_without_overlap():
    config = LoopConfig(lines_per_batch=1, conditions_per_line=5)
    line_N = np.repeat(np.arange(4), 10)
    samplers = [LineSampler(line_N, config, seed=0).shard(rank, 2) for rank in (0, 1)]

    rows = [np.concatenate(list(sampler.epoch(0))) for sampler in samplers]

    assert set(rows[0]).isdisjoint(rows[1])
    assert len(rows[0]) + len(rows[1]) == 40


@pytest.mark.parametrize("world_size", [3, 5, 20])
def test_processes_take_as_many_batches_each_where_the_batches_do_not_go_round(world_size):
    config = LoopConfig(lines_per_batch=1, conditions_per_line=5)
    line_N = np.repeat(np.arange(4), 10)
    whole = LineSampler(line_N, config, seed=0)
    samplers = [whole.shard(rank, world_size) for rank in range(world_size)]

    batches = [list(sampler.epoch(0)) for sampler in samplers]

    n_each = -(-8 // world_size)
    assert {len(mine) for mine in batches} == {n_each} == {part.n_batches() for part in samplers}
    assert set(np.concatenate([rows for mine in batches for rows in mine])) == set(range(40))
    assert whole.n_batches() == 8


def test_an_empty_training_side_is_refused():
    with pytest.raises(EmptyResultError, match="no condition to train on"):
        LineSampler(np.zeros(0, dtype=np.int64), LoopConfig(), seed=0)
