"""The process group of a ``torchrun`` job: rank 0 runs the chain, the other ranks train with it.

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
from drug_pipeline.training.parallel.devices import n_concurrent, take_device
from drug_pipeline.training.parallel.rank import Rank

TIMEOUT: Final = timedelta(days=30)
CHUNK_BYTES: Final = 2**28
"""What is sent at once: buffers of the network stay small beside the data."""
_joined: list["ProcessGroup"] = []
"""The process group of this process; empty outside of one."""


@dataclass(kw_only=True)
class ProcessGroup:
    """The ranks of a job, seen from one of them.

    ``is_training`` says that the others are in the middle of a training: they then wait for its
    next step and for nothing else.
    """

    rank: Rank
    is_training: bool = False

    def all_reduce_mean(self, flat: Tensor) -> None:
        """Replace a tensor by its mean over all ranks (all-reduce)."""
        distributed.all_reduce(flat)
        flat /= self.rank.world_size

    def broadcast(self, figure: float) -> float:
        """Rank 0's figure, on every rank (broadcast)."""
        shared = torch.tensor([figure], dtype=torch.float64)
        distributed.broadcast(shared, src=0)
        return float(shared)

    @contextmanager
    def training_together(self, message: Any) -> Iterator[None]:
        """A block that the other ranks, told by the message, go through together with this one.

        They also leave it by a :class:`TrainingError` where this process does; any other
        exception leaves them behind in the middle of it.

        Raises
        ------
        TrainingError
            If an earlier block left them behind.
        """
        if self.is_training:
            msg = (
                f"the other {self.rank.world_size - 1} processes of this job were left in the middle "
                "of a training and cannot take part in another. Start the job again: it goes on."
            )
            raise TrainingError(msg)
        self.is_training = True
        _send(message)
        try:
            yield
        except TrainingError:
            self.is_training = False
            raise
        self.is_training = False

    def dismiss(self) -> None:
        """Let the other ranks end; such as were left behind end with this process."""
        if not self.is_training:
            _send(None)

    def receive(self) -> Any:
        """Rank 0's next message (broadcast); what it had on its GPU comes to this one's."""
        size = torch.zeros(1, dtype=torch.int64)
        distributed.broadcast(size, src=0)
        content = torch.empty(int(size), dtype=torch.uint8)
        for chunk in torch.split(content, CHUNK_BYTES):
            distributed.broadcast(chunk, src=0)
        packed = io.BytesIO(content.numpy().tobytes())
        return torch.load(packed, map_location=_to_own_gpu, weights_only=False)


def current_group() -> ProcessGroup | None:
    """The process group that this process has joined; None outside of a job."""
    return _joined[0] if _joined else None


def group_size() -> dict[str, int]:
    """World size, where it is more than one."""
    group = current_group()
    return {} if group is None else {"n_processes": group.rank.world_size}


def workers_here(n_workers: int, device: str) -> int:
    """Processes that fit side by side on this machine, where ``n_workers`` are configured."""
    is_grouped = current_group() is not None
    return n_concurrent(n_workers, device, n_gpus=torch.cuda.device_count(), is_grouped=is_grouped)


@contextmanager
def joined_group(rank: Rank) -> Iterator[ProcessGroup]:
    """The process group of the ``torchrun`` job that started this process, for the time of the block."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    take_device(rank.local_rank)
    distributed.init_process_group(backend, timeout=TIMEOUT)
    group = ProcessGroup(rank=rank)
    _joined.append(group)
    try:
        yield group
    finally:
        _joined.clear()
        if not group.is_training:  # else the others notice by the connections that this end closes
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
