"""Which GPU a process of several takes, and how many processes work side by side.

What belongs here: arithmetic over numbers of GPUs, and making a GPU this process's own. What does
not: processes (``split_workers.py``, ``parallel/process_group.py``).
"""

import multiprocessing
from collections.abc import Callable
from queue import Queue
from typing import Any

import torch

from drug_pipeline.domain.errors import ConfigurationError


def device_in_turn(number: int, n_gpus: int) -> int | None:
    """Number of the GPU of the process that is ``number``-th on its machine; None without GPUs."""
    return number % n_gpus if n_gpus else None


def n_concurrent(n_workers: int, device: str, *, n_gpus: int, is_grouped: bool) -> int:
    """Processes that fit side by side: one per GPU where there are several, one for a whole group.

    A group's processes already share every fit.
    """
    if is_grouped:
        return 1
    return n_workers if device == "cpu" or n_gpus < 2 else max(n_workers, n_gpus)


def refuse_shared_devices(n_processes: int, n_gpus: int) -> None:
    """Refuse a group with more processes on a machine than GPUs.

    Raises
    ------
    ConfigurationError
        Naming both numbers.
    """
    if n_processes > n_gpus:
        msg = (
            f"torchrun has started {n_processes} processes on this machine, but torch sees "
            f"{n_gpus} GPUs; each process needs one of its own. Start it with --nproc-per-node "
            f"{n_gpus}, or train on the CPU with --device cpu."
        )
        raise ConfigurationError(msg)


def take_device(number: int) -> None:
    """Make a GPU the one on which this process works, in turn."""
    gpu = device_in_turn(number, torch.cuda.device_count())
    if gpu is not None:
        torch.cuda.set_device(gpu)


def device_numbers(n_workers: int) -> "Queue[int]":
    """Numbers from 0 for workers to take, one each, as they start."""
    numbers: Queue[int] = multiprocessing.get_context("spawn").Queue()  # type: ignore[assignment]
    for number in range(n_workers):
        numbers.put(number)
    return numbers


def start_on_own_device(
    numbers: "Queue[int]", initializer: Callable[..., None] | None = None, *arguments: Any
) -> None:
    """First thing in a worker: the next number decides its GPU."""
    take_device(numbers.get())
    if initializer is not None:
        initializer(*arguments)
