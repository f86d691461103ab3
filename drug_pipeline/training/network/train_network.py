"""One network trained by a team of processes in step.

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
from drug_pipeline.training.network.loop import Hooks, Share, Task, TrainState, train
from drug_pipeline.training.parallel.process_group import Team
from drug_pipeline.training.parallel.runtime import Runtime, running


class SharedTask(Task, Protocol):
    """A task whose batches can be shared among processes."""

    def shared(self, rank: int, n_ranks: int) -> Task:
        """The task with the batches of one process of several."""
        ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that training one network takes, from where its state stands.

    ``seed`` is that of what is drawn by chance (dropout) where several processes train.
    """

    state: TrainState
    task: SharedTask
    loop: LoopConfig
    config: TrainConfig
    seed: int
    text: str


def train_in_step(training: Training, runtime: Runtime, hooks: Hooks) -> TrainState:
    """The state after training, by the whole team of ``runtime``, or by this process alone.

    Raises
    ------
    TrainingError
        See :func:`train`; in all processes of a team where it is in one.
    """
    if runtime.team is None:
        runtime.compile(training.state.model)
        return train(
            training.state,
            training.task,
            training.loop,
            hooks=hooks,
            is_bf16=runtime.is_bf16,
            text=training.text,
        )
    with runtime.team.in_step(training):
        return _take_part(training, runtime, runtime.team, hooks)


def help_first(team: Team) -> None:
    """Take part in what the first process trains, until it needs no help any more.

    Ctrl-C is the first one's business.
    """
    leave_ctrl_c_to_caller()
    while isinstance(message := team.receive(), Training):
        with running(message.config, team) as runtime, suppress(TrainingError):  # first one tells
            _take_part(message, runtime, team, Hooks())


def _take_part(training: Training, runtime: Runtime, team: Team, hooks: Hooks) -> TrainState:
    place = team.place
    runtime.compile(training.state.model)  # here, since what compiles does not travel
    return train(
        training.state,
        training.task.shared(place.rank, place.n_ranks),
        training.loop,
        hooks=hooks,
        is_bf16=runtime.is_bf16,
        text=training.text,
        share=Share(team=team, seed=training.seed),
    )
