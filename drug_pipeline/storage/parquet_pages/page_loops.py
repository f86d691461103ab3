"""The compiled loops that read the inside of a Parquet data page: levels and dictionary indices.

What belongs here: numba functions over the bytes of one decompressed page. What does not: headers,
codecs, Arrow (``parquet_pages/list_pages.py``).

All three read the format's hybrid of runs: a varint ``n << 1`` leads n times one value, and
``n << 1 | 1`` leads n groups of eight values, packed bit by bit. Pages may be damaged: no loop
reads at or past ``stop``, or writes past its array, whatever the bytes say; each says instead that
the page is not of the expected form.

Shapes: B = bytes of a page, E = entries of a row group, R = rows of a row group.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.compiled import compiled

NOT_AS_EXPECTED: Final = -1
_GROUP: Final = 8
"""Values packed together; they take as many bytes as a value has bits."""
_LONGEST_RUN: Final = 2**31 - 1


@compiled
def _run_header(page_B: NDArray[np.uint8], position: int, stop: int) -> Any:
    """``(the varint that leads a run, position after it)``; -1 for a position if it is broken."""
    header = np.int64(0)
    for shift in range(0, 35, 7):
        if position >= stop:
            return 0, -1
        byte = np.int64(page_B[position])
        position += 1
        header |= (byte & 0x7F) << shift
        if byte < 0x80:
            return header, position if 0 < header >> 1 <= _LONGEST_RUN else -1
    return 0, -1


@compiled
def _packed_value(page_B: NDArray[np.uint8], start: int, bit_width: int, number: int) -> Any:
    """Value ``number`` of a packed run that starts at ``start``; byte by byte, to the last."""
    first_bit = number * bit_width
    value = np.uint64(0)
    first_byte, last_byte = first_bit >> 3, (first_bit + bit_width - 1) >> 3
    for byte in range(first_byte, last_byte + 1):
        value |= np.uint64(page_B[start + byte]) << np.uint64(8 * (byte - first_byte))
    mask = (np.uint64(1) << np.uint64(bit_width)) - np.uint64(1)
    return (value >> np.uint64(first_bit & 7)) & mask


@compiled
def are_all(
    page_B: NDArray[np.uint8], start: int, stop: int, bit_width: int, n_values: int, level: int
) -> bool:
    """Whether a page's levels are ``n_values`` times ``level``: no list and no entry is null."""
    n_bytes = (bit_width + 7) >> 3
    position = start
    n_seen = 0
    while n_seen < n_values:
        header, position = _run_header(page_B, position, stop)
        if position < 0:
            return False
        n_run = header >> 1
        if header & 1:
            if position + n_run * bit_width > stop:
                return False
            for number in range(min(n_run * _GROUP, n_values - n_seen)):
                if _packed_value(page_B, position, bit_width, number) != level:
                    return False
            position += n_run * bit_width
            n_run *= _GROUP
        else:
            if position + n_bytes > stop or n_run > n_values - n_seen:
                return False
            if _packed_value(page_B, position, 8 * n_bytes, 0) != level:
                return False
            position += n_bytes
        n_seen += n_run
    return True


@compiled
def row_starts(
    page_B: NDArray[np.uint8],
    start: int,
    stop: int,
    n_values: int,
    first_entry: int,
    start_R: NDArray[np.int32],
    n_rows: int,
) -> int:
    """Rows begun after this page, whose repetition levels (0 begins a row, 1 goes on) these are.

    ``start_R`` is written from ``n_rows`` on: the entry that each row starts with.
    ``NOT_AS_EXPECTED`` if the levels are broken, or begin more rows than it has room for.
    """
    position = start
    n_seen = 0
    while n_seen < n_values:
        header, position = _run_header(page_B, position, stop)
        if position < 0:
            return NOT_AS_EXPECTED
        n_run = header >> 1
        if header & 1:
            if position + n_run > stop:
                return NOT_AS_EXPECTED
            for group in range(n_run):
                bits = page_B[position + group]
                for number in range(min(_GROUP, n_values - n_seen) if bits != 0xFF else 0):
                    if bits & (1 << number) == 0:
                        if n_rows >= len(start_R):
                            return NOT_AS_EXPECTED
                        start_R[n_rows] = first_entry + n_seen + number
                        n_rows += 1
                n_seen += _GROUP
                if n_seen >= n_values:
                    break
            position += n_run
        else:
            if position >= stop or n_run > n_values - n_seen or page_B[position] > 1:
                return NOT_AS_EXPECTED
            if page_B[position] == 0:
                if n_run > len(start_R) - n_rows:
                    return NOT_AS_EXPECTED
                for number in range(n_run):
                    start_R[n_rows] = first_entry + n_seen + number
                    n_rows += 1
            position += 1
            n_seen += n_run
    return n_rows


@compiled
def _unpack(
    page_B: NDArray[np.uint8], start: int, stop: int, bit_width: int, index_N: NDArray[np.uint32]
) -> None:
    """The first values of a packed run into ``index_N``; none lies past ``stop``."""
    mask = (np.uint64(1) << np.uint64(bit_width)) - np.uint64(1)
    n_wide = 0  # values whose first byte has seven more behind it, read at once
    if stop - start >= 8:
        n_wide = min(len(index_N), ((stop - start - 8) * 8) // bit_width)
    bit = np.uint64(0)
    base = np.uint64(start)
    for number in range(n_wide):
        at = base + (bit >> np.uint64(3))
        wide = (
            np.uint64(page_B[at])
            | (np.uint64(page_B[at + np.uint64(1)]) << np.uint64(8))
            | (np.uint64(page_B[at + np.uint64(2)]) << np.uint64(16))
            | (np.uint64(page_B[at + np.uint64(3)]) << np.uint64(24))
            | (np.uint64(page_B[at + np.uint64(4)]) << np.uint64(32))
            | (np.uint64(page_B[at + np.uint64(5)]) << np.uint64(40))
            | (np.uint64(page_B[at + np.uint64(6)]) << np.uint64(48))
            | (np.uint64(page_B[at + np.uint64(7)]) << np.uint64(56))
        )
        index_N[number] = np.uint32((wide >> (bit & np.uint64(7))) & mask)
        bit += np.uint64(bit_width)
    for number in range(n_wide, len(index_N)):
        index_N[number] = np.uint32(_packed_value(page_B, start, bit_width, number))


@compiled
def read_indices(
    page_B: NDArray[np.uint8],
    start: int,
    stop: int,
    bit_width: int,
    n_dictionary: int,
    index_N: NDArray[np.uint32],
) -> bool:
    """Whether a page's dictionary indices, all below ``n_dictionary``, now fill ``index_N``."""
    n_bytes = (bit_width + 7) >> 3
    position = start
    n_seen = 0
    largest = np.uint32(0)
    while n_seen < len(index_N):
        header, position = _run_header(page_B, position, stop)
        if position < 0:
            return False
        n_run = header >> 1
        if header & 1:
            if position + n_run * bit_width > stop:
                return False
            n_taken = min(n_run * _GROUP, len(index_N) - n_seen)
            run_N = index_N[n_seen : n_seen + n_taken]
            _unpack(page_B, position, stop, bit_width, run_N)
            for number in range(n_taken):
                largest = max(largest, run_N[number])
            position += n_run * bit_width
        else:
            if position + n_bytes > stop or n_run > len(index_N) - n_seen:
                return False
            n_taken = n_run
            value = np.uint32(_packed_value(page_B, position, 8 * n_bytes, 0))
            largest = max(largest, value)
            index_N[n_seen : n_seen + n_taken] = value
            position += n_bytes
        n_seen += n_taken
    return bool(len(index_N) == 0 or largest < n_dictionary)
