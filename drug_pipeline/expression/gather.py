"""The compiled loops that read raw cells: checked, added up, their panel genes kept in a window.

What belongs here: numba functions over the lists of one row group, written out (``gather_cells``)
or as Parquet encodes them (``gather_coded_cells``); both find the same cells bad and write the same
window. What does not: sums (``kernel.py``), messages (``pseudobulk.py``).

Shapes: E = entries of a row group, C = cells of a row group, K = window entries, T = tokens,
D = distinct genes of a row group, U = distinct counts.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.compiled import compiled
from drug_pipeline.expression.kernel import COLUMN_SHIFT, LONG_COUNT, MAX_COUNT, UNKNOWN_TOKEN

_MARKER_TOKEN: Final = names.MARKER_TOKEN
_MARKER_VALUE: Final = np.float32(names.MARKER_VALUE)
_LARGEST: Final = np.float32(MAX_COUNT)
_ZERO: Final = np.float32(0.0)
_ODD: Final = -1
"""In place of a gene that no plain cell has."""
_ODD_COUNT: Final = -(2**40)
"""In place of a count that no plain cell has: no library is above 0 with it (2^23 entries of less
than 2^16 are what a row group holds)."""
_TOKEN_SHIFT: Final = 32
"""A gene's code is ``token << 32 | column``: codes ascend as tokens do."""
_ALL_COLUMNS: Final = 2**32 - 1


@compiled
def _library_of(values_E: NDArray[np.float32]) -> np.int64:
    """The sum of some counts; -1 where one is no whole number of 0 to ``MAX_COUNT``."""
    library = np.int64(0)
    n_bad = np.int64(0)
    for entry in range(len(values_E)):  # without a branch, so that it is vectorised
        value = values_E[entry]
        in_range = (value >= _ZERO) & (value <= _LARGEST)  # False for NaN
        count = np.int32(value if in_range else _ZERO)
        n_bad += not (in_range & (np.float32(count) == value))
        library += count
    return library if n_bad == 0 else np.int64(-1)


@compiled
def _do_ascend(tokens_E: NDArray[np.int64]) -> bool:
    """Whether each token is larger than the one before."""
    n_steps_down = np.int64(0)
    for entry in range(1, len(tokens_E)):
        n_steps_down += tokens_E[entry] <= tokens_E[entry - 1]
    return bool(n_steps_down == 0)


@compiled
def _gather_plain_cell(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    column_of_token_T: NDArray[np.int32],
    window_K: NDArray[np.uint32],
    n_entries: int,
) -> np.int64:
    """Entries now in the window, after those of a cell whose tokens ascend; -1 if one is unknown.

    Not for counts of ``LONG_COUNT`` and more. Entries are written first and kept if wanted.
    """
    place = np.uint64(n_entries)
    lowest = np.int32(0)
    for entry in range(len(tokens_E)):
        value = values_E[entry]
        column = column_of_token_T[np.uint64(tokens_E[entry])]  # unsigned: no test for below 0
        lowest = min(lowest, column)
        window_K[place] = (np.uint32(column) << np.uint32(COLUMN_SHIFT)) | np.uint32(
            np.int32(value)
        )
        place += np.uint64((column >= 0) & (value > _ZERO))
    return np.int64(-1) if lowest == UNKNOWN_TOKEN else np.int64(place)


@compiled
def _gather_odd_cell(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    column_of_token_T: NDArray[np.int32],
    dense_T: NDArray[np.int64],
    window_K: NDArray[np.uint32],
    n_entries: int,
) -> tuple[int, np.int64]:
    """``(entries now in the window, library)`` of a cell out of the usual form; -1 if it is bad.

    Its marker is not first, or its tokens do not ascend (perhaps a gene twice), or a count is
    very large, or it is bad.
    """
    n_tokens = len(column_of_token_T)
    library = np.int64(0)
    n_markers = 0
    n_bad = 0
    for entry in range(len(tokens_E)):
        token, value = tokens_E[entry], values_E[entry]
        if token == _MARKER_TOKEN and value == _MARKER_VALUE:
            n_markers += 1
            continue
        is_count = value >= _ZERO and value <= _LARGEST and np.floor(value) == value
        is_known = 0 <= token < n_tokens and column_of_token_T[token] != UNKNOWN_TOKEN
        if is_count and is_known:
            dense_T[token] += np.int64(value)
            library += np.int64(value)
        else:
            n_bad += 1
    for entry in range(len(tokens_E)):
        token = tokens_E[entry]
        if token < 0 or token >= n_tokens or dense_T[token] == 0:
            continue
        count = dense_T[token]
        dense_T[token] = 0
        n_bad += count > MAX_COUNT
        if column_of_token_T[token] >= 0 and n_bad == 0:
            column = np.uint32(column_of_token_T[token])
            window_K[n_entries] = (column << np.uint32(COLUMN_SHIFT)) | np.uint32(
                min(count, LONG_COUNT)
            )
            n_entries += 1
            if count >= LONG_COUNT:
                window_K[n_entries] = np.uint32(count)
                n_entries += 1
    return n_entries, library if n_bad == 0 and n_markers > 0 else np.int64(-1)


@compiled
def gather_cells(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    offsets: NDArray[np.int32],
    group_C: NDArray[np.int32],
    column_of_token_T: NDArray[np.int32],
    dense_T: NDArray[np.int64],
    window_K: NDArray[np.uint32],
    n_entries: int,
    cell_stop_C: NDArray[np.int64],
    library_C: NDArray[np.int64],
) -> int:
    """The first row that breaks the format, or -1, after copying a row group into the window.

    Cells with a negative group are passed over, unread. Entries outside the panel count for
    the library alone. Entries of one gene met twice in a cell are added up, before the log.

    Parameters
    ----------
    offsets
        C + 1 list offsets into ``tokens_E`` and ``values_E``.
    column_of_token_T
        Panel column, ``NOT_IN_PANEL`` or ``UNKNOWN_TOKEN``.
    dense_T
        Scratch, all zero before and after.
    window_K
        Written from ``n_entries`` on; must have room for two entries for each of E.
    cell_stop_C, library_C
        Written: where each cell's entries end in the window, and the sum of its counts.
    """
    n_tokens = len(column_of_token_T)
    for row in range(len(group_C)):
        cell_stop_C[row] = n_entries
        library_C[row] = 0
        if group_C[row] < 0:
            continue
        start, stop = offsets[row], offsets[row + 1]
        cell_stop, library = np.int64(0), np.int64(-1)
        if start < stop and tokens_E[start] == _MARKER_TOKEN and values_E[start] == _MARKER_VALUE:
            library = _library_of(values_E[start + 1 : stop])
        is_plain = 0 <= library < LONG_COUNT and _do_ascend(tokens_E[start:stop])
        if is_plain and tokens_E[stop - 1] < n_tokens:
            cell_stop = _gather_plain_cell(
                tokens_E[start + 1 : stop],
                values_E[start + 1 : stop],
                column_of_token_T,
                window_K,
                n_entries,
            )
        else:
            cell_stop, library = _gather_odd_cell(
                tokens_E[start:stop],
                values_E[start:stop],
                column_of_token_T,
                dense_T,
                window_K,
                n_entries,
            )
        if library <= 0 or cell_stop < 0:
            return row
        n_entries = cell_stop
        cell_stop_C[row] = n_entries
        library_C[row] = library
    return -1


@compiled
def gene_codes(
    token_D: NDArray[np.int64], column_of_token_T: NDArray[np.int32]
) -> NDArray[np.int64]:
    """``token << 32 | column`` of some genes; ``_ODD`` for what is in no gene table."""
    code_D = np.empty(len(token_D), np.int64)
    for number in range(len(token_D)):
        token = token_D[number]
        code_D[number] = _ODD
        if 0 <= token < len(column_of_token_T) and column_of_token_T[token] != UNKNOWN_TOKEN:
            column = np.int64(np.uint32(column_of_token_T[token]))
            code_D[number] = (token << _TOKEN_SHIFT) | column
    return code_D


@compiled
def whole_counts(value_U: NDArray[np.float32]) -> NDArray[np.int64]:
    """Some counts as whole numbers above 0; ``_ODD_COUNT`` for all else, and from ``LONG_COUNT``."""
    count_U = np.empty(len(value_U), np.int64)
    for number in range(len(value_U)):
        value = value_U[number]
        is_plain = value > _ZERO and value < np.float32(LONG_COUNT) and np.floor(value) == value
        count_U[number] = np.int64(value) if is_plain else np.int64(_ODD_COUNT)
    return count_U


@compiled
def _gather_plain_coded_cell(
    gene_E: NDArray[np.uint32],
    value_E: NDArray[np.uint32],
    code_D: NDArray[np.int64],
    count_U: NDArray[np.int64],
    window_K: NDArray[np.uint32],
    n_entries: int,
) -> tuple[np.int64, np.int64]:
    """``(entries now in the window, library)`` of a cell without its marker; library -1 if odd."""
    place = np.uint64(n_entries)
    library = np.int64(0)
    before = (np.int64(_MARKER_TOKEN) << _TOKEN_SHIFT) | _ALL_COLUMNS
    n_steps_down = np.int64(0)
    for entry in range(len(gene_E)):
        code = code_D[gene_E[entry]]
        count = count_U[value_E[entry]]
        n_steps_down += code <= before  # a gene twice is the same code twice
        before = code
        library += count
        window_K[place] = np.uint32(code << COLUMN_SHIFT) | np.uint32(count)
        place += np.uint64(np.int32(code) >= 0)
    is_plain = n_steps_down == 0 and 0 <= library < LONG_COUNT
    return np.int64(place), np.int64(library if is_plain else -1)


@compiled
def gather_coded_cells(
    gene_E: NDArray[np.uint32],
    value_E: NDArray[np.uint32],
    token_D: NDArray[np.int64],
    value_U: NDArray[np.float32],
    offsets: NDArray[np.int32],
    group_C: NDArray[np.int32],
    column_of_token_T: NDArray[np.int32],
    dense_T: NDArray[np.int64],
    window_K: NDArray[np.uint32],
    n_entries: int,
    cell_stop_C: NDArray[np.int64],
    library_C: NDArray[np.int64],
) -> int:
    """What :func:`gather_cells` does, for lists that are dictionary-encoded.

    A gene is looked up, and a count checked, once per row group and not once per cell. A cell that is
    not plain is written out and read as such cells always are.

    Parameters
    ----------
    gene_E, value_E
        Where each entry's gene and count are in ``token_D`` and ``value_U``; must lie in them.
    """
    code_D, count_U = gene_codes(token_D, column_of_token_T), whole_counts(value_U)
    for row in range(len(group_C)):
        cell_stop_C[row] = n_entries
        library_C[row] = 0
        if group_C[row] < 0:
            continue
        start, stop = offsets[row], offsets[row + 1]
        cell_stop, library = np.int64(0), np.int64(-1)
        if (
            start < stop
            and token_D[gene_E[start]] == _MARKER_TOKEN
            and value_U[value_E[start]] == _MARKER_VALUE
        ):
            cell_stop, library = _gather_plain_coded_cell(
                gene_E[start + 1 : stop],
                value_E[start + 1 : stop],
                code_D,
                count_U,
                window_K,
                n_entries,
            )
        if library < 0:
            cell_stop, library = _gather_odd_cell(
                token_D[gene_E[start:stop]],
                value_U[value_E[start:stop]],
                column_of_token_T,
                dense_T,
                window_K,
                n_entries,
            )
        if library <= 0:
            return row
        n_entries = int(cell_stop)
        cell_stop_C[row] = n_entries
        library_C[row] = library
    return -1
