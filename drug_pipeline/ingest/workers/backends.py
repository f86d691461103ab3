"""Where a map over work units runs: in this process, in local processes, or on a Ray cluster.

What belongs here: starting workers, retries, progress of workers. What does not: what a unit is.
The result does not depend on the backend: callers merge units by adding integers.
"""

import copy
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from drug_pipeline.domain.errors import DrugPipelineError
from drug_pipeline.domain.workers import worker_pool
from drug_pipeline.ingest.workers.backend_config import (
    BackendConfig,
    Result,
    Tick,
    Unit,
    WorkerLostError,
)
from drug_pipeline.ingest.workers.ray_backend import run_on_ray

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.5
_shared: dict[str, Any] = {}
"""In a worker process: the counter of cells done that all workers share."""


def run_units(
    function: Callable[[Unit, Tick], Result],
    units: Sequence[Unit],
    config: BackendConfig,
    tick: Tick,
) -> Iterator[tuple[int, Result]]:
    """``(number of the unit, its result)`` as units finish, in any order.

    Parameters
    ----------
    function
        A function of a module (workers import it); its second argument reports progress.
    tick
        Called in this process with the number of cells done since the last call.

    Raises
    ------
    WorkerLostError
        If workers die more often than ``max_retries`` allows.
    """
    if config.kind == "ray":
        return run_on_ray(function, units, config, tick)
    if config.workers == 1:
        return ((number, function(unit, tick)) for number, unit in enumerate(units))
    if config.uses_processes:
        return _run_in_processes(function, units, config, tick)
    return _run_in_threads(function, units, config, tick)


class _StoppedError(DrugPipelineError):
    """Nobody wants the unit any more."""


def _run_in_threads(
    function: Callable[[Unit, Tick], Result],
    units: Sequence[Unit],
    config: BackendConfig,
    tick: Tick,
) -> Iterator[tuple[int, Result]]:
    """Units in threads; each gets a copy of its unit, as it would in a process of its own.

    After an error, or Ctrl-C, the others end at their next report of progress.
    """
    n_cells = 0
    lock = threading.Lock()
    is_over = threading.Event()

    def count(n_new: int) -> None:
        nonlocal n_cells
        if is_over.is_set():
            raise _StoppedError
        with lock:
            n_cells += n_new

    with ThreadPoolExecutor(config.workers) as pool:
        running = {
            pool.submit(function, copy.deepcopy(unit), count): number
            for number, unit in enumerate(units)
        }
        try:
            for future in _as_completed(running, lambda: n_cells, tick):
                yield running[future], future.result()
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)


def _run_in_processes(
    function: Callable[[Unit, Tick], Result],
    units: Sequence[Unit],
    config: BackendConfig,
    tick: Tick,
) -> Iterator[tuple[int, Result]]:
    """Units in spawned processes; a pool that lost a worker is replaced, its units run again."""
    waiting = set(range(len(units)))
    for attempt in range(config.max_retries + 1):
        counter = multiprocessing.get_context("spawn").Value("q", 0)
        n_workers = min(config.workers, max(1, len(waiting)))
        with worker_pool(n_workers, _start_worker, (counter,)) as pool:
            running = {
                pool.submit(_call, function, units[number]): number for number in sorted(waiting)
            }
            try:
                for future in _as_completed(running, lambda: counter.value, tick):  # noqa: B023
                    number = running[future]
                    result = future.result()
                    waiting.discard(number)
                    yield number, result
            except BrokenProcessPool:
                logger.warning(
                    "a worker died (out of memory?); %d of %d units run again, attempt %d of %d",
                    len(waiting),
                    len(units),
                    attempt + 1,
                    config.max_retries,
                )
            else:
                return
    msg = (
        f"workers died {config.max_retries + 1} times with {len(waiting)} units left. Mostly the "
        "memory is too small: lower workers or memory_limit_mb."
    )
    raise WorkerLostError(msg)


def _as_completed(
    running: dict["Future[Result]", int], cells_done: Callable[[], int], tick: Tick
) -> Iterator["Future[Result]"]:
    """Futures as they finish; reports cells done while it waits."""
    reported = 0
    waiting = set(running)
    while waiting:
        finished, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        done = cells_done()
        if done > reported:
            tick(done - reported)
            reported = done
        yield from finished


def _start_worker(counter: Any) -> None:
    _shared["counter"] = counter


def _call(function: Callable[[Unit, Tick], Result], unit: Unit) -> Result:
    return function(unit, _count)


def _count(n_cells: int) -> None:
    counter = _shared["counter"]
    with counter.get_lock():
        counter.value += n_cells
