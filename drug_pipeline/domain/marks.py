"""Whether the process that works on something is still there.

A mark is a file that its process keeps locked. The operating system frees it when the process is
gone, however it went, on this machine or on another that shares the folder. A process number
would not do: it is given again, and means nothing on another machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

SUFFIX = ".lock"


class Marks:
    """The marks of one folder; each has a name that is used once, by one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """A block during which this process holds a mark; blocks of one name may be nested.

        The mark is removed when the block ends well, and left where it does not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{name}{SUFFIX}", is_singleton=True)
        with lock:
            yield
            if lock.lock_counter == 1:
                self.remove(name)

    def left(self) -> list[str]:
        """Names of the marks that nobody holds: what they were made for has ended badly."""
        return [path.stem for path in sorted(self.folder.glob(f"*{SUFFIX}")) if _is_free(path)]

    def remove(self, name: str) -> None:
        """Forget a mark."""
        (self.folder / f"{name}{SUFFIX}").unlink(missing_ok=True)


def _is_free(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return True
    except Timeout:
        return False
