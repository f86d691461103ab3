"""The processes of a ``torchrun`` job as a team: the first one leads, the others help it train.

What belongs here: joining, and what goes from one process to another. What does not: what is
trained (``network/train_network.py``), devices (``parallel/devices.py``, ``parallel/runtime.py``).

Everything but gradients on a GPU travels over gloo. Waiting has no limit worth the name: helpers
wait through whole stages of the chain. A process that dies is noticed by its closed connections,
and by ``torchrun``, which then ends the others.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, distributed

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.training.parallel.devices import n_side_by_side, take_gpu
from drug_pipeline.training.parallel.rank import Place

PATIENCE: Final = timedelta(days=30)
CHUNK_BYTES: Final = 2**28
"""What is sent at once: buffers of the network stay small beside the data."""
_joined: list["Team"] = []
"""The team of this process; empty outside of one."""


@dataclass(kw_only=True)
class Team:
    """The processes of a job, seen from one of them.

    ``is_in_step`` says that the others are in the middle of a training: they then wait for its
    next step and for nothing else.
    """

    place: Place
    is_in_step: bool = False

    def average(self, flat: Tensor) -> None:
        """Put the mean over all processes in the place of a tensor."""
        distributed.all_reduce(flat)
        flat /= self.place.n_ranks

    def of_first(self, figure: float) -> float:
        """The first process's figure, in all of them."""
        shared = torch.tensor([figure], dtype=torch.float64)
        distributed.broadcast(shared, src=0)
        return float(shared)

    @contextmanager
    def in_step(self, message: Any) -> Iterator[None]:
        """A block that the others, told by the message, go through in step with this process.

        They also leave it by a :class:`TrainingError` where this process does; any other
        exception leaves them behind in the middle of it.

        Raises
        ------
        TrainingError
            If an earlier block left them behind.
        """
        if self.is_in_step:
            msg = (
                f"the other {self.place.n_ranks - 1} processes of this job were left in the middle "
                "of a training and cannot take part in another. Start the job again: it goes on."
            )
            raise TrainingError(msg)
        self.is_in_step = True
        _send(message)
        try:
            yield
        except TrainingError:
            self.is_in_step = False
            raise
        self.is_in_step = False

    def dismiss(self) -> None:
        """Let the others end; such as were left behind end with this process."""
        if not self.is_in_step:
            _send(None)

    def receive(self) -> Any:
        """The next message of the first process; what it had on its GPU comes to this one's."""
        size = torch.zeros(1, dtype=torch.int64)
        distributed.broadcast(size, src=0)
        content = torch.empty(int(size), dtype=torch.uint8)
        for chunk in torch.split(content, CHUNK_BYTES):
            distributed.broadcast(chunk, src=0)
        packed = io.BytesIO(content.numpy().tobytes())
        return torch.load(packed, map_location=_to_own_gpu, weights_only=False)


def current_team() -> Team | None:
    """The team that this process has joined."""
    return _joined[0] if _joined else None


def in_team() -> dict[str, int]:
    """How many processes train in step, where it is more than one."""
    team = current_team()
    return {} if team is None else {"n_processes": team.place.n_ranks}


def workers_here(n_workers: int, device: str) -> int:
    """Processes that fit side by side on this machine, where ``n_workers`` are configured."""
    is_team = current_team() is not None
    return n_side_by_side(n_workers, device, n_gpus=torch.cuda.device_count(), is_team=is_team)


@contextmanager
def joined_team(place: Place) -> Iterator[Team]:
    """The team of the ``torchrun`` job that started this process, for the time of the block."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    take_gpu(place.local_rank)
    distributed.init_process_group(backend, timeout=PATIENCE)
    team = Team(place=place)
    _joined.append(team)
    try:
        yield team
    finally:
        _joined.clear()
        if not team.is_in_step:  # else the others notice by the connections that this end closes
            distributed.destroy_process_group()


def _send(message: Any) -> None:
    packed = io.BytesIO()
    torch.save(message, packed)
    content = torch.from_numpy(np.frombuffer(packed.getbuffer(), dtype=np.uint8))
    distributed.broadcast(torch.tensor([len(content)]), src=0)
    for chunk in torch.split(content, CHUNK_BYTES):
        distributed.broadcast(chunk, src=0)


def _to_own_gpu(storage: Any, location: str) -> Any:
    return storage.cuda() if location.startswith("cuda") else storage
