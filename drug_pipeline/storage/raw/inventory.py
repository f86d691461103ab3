"""The inventory of raw files as it was written, and the hashes it rests on.

What belongs here: reading ``manifest/raw.parquet``, and remembering which file has which content
hash. What does not: judging files (``ingest/raw/inventory.py``).
"""

from dataclasses import dataclass, replace
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain.errors import ForeignFileError, StaleInputError, first_few
from drug_pipeline.storage.files import read_sealed_json, write_sealed_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawFile, RawFolder

OK: Final = "ok"
QUARANTINED: Final = "quarantined"


@dataclass(frozen=True, kw_only=True)
class OkFile:
    """A raw file fit to read: as it lies there now, and what the inventory knows of it."""

    raw: RawFile
    sha256: str
    n_rows: int
    plates: tuple[str, ...]


class HashCache:
    """Content hashes of raw files by name, size and version tag, so that none is hashed twice.

    Kept in ``manifest/raw_hashes.json``, outside of every stamped output. A file whose store
    offers no version tag is hashed each time.
    """

    def __init__(self, layout: Layout, folder: RawFolder) -> None:
        self._path = layout.manifest_dir / "raw_hashes.json"
        self._folder = folder
        everything: dict[str, dict[str, list[str | int]]] = read_sealed_json(self._path) or {}
        self._others = {key: value for key, value in everything.items() if key != folder.address}
        self._known = everything.get(folder.address, {})
        self._seen: dict[str, list[str | int]] = {}

    def is_known(self, file: RawFile) -> bool:
        """Whether the hash of a file, as listed, needs no reading."""
        entry = self._known.get(file.name)
        return bool(file.version_tag) and entry is not None and entry[:2] == _version(file)

    def sha256(self, file: RawFile) -> str:
        """Content hash of a listed file.

        Raises
        ------
        RawDataError
            If the file vanished or changed while it was hashed.
        """
        if self.is_known(file):
            digest = str(self._known[file.name][2])
        else:
            digest = file.sha256 or self._folder.sha256(file.name)
            self._folder.check_unchanged(file)
        self._seen[file.name] = [*_version(file), digest]
        return digest

    def save(self) -> None:
        """Keep the hashes asked for since the start; those of vanished files are dropped."""
        if self._seen != self._known:
            write_sealed_json({**self._others, self._folder.address: self._seen}, self._path)
            self._known = dict(self._seen)


def read_inventory(layout: Layout) -> pd.DataFrame:
    """The inventory of raw files (``schemas.RAW_FILES``), one row per file.

    Raises
    ------
    ForeignFileError
        If it cannot be read.
    """
    try:
        inventory: pd.DataFrame = pq.read_table(layout.raw_manifest).to_pandas()
    except (pa.ArrowException, OSError) as error:
        msg = (
            f"the inventory of raw files, {layout.raw_manifest}, cannot be read ({error}). "
            "Materialise raw_tahoe again: drug-pipeline run."
        )
        raise ForeignFileError(msg) from error
    return inventory


def ok_files(layout: Layout, folder: RawFolder) -> list[OkFile]:
    """The raw files that are fit to read, checked to be there with the content inventoried.

    Raises
    ------
    StaleInputError
        If a file vanished or changed since the inventory.
    """
    listed = {file.name: file for file in folder.data_files()}
    hashes = HashCache(layout, folder)
    found: list[OkFile] = []
    moved: list[str] = []
    for row in read_inventory(layout).to_dict("records"):
        if row["state"] != OK:
            continue
        raw = listed.get(row["file"])
        if raw is None or hashes.sha256(raw) != row["sha256"]:
            moved.append(row["file"])
            continue
        found.append(
            OkFile(
                raw=replace(raw, sha256=row["sha256"]),
                sha256=row["sha256"],
                n_rows=row["n_rows"],
                plates=tuple(row["plates"]),
            )
        )
    if moved:
        msg = (
            f"{len(moved)} raw files vanished or changed since the inventory; "
            f"first: {first_few(moved)}. Materialise raw_tahoe again."
        )
        raise StaleInputError(msg)
    return found


def quarantined_files(layout: Layout) -> pd.DataFrame:
    """The raw files left out: ``file, column, row, reason, remedy``, one row per file."""
    inventory = read_inventory(layout)
    is_out = inventory["state"] == QUARANTINED
    return inventory.loc[is_out, ["file", "column", "row", "reason", "remedy"]].reset_index(
        drop=True
    )


def _version(file: RawFile) -> list[str | int]:
    return [file.size_bytes, file.version_tag]
