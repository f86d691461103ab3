"""One process of a group of two; run by ``test_distributed.py``, twice at a time.

Arguments: what is to happen, and the folder in which each process notes the weight it has at each
step. The first process says what came of it.
"""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.settings import rank_in_job
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.network.checkpoint import load_state, save_state
from drug_pipeline.training.network.identity import Identity
from drug_pipeline.training.network.loop import Hooks, LossTerms, TrainState, start_state
from drug_pipeline.training.network.train_network import Training, train_network, work_for_rank_zero
from drug_pipeline.training.parallel.process_group import ProcessGroup, joined_group
from drug_pipeline.training.parallel.runtime import running
from drug_pipeline_tests.unit.training.network.test_loop import CONFIG, LineTask, line_model

TRAIN = replace(TrainConfig.preset("tiny"), device="cpu")
IDENTITY = Identity(genes=(1, 2), data="d", split="s", drug_keys="k", line_keys="l")


@dataclass
class NotingTask(LineTask):
    """Notes the weight before each step; may meet an accident at the second process's third."""

    folder: Path = Path()
    accident: str = ""
    rank: int = 0
    world_size: int = 1

    def n_batches(self) -> int:
        return 4 // self.world_size

    def shard(self, rank: int, world_size: int) -> "NotingTask":
        return replace(self, rank=rank, world_size=world_size)

    def batches(self, epoch: int):
        yield from list(super().batches(epoch))[self.rank :: self.world_size]

    def loss(self, model: nn.Module, batch: torch.Tensor, progress: float) -> LossTerms:
        with (self.folder / f"rank-{self.rank}.txt").open("a") as file:
            file.write(f"{float(model[1].weight):.9g}\n")
        if self.rank == 1 and self.n_seen == 2:
            if self.accident == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            self.broken_step = 2 if self.accident == "nan" else -1
        return super().loss(model, batch, progress)


def fit(
    group: ProcessGroup, task: NotingTask, hooks: Hooks | None = None, path: Path | None = None
) -> TrainState:
    state = start_state(line_model(), CONFIG)
    if path is not None:
        assert load_state(path, state, IDENTITY)
    training = Training(state=state, task=task, loop=CONFIG, config=TRAIN, seed=7, text="line")
    with running(TRAIN, group) as runtime:
        return train_network(training, runtime, hooks or Hooks())


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def weights_of(state: TrainState) -> str:
    return " ".join(f"{float(p.detach().sum()):.9g}" for p in state.model.parameters())


def lead(group: ProcessGroup, what: str, folder: Path) -> None:
    if what in {"killed", "nan"}:
        try:
            fit(group, NotingTask(folder=folder, accident=what))
        except TrainingError as error:
            say(str(error))
        say(weights_of(fit(group, NotingTask(folder=folder))))
        return
    saved = folder / "state.pt"

    def save(state: TrainState) -> None:
        if what == "disk full":
            raise OSError(what)
        if state.epoch == 3:
            save_state(saved, state, IDENTITY)

    say(weights_of(fit(group, NotingTask(folder=folder), Hooks(save=save))))
    say(weights_of(fit(group, NotingTask(folder=folder), path=saved)))


def main(what: str, folder: Path) -> None:
    rank = rank_in_job()
    assert rank is not None
    with joined_group(rank) as group:
        if rank.is_first:
            try:
                lead(group, what, folder)
            finally:
                group.dismiss()
        else:
            work_for_rank_zero(group)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
