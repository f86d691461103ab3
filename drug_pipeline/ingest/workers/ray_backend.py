"""Work units as Ray tasks, on one machine or a cluster (extra ``ray``).

What belongs here: connecting, submitting, retrying. What does not: what a unit is.
A unit whose worker or node dies is run again by Ray, up to ``max_retries`` times; its result is
the same, so that a retry does not show. Raw files must be readable from every node.
"""

import importlib.util
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.ingest.workers.backend_config import (
    BackendConfig,
    Result,
    Tick,
    Unit,
    WorkerLostError,
)

ANSWER_SECONDS: Final = 10.0
"""How long a cluster's head may take to answer."""


def run_on_ray(
    function: Callable[[Unit, Tick], Result],
    units: Sequence[Unit],
    config: BackendConfig,
    tick: Tick,
) -> Iterator[tuple[int, Result]]:
    """``(number of the unit, its result)`` as units finish, in any order.

    At most ``config.workers`` units are under way, one CPU each. Progress comes unit by unit:
    a unit's cells are reported when it ends.

    Raises
    ------
    ConfigurationError
        If Ray is not installed or the cluster cannot be reached.
    WorkerLostError
        If workers die more often than ``max_retries`` allows.
    """
    with _connection(config):
        import ray
        from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError

        remote = ray.remote(num_cpus=1, max_retries=config.max_retries)(_call)
        waiting = list(range(len(units)))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < config.workers:
                number = waiting.pop()
                running[remote.remote(function, units[number])] = number
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            try:
                n_cells, result = ray.get(done)
            except (WorkerCrashedError, NodeDiedError) as error:
                msg = (
                    f"the worker of unit {number} died {config.max_retries + 1} times ({error}). "
                    "Mostly its node is out of memory: lower pseudobulk.files_per_unit or n_genes."
                )
                raise WorkerLostError(msg) from error
            except RayTaskError as error:
                raise error.cause from error  # as it was raised, without the remote traceback
            del done  # frees the object store
            tick(n_cells)
            yield number, result


def _call(function: Callable[[Unit, Tick], Result], unit: Unit) -> tuple[int, Result]:
    """A unit's cells and result; runs in a Ray worker."""
    n_cells = 0

    def count(n_new: int) -> None:
        nonlocal n_cells
        n_cells += n_new

    result = function(unit, count)
    return n_cells, result


@contextmanager
def _connection(config: BackendConfig) -> Iterator[None]:
    """Connected to the cluster; a connection that was there before is used and left open."""
    if importlib.util.find_spec("ray") is None:
        msg = "backend 'ray' needs Ray. Install it: pip install 'drug-pipeline[ray]'."
        raise ConfigurationError(msg)
    import ray

    if ray.is_initialized():
        yield
        return
    if config.address is not None:
        _refuse_deaf(config.address)
    try:
        if config.address is None:
            ray.init(num_cpus=config.workers, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=config.address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        msg = f"no Ray cluster at {config.address!r}: {error}. Start one, or check the address."
        raise ConfigurationError(msg) from error
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_deaf(address: str) -> None:
    """Refuse ``host:port`` where nothing answers; Ray itself would try for minutes.

    Raises
    ------
    ConfigurationError
        If no connection can be made.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):  # "auto", or another form that Ray resolves
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        msg = f"no Ray cluster at {address!r}: {error}. Start one, or check the address."
        raise ConfigurationError(msg) from error
