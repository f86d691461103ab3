"""The raw folder, wherever it lies: a local path, or ``s3://``, ``gs://``, ``hf://`` and the like.

What belongs here: listing, opening, hashing raw files and reading the released metadata tables.
What does not: what the records mean (``expression/tahoe.py``), which files are fit to read
(``ingest/inventory.py``).

The folder has the released layout: ``<raw_dir>/data/*.parquet`` and
``<raw_dir>/metadata/<table>.parquet``. Local files are read, not memory-mapped: a file cut short
under a memory map kills the process.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from drug_pipeline.domain.errors import MetadataError, RawDataError, first_few

DATA_FOLDER: Final = "data"
METADATA_FOLDER: Final = "metadata"
METADATA_TABLES: Final = (
    "gene_metadata",
    "drug_metadata",
    "cell_line_metadata",
    "sample_metadata",
)
"""The released tables that the pipeline reads."""
HASH_CHUNK_BYTES: Final = 4 * 2**20
VERSION_KEYS: Final = ("ETag", "etag", "blob_id", "md5", "mtime", "LastModified", "created")
"""Where fsspec file systems keep what changes with a file's content, best first."""


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """One raw file as listed.

    Parameters
    ----------
    name
        Path relative to ``<raw_dir>/data``, with forward slashes.
    version_tag
        Changes whenever the content does (modification time in ns, or the store's ETag); empty
        where the store offers nothing of the kind, and then the file must be hashed to be known.
    """

    name: str
    size_bytes: int
    version_tag: str


class RawFolder:
    """A folder of raw files in the released layout; can be pickled and sent to workers.

    Parameters
    ----------
    raw_dir
        A local path or a URL. ``s3://``, ``gs://`` and ``hf://`` go through pyarrow, any other
        scheme through fsspec.

    Raises
    ------
    RawDataError
        If the address has no file system, or the folder is not there.
    """

    def __init__(self, raw_dir: str | Path) -> None:
        self.address = str(raw_dir)
        self._filesystem, self._root = _resolve(self.address)

    def data_files(self) -> list[RawFile]:
        """The Parquet files below ``data/``, sorted by name; hidden files are left out.

        Raises
        ------
        RawDataError
            If the folder is missing, is laid out otherwise, or holds no Parquet file.
        """
        folder = f"{self._root}/{DATA_FOLDER}"
        with self._access_errors(folder):
            infos = self._filesystem.get_file_info(pafs.FileSelector(folder, recursive=True))
        listed = {
            info.path.removeprefix(folder).lstrip("/"): info
            for info in infos
            if info.type == pafs.FileType.File and info.path.endswith(".parquet")
        }
        files = [
            self._as_raw_file(name, info) for name, info in listed.items() if not _is_hidden(name)
        ]
        if not files:
            msg = (
                f"no .parquet file in {self.address}/{DATA_FOLDER}. Put the raw files there, "
                "or point DRUG_PIPELINE_RAW_DIR at the folder that has them."
            )
            raise RawDataError(msg)
        return sorted(files, key=lambda file: file.name)

    def stat(self, name: str) -> RawFile:
        """One raw file as it stands now.

        Raises
        ------
        RawDataError
            If it has vanished.
        """
        path = self._data_path(name)
        with self._access_errors(path):
            info = self._filesystem.get_file_info(path)
        if info.type != pafs.FileType.File:
            msg = f"raw file {name} is no longer in {self.address}/{DATA_FOLDER}. Run again."
            raise RawDataError(msg)
        return self._as_raw_file(name, info)

    def open(self, name: str) -> pa.NativeFile:
        """A raw file for random access; ``pyarrow.parquet.ParquetFile`` reads from it.

        Raises
        ------
        RawDataError
            If it cannot be opened.
        """
        path = self._data_path(name)
        with self._access_errors(path):
            return self._filesystem.open_input_file(path)

    @contextmanager
    def reading(self, file: RawFile) -> Iterator[pa.NativeFile]:
        """A raw file open for reading that must be the listed one, before and after.

        Raises
        ------
        RawDataError
            If it vanished or changed since it was listed, also while it was read.
        """
        self.check_unchanged(file)
        with self.open(file.name) as stream:
            yield stream
        self.check_unchanged(file)

    def check_unchanged(self, file: RawFile) -> None:
        """Refuse a raw file that is not the one that was listed.

        Raises
        ------
        RawDataError
            If it vanished or changed.
        """
        now = self.stat(file.name)
        if now != file:
            msg = (
                f"raw file {file.name} changed while it was being read "
                f"({file.size_bytes} bytes when listed, {now.size_bytes} now). "
                "Let whatever writes it finish, then run again."
            )
            raise RawDataError(msg)

    def sha256(self, name: str) -> str:
        """SHA-256 of a raw file's content, as hex; read in pieces of 4 MiB."""
        return self._sha256(self._data_path(name))

    def metadata_table(self, name: str) -> pa.Table:
        """One released metadata table, such as ``drug_metadata``.

        Raises
        ------
        MetadataError
            If the file is missing or is not Parquet.
        """
        path = self._metadata_path(name)
        try:
            with self._filesystem.open_input_file(path) as stream:
                return pq.read_table(stream)
        except FileNotFoundError as error:
            msg = (
                f"{METADATA_FOLDER}/{name}.parquet is missing from {self.address}. "
                f"Needed: {first_few(METADATA_TABLES, limit=4)}."
            )
            raise MetadataError(msg) from error
        except (pa.ArrowException, OSError) as error:
            msg = (
                f"{METADATA_FOLDER}/{name}.parquet in {self.address} cannot be read as Parquet "
                f"({error}). Fetch it again."
            )
            raise MetadataError(msg) from error

    def metadata_fingerprints(self) -> dict[str, str]:
        """SHA-256 of each metadata file the pipeline reads, by table name.

        Raises
        ------
        MetadataError
            If a file is missing.
        """
        missing = [
            f"{name}.parquet"
            for name in METADATA_TABLES
            if not self._filesystem.get_file_info(self._metadata_path(name)).is_file
        ]
        if missing:
            msg = (
                f"{len(missing)} of {len(METADATA_TABLES)} metadata files are missing from "
                f"{self.address}/{METADATA_FOLDER}: {first_few(missing, limit=4)}. "
                "Fetch them beside the data; the records cannot be read without them."
            )
            raise MetadataError(msg)
        return {name: self._sha256(self._metadata_path(name)) for name in METADATA_TABLES}

    def _data_path(self, name: str) -> str:
        return f"{self._root}/{DATA_FOLDER}/{name}"

    def _metadata_path(self, name: str) -> str:
        return f"{self._root}/{METADATA_FOLDER}/{name}.parquet"

    def _as_raw_file(self, name: str, info: pafs.FileInfo) -> RawFile:
        return RawFile(name=name, size_bytes=int(info.size), version_tag=self._version_tag(info))

    def _version_tag(self, info: pafs.FileInfo) -> str:
        if info.mtime_ns is not None:
            return str(info.mtime_ns)
        handler = getattr(self._filesystem, "handler", None)
        if handler is None:
            return ""
        details: dict[str, Any] = handler.fs.info(info.path)
        return next((str(details[key]) for key in VERSION_KEYS if details.get(key)), "")

    def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._access_errors(path), self._filesystem.open_input_stream(path) as stream:
            while chunk := stream.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()

    @contextmanager
    def _access_errors(self, path: str) -> Iterator[None]:
        """Errors of the file system as errors that say what to do."""
        try:
            yield
        except FileNotFoundError as error:
            msg = (
                f"{path} does not exist. DRUG_PIPELINE_RAW_DIR must name a folder with "
                f"{DATA_FOLDER}/*.parquet and {METADATA_FOLDER}/*.parquet; "
                "make one with `drug-pipeline synth`, or download Tahoe-100M."
            )
            raise RawDataError(msg) from error
        except OSError as error:
            msg = f"{path} cannot be read: {error}. Check the address, access rights and network."
            raise RawDataError(msg) from error


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _resolve(address: str) -> tuple[pafs.FileSystem, str]:
    """The file system of an address and the path on it."""
    if "://" not in address:
        return pafs.LocalFileSystem(), Path(address).expanduser().resolve().as_posix()
    try:
        filesystem, root = pafs.FileSystem.from_uri(address)
    except pa.ArrowInvalid:
        filesystem, root = _resolve_with_fsspec(address)
    except OSError as error:
        msg = f"{address} cannot be reached: {error}. Check the address, credentials and network."
        raise RawDataError(msg) from error
    return filesystem, root.rstrip("/")


def _resolve_with_fsspec(address: str) -> tuple[pafs.FileSystem, str]:
    import fsspec  # only for the rarer schemes

    try:
        filesystem, root = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        msg = f"no file system for {address}: {error}. Use a local path, s3://, gs:// or hf://."
        raise RawDataError(msg) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), root
