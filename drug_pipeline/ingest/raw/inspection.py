"""One raw file, judged: readable, of the released schema, whole, and known to the metadata.

What belongs here: reading one open file and saying what is wrong with it first. What does not:
the rules themselves (``expression/released/tahoe.py``, ``expression/released/records.py``), the list of files
(``raw/inventory.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError
from drug_pipeline.expression.counts import count_keys
from drug_pipeline.expression.released.metadata import KnownNames
from drug_pipeline.expression.released.records import TokenTable, as_released_lists, check_records
from drug_pipeline.expression.released.tahoe import (
    KEY_COLUMNS,
    LIST_COLUMNS,
    check_strings,
    schema_problems,
)
from drug_pipeline.storage.raw.raw_files import open_parquet

PARQUET_MAGIC: Final = b"PAR1"
BLOCK_ROWS: Final = 500_000
"""Rows of the key columns read at a time: about 8 MB of dictionary codes."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong with a file, as a quarantine entry shows it; ``row`` is -1 for the whole file."""

    column: str
    row: int
    reason: str
    remedy: str

    @classmethod
    def of(cls, error: BadCellError) -> "Fault":
        """The entry of an error found in the records."""
        return cls(column=error.column, row=error.row, reason=error.problem, remedy=error.remedy)

    @classmethod
    def of_file(cls, reason: str, remedy: str) -> "Fault":
        """The entry of a file that fails as a whole."""
        return cls(column="", row=-1, reason=reason, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file holds and its first fault, by its content alone (no metadata but the tokens).

    ``wells`` are ``(sample, drug, plate, first row)`` and ``cell_lines`` ``(id, first row)``, by
    first row; empty where the file could not be read so far. ``has_read_records`` tells whether
    the lists were checked too.
    """

    n_rows: int
    wells: list[tuple[str, str, str, int]]
    cell_lines: list[tuple[str, int]]
    fault: Fault | None
    has_read_records: bool

    @property
    def plates(self) -> list[str]:
        """The plates met, sorted."""
        return sorted({plate for _, _, plate, _ in self.wells})

    def as_json(self) -> dict[str, Any]:
        """The inspection as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Inspection":
        """The inspection of a JSON document."""
        fault = document["fault"]
        return cls(
            n_rows=document["n_rows"],
            wells=[(well[0], well[1], well[2], well[3]) for well in document["wells"]],
            cell_lines=[(line[0], line[1]) for line in document["cell_lines"]],
            fault=Fault(**fault) if fault else None,
            has_read_records=document["has_read_records"],
        )


def inspect_file(
    stream: pa.NativeFile, *, tokens: TokenTable, should_read_records: bool
) -> Inspection:
    """What one raw file holds and what is wrong with it; decodes one row group at a time.

    Raises
    ------
    OSError
        If the file system fails while the file is read; a fault of the content is no error.
    """
    n_rows = 0
    wells: list[tuple[str, str, str, int]] = []
    cell_lines: list[tuple[str, int]] = []
    fault = _container_fault(stream)
    if fault is None:
        try:
            parquet = open_parquet(stream)
            n_rows = parquet.metadata.num_rows
            _check_schema(parquet)
            parquet = open_parquet(stream, metadata=parquet.metadata, read_dictionary=KEY_COLUMNS)
            wells, cell_lines = _read_keys(parquet)
            if should_read_records:
                _check_lists(parquet, tokens)
        except BadCellError as error:
            fault = Fault.of(error)
        except pa.ArrowException as error:
            fault = Fault.of_file(f"not readable as Parquet: {error}", "Fetch or write it again")
    return Inspection(
        n_rows=n_rows,
        wells=wells,
        cell_lines=cell_lines,
        fault=fault,
        has_read_records=should_read_records,
    )


def name_fault(inspection: Inspection, known: KnownNames) -> Fault | None:
    """The first well, drug or line of a file that the metadata do not know, or know otherwise."""
    for sample, drug, plate, row in inspection.wells:
        fault = _well_fault(sample, drug.strip(), plate, row, known)
        if fault is not None:
            return fault
    for cell_line_id, row in inspection.cell_lines:
        if cell_line_id not in known.cell_lines:
            return Fault(
                column=names.CELL_LINE_ID,
                row=row,
                reason=f"cell line {cell_line_id!r} is not in cell_line_metadata",
                remedy="Add a row for the line; organ and mutations may be null",
            )
    return None


def key_blocks(parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The key columns of a file in blocks of whole row groups, about ``BLOCK_ROWS`` rows each."""
    groups: list[int] = []
    n_rows = 0
    for group in range(parquet.num_row_groups):
        groups.append(group)
        n_rows += parquet.metadata.row_group(group).num_rows
        if n_rows >= BLOCK_ROWS or group == parquet.num_row_groups - 1:
            yield parquet.read_row_groups(groups, columns=list(columns), use_threads=False)
            groups, n_rows = [], 0


def _container_fault(stream: pa.NativeFile) -> Fault | None:
    """The fault of bytes that cannot be a whole Parquet file."""
    size_bytes = stream.size()
    if not size_bytes:
        return Fault.of_file("the file is empty (0 bytes)", "Fetch or write it again")
    if stream.read_at(len(PARQUET_MAGIC), 0) != PARQUET_MAGIC:
        return Fault.of_file(
            "not a Parquet file (does not begin with PAR1)", "Replace it, or move it elsewhere"
        )
    if stream.read_at(len(PARQUET_MAGIC), max(size_bytes - 4, 0)) != PARQUET_MAGIC:
        return Fault.of_file(
            f"truncated: {size_bytes} bytes without the Parquet footer at the end",
            "Fetch or write it again",
        )
    return None


def _check_schema(parquet: pq.ParquetFile) -> None:
    problems = schema_problems(parquet.schema_arrow)
    if problems:
        first = problems[0]
        others = "".join(f"; also {p.column!r}: {p.problem}" for p in problems[1:])
        raise BadCellError(
            column=first.column, row=-1, problem=first.problem + others, remedy=first.remedy
        )
    if not parquet.metadata.num_rows:
        raise BadCellError(column="", row=-1, problem="the file has no cells", remedy="Remove it")


def _read_keys(
    parquet: pq.ParquetFile,
) -> tuple[list[tuple[str, str, str, int]], list[tuple[str, int]]]:
    """Wells and cell lines of a file with their first rows.

    Raises
    ------
    BadCellError
        If a cell lacks its drug, well, line or plate.
    """
    wells: dict[tuple[str, str, str], int] = {}
    cell_lines: dict[str, int] = {}
    first_row = 0
    for block in key_blocks(parquet, KEY_COLUMNS):
        check_strings(block, first_row=first_row)
        of_wells = count_keys(block, (names.SAMPLE, names.DRUG, names.PLATE))
        rows = (of_wells.first_row_K + first_row).tolist()
        columns = (column.to_pylist() for column in of_wells.keys.columns)
        for *well, row in zip(*columns, rows, strict=True):
            wells.setdefault((well[0], well[1], well[2]), row)
        of_lines = count_keys(block, (names.CELL_LINE_ID,))
        rows = (of_lines.first_row_K + first_row).tolist()
        for line, row in zip(of_lines.keys.column(0).to_pylist(), rows, strict=True):
            cell_lines.setdefault(line, row)
        first_row += block.num_rows
    return [(*well, row) for well, row in wells.items()], list(cell_lines.items())


def _check_lists(parquet: pq.ParquetFile, tokens: TokenTable) -> None:
    first_row = 0
    columns = [*LIST_COLUMNS, names.BARCODE]
    for group in range(parquet.num_row_groups):
        table = parquet.read_row_group(group, columns=columns, use_threads=False)
        check_strings(table, first_row=first_row)
        for batch in table.to_batches():
            check_records(as_released_lists(batch), first_row=first_row, tokens=tokens)
            first_row += batch.num_rows


def _well_fault(sample: str, drug: str, plate: str, row: int, known: KnownNames) -> Fault | None:
    expected = known.drug_of_well.get(sample)
    if expected is None:
        return Fault(
            column=names.SAMPLE,
            row=row,
            reason=f"well {sample!r} is not in sample_metadata",
            remedy="Add its row (sample, plate, drug, drugname_drugconc)",
        )
    if drug not in known.drugs:
        return Fault(
            column=names.DRUG,
            row=row,
            reason=f"drug {drug!r} is not in drug_metadata",
            remedy="Add a row for the drug; targets, moa and SMILES may be null",
        )
    if drug != expected:
        return Fault(
            column=names.DRUG,
            row=row,
            reason=f"well {sample!r} holds {drug!r} here but {expected!r} in sample_metadata",
            remedy="Correct one of them",
        )
    if plate != known.plate_of_well[sample]:
        return Fault(
            column=names.PLATE,
            row=row,
            reason=(
                f"well {sample!r} is on plate {plate!r} here but on "
                f"{known.plate_of_well[sample]!r} in sample_metadata"
            ),
            remedy="Correct one of them",
        )
    return None
