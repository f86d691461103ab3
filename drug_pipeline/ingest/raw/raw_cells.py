"""Raw cells for the expression stage: how many each file has of what, and their batches.

What belongs here: reading fit files row group by row group, and the counts that say what to
expect of them. What does not: which files are fit (``raw/inventory.py``), sums (``expression/``).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, RawDataError
from drug_pipeline.expression.released.tahoe import KEY_COLUMNS, LIST_COLUMNS, as_text
from drug_pipeline.ingest.raw.inspection import check_is_whole, count_file
from drug_pipeline.storage.files import is_sealed, sha256_of_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.parquet_pages.footer import ColumnChunk, column_chunks
from drug_pipeline.storage.parquet_pages.page_headers import PageFormError
from drug_pipeline.storage.raw.inventory import OkFile, ok_files
from drug_pipeline.storage.raw.raw_files import RawFile, RawFolder, open_parquet

BATCH_ROWS: Final = 2_000
"""Cells decoded at a time where row groups are larger; Tahoe-100M's have 1,000."""
GROUP_KEY: Final = [names.PLATE, names.SAMPLE, names.CELL_LINE_ID]


@dataclass(frozen=True, kw_only=True)
class CountedFile:
    """A raw file fit to read, with its cells per plate, well and line (``GROUP_KEY, n_cells``).

    Cells of the wells ``left_out``, whose metadata cannot be used, are not among them.
    """

    raw: RawFile
    sha256: str
    counts: pd.DataFrame
    left_out: frozenset[str] = frozenset()

    @property
    def content(self) -> str:
        """What its sums are made from: the hash of the file, and of the wells left out of it."""
        return (
            f"{self.sha256}-{sha256_of_json(sorted(self.left_out))}"
            if self.left_out
            else self.sha256
        )

    @property
    def name(self) -> str:
        """Path below the raw data folder."""
        return self.raw.name

    @property
    def plates(self) -> frozenset[str]:
        """Plates that the file has cells of."""
        return frozenset(self.counts[names.PLATE])

    def n_cells(self, plates: Collection[str]) -> int:
        """Cells of some plates."""
        is_wanted = self.counts[names.PLATE].isin(plates)
        return int(self.counts.loc[is_wanted, names.N_CELLS].sum())


def counted_files(layout: Layout, folder: RawFolder) -> list[CountedFile]:
    """The files of the inventory that are fit to read, sorted by name.

    Raises
    ------
    StaleInputError
        If a file vanished or changed since the inventory.
    """
    files = sorted(ok_files(layout, folder), key=lambda file: file.raw.name)
    wells = pq.read_table(layout.metadata_dir / "wells.parquet", columns=[names.SAMPLE])
    known = set(wells.column(0).to_pylist())
    counted = []
    for file in files:
        counts = _counts_of(layout, folder, file)
        is_known = counts[names.SAMPLE].isin(known)
        counted.append(
            CountedFile(
                raw=file.raw,
                sha256=file.sha256,
                counts=counts[is_known].reset_index(drop=True),
                left_out=frozenset(counts.loc[~is_known, names.SAMPLE]),
            )
        )
    return counted


def read_cells(
    folder: RawFolder, file: RawFile, *, columns: Sequence[str], plates: Collection[str] | None
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """``(row of the first cell, cells)`` of each row group that has cells of some plates.

    ``plates`` None reads every row group. They are decoded one at a time: larger pieces cost more
    time and memory. The columns that say well and line come as dictionaries, and so do the values
    of the lists where the file is on a disk of this machine and its pages are of the usual form.

    Raises
    ------
    BadCellError
        If the content of the file cannot be decoded.
    RawDataError
        If it vanished or changed since it was listed, or reading fails: nothing is known against
        the content then, and the run must not go on without it.
    """
    try:
        with folder.reading(file, is_whole=True) as stream:
            parquet = open_parquet(stream, read_dictionary=KEY_COLUMNS)
            yield from _batches(parquet, stream, list(columns), plates)
    except (pa.ArrowException, OSError) as error:
        raise _reading_error(folder, file, error) from error


def _reading_error(folder: RawFolder, file: RawFile, error: Exception) -> RawDataError:
    """What a failure to decode means: a bad content, or a bad moment."""
    if getattr(error, "errno", None):  # of the disk; Parquet's own errors have no number
        msg = f"raw file {file.name} cannot be read: {error}. Check the disk, then run again."
        return RawDataError(msg)
    if folder.sha256(file.name) != file.sha256:
        msg = f"raw file {file.name} is not the one inventoried. Materialise raw_tahoe again."
        return RawDataError(msg)
    return BadCellError(
        column=", ".join(LIST_COLUMNS),
        row=-1,
        problem=f"not readable to its end: {error}",
        remedy="Fetch or write it again",
    )


def _batches(
    parquet: pq.ParquetFile,
    stream: pa.NativeFile,
    columns: list[str],
    plates: Collection[str] | None,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    chunks = _chunks_of(parquet, stream)
    first_row = 0
    for number in range(parquet.num_row_groups):
        if plates is None or _has_any(parquet, number, plates):
            coded = (
                None if chunks is None else _coded_batch(parquet, stream, number, columns, chunks)
            )
            if coded is not None:
                yield first_row, coded
            else:
                yield from _decoded_batches(parquet, number, columns, first_row)
        first_row += parquet.metadata.row_group(number).num_rows


def _chunks_of(
    parquet: pq.ParquetFile, stream: pa.NativeFile
) -> Sequence[Sequence[ColumnChunk]] | None:
    """Where the column chunks of a file lie; None where its lists are left to Arrow.

    So they are over a network, which each further request would cost more than it saves here.
    """
    if isinstance(stream, pa.PythonFile):
        return None
    try:
        return column_chunks(parquet.metadata)
    except PageFormError:
        return None


def _decoded_batches(
    parquet: pq.ParquetFile, number: int, columns: list[str], first_row: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A row group as Arrow reads it."""
    n_read = 0
    for batch in parquet.iter_batches(
        batch_size=BATCH_ROWS, row_groups=[number], columns=columns, use_threads=False
    ):
        yield first_row + n_read, _with_plain_text(batch)
        n_read += batch.num_rows
    check_is_whole(columns, n_read, parquet.metadata.row_group(number).num_rows, first_row)


def _coded_batch(
    parquet: pq.ParquetFile,
    stream: pa.NativeFile,
    number: int,
    columns: list[str],
    chunks: Sequence[Sequence[ColumnChunk]],
) -> pa.RecordBatch | None:
    """A row group whose lists stay dictionary-encoded; None where Arrow has to read it.

    A third of the time.
    """
    from drug_pipeline.storage.parquet_pages.list_pages import read_lists  # imports numba

    lists = {}
    for column in LIST_COLUMNS:
        lists[column] = read_lists(parquet, stream, number, column, chunks)
        if lists[column] is None:
            return None
    others = [column for column in columns if column not in LIST_COLUMNS]
    batches = parquet.read_row_group(number, columns=others, use_threads=False).to_batches()
    if len(batches) != 1 or batches[0].num_rows != parquet.metadata.row_group(number).num_rows:
        return None
    arrays = lists | {column: as_text(batches[0].column(column)) for column in others}
    return pa.RecordBatch.from_pydict({column: arrays[column] for column in columns})


def _with_plain_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = {
        column: batch.column(column) if column in LIST_COLUMNS else as_text(batch.column(column))
        for column in batch.schema.names
    }
    return pa.RecordBatch.from_pydict(arrays)


def _has_any(parquet: pq.ParquetFile, number: int, plates: Collection[str]) -> bool:
    """Whether a row group has cells of some plates: its statistics may lie, its cells do not."""
    cells = parquet.read_row_group(number, columns=[names.PLATE], use_threads=False)
    return not set(as_text(cells.column(0)).unique().to_pylist()).isdisjoint(plates)


def _counts_of(layout: Layout, folder: RawFolder, file: OkFile) -> pd.DataFrame:
    """Cells of a file per plate, well and line: from its count partial, or counted now."""
    partial = layout.count_partials_dir / f"{file.sha256}.parquet"
    table = pq.read_table(partial) if is_sealed(partial) else count_file(folder, file.raw)
    counts = table.select([*GROUP_KEY, names.N_CELLS]).to_pandas()
    grouped = counts.groupby(GROUP_KEY, as_index=False, sort=True)
    summed: pd.DataFrame = grouped[names.N_CELLS].sum()
    return summed
