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
"""Counts below this take their log from a table made once a cell (99 % of entries do)."""
_MARKER_TOKEN: Final = names.MARKER_TOKEN
_MARKER_VALUE: Final = np.float32(names.MARKER_VALUE)
_TARGET_SUM: Final = names.TARGET_SUM
_MAX_COUNT: Final = np.float32(MAX_COUNT)
_ZERO: Final = np.float32(0.0)


def _compiled(function: Callable[..., Any]) -> Any:
    """The function compiled, kept on disk where any place for it can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError as error:  # numba found no folder that it may write to
        logger.warning("compiled code cannot be kept, each process compiles anew: %s", error)
        return njit(nogil=True)(function)


@_compiled
def _library_of(values_E: NDArray[np.float32], start: int, stop: int) -> int:
    """The sum of some counts; -1 where one is no whole number of 0 to ``MAX_COUNT``."""
    library = 0
    n_bad = 0
    for entry in range(start, stop):  # without a branch, so that it is vectorised
        value = values_E[entry]
        in_range = (value >= _ZERO) & (value <= _MAX_COUNT)  # False for NaN
        count = np.int32(value if in_range else _ZERO)
        n_bad += not (in_range and np.float32(count) == value)
        library += count
    return -1 if n_bad else library


@_compiled
def gather_cells(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    offsets: NDArray[np.int32],
    group_C: NDArray[np.int32],
    column_of_token_T: NDArray[np.int32],
    dense_T: NDArray[np.int64],
    window_column_K: NDArray[np.int32],
    window_count_K: NDArray[np.int32],
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
    window_column_K, window_count_K
        Written from ``n_entries`` on; must have room for all entries.
    cell_stop_C, library_C
        Written: where each cell's entries end in the window, and the sum of its counts.
    """
    n_tokens = np.uint64(len(column_of_token_T))
    for row in range(len(group_C)):
        cell_stop_C[row] = n_entries
        library_C[row] = 0
        if group_C[row] < 0:
            continue
        start, stop = offsets[row], offsets[row + 1]
        library = -1
        if start < stop and tokens_E[start] == _MARKER_TOKEN and values_E[start] == _MARKER_VALUE:
            library = _library_of(values_E, start + 1, stop)
        stop_entry = n_entries
        is_plain = library >= 0
        if is_plain:
            previous = np.int64(_MARKER_TOKEN)
            lowest = np.int32(0)
            for entry in range(start + 1, stop):
                token = tokens_E[entry]
                if np.uint64(token) >= n_tokens:
                    return row
                is_plain &= token > previous
                previous = token
                column = column_of_token_T[token]
                lowest = min(lowest, column)
                value = values_E[entry]
                window_column_K[stop_entry] = column
                window_count_K[stop_entry] = np.int32(value)
                stop_entry += (column >= 0) & (value > _ZERO)
            if lowest == UNKNOWN_TOKEN:
                return row
        if not is_plain:
            stop_entry, library = _gather_odd_cell(
                tokens_E[start:stop], values_E[start:stop], column_of_token_T, dense_T,
                window_column_K, window_count_K, n_entries,
            )  # fmt: skip
        if library <= 0:
            return row
        n_entries = stop_entry
        cell_stop_C[row] = n_entries
        library_C[row] = library
    return -1


@_compiled
def _gather_odd_cell(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    column_of_token_T: NDArray[np.int32],
    dense_T: NDArray[np.int64],
    window_column_K: NDArray[np.int32],
    window_count_K: NDArray[np.int32],
    n_entries: int,
) -> tuple[int, int]:
    """``(entries in the window, library)`` of a cell out of the usual form; -1 where it is bad.

    Its marker is not first, or its tokens do not ascend (perhaps a gene twice), or it is bad.
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
        is_count = value >= _ZERO and value <= _MAX_COUNT and np.floor(value) == value
        if (
            not is_count
            or token < 0
            or token >= n_tokens
            or column_of_token_T[token] == UNKNOWN_TOKEN
        ):
            n_bad += 1
        else:
            dense_T[token] += np.int64(value)
            library += np.int64(value)
    for entry in range(len(tokens_E)):
        token = tokens_E[entry]
        if token < 0 or token >= n_tokens or dense_T[token] == 0:
            continue
        n_bad += dense_T[token] > MAX_COUNT
        if column_of_token_T[token] >= 0 and n_bad == 0:
            window_column_K[n_entries] = column_of_token_T[token]
            window_count_K[n_entries] = dense_T[token]
            n_entries += 1
        dense_T[token] = 0
    return n_entries, library if n_bad == 0 and n_markers > 0 else -1


@_compiled
def add_window(
    window_column_K: NDArray[np.int32],
    window_count_K: NDArray[np.int32],
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
        The cells sorted by group, within a group those of the first half first, so that the
        first half's sum of x is the running sum where that half ends.
    scratch_G4
        All zero before and after.
    """
    n_genes = scratch_G4.shape[0]
    x_of_count = np.empty(_TABLE_SIZE, np.int64)
    x2_of_count = np.empty(_TABLE_SIZE, np.int64)
    first = 0
    while first < len(order_V):
        group = group_V[order_V[first]]
        last = first
        n_entries = 0
        while last < len(order_V) and group_V[order_V[last]] == group:
            n_entries += cell_stop_V[order_V[last]] - cell_start_V[order_V[last]]
            last += 1
        use_scratch = 2 * n_entries > n_genes  # else clearing it costs more than it saves
        target_G4 = scratch_G4 if use_scratch else sums_WG4[group]
        for position in range(first, last):
            cell = order_V[position]
            if use_scratch and not is_first_half_V[cell]:
                is_boundary = position > first and is_first_half_V[order_V[position - 1]]
                if is_boundary:
                    for gene in range(n_genes):
                        scratch_G4[gene, HALF_SUM_X] = scratch_G4[gene, SUM_X]
            half_mask = np.int64(-1 if is_first_half_V[cell] and not use_scratch else 0)
            scale = _TARGET_SUM / library_V[cell] if library_V[cell] > 0 else 0.0
            x_of_count[:] = -1
            for entry in range(cell_start_V[cell], cell_stop_V[cell]):
                count = window_count_K[entry]
                if count < _TABLE_SIZE and x_of_count[count] >= 0:
                    x = x_of_count[count]
                    x2 = x2_of_count[count]
                else:
                    log = np.log1p(count * scale)
                    x = np.int64(log * X_SCALE + 0.5)
                    x2 = np.int64(log * log * X2_SCALE + 0.5)
                    if count < _TABLE_SIZE:
                        x_of_count[count] = x
                        x2_of_count[count] = x2
                column = window_column_K[entry]
                target_G4[column, SUM_X] += x
                target_G4[column, SUM_X2] += x2
                target_G4[column, COUNTS_NNZ] += (np.int64(count) << COUNT_SHIFT) | 1
                if not use_scratch:
                    target_G4[column, HALF_SUM_X] += x & half_mask
        if use_scratch:
            if is_first_half_V[order_V[last - 1]]:
                for gene in range(n_genes):
                    scratch_G4[gene, HALF_SUM_X] = scratch_G4[gene, SUM_X]
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
