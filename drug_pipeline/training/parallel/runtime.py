"""Where training runs: device, threads, seeds, and the group that takes part.

What belongs here: everything about the machine, so that the rest of training does not ask.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.parallel.devices import refuse_shared_devices
from drug_pipeline.training.parallel.process_group import ProcessGroup


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The device of this process, and the group with which it trains; None where alone.

    ``compiler`` is the backend of ``torch.compile``; without one networks run as they are written.
    """

    device: torch.device
    group: ProcessGroup | None = None
    is_bf16: bool = False
    compiler: str | None = None

    def compile(self, network: nn.Module) -> None:
        """Have the network compiled when it is first called; its weights and names stay."""
        if self.compiler is not None:
            network.compile(backend=self.compiler, dynamic=True)  # batches differ in size


@contextmanager
def running(config: TrainConfig, group: ProcessGroup | None = None) -> Iterator[Runtime]:
    """The runtime of a training run: seeded, a fixed number of threads, both restored afterwards.

    On a GPU it is the process's current one.

    Parameters
    ----------
    group
        Takes part in what is trained.

    Raises
    ------
    ConfigurationError
        If a GPU is asked for and there is none, or fewer than the group has processes here.
    """
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        msg = "device 'cuda' was asked for, but torch sees no GPU. Set device to auto or cpu."
        raise ConfigurationError(msg)
    is_cuda = has_cuda and config.device != "cpu"
    if is_cuda and group is not None:
        refuse_shared_devices(group.rank.local_world_size, torch.cuda.device_count())
    device = torch.device("cuda", torch.cuda.current_device()) if is_cuda else torch.device("cpu")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(config.n_threads)
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    if not is_cuda:
        torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
    try:
        with torch.random.fork_rng(devices=[device] if is_cuda else []):
            torch.manual_seed(config.seed)
            yield Runtime(
                device=device,
                group=group,
                is_bf16=config.is_bf16 and is_cuda,
                compiler="inductor" if config.is_compiled and is_cuda else None,
            )
    finally:
        torch.use_deterministic_algorithms(was_deterministic)
        torch.set_num_threads(n_threads)
