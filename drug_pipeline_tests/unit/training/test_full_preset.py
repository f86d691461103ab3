"""What the preset for GPUs switches on, tried where there is none: compiled, in bf16, three members."""

from dataclasses import replace

import pytest
import torch

from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.network.loop import Hooks, TrainState, start_state
from drug_pipeline.training.network.train_network import Training, train_network
from drug_pipeline.training.parallel.runtime import Runtime
from drug_pipeline_tests.unit.training.conftest import CPU, World, pair_split, task_of


def trained(world: World, config: TrainConfig, runtime: Runtime) -> TrainState:
    """A forward network, trained with both modes in its loss."""
    task, network = task_of(world, config)
    loop = config.forward.loop
    state = start_state(network, loop)
    training = Training(state=state, task=task, loop=loop, config=config, seed=0, text="forward")
    return train_network(training, runtime, Hooks())


def weights_of(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in state.model.named_parameters()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_a_compiled_network_learns_the_same_weights_under_the_same_names(
    world: World, tiny: TrainConfig
) -> None:
    still = replace(tiny, model=replace(tiny.model, dropout=0.0, signature_dropout=0.0))
    plain = weights_of(trained(world, still, Runtime(device=CPU)))
    state = trained(world, still, Runtime(device=CPU, compiler="aot_eager"))
    compiled = weights_of(state)

    assert state.model._compiled_call_impl is not None
    assert list(compiled) == list(plain)
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, rtol=1e-3, atol=1e-5)


def test_bf16_touches_the_arithmetic_and_not_the_weights(world: World, tiny: TrainConfig) -> None:
    plain = trained(world, tiny, Runtime(device=CPU))
    short = trained(world, tiny, Runtime(device=CPU, is_bf16=True))

    assert all(weight.dtype == torch.float32 for weight in short.model.parameters())
    head, other = plain.model.head.weight, short.model.head.weight
    assert not torch.equal(head, other)
    assert torch.linalg.norm(other - head) < 0.1 * torch.linalg.norm(head)


def test_the_full_preset_fits_a_split_on_a_cpu(world: World) -> None:
    full = TrainConfig.preset("full")
    one_epoch = replace(full.forward.loop, n_epochs=1)
    config = replace(
        full,
        forward=replace(full.forward, loop=one_epoch),
        inverse=replace(full.inverse, loop=one_epoch),
        n_threads=1,
    )
    fitted = fit_split(world.table, world.features, pair_split(world), config)

    assert len(fitted.forward.network.members) == 3
    assert fitted.forward.network.members[0].config == full.model
