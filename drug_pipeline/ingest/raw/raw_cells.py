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
from drug_pipeline.expression.counts import count_cells
from drug_pipeline.expression.released.tahoe import KEY_COLUMNS, LIST_COLUMNS
from drug_pipeline.ingest.raw.inspection import key_blocks
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import OkFile, ok_files
from drug_pipeline.storage.raw.raw_files import RawFile, RawFolder, open_parquet

BATCH_ROWS: Final = 2_000
"""Cells decoded at a time where row groups are larger; Tahoe-100M's have 1,000."""
GROUP_KEY: Final = [names.PLATE, names.SAMPLE, names.CELL_LINE_ID]


@dataclass(frozen=True, kw_only=True)
class CountedFile:
    """A raw file fit to read, with its cells per plate, well and line (``GROUP_KEY, n_cells``)."""

    raw: RawFile
    sha256: str
    counts: pd.DataFrame

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
    return [
        CountedFile(raw=file.raw, sha256=file.sha256, counts=_counts_of(layout, folder, file))
        for file in files
    ]


def read_cells(
    folder: RawFolder,
    file: RawFile,
    *,
    columns: Sequence[str],
    plates: Collection[str],
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """``(row of the first cell, cells)`` of each row group that may have cells of some plates.

    Row groups are decoded one at a time: larger pieces cost more time and memory. The columns
    that say well and line come as dictionaries, and so do the values of the lists where the file
    is on a disk of this machine and its pages are of the usual form.

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
    parquet: pq.ParquetFile, stream: pa.NativeFile, columns: list[str], plates: Collection[str]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    first_row = 0
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        if _may_have(group, plates):
            coded = _coded_batch(parquet, stream, number, columns)
            if coded is not None:
                yield first_row, coded
            else:
                yield from _decoded_batches(parquet, number, columns, first_row)
        first_row += group.num_rows


def _decoded_batches(
    parquet: pq.ParquetFile, number: int, columns: list[str], first_row: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A row group as Arrow reads it."""
    for batch in parquet.iter_batches(
        batch_size=BATCH_ROWS, row_groups=[number], columns=columns, use_threads=False
    ):
        yield first_row, batch
        first_row += batch.num_rows


def _coded_batch(
    parquet: pq.ParquetFile, stream: pa.NativeFile, number: int, columns: list[str]
) -> pa.RecordBatch | None:
    """A row group whose lists stay dictionary-encoded; None where Arrow has to read it.

    A third of the time. Not over a network, which each further request would cost more than it
    saves here.
    """
    from drug_pipeline.storage.parquet_pages.list_pages import read_lists  # imports numba

    if isinstance(stream, pa.PythonFile):
        return None
    lists = {}
    for column in LIST_COLUMNS:
        lists[column] = read_lists(parquet, stream, number, column)
        if lists[column] is None:
            return None
    others = [column for column in columns if column not in LIST_COLUMNS]
    batches = parquet.read_row_group(number, columns=others, use_threads=False).to_batches()
    if len(batches) != 1:
        return None
    arrays = lists | {column: batches[0].column(column) for column in others}
    return pa.RecordBatch.from_pydict({column: arrays[column] for column in columns})


def _may_have(group: pq.RowGroupMetaData, plates: Collection[str]) -> bool:
    """Whether a row group's statistics allow for cells of some plates."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == names.PLATE:
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                return True
            return any(statistics.min <= plate <= statistics.max for plate in plates)
    return True


def _counts_of(layout: Layout, folder: RawFolder, file: OkFile) -> pd.DataFrame:
    """Cells of a file per plate, well and line: from its count partial, or counted now."""
    partial = layout.count_partials_dir / f"{file.sha256}.parquet"
    if partial.exists():
        table = pq.read_table(partial)
    else:
        with folder.reading(file.raw) as stream:
            parquet = open_parquet(stream, read_dictionary=KEY_COLUMNS)
            table = count_cells(list(key_blocks(parquet, KEY_COLUMNS)))
    counts = table.select([*GROUP_KEY, names.N_CELLS]).to_pandas()
    grouped = counts.groupby(GROUP_KEY, as_index=False, sort=True)
    summed: pd.DataFrame = grouped[names.N_CELLS].sum()
    return summed
