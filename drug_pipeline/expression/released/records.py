"""The lists of a raw record: genes and expressions, checked batch by batch.

What belongs here: the test that a batch of cells keeps the released format, and the search for
the cell that does not. What does not: schema, strings and dose text (``released/tahoe.py``), arithmetic on
the counts (``pseudobulk.py``).

Shapes: C = cells of a batch, Z = entries of all its cells laid end to end, markers included.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError

MAX_COUNT: Final = float(2**24)
"""Above it not every whole number has a float32."""
MAX_CELL_COUNTS: Final = float(2**26)
"""Counts of a cell, of all its genes; sequenced cells have thousands, and sums of groups have room."""
CHUNK_VALUES: Final = 2**16
"""Values checked at a time, so that the intermediate arrays stay in the cache (512 KiB)."""


@dataclass(frozen=True)
class TokenTable:
    """The gene tokens that a record may hold.

    ``is_known`` is a bool table by token id; ``first`` and ``last`` are the smallest and largest
    known token; where every id between them is known (as in the released gene table) a range
    test replaces the look-up.
    """

    is_known: NDArray[np.bool_]
    first: int
    last: int
    is_contiguous: bool

    @classmethod
    def of(cls, token_ids: NDArray[np.int64]) -> "TokenTable":
        """The table of a gene metadata's token ids, in any order."""
        first, last = int(token_ids.min()), int(token_ids.max())
        is_known = np.zeros(last + 1, dtype=np.bool_)
        is_known[token_ids] = True
        return cls(is_known, first, last, bool(is_known[first:].all()))

    def n_known(self, tokens_Z: NDArray[np.int64]) -> int:
        """How many of some tokens are in the gene table."""
        if self.is_contiguous and tokens_Z.max() <= self.last:
            return int(np.count_nonzero(tokens_Z >= self.first))
        return len(tokens_Z) - int(np.count_nonzero(self.unknown(tokens_Z)))

    def unknown(self, tokens_Z: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each token is absent from the gene table."""
        unknown_Z = (tokens_Z < self.first) | (tokens_Z > self.last)
        if not self.is_contiguous:
            unknown_Z |= ~self.is_known[np.clip(tokens_Z, 0, self.last)]
        return unknown_Z


def as_released_lists(batch: pa.RecordBatch, *, first_row: int = 0) -> pa.RecordBatch:
    """The batch with ``genes`` as list<int64> and ``expressions`` as list<float>; no copy if so.

    Raises
    ------
    BadCellError
        At the first cell with a number that the released type does not hold exactly.
    """
    for column, value_type in ((names.GENES, pa.int64()), (names.EXPRESSIONS, pa.float32())):
        array = batch.column(column)
        if not (pa.types.is_list(array.type) and array.type.value_type == value_type):
            released = _released(_without_dictionary(array), value_type, column, first_row)
            position = batch.schema.get_field_index(column)
            batch = batch.set_column(position, pa.field(column, released.type), released)
    return batch


def _released(
    lists: pa.Array, value_type: pa.DataType, column: str, first_row: int
) -> pa.ListArray:
    """Lists cast to a value type; what comes back from it otherwise is refused by its row."""
    written = lists.cast(pa.list_(lists.type.value_type))
    released = written.cast(pa.list_(value_type), safe=False)
    if written.type.value_type in (value_type, pa.float16()):
        return released
    values = written.flatten()
    is_other = pc.not_equal(released.flatten().cast(values.type, safe=False), values)
    position = pc.index(is_other, value=True).as_py()
    value = values[position].as_py() if position >= 0 else None
    if value is None or (value != value and column == names.EXPRESSIONS):  # NaN is found later
        return released
    raise BadCellError(
        column=column,
        row=first_row + pc.list_parent_indices(written)[position].as_py(),
        problem=f"{value} has no {value_type} of its own",
        remedy="Write tokens and raw UMI counts, which are whole numbers up to 2^24",
    )


def _without_dictionary(lists: pa.Array) -> pa.Array:
    """Lists whose values are written out; others as they are."""
    if not pa.types.is_dictionary(lists.type.value_type):
        return lists
    offsets = pa.array(lists.offsets.to_numpy() - lists.offsets[0].as_py())
    return pa.ListArray.from_arrays(offsets, lists.flatten().dictionary_decode())


def check_records(batch: pa.RecordBatch, *, first_row: int, tokens: TokenTable) -> None:
    """Refuse a batch of which any cell breaks the format; a few µs per cell, no copy of the lists.

    Each cell must hold the marker (token 1 with value -2.0, wherever it stands), as many genes as
    expressions, tokens of the gene table, and counts that are finite, whole, at least 0 and at
    most 2^24, at least one of them above 0 (else its library size is 0), and 2^26 together. An explicit zero count
    is tolerated: it adds nothing. A gene may occur twice in a cell: its counts add up.

    Parameters
    ----------
    batch
        Cells with ``genes`` list<int64> and ``expressions`` list<float32>.
    first_row
        Number of its first cell within the file, from 0.

    Raises
    ------
    BadCellError
        At the first cell found at fault.
    """
    if not batch.num_rows:
        return
    genes_Z, offsets_C = _flat_list(batch, names.GENES, first_row)
    values_Z, value_offsets_C = _flat_list(batch, names.EXPRESSIONS, first_row)
    _check_lengths(offsets_C, value_offsets_C, first_row)
    if not _looks_clean(genes_Z, values_Z, offsets_C, tokens):
        _diagnose(genes_Z, values_Z, offsets_C, first_row, tokens)


def _looks_clean(
    genes_Z: NDArray[np.int64],
    values_Z: NDArray[np.float32],
    offsets_C: NDArray[np.int64],
    tokens: TokenTable,
) -> bool:
    """Whether every cell is certainly fit: marker first, and a plain count everywhere else.

    Counting is enough, and cheaper than looking at which: where each cell starts with a marker,
    and as many entries as are not markers are above zero, no count is negative, zero or NaN. The
    same goes for the tokens.
    """
    lengths_C = np.diff(offsets_C)
    starts_C = offsets_C[:-1]
    if int(lengths_C.min()) < 2 or not _is_marker(genes_Z[starts_C], values_Z[starts_C]).all():
        return False
    n_positive = n_known = 0
    most = MAX_CELL_COUNTS / int(lengths_C.max())
    for start in range(0, len(genes_Z), CHUNK_VALUES):
        values, genes = (
            values_Z[start : start + CHUNK_VALUES],
            genes_Z[start : start + CHUNK_VALUES],
        )
        if values.max() > min(MAX_COUNT, most) or not (np.trunc(values) == values).all():
            return False
        n_positive += int(np.count_nonzero(values > 0))
        n_known += tokens.n_known(genes)
    n_entries = len(genes_Z) - len(starts_C)
    return n_positive == n_entries and n_known == n_entries


def _diagnose(
    genes_Z: NDArray[np.int64],
    values_Z: NDArray[np.float32],
    offsets_C: NDArray[np.int64],
    first_row: int,
    tokens: TokenTable,
) -> None:
    """Find the first cell at fault, if there is one; slower, and only for what looks odd."""
    is_marker_Z = _is_marker(genes_Z, values_Z)
    n_markers_C = _sum_by_cell(is_marker_Z, offsets_C)
    if not n_markers_C.all():
        raise BadCellError(
            column=names.GENES,
            row=first_row + int(np.argmin(n_markers_C)),
            problem=(
                f"the cell has no marker entry (token {names.MARKER_TOKEN} with value "
                f"{names.MARKER_VALUE})"
            ),
            remedy="Write the file in the released format, marker included",
        )
    position = _first_true(tokens.unknown(genes_Z) & ~is_marker_Z)
    if position >= 0:
        raise BadCellError(
            column=names.GENES,
            row=first_row + _cell_of(position, offsets_C),
            problem=f"token {genes_Z[position]} is not in the gene table",
            remedy="Use the gene_metadata that belongs to these files",
        )
    is_bad_Z = ~np.isfinite(values_Z) | (values_Z < 0) | (np.trunc(values_Z) != values_Z)
    position = _first_true((is_bad_Z | (values_Z > MAX_COUNT)) & ~is_marker_Z)
    if position >= 0:
        raise BadCellError(
            column=names.EXPRESSIONS,
            row=first_row + _cell_of(position, offsets_C),
            problem=f"count {values_Z[position]} {_count_fault(float(values_Z[position]))}",
            remedy="Write raw UMI counts, not normalised values",
        )
    totals_C = _sum_by_cell(np.where(is_marker_Z, 0.0, values_Z), offsets_C)
    if not totals_C.all():
        raise BadCellError(
            column=names.EXPRESSIONS,
            row=first_row + int(np.argmin(totals_C)),
            problem="the cell has no counts, so that its library size is 0",
            remedy="Leave empty cells out",
        )
    if totals_C.max() > MAX_CELL_COUNTS:
        row = int(np.argmax(totals_C))
        raise BadCellError(
            column=names.EXPRESSIONS,
            row=first_row + row,
            problem=f"the cell has {totals_C[row]:,.0f} counts, and at most 2^26 can be summed",
            remedy="Write raw UMI counts, not normalised values",
        )


def _count_fault(count: float) -> str:
    if not math.isfinite(count):
        return "is not finite"
    if count < 0:
        return "is negative"
    if count != math.trunc(count):
        return "is not a whole number"
    return "is above 2^24, where float32 no longer holds every whole number"


def _check_lengths(
    offsets_C: NDArray[np.int64], value_offsets_C: NDArray[np.int64], first_row: int
) -> None:
    n_genes_C, n_values_C = np.diff(offsets_C), np.diff(value_offsets_C)
    row = _first_true(n_genes_C != n_values_C)
    if row >= 0:
        raise BadCellError(
            column=names.EXPRESSIONS,
            row=first_row + row,
            problem=f"{n_genes_C[row]} genes but {n_values_C[row]} expressions",
            remedy="Write one expression for each gene",
        )


def _flat_list(
    batch: pa.RecordBatch, column: str, first_row: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values of a list column laid end to end, and where each cell starts; views of the buffers."""
    array = batch.column(column)
    if array.null_count:
        row = first_row + _first_true(array.is_null().to_numpy(zero_copy_only=False))
        raise BadCellError(
            column=column, row=row, problem="the list is null", remedy="Leave the cell out"
        )
    offsets_C = array.offsets.to_numpy()
    start, stop = int(offsets_C[0]), int(offsets_C[-1])
    values = array.values.slice(start, stop - start)
    offsets_C = offsets_C - start
    if values.null_count:
        position = _first_true(values.is_null().to_numpy(zero_copy_only=False))
        raise BadCellError(
            column=column,
            row=first_row + _cell_of(position, offsets_C),
            problem="an entry of the list is null",
            remedy="Leave the entry out of both lists",
        )
    return values.to_numpy(), offsets_C


def _is_marker(genes_Z: NDArray[np.int64], values_Z: NDArray[np.float32]) -> NDArray[np.bool_]:
    is_marker_Z: NDArray[np.bool_] = genes_Z == names.MARKER_TOKEN
    is_marker_Z &= values_Z == names.MARKER_VALUE
    return is_marker_Z


def _sum_by_cell(entries_Z: NDArray[Any], offsets_C: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of entries per cell; 0 for an empty cell."""
    running = np.concatenate([[0.0], np.cumsum(entries_Z, dtype=np.float64)])
    return np.diff(running[offsets_C])


def _first_true(is_hit: NDArray[np.bool_]) -> int:
    position = int(np.argmax(is_hit)) if len(is_hit) else 0
    return position if len(is_hit) and is_hit[position] else -1


def _cell_of(position: int, offsets_C: NDArray[np.int64]) -> int:
    return int(np.searchsorted(offsets_C, position, side="right")) - 1
