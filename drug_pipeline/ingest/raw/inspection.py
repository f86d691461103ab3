"""One raw file, judged: readable, of the released schema, whole, and known to the metadata.

What belongs here: reading one open file and saying what is wrong with it first. What does not:
the rules themselves (``expression/released/tahoe.py``, ``expression/released/records.py``), the list of files
(``raw/inventory.py``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError
from drug_pipeline.expression.barcodes import cell_codes
from drug_pipeline.expression.counts import count_cells, count_keys
from drug_pipeline.expression.released.metadata import KnownNames
from drug_pipeline.expression.released.records import TokenTable, as_released_lists, check_records
from drug_pipeline.expression.released.tahoe import (
    KEY_COLUMNS,
    LIST_COLUMNS,
    REQUIRED_COLUMNS,
    STRING_COLUMNS,
    as_text,
    check_strings,
    schema_problems,
)
from drug_pipeline.storage.raw.raw_files import RawFile, RawFolder, open_parquet

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
) -> tuple[Inspection, NDArray[np.uint64]]:
    """What one raw file holds, what is wrong with it, and the codes of its cells.

    Decodes one row group at a time. Where there is a fault, codes may be missing.

    Raises
    ------
    OSError
        If the file system fails while the file is read; a fault of the content is no error.
    """
    n_rows = 0
    wells: list[tuple[str, str, str, int]] = []
    cell_lines: list[tuple[str, int]] = []
    code_C = np.empty(0, dtype=np.uint64)
    fault = _container_fault(stream)
    if fault is None:
        try:
            parquet = open_parquet(stream)
            n_rows = parquet.metadata.num_rows
            _check_schema(parquet)
            parquet = open_parquet(stream, metadata=parquet.metadata, read_dictionary=KEY_COLUMNS)
            wells, cell_lines, code_C = _read_keys(parquet)
            _check_barcodes(code_C)
            if should_read_records:
                _check_lists(parquet, tokens)
        except BadCellError as error:
            fault = Fault.of(error)
        except UnicodeDecodeError as error:
            fault = Fault.of_file(f"a name in its footer is not UTF-8: {error}", "Write it again")
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) or isinstance(stream, pa.PythonFile):
                raise  # of the disk or network; Parquet's own errors have no number
            fault = _damage(stream, error)
    inspection = Inspection(
        n_rows=n_rows,
        wells=wells,
        cell_lines=cell_lines,
        fault=fault,
        has_read_records=should_read_records,
    )
    return inspection, code_C


def name_fault(inspection: Inspection, known: KnownNames) -> Fault | None:
    """The first well, drug or line of a file that the metadata do not know, or know otherwise."""
    for sample, drug, plate, row in inspection.wells:
        if sample in known.set_aside:
            continue  # its cells are passed over wherever they stand
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


def check_is_whole(columns: Sequence[str], n_read: int, n_rows: int, first_row: int) -> None:
    """Refuse fewer rows than a footer announces: readers pass over pages of a kind they do not know.

    Raises
    ------
    BadCellError
        If some are missing.
    """
    if n_read != n_rows:
        raise BadCellError(
            column=", ".join(columns),
            row=first_row + n_read,
            problem=f"{n_read:,} of {n_rows:,} rows that the footer announces can be read",
            remedy="Fetch or write it again",
        )


def key_blocks(parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The key columns of a file in blocks of whole row groups, about ``BLOCK_ROWS`` rows each."""
    groups: list[int] = []
    n_rows = first_row = 0
    for group in range(parquet.num_row_groups):
        groups.append(group)
        n_rows += parquet.metadata.row_group(group).num_rows
        if n_rows >= BLOCK_ROWS or group == parquet.num_row_groups - 1:
            block = parquet.read_row_groups(groups, columns=list(columns), use_threads=False)
            check_is_whole(columns, block.num_rows, n_rows, first_row)
            yield pa.table({column: as_text(block.column(column)) for column in columns})
            first_row += n_rows
            groups, n_rows = [], 0


def count_file(folder: RawFolder, file: RawFile) -> pa.Table:
    """Cells of one raw file by well and line (``schemas.CELL_COUNTS``)."""
    with folder.reading(file) as stream:
        parquet = open_parquet(stream, read_dictionary=KEY_COLUMNS)
        return count_cells(list(key_blocks(parquet, KEY_COLUMNS)))


def _damage(stream: pa.NativeFile, error: Exception) -> Fault:
    """The fault of a file that cannot be decoded: the first column and row group that fail alone."""
    remedy = "Fetch or write it again"
    try:
        parquet = open_parquet(stream)
        first_row = 0
        for group in range(parquet.num_row_groups):
            n_rows = parquet.metadata.row_group(group).num_rows
            for column in REQUIRED_COLUMNS:
                try:
                    read = parquet.read_row_group(group, columns=[column], use_threads=False)
                    check_is_whole([column], read.num_rows, n_rows, first_row)
                except BadCellError as cause:
                    return Fault.of(cause)
                except (pa.ArrowException, OSError) as cause:
                    reason = f"not readable in the row group that begins here: {cause}"
                    return Fault(column=column, row=first_row, reason=reason, remedy=remedy)
            first_row += n_rows
    except (pa.ArrowException, OSError):
        pass  # not even the footer; the first error says it
    return Fault.of_file(f"not readable as Parquet: {error}", remedy)


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
) -> tuple[list[tuple[str, str, str, int]], list[tuple[str, int]], NDArray[np.uint64]]:
    """Wells and cell lines of a file with their first rows, and the codes of its cells.

    Raises
    ------
    BadCellError
        If a cell lacks its drug, well, line, plate or barcode.
    """
    wells: dict[tuple[str, str, str], int] = {}
    cell_lines: dict[str, int] = {}
    codes: list[NDArray[np.uint64]] = []
    first_row = 0
    for block in key_blocks(parquet, STRING_COLUMNS):
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
        codes.append(cell_codes(block.column(names.BARCODE)))
        first_row += block.num_rows
    ordered = [(*well, row) for well, row in wells.items()]
    return ordered, list(cell_lines.items()), np.concatenate(codes)


def _check_barcodes(code_C: NDArray[np.uint64]) -> None:
    """Refuse a file with one cell in two rows."""
    order = np.argsort(code_C, kind="stable")
    again = order[1:][np.diff(code_C[order]) == 0]
    if len(again):
        row = int(again.min())
        first = int(np.flatnonzero(code_C == code_C[row])[0])
        raise BadCellError(
            column=names.BARCODE,
            row=row,
            problem=f"{len(again):,} cells stand twice in the file; here that of row {first}",
            remedy="Write each cell once, under a barcode of its own",
        )


def _check_lists(parquet: pq.ParquetFile, tokens: TokenTable) -> None:
    first_row = 0
    columns = list(LIST_COLUMNS)
    for group in range(parquet.num_row_groups):
        table = parquet.read_row_group(group, columns=columns, use_threads=False)
        check_is_whole(
            columns, table.num_rows, parquet.metadata.row_group(group).num_rows, first_row
        )
        for batch in table.to_batches():
            lists = as_released_lists(batch, first_row=first_row)
            check_records(lists, first_row=first_row, tokens=tokens)
            first_row += batch.num_rows


def _well_fault(sample: str, drug: str, plate: str, row: int, known: KnownNames) -> Fault | None:
    expected, expected_plate = known.drug_of_well.get(sample), known.plate_of_well.get(sample)
    correct = "Correct one of them"
    if expected is None:
        column, reason = names.SAMPLE, f"well {sample!r} is not in sample_metadata"
        remedy = "Add its row (sample, plate, drug, drugname_drugconc)"
    elif drug not in known.drugs:
        column, reason = names.DRUG, f"drug {drug!r} is not in drug_metadata"
        remedy = "Add a row for the drug; targets, moa and SMILES may be null"
    elif drug != expected:
        reason = f"well {sample!r} holds {drug!r} here but {expected!r} in sample_metadata"
        column, remedy = names.DRUG, correct
    elif plate != expected_plate:
        where = f"on plate {plate!r} here but on {expected_plate!r} in sample_metadata"
        column, reason, remedy = names.PLATE, f"well {sample!r} is {where}", correct
    else:
        return None
    return Fault(column=column, row=row, reason=reason, remedy=remedy)
