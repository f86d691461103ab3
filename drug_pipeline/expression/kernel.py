"""The compiled loops of the pseudobulk: from a window of gathered cells to integer sums.

What belongs here: numba functions over plain arrays, and the formats they read and write.
What does not: reading and checking cells (``gather.py``), Arrow, tables, messages
(``pseudobulk.py``).

Cells pass through two loops. The first (``gather.py``) reads one row group, checks each entry, adds
up each cell's library over ALL genes and copies the panel's entries into a window. The second,
``add_window``, takes the window's cells ordered by group, so that one group's sums stay in the
processor's cache while its cells are added, and touches the large array once per group.

Shapes: K = window entries, V = window cells, C = cells, W = groups (well x cell line), G = panel
genes, 4 = ``SUM_X, SUM_X2, COUNTS_NNZ, HALF_SUM_X``.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.compiled import compiled
from drug_pipeline.expression.moments import COUNT_SHIFT, X2_SCALE, X_SCALE

MAX_COUNT: Final = 2**24
"""Float32 cannot tell whole numbers apart above this."""

SUM_X: Final = 0
SUM_X2: Final = 1
COUNTS_NNZ: Final = 2
HALF_SUM_X: Final = 3

NOT_IN_PANEL: Final = -1
UNKNOWN_TOKEN: Final = -2

_TABLE_SIZE: Final = 64
"""Counts below this take their sums from a table made once per cell (over 99 % of entries do)."""
COLUMN_SHIFT: Final = 16
"""A window entry is ``column << 16 | count``."""
MAX_COLUMNS: Final = 2**16
"""Genes that a window entry can tell apart; the gene table has 62,710."""
LONG_COUNT: Final = 2**16 - 1
"""In place of a count that needs more than 16 bits, which then is the next entry."""
_TARGET_SUM: Final = names.TARGET_SUM


@compiled
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
    sums_of_count[:, SUM_X] = -1  # not worked out yet: sums of x are never negative
    place = np.uint64(0)
    stop = np.uint64(len(window_K))
    while place < stop:
        entry = window_K[place]
        place += np.uint64(1)
        # Gene and count share one word, so that the window streams from memory once.
        column = entry >> np.uint32(COLUMN_SHIFT)
        count = entry & np.uint32(LONG_COUNT)
        if count == np.uint32(LONG_COUNT):
            count = window_K[place]
            place += np.uint64(1)
        # Row 0 serves every large count, worked out anew each time: too few to be worth a table.
        row = count if count < np.uint32(_TABLE_SIZE) else np.uint32(0)
        if sums_of_count[row, SUM_X] < 0:
            log = np.log1p(count * scale)
            # Rounded to fixed point: sums of whole numbers do not depend on the order of cells.
            sums_of_count[row, SUM_X] = np.int64(log * X_SCALE + 0.5)
            sums_of_count[row, SUM_X2] = np.int64(log * log * X2_SCALE + 0.5)
            # Counts in the high bits, "one non-zero cell" in the low ones: one addition for both.
            sums_of_count[row, COUNTS_NNZ] = (np.int64(count) << COUNT_SHIFT) | 1
        x = sums_of_count[row, SUM_X]
        target_G4[column, SUM_X] += x
        target_G4[column, SUM_X2] += sums_of_count[row, SUM_X2]
        target_G4[column, COUNTS_NNZ] += sums_of_count[row, COUNTS_NNZ]
        target_G4[column, HALF_SUM_X] += x & half_mask  # no branch: the halves alternate at random
        if row == np.uint32(0):
            sums_of_count[0, SUM_X] = -1


@compiled
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
        # The scratch row costs a pass over all genes: worth it where most of them are touched.
        has_many = 2 * n_entries > n_genes
        target_G4 = scratch_G4 if has_many else sums_WG4[group]
        for position in range(first, last):
            cell = order_V[position]
            entries_K = window_K[cell_start_V[cell] : cell_stop_V[cell]]
            half_mask = -np.int64(is_first_half_V[cell])  # -1 has all bits set
            _add_cell(entries_K, library_V[cell], half_mask, sums_of_count, target_G4)
        if has_many:
            sums_G4 = sums_WG4[group]
            for gene in range(n_genes):
                for kind in range(4):
                    sums_G4[gene, kind] += scratch_G4[gene, kind]
                    scratch_G4[gene, kind] = 0
        first = last


@compiled
def _code(text: NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    """The mixed FNV-1a hash of some bytes.

    FNV-1a alone keeps the parity of the letters in its low bit, so its end is mixed (the
    64-bit finaliser of MurmurHash3) before that bit is read.
    """
    code = np.uint64(0xCBF29CE484222325)
    for position in range(start, stop):
        code = (code ^ np.uint64(text[position])) * np.uint64(0x100000001B3)
    code ^= code >> np.uint64(33)
    code *= np.uint64(0xFF51AFD7ED558CCD)
    code ^= code >> np.uint64(33)
    code *= np.uint64(0xC4CEB9FE1A85EC53)
    code ^= code >> np.uint64(33)
    return code


@compiled
def first_halves(offsets: NDArray[np.int32], text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each barcode falls in the first half: the low bit of its code.

    Parameters
    ----------
    offsets, text
        Buffers of an Arrow string array: C + 1 offsets into UTF-8 bytes.
    """
    is_first_C = np.empty(len(offsets) - 1, np.bool_)
    for row in range(len(is_first_C)):
        code = _code(text, offsets[row], offsets[row + 1])
        is_first_C[row] = (code & np.uint64(1)) == np.uint64(1)
    return is_first_C


@compiled
def barcode_codes(offsets: NDArray[np.int32], text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The code of each barcode; parameters as for ``first_halves``."""
    code_C = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(code_C)):
        code_C[row] = _code(text, offsets[row], offsets[row + 1])
    return code_C
