"""Local copies of remote files while they are read: never more than so many on a disk.

What belongs here: the slots, fetching ahead, handing a copy to who reads it. What does not: how a
file is fetched and checked (``raw/raw_files.py``).

A slot is a lock file and the copy beside it. Locks are the operating system's: all processes of a
machine that share the folder share the slots, and those of a process that dies are free again, its
copies overwritten. Who waits for a slot holds none that it does not read from next, so that some
reader can always go on.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from drug_pipeline.domain.errors import ConfigurationError, DrugPipelineError

Fetch = Callable[[Path], None]
"""Writes the whole file, checked, under the path; raises otherwise."""
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class SpoolConfig:
    """Where copies lie, and how many there may be.

    Parameters
    ----------
    folder
        On a disk of the machine that reads; made where it is missing.
    n_files
        Raw files on the disk at a time, over all workers of the machine; about 0.1 GB each. Below
        two per worker nothing is fetched while it reads.
    """

    folder: Path
    n_files: int

    def __post_init__(self) -> None:
        if self.n_files < 1:
            msg = f"{self.n_files} files cannot be streamed; at least 1."
            raise ConfigurationError(msg)


class _StoppedError(DrugPipelineError):
    """Nobody wants the file any more."""


@dataclass(frozen=True)
class _Slot:
    """A copy's place, locked."""

    path: Path
    lock: FileLock

    def release(self) -> None:
        """Delete the copy and let others have the slot."""
        self.path.unlink(missing_ok=True)
        self.lock.release()


@dataclass
class _Hold:
    """A file whose copy is kept for several readings, once there is one."""

    slot: _Slot | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Spool:
    """The copies of one process; a pickled spool has none."""

    def __init__(self, config: SpoolConfig) -> None:
        self._config = config
        self._held: dict[str, _Hold] = {}
        self._ahead: dict[str, Future[_Slot]] = {}
        self._is_swept = False

    def __reduce__(self) -> tuple[type["Spool"], tuple[SpoolConfig]]:
        return Spool, (self._config,)

    def is_held(self, name: str) -> bool:
        """Whether a copy of a file would be kept for a while."""
        return name in self._held

    def has(self, name: str) -> bool:
        """Whether there is a copy of a file, or it is on its way."""
        held = self._held.get(name)
        return name in self._ahead or (held is not None and held.slot is not None)

    @contextmanager
    def copy(self, name: str, fetch: Fetch) -> Iterator[Path]:
        """A file's copy, fetched now unless it was before; deleted afterwards unless it is held."""
        held = self._held.get(name)
        if held is not None:
            with held.lock:
                if held.slot is None:
                    held.slot = self._fetched(fetch, threading.Event())
            yield held.slot.path
            return
        coming = self._ahead.pop(name, None)
        slot = self._fetched(fetch, threading.Event()) if coming is None else coming.result()
        try:
            yield slot.path
        finally:
            slot.release()

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """While this lasts, a copy of a file is kept, if one is asked for."""
        hold = self._held[name] = _Hold()
        try:
            yield
        finally:
            del self._held[name]
            if hold.slot is not None:
                hold.slot.release()

    @contextmanager
    def fetching_ahead(self, files: Sequence[tuple[str, Fetch]]) -> Iterator[None]:
        """While this lasts, files are fetched in this order, as slots are free.

        ``copy`` must ask for them in this order too; an error in fetching one reaches it there.
        """
        stop = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="fetch") as pool:
            for name, fetch in files:
                self._ahead[name] = pool.submit(self._fetched, fetch, stop)
            try:
                yield
            finally:
                stop.set()
                for coming in [self._ahead.pop(name, None) for name, _ in files]:
                    _discard(coming)

    def _fetched(self, fetch: Fetch, stop: threading.Event) -> _Slot:
        slot = self._free_slot(stop)
        try:
            fetch(slot.path)
        except BaseException:
            slot.release()
            raise
        return slot

    def _free_slot(self, stop: threading.Event) -> _Slot:
        """The first slot that nobody has, waited for."""
        self._config.folder.mkdir(parents=True, exist_ok=True)
        if not self._is_swept:
            self._is_swept = True
            remove_stale_copies(self._config)
        while not stop.is_set():
            for number in range(self._config.n_files):
                slot = _try_slot(self._config.folder, number)
                if slot is not None:
                    return slot
            time.sleep(_POLL_SECONDS)
        raise _StoppedError


def remove_stale_copies(config: SpoolConfig) -> int:
    """Delete copies that a killed process left behind; returns how many."""
    n_removed = 0
    for path in sorted(config.folder.glob("slot-*.parquet")):
        slot = _try_slot(config.folder, int(path.stem.removeprefix("slot-")))
        if slot is not None:
            slot.release()
            n_removed += 1
    return n_removed


def _try_slot(folder: Path, number: int) -> _Slot | None:
    lock = FileLock(folder / f"slot-{number}.lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return _Slot(path=folder / f"slot-{number}.parquet", lock=lock)


def _discard(coming: "Future[_Slot] | None") -> None:
    """Give back the slot of a file that was fetched and not read."""
    if coming is None or coming.cancel():
        return
    if coming.exception() is None:
        coming.result().release()
