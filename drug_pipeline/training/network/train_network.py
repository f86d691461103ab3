"""One network trained, by this process alone or by all ranks of a process group.

What belongs here: what the first process gives the others to do, and how they do it. What does
not: how they talk (``parallel/process_group.py``), a training step (``network/loop.py``).

The first process runs the chain as if it were alone. Where it trains a network it sends the
others everything that takes: they read no file, write none and say nothing. Each takes its share
of an epoch's batches; gradients are averaged, so that the weights of all stay the same.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.domain.workers import leave_ctrl_c_to_caller
from drug_pipeline.training.config import LoopConfig, TrainConfig
from drug_pipeline.training.network.loop import DataParallel, Hooks, Task, TrainState, train
from drug_pipeline.training.parallel.process_group import ProcessGroup
from drug_pipeline.training.parallel.runtime import Runtime, running


class ShardableTask(Task, Protocol):
    """A task whose batches can be shared among processes."""

    def shard(self, rank: int, world_size: int) -> Task:
        """The task with the batches of one process of several."""
        ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that training one network takes, from where its state stands.

    ``seed`` is that of what is drawn by chance (dropout) where several processes train.
    """

    state: TrainState
    task: ShardableTask
    loop: LoopConfig
    config: TrainConfig
    seed: int
    text: str


def train_network(training: Training, runtime: Runtime, hooks: Hooks) -> TrainState:
    """The state after training, by the whole group of ``runtime``, or by this process alone.

    Raises
    ------
    TrainingError
        See :func:`train`; in all processes of a group where it is in one.
    """
    if runtime.group is None:
        runtime.compile(training.state.model)
        return train(
            training.state,
            training.task,
            training.loop,
            hooks=hooks,
            is_bf16=runtime.is_bf16,
            text=training.text,
        )
    with runtime.group.training_together(training):
        return _train_as_rank(training, runtime, runtime.group, hooks)


def work_for_rank_zero(group: ProcessGroup) -> None:
    """Take part in what the first process trains, until it needs no help any more.

    Ctrl-C is the first one's business.
    """
    leave_ctrl_c_to_caller()
    while isinstance(message := group.receive(), Training):
        with running(message.config, group) as runtime, suppress(TrainingError):  # first one tells
            _train_as_rank(message, runtime, group, Hooks())


def _train_as_rank(
    training: Training, runtime: Runtime, group: ProcessGroup, hooks: Hooks
) -> TrainState:
    rank = group.rank
    runtime.compile(training.state.model)  # here, since what compiles does not travel
    return train(
        training.state,
        training.task.shard(rank.rank, rank.world_size),
        training.loop,
        hooks=hooks,
        is_bf16=runtime.is_bf16,
        text=training.text,
        parallel=DataParallel(group=group, seed=training.seed),
    )
