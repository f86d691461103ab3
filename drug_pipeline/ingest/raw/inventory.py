"""Asset ``raw_tahoe``: which raw files there are, and which are fit to read.

What belongs here: listing, hashing, judging each new file once, the quarantine. What does not: the
rules (``raw/inspection.py`` and below), what is done with the files.

A file's inspection is kept by content hash under ``manifest/inspections/``, so that a file is
decoded once in its life; what depends on the metadata tables is judged anew each time.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import pyarrow as pa

from drug_pipeline.domain import schemas
from drug_pipeline.domain.errors import (
    BadCellError,
    ConfigurationError,
    EmptyResultError,
    RawAccessError,
    RawDataError,
    first_few,
)
from drug_pipeline.domain.progress import Progress
from drug_pipeline.expression.released.metadata import KnownNames, known_names
from drug_pipeline.expression.released.records import TokenTable
from drug_pipeline.ingest.counts import partial_counts_path, write_partial_counts
from drug_pipeline.ingest.raw.inspection import Fault, Inspection, inspect_file, name_fault
from drug_pipeline.ingest.raw.repeated_cells import has_codes, keep_codes, repeated_cells
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import (
    explaining_full_disk,
    is_sealed,
    read_sealed_json,
    sha256_of_json,
    sha256_of_table,
    write_parquet,
    write_sealed_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import (
    OK,
    QUARANTINED,
    HashCache,
    OkFile,
)
from drug_pipeline.storage.raw.raw_files import RawDir, RawFile, RawFolder

CODE_VERSION: Final = "2"
Validation = Literal["full", "while_reducing"]


@dataclass(frozen=True, kw_only=True)
class InventoryConfig:
    """How closely files are looked at before they are used.

    Parameters
    ----------
    validation
        ``"full"`` decodes each new file once and checks every record, about 30 µs per cell.
        ``"while_reducing"`` reads footers and string columns only and leaves the records to the
        pseudobulk, which decodes them anyway: for Tahoe's size.
    workers
        Files looked at side by side, in threads; about 0.1 GB each.
    """

    validation: Validation = "full"
    workers: int = 2

    def __post_init__(self) -> None:
        if self.validation not in get_args(Validation):
            msg = f"validation is {self.validation!r}; use one of {get_args(Validation)}."
            raise ConfigurationError(msg)
        if self.workers < 1:
            msg = f"workers is {self.workers}; at least one is needed."
            raise ConfigurationError(msg)


def build_raw_tahoe(
    layout: Layout,
    raw_dir: RawDir,
    config: InventoryConfig | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Write the inventory of raw files, ``manifest/raw.parquet``; unfit files are quarantined.

    Only files of new content are read. Of files with the same content the first by name counts,
    of files with some of the same cells the largest.

    Raises
    ------
    RawDataError
        If the raw folder is missing or empty.
    MetadataError
        If the metadata beside the files cannot be used.
    EmptyResultError
        If no file is fit to read.
    """
    config = config or InventoryConfig()
    folder = RawFolder(raw_dir)
    files = folder.everything()
    known = known_names(
        gene=folder.metadata_table("gene_metadata"),
        drug=folder.metadata_table("drug_metadata"),
        cell_line=folder.metadata_table("cell_line_metadata"),
        sample=folder.metadata_table("sample_metadata"),
    )
    inspector = _Inspector(layout, folder, known, config)
    entries = _set_duplicates_aside(_judge_all(inspector, files, config.workers, progress))
    with explaining_full_disk(layout.manifest_dir):
        inspector.hashes.save()
        entries = _set_repeats_aside(entries, layout, folder)
    _refuse_nothing_fit(entries)
    table = _as_table(entries)
    return build_once(
        layout,
        "raw_tahoe",
        code_version=CODE_VERSION,
        upstream=[],
        extra_inputs={"raw files": sha256_of_table(table)},
        config={"validation": config.validation},
        build=lambda: _write(layout, table),
    )


def quarantine_content(layout: Layout, sha256: str, error: BadCellError) -> None:
    """Remember that a content breaks the format, where that shows only while it is reduced.

    The next ``build_raw_tahoe`` quarantines every file of that content, and the rest proceeds. An
    error that names no column is of the moment (a file that vanished or changed) and is not kept.
    """
    path = _inspection_path(layout, sha256)
    document = read_sealed_json(path) if error.column else None
    if document is not None:
        document["inspection"]["fault"] = asdict(Fault.of(error))
        write_sealed_json(document, path)


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One row of the inventory."""

    file: RawFile
    sha256: str
    n_rows: int
    plates: list[str]
    fault: Fault | None


class _Inspector:
    """Judges one file at a time; safe to call from several threads."""

    def __init__(
        self, layout: Layout, folder: RawFolder, known: KnownNames, config: InventoryConfig
    ) -> None:
        self.hashes = HashCache(layout, folder)
        self._layout = layout
        self._folder = folder
        self._known = known
        self._tokens = TokenTable.of(known.token_ids)
        self._tokens_hash = sha256_of_json(known.token_ids.tolist())
        self._should_read_records = config.validation == "full"

    def judge(self, file: RawFile) -> _Entry:
        """The inventory's row of one file."""
        if file.problem:
            fault = Fault.of_file(
                f"not read: {file.problem}",
                "Put the file there under a name ending in .parquet, or move it out of data/",
            )
            return _Entry(file=file, sha256="", n_rows=0, plates=[], fault=fault)
        sha256 = ""
        try:
            with self._folder.holding(file):
                sha256 = self.hashes.sha256(file)
                inspection = self._inspection(file, sha256)
                if self._folder.is_remote and inspection.fault is None:
                    self._count_while_at_hand(file, sha256, inspection)
        except RawAccessError:
            raise  # says nothing about the file
        except (RawDataError, OSError) as error:
            fault = Fault.of_file(f"cannot be read: {error}", "Run again once it is there in full")
            return _Entry(file=file, sha256=sha256, n_rows=0, plates=[], fault=fault)
        return _Entry(
            file=file,
            sha256=sha256,
            n_rows=inspection.n_rows,
            plates=inspection.plates,
            fault=inspection.fault or name_fault(inspection, self._known),
        )

    def _inspection(self, file: RawFile, sha256: str) -> Inspection:
        """The inspection of a content, from the last time where there was one."""
        path = _inspection_path(self._layout, sha256)
        document = read_sealed_json(path)
        if document is not None and document["rules"] == self._rules():
            kept = Inspection.from_json(document["inspection"])
            is_deep_enough = kept.has_read_records or not self._should_read_records
            if is_deep_enough and (kept.fault or has_codes(self._layout, sha256)):
                return kept
        with self._folder.reading(file, is_whole=self._should_read_records) as stream:
            inspection, code_C = inspect_file(
                stream, tokens=self._tokens, should_read_records=self._should_read_records
            )
        with explaining_full_disk(self._layout.manifest_dir):
            if inspection.fault is None:
                keep_codes(self._layout, sha256, code_C)
            write_sealed_json({"rules": self._rules(), "inspection": inspection.as_json()}, path)
        return inspection

    def _count_while_at_hand(self, file: RawFile, sha256: str, inspection: Inspection) -> None:
        """Keep a file's partial counts now, for which it would be fetched again."""
        if is_sealed(partial_counts_path(self._layout, sha256)):
            return
        fit = OkFile(
            raw=file, sha256=sha256, n_rows=inspection.n_rows, plates=tuple(inspection.plates)
        )
        with explaining_full_disk(self._layout.manifest_dir):
            write_partial_counts(self._layout, self._folder, fit)

    def _rules(self) -> list[str]:
        return [CODE_VERSION, self._tokens_hash]


def _judge_all(
    inspector: _Inspector, files: list[RawFile], workers: int, progress: Progress | None
) -> list[_Entry]:
    """The rows of all files, in their order."""
    entries = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for entry in pool.map(inspector.judge, files):
            entries.append(entry)
            if progress is not None:
                state = QUARANTINED if entry.fault else OK
                progress(len(entries), len(files), f"{entry.file.name}: {state}")
    return entries


def _set_duplicates_aside(entries: list[_Entry]) -> list[_Entry]:
    """The rows with every later copy of a fit file quarantined: its cells count once."""
    first_of: dict[str, str] = {}
    kept = []
    for entry in entries:
        first = first_of.setdefault(entry.sha256, entry.file.name) if not entry.fault else None
        if first is not None and first != entry.file.name:
            fault = Fault.of_file(f"same content as {first}, which is counted", "Remove the copy")
            entry = replace(entry, fault=fault)
        kept.append(entry)
    return kept


def _set_repeats_aside(entries: list[_Entry], layout: Layout, folder: RawFolder) -> list[_Entry]:
    """The rows with every fit file quarantined that repeats cells of another fit one."""
    fit = [
        OkFile(raw=entry.file, sha256=entry.sha256, n_rows=entry.n_rows, plates=tuple(entry.plates))
        for entry in entries
        if not entry.fault
    ]
    faults = repeated_cells(layout, folder, fit)
    return [replace(e, fault=e.fault or faults.get(e.file.name)) for e in entries]


def _refuse_nothing_fit(entries: list[_Entry]) -> None:
    if all(entry.fault for entry in entries):
        reasons = [f"{entry.file.name} ({entry.fault.reason})" for entry in entries if entry.fault]
        msg = (
            f"none of {len(entries)} raw files is fit to read; first: {first_few(reasons)}. "
            "Correct or fetch them again."
        )
        raise EmptyResultError(msg)


def _as_table(entries: list[_Entry]) -> pa.Table:
    """The inventory (``schemas.RAW_FILES``), sorted by file."""
    rows = [
        {
            "file": entry.file.name,
            "size_bytes": entry.file.size_bytes,
            "sha256": entry.sha256,
            "n_rows": entry.n_rows,
            "plates": entry.plates,
            "state": QUARANTINED if entry.fault else OK,
            "column": entry.fault.column if entry.fault else "",
            "row": entry.fault.row if entry.fault else -1,
            "reason": entry.fault.reason if entry.fault else "",
            "remedy": entry.fault.remedy if entry.fault else "",
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, schema=schemas.RAW_FILES)


def _write(layout: Layout, table: pa.Table) -> BuildOutput:
    write_parquet(table, layout.raw_manifest)
    rows = table.to_pylist()
    fit = [row for row in rows if row["state"] == OK]
    unfit = [row for row in rows if row["state"] == QUARANTINED]
    return BuildOutput(
        files=[layout.raw_manifest],
        summary={
            "n_files": len(rows),
            "n_ok": len(fit),
            "n_quarantined": len(unfit),
            "n_rows": sum(row["n_rows"] for row in fit),
            "n_bytes": sum(row["size_bytes"] for row in fit),
            "n_plates": len({plate for row in fit for plate in row["plates"]}),
            "quarantined": {row["file"]: row["reason"] for row in unfit[:20]},
        },
    )


def _inspection_path(layout: Layout, sha256: str) -> Path:
    return layout.manifest_dir / "inspections" / f"{sha256}.json"
