"""Where training runs: device, threads, seeds, and its share of a ``torchrun`` job.

What belongs here: everything about the machine, so that the rest of training does not ask.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The device of this process and its place among ``world`` processes."""

    device: torch.device
    rank: int = 0
    world: int = 1
    is_bf16: bool = False
    is_compiled: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0


@contextmanager
def running(config: TrainConfig) -> Iterator[Runtime]:
    """The runtime of a training run: seeded, a fixed number of threads, both restored afterwards.

    Under ``torchrun`` (``WORLD_SIZE`` above 1) the process group is joined for the time.

    Raises
    ------
    ConfigurationError
        If a GPU is asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        msg = "device 'cuda' was asked for, but torch sees no GPU. Use device 'auto' or 'cpu'."
        raise ConfigurationError(msg)
    is_cuda = has_cuda and config.device != "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if is_cuda else torch.device("cpu")
    n_threads = torch.get_num_threads()
    is_group_ours = world > 1 and not torch.distributed.is_initialized()
    if is_group_ours:
        torch.distributed.init_process_group("nccl" if is_cuda else "gloo")
    torch.set_num_threads(config.n_threads)
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    if not is_cuda:
        torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
    try:
        with torch.random.fork_rng(devices=[device] if is_cuda else []):
            torch.manual_seed(config.seed)
            yield Runtime(
                device=device,
                rank=rank,
                world=world,
                is_bf16=config.is_bf16 and is_cuda,
                is_compiled=config.is_compiled and is_cuda,
            )
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
        torch.set_num_threads(n_threads)
        if is_group_ours:
            torch.distributed.destroy_process_group()
