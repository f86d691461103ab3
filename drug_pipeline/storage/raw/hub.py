"""A dataset repository on a Hugging Face hub, at one commit: its files, their footers, copies.

What belongs here: talking to the hub through ``huggingface_hub``, and checking what arrived. What
does not: which files are wanted (``ingest/raw/download.py``).
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from drug_pipeline.domain.errors import RawAccessError
from drug_pipeline.storage.files import explaining_full_disk, sha256_of_file
from drug_pipeline.storage.raw.connect import RemoteConfig, open_store
from drug_pipeline.storage.raw.retries import with_retries
from drug_pipeline.storage.raw.stores import StoredFile

TAHOE_REPO: Final = "tahoebio/Tahoe-100M"


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """Which repository, and how the hub is reached; ``remote.hf_endpoint`` None: HF_ENDPOINT."""

    repo_id: str = TAHOE_REPO
    revision: str = "main"
    remote: RemoteConfig = field(default_factory=RemoteConfig)


class Hub:
    """The files of one commit of a dataset.

    Raises
    ------
    RawDataError
        If there is no such repository or revision, or the hub does not answer.
    """

    def __init__(self, config: HubConfig) -> None:
        self._config = config
        address = f"hf://datasets/{config.repo_id}@{config.revision}"
        self._store, self._root = open_store(address, config.remote)
        self.commit = self._root.rpartition("@")[2]

    def files(self, folder: str) -> list[StoredFile]:
        """The files of a folder, with paths inside the repository, sorted by path."""
        listed = self._store.list(f"{self._root}/{folder}")
        inside = [replace(file, path=file.path.removeprefix(f"{self._root}/")) for file in listed]
        return sorted(inside, key=lambda file: file.path)

    def footer(self, file: StoredFile) -> pq.FileMetaData:
        """The footer of a Parquet file; the file itself is not fetched."""
        with self._store.open(f"{self._root}/{file.path}") as stream:
            return pq.read_metadata(stream)

    def fetch(self, file: StoredFile, folder: Path) -> None:
        """Bring one file below a folder, whole and checked; a transfer that breaks is gone on with.

        Raises
        ------
        RawAccessError
            If the hub fails for too long, or what arrives twice is not what it announced.
        DiskFullError
            If it does not fit.
        """
        target = folder / file.path
        for is_second_try in (False, True):
            with explaining_full_disk(folder):
                with_retries(
                    self._config.remote.retries,
                    f"fetching {file.path}",
                    lambda: self._download(file, folder, is_forced=is_second_try),  # noqa: B023
                )
            if is_intact(target, file):
                return
            target.unlink()
        msg = (
            f"{file.path} arrived twice with another content than the hub announces "
            f"({file.size_bytes} bytes, {content_id(file)}). Deleted; try later."
        )
        raise RawAccessError(msg)

    def _download(self, file: StoredFile, folder: Path, *, is_forced: bool) -> None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        disable_progress_bars()  # many files at a time: one bar of our own
        hf_hub_download(
            self._config.repo_id,
            file.path,
            repo_type="dataset",
            revision=self.commit,
            local_dir=folder,
            endpoint=self._config.remote.hf_endpoint,
            force_download=is_forced,
        )


def is_intact(path: Path, file: StoredFile) -> bool:
    """Whether a local file has the size and the hash that the hub has of it; reads it whole."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    if file.sha256:
        return sha256_of_file(path) == file.sha256
    return _git_blob_id(path) == file.version_tag


def remove_partial_files(folder: Path) -> int:
    """Delete what killed downloads into a folder have left; returns how many files."""
    left = list((folder / ".cache" / "huggingface").rglob("*.incomplete"))
    for path in left:
        path.unlink()
    return len(left)


def content_id(file: StoredFile) -> str:
    """What the hub calls a content: SHA-256 in large file storage, else git's name."""
    return file.sha256 or file.version_tag


def _git_blob_id(path: Path) -> str:
    """What git, and so the hub, calls a file that is not in large file storage."""
    digest: Any = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return str(digest.hexdigest())
