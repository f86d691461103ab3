"""How processes of ours begin and end; workers do not outlive who started them.

What belongs here: dispositions of signals, limits, pools. What does not: what processes do,
retries, progress.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, Final

from drug_pipeline.domain.errors import ConfigurationError

OPEN_FILES: Final = 512
"""Files that a run may have open: an evaluation maps some 30 of each split, libraries hold others."""


def end_when_told() -> None:
    """Let Ctrl-C and SIGTERM both end this process in good order, however it was started.

    A shell starts a background command with Ctrl-C ignored, cron and nohup may too, and children
    inherit what is ignored. Dagster gives SIGTERM whatever handler Ctrl-C has, so that a run in the
    background could not be ended at all.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def leave_ctrl_c_to_caller() -> None:
    """Let SIGTERM end this process at once, and Ctrl-C, which reaches all of a terminal, never."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def allow_open_files(n_files: int = OPEN_FILES) -> None:
    """Raise this process's limit on open files to ``n_files`` where it is lower.

    Raises
    ------
    ConfigurationError
        If the limit is fixed below that: runs would stop, or hang, somewhere in the middle.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < n_files:
        if hard != resource.RLIM_INFINITY and hard < n_files:
            msg = (
                f"this process may have {hard} files open at a time, and a run needs up to "
                f"{n_files}. Raise the limit (`ulimit -n {n_files}`; the administrator sets its "
                "bound), then run again."
            )
            raise ConfigurationError(msg)
        resource.setrlimit(resource.RLIMIT_NOFILE, (n_files, hard))


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
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """First thing in a worker."""
    leave_ctrl_c_to_caller()
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
