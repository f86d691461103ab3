"""Exact sums of log1p_cp10k per well and cell line: the state that every mean is taken from.

What belongs here: raw cells (Arrow) into integer sums, the checks on the way, their merge.
What does not: files and processes (``ingest/plates/pseudobulk.py``), controls and Δ (``delta.py``).

x = ln(1 + 10,000 · count / library), the library over ALL genes of the cell. All sums are
integers, so that they are the same for any order of cells and files and any number of workers,
and can be added to and merged without loss.

Shapes: C = cells of a row group, W = groups (well x cell line), G = genes of the panel,
4 = the kinds of sums in ``kernel.py``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, ConfigurationError, RawDataError, first_few
from drug_pipeline.expression import gather, kernel
from drug_pipeline.expression.barcodes import barcode_buffers
from drug_pipeline.expression.moments import check_capacity
from drug_pipeline.expression.released.records import (
    MAX_CELL_COUNTS,
    TokenTable,
    as_released_lists,
    check_records,
)
from drug_pipeline.expression.sums import Sums

COLUMNS: Final = (
    names.GENES,
    names.EXPRESSIONS,
    names.SAMPLE,
    names.BARCODE,
    names.CELL_LINE_ID,
    names.PLATE,
)
"""The raw columns that the sums are made from."""
GROUP_KEY: Final = (names.PLATE, names.SAMPLE, names.CELL_LINE_ID)
WINDOW_ENTRIES: Final = 2**26
"""Panel entries held back to be ordered by group, 256 MiB: four files of Tahoe-100M at 2,000
genes. The more there are, the less often the large array is touched."""


@dataclass(frozen=True, kw_only=True)
class GeneColumns:
    """Which panel column each token belongs to.

    ``column_of_token_T`` holds the column, ``NOT_IN_PANEL`` for a gene outside the panel and
    ``UNKNOWN_TOKEN`` for a token that the gene table does not have.
    """

    column_of_token_T: NDArray[np.int32]
    n_genes: int
    tokens: TokenTable

    @classmethod
    def from_tokens(
        cls, panel_tokens: Sequence[int] | NDArray[np.int64], known_tokens: NDArray[np.int64]
    ) -> "GeneColumns":
        """Columns of a panel, in its order, among all tokens of the gene table."""
        panel_G = np.asarray(panel_tokens, dtype=np.int64)
        if len(panel_G) > kernel.MAX_COLUMNS:
            msg = f"the panel has {len(panel_G):,} genes; at most {kernel.MAX_COLUMNS:,} are possible."
            raise ConfigurationError(msg)
        size = int(known_tokens.max(initial=names.MARKER_TOKEN)) + 1
        column_of_token_T = np.full(size, kernel.UNKNOWN_TOKEN, dtype=np.int32)
        column_of_token_T[known_tokens] = kernel.NOT_IN_PANEL
        unknown = panel_G[(panel_G >= size) | (panel_G < 0)]
        if len(unknown) or (column_of_token_T[panel_G] == kernel.UNKNOWN_TOKEN).any():
            msg = "the panel has genes that the gene table does not have. Materialise gene_panel again."
            raise RawDataError(msg)
        column_of_token_T[panel_G] = np.arange(len(panel_G), dtype=np.int32)
        return cls(
            column_of_token_T=column_of_token_T,
            n_genes=len(panel_G),
            tokens=TokenTable.of(known_tokens),
        )


class GroupIndex:
    """Numbers of the groups (plate, well, cell line) that a run adds up.

    Parameters
    ----------
    groups
        Columns ``GROUP_KEY``, one row per group, W rows; the row is the number.
    """

    def __init__(self, groups: pd.DataFrame) -> None:
        self.groups = groups.reset_index(drop=True)
        self._plates = _numbers(groups[names.PLATE])
        self._samples = _numbers(groups[names.SAMPLE])
        self._lines = _numbers(groups[names.CELL_LINE_ID])
        shape = (len(self._plates), len(self._samples), len(self._lines))
        self._group_of = np.full(shape, -1, dtype=np.int32)
        self._group_of[
            groups[names.PLATE].map(self._plates),
            groups[names.SAMPLE].map(self._samples),
            groups[names.CELL_LINE_ID].map(self._lines),
        ] = np.arange(len(groups), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.groups)

    def numbers(self, keys: pd.DataFrame) -> NDArray[np.int32]:
        """The group of each row of a table with columns ``GROUP_KEY``; all must be there."""
        group_N: NDArray[np.int32] = self._group_of[
            keys[names.PLATE].map(self._plates),
            keys[names.SAMPLE].map(self._samples),
            keys[names.CELL_LINE_ID].map(self._lines),
        ]
        return group_N

    def of_cells(
        self,
        batch: pa.RecordBatch,
        *,
        plates: Collection[str],
        first_row: int,
        left_out: Collection[str] = (),
    ) -> NDArray[np.int32]:
        """The group of each cell; -1 where its plate is not one of ``plates``, or its well is left out.

        Raises
        ------
        BadCellError
            If a cell has no plate, well or line.
        RawDataError
            If a cell's well and line are not among the groups of its plate.
        """
        wanted = {plate: self._plates[plate] for plate in plates}
        plate_C = _codes(batch, names.PLATE, wanted, first_row)
        sample_C = _codes(batch, names.SAMPLE, self._samples, first_row)
        line_C = _codes(batch, names.CELL_LINE_ID, self._lines, first_row)
        is_wanted_C = plate_C >= 0
        if left_out:
            is_wanted_C &= single_group(batch, left_out, first_row=first_row) < 0
        group_C = np.full(len(plate_C), -1, dtype=np.int32)
        is_known_C = is_wanted_C & (sample_C >= 0) & (line_C >= 0)
        known = np.flatnonzero(is_known_C)
        group_C[known] = self._group_of[plate_C[known], sample_C[known], line_C[known]]
        uncounted = np.flatnonzero(is_wanted_C & (group_C < 0))
        if len(uncounted):
            row = int(uncounted[0])
            well = [str(batch.column(name)[row]) for name in (names.SAMPLE, names.CELL_LINE_ID)]
            msg = (
                f"row {first_row + row} is of well and line {first_few(well)}, which the file did "
                "not have when it was counted. Materialise raw_tahoe again."
            )
            raise RawDataError(msg)
        return group_C


def single_group(
    batch: pa.RecordBatch, samples: Collection[str], *, first_row: int
) -> NDArray[np.int32]:
    """0 for the cells of some wells, -1 for others."""
    code_C = _codes(batch, names.SAMPLE, dict.fromkeys(samples, 0), first_row)
    return code_C.astype(np.int32)


def _numbers(values: pd.Series) -> dict[str, int]:
    return {value: number for number, value in enumerate(sorted(set(values)))}


def _codes(
    batch: pa.RecordBatch, column: str, numbers: dict[str, int], first_row: int
) -> NDArray[np.int64]:
    """The number of each cell's value; -1 where it has none."""
    array = batch.column(column)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    if array.null_count:
        raise BadCellError(
            column=column,
            row=first_row + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0]),
            problem="null",
            remedy="Each cell needs its plate, well and cell line; leave such cells out.",
        )
    code_of_value = [numbers.get(value, -1) for value in array.dictionary.to_pylist()]
    lookup = np.array(code_of_value, dtype=np.int64)
    return lookup[array.indices.to_numpy()] if len(lookup) else np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class GroupSums:
    """Integer sums of some cells, W groups in the order of their index.

    ``sums_WG4`` holds, per gene, ``kernel.SUM_X, SUM_X2, COUNTS_NNZ, HALF_SUM_X``.
    """

    sums_WG4: NDArray[np.int64]
    n_cells_W: NDArray[np.int64]
    n_cells_half_W: NDArray[np.int64]
    total_counts_W: NDArray[np.int64]


class Accumulator:
    """Sums of cells added one row group at a time.

    Peak memory: W x G x 32 bytes for the sums, 256 MiB for the window, one row group.

    Parameters
    ----------
    n_groups
        Number of groups W; ``add`` takes numbers below it.
    columns
        The panel.
    sums
        What other threads add to as well; without it, sums of its own.
    """

    def __init__(
        self,
        n_groups: int,
        columns: GeneColumns,
        *,
        sums: Sums | None = None,
        window_entries: int = WINDOW_ENTRIES,
    ) -> None:
        self.columns = columns
        self._sums = sums or Sums(n_groups, columns.n_genes)
        self._n_cells_W = np.zeros(n_groups, dtype=np.int64)
        self._n_cells_half_W = np.zeros(n_groups, dtype=np.int64)
        self._total_counts_W = np.zeros(n_groups, dtype=np.int64)
        self._scratch_G4 = np.zeros((columns.n_genes, 4), dtype=np.int64)
        self._dense_T = np.zeros(len(columns.column_of_token_T), dtype=np.int64)
        self._window_K = np.empty(window_entries, dtype=np.uint32)
        self._waiting: list[_WindowCells] = []
        self._n_entries = 0

    def add(self, batch: pa.RecordBatch, group_C: NDArray[np.int32], *, first_row: int) -> None:
        """Check the cells whose group is not negative, and add them.

        Parameters
        ----------
        batch
            Cells with at least genes, expressions and barcodes; the lists may be
            dictionary-encoded.
        first_row
            Row number of the batch's first cell in its file, for messages.

        Raises
        ------
        BadCellError
            If a cell breaks the format; nothing of the batch is added then.
        """
        if not batch.num_rows:
            return
        lists = batch if _is_coded(batch) else as_released_lists(batch, first_row=first_row)
        self._check_lists(lists, first_row)
        is_first_C = _first_halves(batch.column(names.BARCODE), first_row)
        stop_C = np.empty(len(group_C), dtype=np.int64)
        library_C = np.empty(len(group_C), dtype=np.int64)
        bad_row = self._gather(lists, group_C, stop_C, library_C)
        if bad_row < 0 and library_C.max() > MAX_CELL_COUNTS:
            bad_row = int(np.argmax(library_C))
        if bad_row >= 0:
            self._refuse(batch.slice(bad_row, 1), first_row=first_row + bad_row)
        start_C = np.concatenate([[self._n_entries], stop_C[:-1]])
        self._waiting.append(
            _WindowCells(
                start=start_C, stop=stop_C, library=library_C, group=group_C, is_first=is_first_C
            )
        )
        self._n_entries = int(stop_C[-1])

    def result(self) -> GroupSums:
        """The sums of all cells added; of other threads' cells too, where they share the array."""
        self._flush()
        return GroupSums(
            sums_WG4=self._sums.sums_WG4,
            n_cells_W=self._n_cells_W,
            n_cells_half_W=self._n_cells_half_W,
            total_counts_W=self._total_counts_W,
        )

    def _check_lists(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Refuse lists that are null, hold nulls, or are not as many genes as expressions."""
        genes, expressions = batch.column(names.GENES), batch.column(names.EXPRESSIONS)
        n_nulls = sum(
            array.null_count
            for array in (genes, expressions, genes.flatten(), expressions.flatten())
        )
        if n_nulls or not np.array_equal(_offsets(genes), _offsets(expressions)):
            self._refuse(batch, first_row=first_row)

    def _gather(
        self,
        batch: pa.RecordBatch,
        group_C: NDArray[np.int32],
        stop_C: NDArray[np.int64],
        library_C: NDArray[np.int64],
    ) -> int:
        """The first row that breaks the format, or -1; the cells' entries are in the window then.

        All arrays are views of Arrow's own memory.
        """
        genes, expressions = batch.column(names.GENES), batch.column(names.EXPRESSIONS)
        genes_E, values_E = genes.flatten(), expressions.flatten()
        entries: list[NDArray[Any]]
        if _is_coded(batch):
            entries = [
                genes_E.indices.to_numpy(),
                values_E.indices.to_numpy(),
                genes_E.dictionary.to_numpy(),
                values_E.dictionary.to_numpy(),
            ]
        else:
            entries = [genes_E.to_numpy(), values_E.to_numpy()]
        self._make_room(2 * len(genes_E))
        loop = gather.gather_coded_cells if _is_coded(batch) else gather.gather_cells
        bad_row: int = loop(
            *entries,
            _offsets(genes),
            group_C,
            self.columns.column_of_token_T,
            self._dense_T,
            self._window_K,
            self._n_entries,
            stop_C,
            library_C,
        )
        return bad_row

    def _refuse(self, cells: pa.RecordBatch, *, first_row: int) -> NoReturn:
        """Say what is wrong with some cells that the kernel will not take."""
        cells = as_released_lists(cells)
        check_records(cells, first_row=first_row, tokens=self.columns.tokens)
        raise BadCellError(
            column=names.EXPRESSIONS,
            row=first_row,
            problem=f"the counts of one gene add up to more than {kernel.MAX_COUNT:,}",
            remedy="Write raw UMI counts",
        )

    def _make_room(self, n_entries: int) -> None:
        """Empty the window, and enlarge it, as far as so many more entries need it."""
        if self._n_entries + n_entries > len(self._window_K):
            self._flush()
        if n_entries > len(self._window_K):
            self._window_K = np.empty(n_entries, dtype=np.uint32)

    def _flush(self) -> None:
        """Add the waiting cells to the sums, ordered by group."""
        if not self._waiting:
            return
        cells = _WindowCells.joined(self._waiting)
        self._waiting, self._n_entries = [], 0
        n_groups = len(self._n_cells_W)
        self._n_cells_W += np.bincount(cells.group, minlength=n_groups)
        first = cells.group[cells.is_first]
        self._n_cells_half_W += np.bincount(first, minlength=n_groups)
        np.add.at(self._total_counts_W, cells.group, cells.library)
        check_capacity(self._n_cells_W, self._total_counts_W)
        order_V = np.argsort(cells.group, kind="stable")
        place_S = np.searchsorted(cells.group[order_V], self._sums.first_group_S)
        for stripe, lock in enumerate(self._sums.locks):
            with lock:
                kernel.add_window(
                    self._window_K,
                    cells.start,
                    cells.stop,
                    cells.library,
                    cells.group,
                    cells.is_first,
                    order_V[place_S[stripe] : place_S[stripe + 1]],
                    self._scratch_G4,
                    self._sums.sums_WG4,
                )


@dataclass(frozen=True, kw_only=True)
class _WindowCells:
    """Cells whose panel entries wait in the window."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    library: NDArray[np.int64]
    group: NDArray[np.int32]
    is_first: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: "list[_WindowCells]") -> "_WindowCells":
        """All cells of some parts that belong to a group."""
        group = np.concatenate([part.group for part in parts])
        taken = np.flatnonzero(group >= 0)

        def of(field: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, field) for part in parts])[taken]

        return cls(
            start=of("start"),
            stop=of("stop"),
            library=of("library"),
            group=group[taken],
            is_first=of("is_first"),
        )


def _is_coded(batch: pa.RecordBatch) -> bool:
    """Whether both lists are dictionary-encoded, as ``storage/parquet_pages/list_pages.py`` reads them."""
    kinds = [batch.column(column).type for column in (names.GENES, names.EXPRESSIONS)]
    wanted = [pa.dictionary(pa.uint32(), value) for value in (pa.int64(), pa.float32())]
    are_lists = all(pa.types.is_list(kind) for kind in kinds)
    return are_lists and [kind.value_type for kind in kinds] == wanted


def _offsets(lists: pa.ListArray) -> NDArray[np.int32]:
    """Where each list starts among the entries of all, from 0; C + 1 of them."""
    offsets = lists.offsets.to_numpy()
    from_zero: NDArray[np.int32] = offsets - offsets[0]
    return from_zero


def _first_halves(barcodes: pa.Array, first_row: int) -> NDArray[np.bool_]:
    """Which cells fall in the first half, by a hash of their barcode."""
    if barcodes.null_count:
        raise BadCellError(
            column=names.BARCODE,
            row=first_row
            + int(np.flatnonzero(barcodes.is_null().to_numpy(zero_copy_only=False))[0]),
            problem="null",
            remedy="Each cell needs its barcode; leave such cells out.",
        )
    return np.asarray(kernel.first_halves(*barcode_buffers(barcodes)))
