"""Stores of files: this machine, object stores through pyarrow, and whatever fsspec knows.

What belongs here: listing, opening, and telling one content of a name from another. What does
not: which store an address means (``raw/connect.py``), waiting and trying again (``raw/retries.py``),
what lies where in the raw folder (``raw/raw_files.py``).

Local files are read, not memory-mapped: a file cut short under a memory map kills the process.
"""

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final, NoReturn, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from drug_pipeline.storage.raw.retries import RetryConfig, RetryingFile, with_retries

VERSION_KEYS: Final = ("ETag", "etag", "blob_id", "md5", "mtime", "LastModified", "created")
"""Where fsspec file systems keep what changes with a file's content, best first."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a store.

    Parameters
    ----------
    version_tag
        Changes with the content: time of the last change in ns, or the store's own tag; empty
        where the store has neither.
    sha256
        Of the content, where the store vouches for it; else empty.
    problem
        Why it is listed but cannot be opened, such as a link that leads nowhere; else empty.
    """

    path: str
    size_bytes: int
    version_tag: str
    sha256: str = ""
    problem: str = ""


class Store(Protocol):
    """Some files under paths with forward slashes; can be pickled."""

    is_remote: bool

    def list(self, folder: str) -> Sequence[StoredFile]:
        """All files below a folder; ``FileNotFoundError`` where it is not there."""

    def stat(self, path: str) -> StoredFile:
        """One file as it is now; ``FileNotFoundError`` where it is not there."""

    def open(self, path: str) -> pa.NativeFile:
        """One file for random access; ``FileNotFoundError`` where it is not there."""

    def content_tag(self, path: str) -> str:
        """Tells contents of a name apart where the version tag may not; else empty."""


class LocalStore:
    """The file system of this machine."""

    is_remote = False

    def __init__(self) -> None:
        self._files = pafs.LocalFileSystem()

    def list(self, folder: str) -> list[StoredFile]:
        """Whatever lies below a folder and is none itself, also what cannot be opened.

        Arrow's own listing passes over links that lead nowhere.
        """
        found: list[StoredFile] = []
        seen: set[str] = set()
        for parent, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
            if os.path.realpath(parent) in seen:
                folders.clear()
                found.append(_unfit(parent, "a link to a folder that is listed already"))
                continue
            seen.add(os.path.realpath(parent))
            found += [_on_disk(f"{parent}/{name}") for name in files]
        return found

    def stat(self, path: str) -> StoredFile:
        """One file as it is now."""
        file = _on_disk(path)
        if file.problem:
            raise FileNotFoundError(path)
        return file

    def open(self, path: str) -> pa.NativeFile:
        """One file for random access."""
        return self._files.open_input_file(path)

    def content_tag(self, path: str) -> str:
        """Empty: the time of change has nanoseconds."""
        del path
        return ""


class _RemoteStore(ABC):
    """A store behind a network: what fails for a while is tried again."""

    is_remote = True

    def __init__(self, files: Any, retries: RetryConfig) -> None:
        self._files = files
        self._retries = retries

    def list(self, folder: str) -> Sequence[StoredFile]:
        """All files below a folder."""
        return with_retries(self._retries, f"listing {folder}", lambda: self._listed(folder))

    def stat(self, path: str) -> StoredFile:
        """One file as it is now."""
        return with_retries(self._retries, f"looking up {path}", lambda: self._stated(path))

    def open(self, path: str) -> pa.NativeFile:
        """One file for random access."""
        size_bytes = self.stat(path).size_bytes
        stream = RetryingFile(path, size_bytes, lambda: self._open(path), self._retries)
        return pa.PythonFile(stream, mode="r")

    @abstractmethod
    def _listed(self, folder: str) -> Sequence[StoredFile]: ...

    @abstractmethod
    def _stated(self, path: str) -> StoredFile: ...

    @abstractmethod
    def _open(self, path: str) -> tuple[BinaryIO, Any]:
        """The file opened anew, and what tells its content apart."""


class ObjectStore(_RemoteStore):
    """S3 or Google Cloud, through pyarrow; its own retries are switched off for ours."""

    def content_tag(self, path: str) -> str:
        """The object's ETag: times of change have whole seconds on S3."""

        def look() -> str:
            stream, tag = self._open(path)
            stream.close()
            return tag.decode()

        return with_retries(self._retries, f"looking up {path}", look)

    def _listed(self, folder: str) -> Sequence[StoredFile]:
        infos = self._files.get_file_info(pafs.FileSelector(folder, recursive=True))
        return [_of_info(info) for info in infos if info.type == pafs.FileType.File]

    def _stated(self, path: str) -> StoredFile:
        info = self._files.get_file_info(path)
        if info.type != pafs.FileType.File:
            raise FileNotFoundError(path)
        return _of_info(info)

    def _open(self, path: str) -> tuple[Any, bytes]:
        stream = self._files.open_input_file(path)
        metadata = stream.metadata() or {}
        return stream, metadata.get("ETag") or metadata.get("etag") or b""


class FsspecStore(_RemoteStore):
    """Whatever fsspec has a file system for; the hub's is pinned to one commit."""

    def __init__(self, files: Any, retries: RetryConfig, *, is_immutable: bool = False) -> None:
        super().__init__(files, retries)
        self._is_immutable = is_immutable

    def content_tag(self, path: str) -> str:
        """Empty: version tags are the store's own."""
        del path
        return ""

    def _listed(self, folder: str) -> Sequence[StoredFile]:
        self._forget()
        found = self._files.find(folder, detail=True)
        if not found and not self._files.exists(folder):
            raise FileNotFoundError(folder)
        return [_stored(info) for info in found.values() if info["type"] == "file"]

    def _stated(self, path: str) -> StoredFile:
        self._forget()
        return _stored(self._files.info(path))

    def _open(self, path: str) -> tuple[BinaryIO, Any]:
        version = self._stated(path)
        return self._files.open(path, "rb", cache_type="none"), version

    def _forget(self) -> None:
        """Drop cached listings, lest a file that changed looks as before."""
        if not self._is_immutable:
            self._files.invalidate_cache()


def _on_disk(path: str) -> StoredFile:
    """A file of this machine, or why it is none that can be opened."""
    try:
        state = os.stat(path)  # noqa: PTH116 - hundreds of thousands of them
    except OSError as error:
        where = f" to {os.readlink(path)}" if os.path.islink(path) else ""  # noqa: PTH114, PTH115
        return _unfit(path, f"a link{where}, where nothing can be opened ({error.strerror})")
    if not stat.S_ISREG(state.st_mode):
        return _unfit(path, "no file, but a pipe, a socket or a device")
    return StoredFile(path=path, size_bytes=state.st_size, version_tag=str(state.st_mtime_ns))


def _unfit(path: str, problem: str) -> StoredFile:
    return StoredFile(path=path, size_bytes=0, version_tag="", problem=problem)


def _raise(error: OSError) -> NoReturn:
    raise error


def _of_info(info: pafs.FileInfo) -> StoredFile:
    tag = "" if info.mtime_ns is None else str(info.mtime_ns)
    return StoredFile(path=info.path, size_bytes=int(info.size), version_tag=tag)


def _stored(info: dict[str, Any]) -> StoredFile:
    """A file as fsspec describes it; the hub knows the hash of large files."""
    tag = next((info[key] for key in VERSION_KEYS if info.get(key)), "")
    if isinstance(tag, datetime):  # in some listings a number of seconds
        tag = tag.timestamp()
    large = info.get("lfs")
    sha256 = "" if large is None else str(large["sha256"])
    return StoredFile(
        path=info["name"], size_bytes=int(info["size"]), version_tag=str(tag), sha256=sha256
    )
