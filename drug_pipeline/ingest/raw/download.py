"""Tahoe-100M from the Hugging Face hub to a raw folder: all of it, some plates, or some files.

What belongs here: choosing files, what is there already, room on the disk, the fetching side by
side. What does not: talking to the hub (``storage/raw/hub.py``).

No published table says which file has cells of which plate. It is read from the footers, one
small request per file, and remembered with the folder (``.download.json``), as is which files have
been checked against the hub's hashes: a second call fetches and hashes only what is missing.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, DiskFullError, RawDataError, first_few
from drug_pipeline.ingest.raw.plate_index import may_have, plate_names, plate_ranges
from drug_pipeline.storage.build import FolderBusyError
from drug_pipeline.storage.files import explaining_full_disk, read_json, write_json
from drug_pipeline.storage.raw.hub import Hub, content_id, is_intact, remove_partial_files
from drug_pipeline.storage.raw.raw_files import DATA_FOLDER, METADATA_FOLDER, METADATA_TABLES
from drug_pipeline.storage.raw.stores import StoredFile

NOTES_FILE: Final = ".download.json"
LOCK_FILE: Final = ".download.lock"
SPARE_FRAC: Final = 0.02
"""Room that must be left beside the files, as a share of theirs."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """Which files are wanted.

    Parameters
    ----------
    plates
        Names such as ``plate6``, or their numbers; empty for all. Files with cells of other
        plates too are fetched whole.
    n_files
        So many data files of those, None for all: the ones of smallest hash, so that they are
        spread over the release and a larger number keeps what is there.
    workers
        Files fetched side by side.
    """

    plates: tuple[str, ...] = ()
    n_files: int | None = None
    workers: int = 4

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.n_files is not None and self.n_files < 1):
            msg = f"workers is {self.workers}, n_files {self.n_files}; at least 1 each."
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class DownloadPlan:
    """What is wanted and what of it is missing; ``n_data_files`` counts the hub's."""

    commit: str
    n_data_files: int
    wanted: list[StoredFile]
    missing: list[StoredFile]

    @property
    def n_bytes_missing(self) -> int:
        """Bytes to be fetched."""
        return sum(file.size_bytes for file in self.missing)


class Download:
    """One raw folder and the hub it is filled from.

    Parameters
    ----------
    folder
        Local; gets ``data/`` and ``metadata/`` as released.
    """

    def __init__(self, folder: Path, hub: Hub, config: DownloadConfig) -> None:
        self._folder = folder
        self._hub = hub
        self._config = config
        self._notes_path = folder / NOTES_FILE
        there = read_json(self._notes_path) if self._notes_path.exists() else {}
        self._checked: dict[str, list[Any]] = there.get("checked", {})
        self._plates: dict[str, list[list[str]]] = there.get("plates", {})

    def plan(self, progress: Progress | None = None) -> DownloadPlan:
        """Compare what is wanted with what is there; fetches the metadata tables, which are small.

        Raises
        ------
        ConfigurationError
            If a plate is not in the metadata.
        RawDataError
            If the repository lacks a table or has no data files.
        """
        tables = self._metadata_files()
        data = [f for f in self._hub.files(DATA_FOLDER) if f.path.endswith(".parquet")]
        if not data:
            msg = f"the hub's repository has no {DATA_FOLDER}/*.parquet. Check --repo."
            raise RawDataError(msg)
        self._fetch_all([file for file in tables if not self._is_there(file)], None)
        chosen = self._of_plates(data, progress) if self._config.plates else data
        if self._config.n_files is not None:
            chosen = sorted(chosen, key=content_id)[: self._config.n_files]
        wanted = [*tables, *sorted(chosen, key=lambda file: file.path)]
        missing = [file for file in wanted if not self._is_there(file)]
        self._save_notes()
        return DownloadPlan(
            commit=self._hub.commit, n_data_files=len(data), wanted=wanted, missing=missing
        )

    def run(self, plan: DownloadPlan, progress: Progress | None = None) -> None:
        """Fetch what a plan misses. Stopped at any moment, the next call fetches the rest.

        A transfer that breaks goes on at its byte; a process that dies costs the files that it
        had under way.

        Raises
        ------
        FolderBusyError
            If another download fills the same folder.
        DiskFullError
            If there is no room for all of it; before anything is fetched.
        RawAccessError
            If the hub fails for longer than its retries last.
        """
        self._require_room(plan)
        self._fetch_all(plan.missing, progress)

    def _fetch_all(self, files: Sequence[StoredFile], progress: Progress | None) -> None:
        if not files:
            return
        with self._only_one():
            remove_partial_files(self._folder)
            self._fetch_side_by_side(files, progress)

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Keeps two downloads from filling one folder."""
        try:
            with FileLock(self._folder / LOCK_FILE, timeout=0):
                yield
        except Timeout as error:
            msg = f"another download is filling {self._folder}. Wait for it, or stop it."
            raise FolderBusyError(msg) from error

    def _fetch_side_by_side(self, files: Sequence[StoredFile], progress: Progress | None) -> None:
        total = sum(file.size_bytes for file in files)
        done = 0
        pool = ThreadPoolExecutor(self._config.workers)
        try:
            fetched = {pool.submit(self._hub.fetch, f, self._folder): f for f in files}
            for future in as_completed(fetched):
                future.result()
                file = fetched[future]
                self._note_checked(file)
                done += file.size_bytes
                if progress is not None:
                    progress(done, total, file.path)
        finally:
            pool.shutdown(cancel_futures=True)
            self._save_notes()

    def _metadata_files(self) -> list[StoredFile]:
        wanted = {f"{METADATA_FOLDER}/{name}.parquet" for name in METADATA_TABLES}
        found = [file for file in self._hub.files(METADATA_FOLDER) if file.path in wanted]
        lacking = wanted - {file.path for file in found}
        if lacking:
            msg = f"the hub's repository lacks {first_few(sorted(lacking))}. Check --repo."
            raise RawDataError(msg)
        return found

    def _of_plates(
        self, files: Sequence[StoredFile], progress: Progress | None
    ) -> list[StoredFile]:
        """The files that may have cells of the wanted plates, by their footers."""
        wanted = plate_names(self._config.plates, self._known_plates())
        new = [file for file in files if content_id(file) not in self._plates]
        with ThreadPoolExecutor(self._config.workers) as pool:
            for n_done, (file, footer) in enumerate(
                zip(new, pool.map(self._hub.footer, new), strict=True), start=1
            ):
                self._plates[content_id(file)] = plate_ranges(footer)
                if progress is not None:
                    progress(n_done, len(new), f"which plates: {file.path}")
        self._save_notes()
        return [file for file in files if may_have(self._plates[content_id(file)], wanted)]

    def _known_plates(self) -> set[str]:
        path = self._folder / METADATA_FOLDER / "sample_metadata.parquet"
        return set(pq.read_table(path, columns=[names.PLATE]).column(0).to_pylist())

    def _is_there(self, file: StoredFile) -> bool:
        """Whether a file is here with the hub's content; hashed only where that is not on note."""
        path = self._folder / file.path
        if path.is_file() and self._checked.get(file.path) == _state(path, file):
            return True
        if not is_intact(path, file):
            return False
        self._note_checked(file)
        return True

    def _note_checked(self, file: StoredFile) -> None:
        self._checked[file.path] = _state(self._folder / file.path, file)

    def _save_notes(self) -> None:
        with explaining_full_disk(self._folder):
            write_json({"checked": self._checked, "plates": self._plates}, self._notes_path)

    def _require_room(self, plan: DownloadPlan) -> None:
        n_bytes = int(plan.n_bytes_missing * (1 + SPARE_FRAC))
        free = shutil.disk_usage(self._folder).free
        if n_bytes > free:
            msg = (
                f"{len(plan.missing):,} files of {plan.n_bytes_missing / 1e9:,.1f} GB are to be "
                f"fetched, but {self._folder} has {free / 1e9:,.1f} GB of room. Take fewer plates "
                "or files, or stream them: drug-pipeline run --stream N --raw-dir "
                "hf://datasets/OWNER/NAME."
            )
            raise DiskFullError(msg)


def _state(path: Path, file: StoredFile) -> list[Any]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, content_id(file)]
