"""Worker processes that do not outlive who started them.

What belongs here: how processes begin and end. What does not: what they do, retries, progress.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any


@contextmanager
def worker_pool(
    n_workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes (Arrow's and torch's threads do not fork).

    When the block ends well, what was submitted is waited for. When it does not (an error, Ctrl-C,
    a generator given up), the processes are ended where they are: what they write appears whole or
    not at all, so that nothing is left half done. When this process is killed, they end by
    themselves.
    """
    pool = ProcessPoolExecutor(
        n_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(initializer, initargs),
    )
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.kill()  # SIGTERM may be ignored: Dagster gives it the handler of SIGINT
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """First thing in a worker. Ctrl-C reaches all processes of a terminal: the caller's is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_caller()
    if initializer is not None:
        initializer(*initargs)


def end_with_caller() -> None:
    """Let this worker end when the process that started it is gone, however it went."""
    caller = multiprocessing.parent_process()
    if caller is None:
        return

    def watch() -> None:
        wait([caller.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
