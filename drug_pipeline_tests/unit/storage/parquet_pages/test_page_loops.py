"""Runs of a page that end before they should: refused, though valid bytes lie behind the end."""

import numpy as np
import pytest

from drug_pipeline.storage.parquet_pages import page_loops
from drug_pipeline.storage.parquet_pages.page_loops import (
    NOT_AS_EXPECTED,
    are_all,
    read_indices,
    row_starts,
)

# n << 1 leads n times one value, n << 1 | 1 leads n groups of eight packed ones
REPEATED_ONES = bytes([3 << 1, 1])
REPEATED_ZEROS = bytes([3 << 1, 0])
PACKED_ONES = bytes([2 << 1 | 1, 0xFF, 0xFF])
LONG_RUN = bytes([0x80 | (300 << 1 & 0x7F), 300 << 1 >> 7, 1])


def page_of(*runs: bytes) -> np.ndarray:
    """The runs' bytes, and more that would go on well, read-only as pages are."""
    page_B = np.frombuffer(b"".join(runs) + bytes([1] * 40), dtype=np.uint8)
    assert not page_B.flags.writeable
    return page_B


ONES = [
    pytest.param([REPEATED_ONES], 3, id="repeated"),
    pytest.param([PACKED_ONES], 16, id="packed"),
    pytest.param([LONG_RUN], 300, id="long"),
    pytest.param([PACKED_ONES, REPEATED_ONES, PACKED_ONES], 35, id="mixed"),
]


@pytest.mark.parametrize(("runs", "n_values"), ONES)
def test_levels_that_are_cut_off_are_refused(runs: list[bytes], n_values: int) -> None:
    page_B, size = page_of(*runs), sum(map(len, runs))

    assert are_all(page_B, 0, size, 1, n_values, 1)
    assert not any(are_all(page_B, 0, stop, 1, n_values, 1) for stop in range(size))
    assert not are_all(page_B, 0, size, 1, n_values, 0)


@pytest.mark.parametrize(("runs", "n_values"), ONES)
def test_row_starts_that_are_cut_off_are_refused(runs: list[bytes], n_values: int) -> None:
    runs = [REPEATED_ZEROS, *runs]
    page_B, size = page_of(*runs), sum(map(len, runs))
    start_R = np.zeros(3, dtype=np.int32)

    assert row_starts(page_B, 0, size, n_values + 3, 7, start_R, 0) == 3
    assert start_R.tolist() == [7, 8, 9]
    for stop in range(size):
        outcome = row_starts(page_B, 0, stop, n_values + 3, 7, start_R, 0)
        assert outcome == NOT_AS_EXPECTED, stop


def test_more_rows_than_there_is_room_for_are_refused() -> None:
    for run, n_values in ((REPEATED_ZEROS, 3), (bytes([1 << 1 | 1, 0b11111000]), 8)):
        start_R = np.zeros(2, dtype=np.int32)
        assert row_starts(page_of(run), 0, len(run), n_values, 0, start_R, 0) == NOT_AS_EXPECTED


@pytest.mark.parametrize("bit_width", [1, 3, 8, 13, 32])
def test_indices_that_are_cut_off_are_refused(bit_width: int) -> None:
    packed = bytes([2 << 1 | 1]) + bytes(2 * bit_width)
    repeated = bytes([5 << 1]) + bytes((bit_width + 7) // 8)
    for runs, n_values in (([packed], 16), ([repeated], 5), ([repeated, packed, repeated], 26)):
        page_B, size = page_of(*runs), sum(map(len, runs))
        index_N = np.full(n_values, 9, dtype=np.uint32)

        assert read_indices(page_B, 0, size, bit_width, 1, index_N)
        assert not index_N.any()
        for stop in range(size):
            assert not read_indices(page_B, 0, stop, bit_width, 1, index_N), stop


@pytest.mark.parametrize("run", [bytes([3 << 1, 2]), bytes([1 << 1 | 1, 0b10, 0b1000, 0])])
def test_an_index_that_the_dictionary_does_not_have_is_refused(run: bytes) -> None:
    index_N = np.zeros(3, dtype=np.uint32)

    assert not read_indices(page_of(run), 0, len(run), 3, 2, index_N)


def test_a_run_longer_than_the_page_has_values_is_refused() -> None:
    index_N = np.zeros(2, dtype=np.uint32)
    start_R = np.zeros(9, dtype=np.int32)

    assert not read_indices(page_of(REPEATED_ZEROS), 0, 2, 3, 2, index_N)
    assert not are_all(page_of(REPEATED_ONES), 0, 2, 1, 2, 1)
    assert row_starts(page_of(REPEATED_ONES), 0, 2, 2, 0, start_R, 0) == NOT_AS_EXPECTED


@pytest.mark.parametrize("header", [[0], [1], [0x80] * 6, [0xFF, 0xFF, 0xFF, 0xFF, 0x7F]])
def test_a_run_of_no_values_or_without_an_end_is_refused(header: list[int]) -> None:
    page_B = page_of(bytes(header))

    assert not are_all(page_B, 0, len(page_B), 1, 3, 1)


@pytest.mark.parametrize("size", range(4))
def test_the_head_of_a_run_is_not_read_past_the_last_byte(size: int) -> None:
    """As plain Python, where NumPy refuses an index past the end."""
    page_B = np.full(size, 0x80, dtype=np.uint8)

    assert page_loops._run_header.py_func(page_B, 0, size) == (0, -1)
