"""The compiled loops of the pseudobulk: from Arrow buffers of raw cells to integer sums.

What belongs here: numba functions over plain arrays, and the fixed-point format they write.
What does not: Arrow, tables, messages (``expression/pseudobulk.py``).

Cells pass through two loops. ``gather_cells`` reads one row group as it was decoded, checks each
entry, adds up each cell's library over ALL genes and copies the panel's entries into a window.
``add_window`` takes the window's cells ordered by group and half, so that one group's sums stay
in the processor's cache while its cells are added, and touches the large array once a group.

Shapes: E = entries of a row group, C = cells of a row group, K = window entries, V = window cells,
W = groups (well x cell line), G = panel genes, T = tokens, 4 = ``SUM_X, SUM_X2, COUNTS_NNZ,
HALF_SUM_X``.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.expression.moments import COUNT_SHIFT, X2_SCALE, X_SCALE

logger = logging.getLogger(__name__)

MAX_COUNT: Final = 2**24
"""Float32 cannot tell whole numbers apart above this."""

SUM_X: Final = 0
SUM_X2: Final = 1
COUNTS_NNZ: Final = 2
HALF_SUM_X: Final = 3

NOT_IN_PANEL: Final = -1
UNKNOWN_TOKEN: Final = -2

_TABLE_SIZE: Final = 64
"""Counts below this take their sums from a table made once a cell (over 99 % of entries do)."""
_COLUMN_SHIFT: Final = 16
"""A window entry is ``column << 16 | count``."""
MAX_COLUMNS: Final = 2**16
"""Genes that a window entry can tell apart; the gene table has 62,710."""
_LONG_COUNT: Final = 2**16 - 1
"""In place of a count that needs more than 16 bits, which then is the next entry."""
_MARKER_TOKEN: Final = names.MARKER_TOKEN
_MARKER_VALUE: Final = np.float32(names.MARKER_VALUE)
_TARGET_SUM: Final = names.TARGET_SUM
_LARGEST: Final = np.float32(MAX_COUNT)
_ZERO: Final = np.float32(0.0)


def _compiled(function: Callable[..., Any]) -> Any:
    """The function compiled, kept on disk where any place for it can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as error:  # numba found no folder that it may write to
        logger.warning("compiled code cannot be kept, each process compiles anew: %s", error)
        return njit(nogil=True)(function)


@_compiled
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


@_compiled
def _do_ascend(tokens_E: NDArray[np.int64]) -> bool:
    """Whether each token is larger than the one before."""
    n_steps_down = np.int64(0)
    for entry in range(1, len(tokens_E)):
        n_steps_down += tokens_E[entry] <= tokens_E[entry - 1]
    return bool(n_steps_down == 0)


@_compiled
def _gather_plain_cell(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    column_of_token_T: NDArray[np.int32],
    window_K: NDArray[np.uint32],
    n_entries: int,
) -> np.int64:
    """Entries now in the window, after those of a cell whose tokens ascend; -1 if one is unknown.

    Not for counts of ``_LONG_COUNT`` and more. Entries are written first and kept if wanted.
    """
    place = np.uint64(n_entries)
    lowest = np.int32(0)
    for entry in range(len(tokens_E)):
        value = values_E[entry]
        column = column_of_token_T[np.uint64(tokens_E[entry])]  # unsigned: no test for below 0
        lowest = min(lowest, column)
        window_K[place] = (np.uint32(column) << np.uint32(_COLUMN_SHIFT)) | np.uint32(
            np.int32(value)
        )
        place += np.uint64((column >= 0) & (value > _ZERO))
    return np.int64(-1) if lowest == UNKNOWN_TOKEN else np.int64(place)


@_compiled
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
            window_K[n_entries] = (column << np.uint32(_COLUMN_SHIFT)) | np.uint32(
                min(count, _LONG_COUNT)
            )
            n_entries += 1
            if count >= _LONG_COUNT:
                window_K[n_entries] = np.uint32(count)
                n_entries += 1
    return n_entries, library if n_bad == 0 and n_markers > 0 else np.int64(-1)


@_compiled
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
        is_plain = 0 <= library < _LONG_COUNT and _do_ascend(tokens_E[start:stop])
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


@_compiled
def _add_cell(
    window_K: NDArray[np.uint32],
    library: int,
    half_mask: int,
    sums_of_count: NDArray[np.int64],
    target_G4: NDArray[np.int64],
) -> None:
    """Add one cell's entries to some sums.

    ``half_mask`` is -1 (all bits) for cells of the first half, else 0; ``sums_of_count`` is scratch.

    The sums of x, x squared and counts of a (cell, count) are worked out once and looked up
    from then on: most entries of a cell are 1, 2 or 3.
    """
    scale = _TARGET_SUM / library
    sums_of_count[:, SUM_X] = -1
    place = np.uint64(0)
    stop = np.uint64(len(window_K))
    while place < stop:
        entry = window_K[place]
        place += np.uint64(1)
        column = entry >> np.uint32(_COLUMN_SHIFT)
        count = entry & np.uint32(_LONG_COUNT)
        if count == np.uint32(_LONG_COUNT):
            count = window_K[place]
            place += np.uint64(1)
        row = count if count < np.uint32(_TABLE_SIZE) else np.uint32(0)
        if sums_of_count[row, SUM_X] < 0:
            log = np.log1p(count * scale)
            sums_of_count[row, SUM_X] = np.int64(log * X_SCALE + 0.5)
            sums_of_count[row, SUM_X2] = np.int64(log * log * X2_SCALE + 0.5)
            sums_of_count[row, COUNTS_NNZ] = (np.int64(count) << COUNT_SHIFT) | 1
        x = sums_of_count[row, SUM_X]
        target_G4[column, SUM_X] += x
        target_G4[column, SUM_X2] += sums_of_count[row, SUM_X2]
        target_G4[column, COUNTS_NNZ] += sums_of_count[row, COUNTS_NNZ]
        target_G4[column, HALF_SUM_X] += x & half_mask
        if row == np.uint32(0):
            sums_of_count[0, SUM_X] = -1


@_compiled
def add_window(
    window_K: NDArray[np.uint32],
    cell_start_V: NDArray[np.int64],
    cell_stop_V: NDArray[np.int64],
    library_V: NDArray[np.int64],
    group_V: NDArray[np.int32],
    is_first_half_V: NDArray[np.bool_],
    order_V: NDArray[np.int64],
    scratch_G4: NDArray[np.int64],
    sums_WG4: NDArray[np.int64],
) -> None:
    """Add the window's cells to ``sums_WG4``, in place.

    Parameters
    ----------
    order_V
        The cells, sorted by group.
    scratch_G4
        All zero before and after. Small enough for the processor's cache, where a group of the
        large array is not: a group with many entries is added up here first.
    """
    n_genes = scratch_G4.shape[0]
    sums_of_count = np.empty((_TABLE_SIZE, 4), np.int64)
    first = 0
    while first < len(order_V):
        group = group_V[order_V[first]]
        last = first
        n_entries = 0
        while last < len(order_V) and group_V[order_V[last]] == group:
            n_entries += cell_stop_V[order_V[last]] - cell_start_V[order_V[last]]
            last += 1
        has_many = 2 * n_entries > n_genes
        target_G4 = scratch_G4 if has_many else sums_WG4[group]
        for position in range(first, last):
            cell = order_V[position]
            entries_K = window_K[cell_start_V[cell] : cell_stop_V[cell]]
            half_mask = -np.int64(is_first_half_V[cell])
            _add_cell(entries_K, library_V[cell], half_mask, sums_of_count, target_G4)
        if has_many:
            sums_G4 = sums_WG4[group]
            for gene in range(n_genes):
                for kind in range(4):
                    sums_G4[gene, kind] += scratch_G4[gene, kind]
                    scratch_G4[gene, kind] = 0
        first = last


@_compiled
def first_halves(offsets: NDArray[np.int32], text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each barcode falls in the first half: the low bit of its mixed FNV-1a hash.

    FNV-1a alone keeps the parity of the letters in its low bit, so its end is mixed (the
    64-bit finaliser of MurmurHash3) before that bit is read.

    Parameters
    ----------
    offsets, text
        Buffers of an Arrow string array: C + 1 offsets into UTF-8 bytes.
    """
    is_first_C = np.empty(len(offsets) - 1, np.bool_)
    for row in range(len(is_first_C)):
        code = np.uint64(0xCBF29CE484222325)
        for position in range(offsets[row], offsets[row + 1]):
            code = (code ^ np.uint64(text[position])) * np.uint64(0x100000001B3)
        code ^= code >> np.uint64(33)
        code *= np.uint64(0xFF51AFD7ED558CCD)
        code ^= code >> np.uint64(33)
        code *= np.uint64(0xC4CEB9FE1A85EC53)
        code ^= code >> np.uint64(33)
        is_first_C[row] = (code & np.uint64(1)) == np.uint64(1)
    return is_first_C
