"""The raw folder, wherever it lies: a local path, or ``s3://``, ``gs://``, ``hf://`` and the like.

What belongs here: listing, opening, hashing raw files and reading the released metadata tables.
What does not: what the records mean (``expression/released/tahoe.py``), which files are fit to read
(``ingest/raw/inventory.py``), how stores are reached (``raw/connect.py``, ``raw/stores.py``).

The folder has the released layout: ``<raw_dir>/data/*.parquet`` and
``<raw_dir>/metadata/<table>.parquet``. With a spool, remote files that will be read to a large
part are fetched whole, a few at a time, and deleted once they have been read (``raw/spool.py``).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain.errors import MetadataError, RawAccessError, RawDataError, first_few
from drug_pipeline.storage.files import explaining_full_disk
from drug_pipeline.storage.raw.connect import RemoteConfig, open_store
from drug_pipeline.storage.raw.spool import Spool, SpoolConfig
from drug_pipeline.storage.raw.stores import StoredFile

DATA_FOLDER: Final = "data"
METADATA_FOLDER: Final = "metadata"
METADATA_TABLES: Final = ("gene_metadata", "drug_metadata", "cell_line_metadata", "sample_metadata")
"""The released tables that the pipeline reads."""
CHUNK_BYTES: Final = 8 * 2**20
"""Read at a time where a file is hashed or fetched; one request to an object store."""


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
    sha256
        Of the content, where it is known without reading; else empty.
    problem
        Why it is not read, however it may be: not a ``.parquet`` file, hidden, a link that leads
        nowhere; else empty.
    """

    name: str
    size_bytes: int
    version_tag: str
    sha256: str = field(default="", compare=False)
    problem: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class RawSource:
    """Where a raw folder is and how it is read; ``spool`` None reads remote files in place."""

    address: str
    remote: RemoteConfig = field(default_factory=RemoteConfig)
    spool: SpoolConfig | None = None

    def __str__(self) -> str:
        return self.address


RawDir = str | Path | RawSource
"""What may name a raw folder."""


class RawFolder:
    """A folder of raw files in the released layout; can be pickled and sent to workers.

    Parameters
    ----------
    raw_dir
        A local path or a URL, or those with how they are reached. ``s3://`` and ``gs://`` go
        through pyarrow, any other scheme through fsspec.

    Raises
    ------
    RawDataError
        If the address has no file system, or it cannot be reached.
    """

    def __init__(self, raw_dir: RawDir) -> None:
        source = raw_dir if isinstance(raw_dir, RawSource) else RawSource(address=str(raw_dir))
        self.address = source.address
        self._store, self._root = open_store(source.address, source.remote)
        self._spool = None if source.spool is None else Spool(source.spool)

    @property
    def is_remote(self) -> bool:
        """Whether reading goes over a network that our own code talks to."""
        return self._store.is_remote

    def data_files(self) -> list[RawFile]:
        """The Parquet files below ``data/`` that can be opened, sorted by name; hidden ones left out.

        Raises
        ------
        RawDataError
            If the folder is missing, is laid out otherwise, or holds no Parquet file.
        """
        return [file for file in self.everything() if not file.problem]

    def everything(self) -> list[RawFile]:
        """Whatever lies below ``data/``, sorted by name; what is not read has a ``problem``.

        Raises
        ------
        RawDataError
            If the folder is missing, is laid out otherwise, or holds no Parquet file.
        """
        folder = f"{self._root}/{DATA_FOLDER}"
        with self._access_errors(folder):
            stored = self._store.list(folder)
        listed = {file.path.removeprefix(folder).lstrip("/"): file for file in stored}
        files = [_as_raw_file(name, file) for name, file in listed.items() if name]
        if not any(file.name.endswith(".parquet") for file in files):
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
        try:
            return _as_raw_file(name, self._store.stat(path))
        except FileNotFoundError as error:
            msg = f"raw file {name} is no longer in {self.address}/{DATA_FOLDER}. Run again."
            raise RawDataError(msg) from error
        except OSError as error:
            raise RawDataError(_unreadable(path, error)) from error

    def open(self, name: str) -> pa.NativeFile:
        """A raw file for random access; ``pyarrow.parquet.ParquetFile`` reads from it.

        Raises
        ------
        RawDataError
            If it cannot be opened.
        """
        path = self._data_path(name)
        with self._access_errors(path):
            return self._store.open(path)

    @contextmanager
    def reading(self, file: RawFile, *, is_whole: bool = False) -> Iterator[pa.NativeFile]:
        """A raw file open for reading that must be the listed one, before and after.

        Parameters
        ----------
        is_whole
            Whether most of the file will be read: with a spool it is then fetched first.

        Raises
        ------
        RawDataError
            If it vanished or changed since it was listed, also while it was read.
        """
        if self._spool is not None and (is_whole or self._spool.has(file.name)):
            copy = self._spool.copy(file.name, self._fetcher(file))
            with copy as path, pa.OSFile(str(path)) as stream:
                yield stream
            return
        with self._unchanging(file), self.open(file.name) as stream:
            yield stream

    @contextmanager
    def holding(self, file: RawFile) -> Iterator[None]:
        """While this lasts, a spooled copy of a file is kept: one fetch for several readings."""
        if self._spool is None:
            yield
            return
        with self._spool.holding(file.name):
            yield

    @contextmanager
    def fetching_ahead(self, files: Sequence[RawFile]) -> Iterator[None]:
        """While this lasts, files are fetched in this order as the spool has room.

        They must be read in the same order. Without a spool nothing is done ahead.
        """
        if self._spool is None:
            yield
            return
        with self._spool.fetching_ahead([(file.name, self._fetcher(file)) for file in files]):
            yield

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
        """SHA-256 of a raw file's content, as hex; from its copy while one is held."""
        if self._spool is not None and self._spool.is_held(name):
            with self.reading(self.stat(name), is_whole=True) as stream:
                return _digest(stream)
        return self._sha256(self._data_path(name))

    def metadata_table(self, name: str) -> pa.Table:
        """One released metadata table, such as ``drug_metadata``.

        Raises
        ------
        MetadataError
            If the file is missing or is not Parquet.
        """
        try:
            with self._store.open(self._metadata_path(name)) as stream:
                return pq.read_table(stream, page_checksum_verification=True)
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
        found: dict[str, StoredFile] = {}
        for name in METADATA_TABLES:
            with suppress(FileNotFoundError):
                found[name] = self._store.stat(self._metadata_path(name))
        missing = [f"{name}.parquet" for name in METADATA_TABLES if name not in found]
        if missing:
            msg = (
                f"{len(missing)} of {len(METADATA_TABLES)} metadata files are missing from "
                f"{self.address}/{METADATA_FOLDER}: {first_few(missing, limit=4)}. "
                "Fetch them beside the data; the records cannot be read without them."
            )
            raise MetadataError(msg)
        return {name: file.sha256 or self._sha256(file.path) for name, file in found.items()}

    def _data_path(self, name: str) -> str:
        return f"{self._root}/{DATA_FOLDER}/{name}"

    def _metadata_path(self, name: str) -> str:
        return f"{self._root}/{METADATA_FOLDER}/{name}.parquet"

    def _sha256(self, path: str) -> str:
        with self._access_errors(path), self._store.open(path) as stream:
            return _digest(stream)

    def _fetcher(self, file: RawFile) -> Callable[[Path], None]:
        return lambda path: self._fetch(file, path)

    def _fetch(self, file: RawFile, path: Path) -> None:
        """Copy a raw file to a local path, whole and checked.

        Raises
        ------
        RawDataError
            If it changed, or what arrived is not what was inventoried.
        DiskFullError
            If it does not fit.
        """
        digest, n_bytes = hashlib.sha256(), 0
        with (
            self._unchanging(file),
            self.open(file.name) as source,
            explaining_full_disk(path.parent),
            path.open("wb") as target,
        ):
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                n_bytes += target.write(chunk)
        if file.sha256 and digest.hexdigest() != file.sha256:
            msg = (
                f"raw file {file.name} arrived with another content than the one inventoried "
                f"({n_bytes} bytes, SHA-256 {digest.hexdigest()[:12]}, not {file.sha256[:12]}). "
                "Run again; if it stays so, materialise raw_tahoe again."
            )
            raise RawAccessError(msg)

    @contextmanager
    def _unchanging(self, file: RawFile) -> Iterator[None]:
        """Refuse what was read if the file is not the listed one, before and after.

        A failure to read a file that has changed is told as the change.
        """
        self.check_unchanged(file)
        path = self._data_path(file.name)
        tag = self._store.content_tag(path)
        try:
            yield
        except (pa.ArrowException, OSError):
            self.check_unchanged(file)
            raise
        self.check_unchanged(file)
        if self._store.content_tag(path) != tag:
            msg = f"raw file {file.name} changed while it was being read. Run again."
            raise RawDataError(msg)

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
            raise RawDataError(_unreadable(path, error)) from error


def open_parquet(
    stream: pa.NativeFile,
    *,
    read_dictionary: Sequence[str] = (),
    metadata: pq.FileMetaData | None = None,
) -> pq.ParquetFile:
    """A raw file as Parquet; neighbouring pieces are asked for together where asking is slow.

    Checksums of pages are compared where the file has them.
    """
    return pq.ParquetFile(
        stream,
        metadata=metadata,
        read_dictionary=list(read_dictionary),
        pre_buffer=isinstance(stream, pa.PythonFile),
        page_checksum_verification=True,
    )


def _as_raw_file(name: str, file: StoredFile) -> RawFile:
    return RawFile(
        name=name,
        size_bytes=file.size_bytes,
        version_tag=file.version_tag,
        sha256=file.sha256,
        problem=file.problem or _problem_of(name),
    )


def _problem_of(name: str) -> str:
    """Why a file of this name is not read; empty where it is."""
    if any(part.startswith((".", "_")) for part in name.split("/")):
        return "hidden by its name, as tools hide what is unfinished"
    return "" if name.endswith(".parquet") else "not a .parquet file"


def _digest(stream: pa.NativeFile) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _unreadable(path: str, error: OSError) -> str:
    return f"{path} cannot be read: {error}. Check the address, access rights and network."
