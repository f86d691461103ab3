"""Cells known by their barcodes: a code of 64 bits each, and which files have the same cells.

What belongs here: codes, and comparing sorted codes of many files. What does not: reading files,
and what becomes of one that repeats another (``ingest/raw/repeated_cells.py``).

Two of Tahoe-100M's barcodes share a code by chance with a probability of 0.03 %.

Shapes: C = cells, R = cells of a range of codes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

CELLS_AT_A_TIME: Final = 4_000_000
"""Codes compared at a time: about 0.1 GB, however many cells and files there are."""
N_EXAMPLES: Final = 3


def barcode_buffers(barcodes: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets (C + 1) and UTF-8 bytes of barcodes without nulls, as the compiled loops take them."""
    if not pa.types.is_string(barcodes.type):
        barcodes = barcodes.cast(pa.string())
    _, offsets_buffer, text_buffer = barcodes.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
    offsets = offsets[barcodes.offset : barcodes.offset + len(barcodes) + 1]
    return offsets, np.frombuffer(text_buffer or b"", dtype=np.uint8)


def cell_codes(barcodes: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The code of each barcode, in order."""
    from drug_pipeline.expression.kernel import barcode_codes  # imports numba

    codes = [barcode_codes(*barcode_buffers(chunk)) for chunk in barcodes.chunks]
    return np.concatenate(codes) if codes else np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class SharedCells:
    """How many cells two files share, and the codes of the first few of them."""

    n_cells: int
    examples: tuple[int, ...]


def shared_cells(codes_of_file: Sequence[NDArray[np.uint64]]) -> dict[tuple[int, int], SharedCells]:
    """The pairs of files, by their places, that share cells; files and pairs in order.

    Parameters
    ----------
    codes_of_file
        Sorted codes of each file, memory maps as a rule; a range of codes is read at a time.
    """
    n_cells = sum(map(len, codes_of_file))
    n_ranges = max(1, -(-n_cells // CELLS_AT_A_TIME))
    bounds = [number * 2**64 // n_ranges for number in range(1, n_ranges)]
    cuts = [
        [0, *np.searchsorted(codes_C, np.array(bounds, dtype=np.uint64)).tolist(), len(codes_C)]
        for codes_C in codes_of_file
    ]
    n_shared: Counter[tuple[int, int]] = Counter()
    examples: dict[tuple[int, int], list[int]] = {}
    for number in range(n_ranges):
        parts = [
            codes_C[cut[number] : cut[number + 1]]
            for codes_C, cut in zip(codes_of_file, cuts, strict=True)
        ]
        for pair, codes in _shared_in_range(parts):
            n_shared[pair] += len(codes)
            shown = examples.get(pair, []) + codes[:N_EXAMPLES].tolist()
            examples[pair] = sorted(shown)[:N_EXAMPLES]
    return {
        pair: SharedCells(n_cells=n_shared[pair], examples=tuple(examples[pair]))
        for pair in sorted(n_shared)
    }


def _shared_in_range(
    parts: Sequence[NDArray[np.uint64]],
) -> list[tuple[tuple[int, int], NDArray[np.uint64]]]:
    """The codes that each pair of files shares."""
    if not parts:
        return []
    code_R = np.concatenate(parts)
    sorted_R = np.sort(code_R)
    if not (sorted_R[1:] == sorted_R[:-1]).any():
        return []
    order = np.argsort(code_R, kind="stable")
    code_R = code_R[order]
    file_R: NDArray[Any] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])[order]
    found = []
    distance = 1
    while (is_same := code_R[distance:] == code_R[:-distance]).any():
        pairs = np.stack([file_R[:-distance][is_same], file_R[distance:][is_same]], axis=1)
        codes = code_R[distance:][is_same]
        for pair in np.unique(pairs, axis=0):
            is_of_pair = (pairs == pair).all(axis=1)
            found.append(((int(pair[0]), int(pair[1])), codes[is_of_pair]))
        distance += 1
    return found
