"""The lists of raw records, clean and broken."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError
from drug_pipeline.expression.released import records
from drug_pipeline.expression.released.records import TokenTable, as_released_lists, check_records

TOKENS = TokenTable.of(np.arange(3, 11))
GAPPED_TOKENS = TokenTable.of(np.array([10, 3, 4, 5]))
CLEAN = ([1, 3, 5], [-2.0, 4.0, 1.0])


def batch_of(*cells: tuple[list[int | None] | None, list[float | None] | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([genes for genes, _ in cells], pa.list_(pa.int64())),
            pa.array([values for _, values in cells], pa.list_(pa.float32())),
        ],
        names=[names.GENES, names.EXPRESSIONS],
    )


@pytest.mark.parametrize(
    "cell",
    [
        CLEAN,
        ([3, 1, 5], [4.0, -2.0, 1.0]),
        ([1, 3, 3], [-2.0, 4.0, 1.0]),
        ([1, 3, 5], [-2.0, 0.0, 1.0]),
        ([1, 3, 5], [-2.0, 2.0**24, 1.0]),
    ],
    ids=["plain", "marker-not-first", "gene-twice", "explicit-zero", "largest-count"],
)
def test_a_cell_that_keeps_the_format_passes(cell: tuple[list[int], list[float]]) -> None:
    check_records(batch_of(CLEAN, cell), first_row=0, tokens=TOKENS)


@pytest.mark.parametrize(
    ("cell", "column", "problem"),
    [
        (([3, 5], [4.0, 1.0]), names.GENES, "no marker entry"),
        (([1, 5], [2.0, 1.0]), names.GENES, "no marker entry"),
        (([], []), names.GENES, "no marker entry"),
        (([1, 3, 5], [-2.0, 4.0]), names.EXPRESSIONS, "3 genes but 2 expressions"),
        (([1, 3, 11], [-2.0, 4.0, 1.0]), names.GENES, "token 11 is not in the gene table"),
        (([1, 2, 5], [-2.0, 4.0, 1.0]), names.GENES, "token 2 is not in the gene table"),
        (([1, -3, 5], [-2.0, 4.0, 1.0]), names.GENES, "token -3 is not in the gene table"),
        (([1, 3, 5], [-2.0, -4.0, 1.0]), names.EXPRESSIONS, r"count -4.0 is negative"),
        (([1, 3, 5], [-2.0, 0.5, 1.0]), names.EXPRESSIONS, "count 0.5 is not a whole number"),
        (([1, 3, 5], [-2.0, math.nan, 1.0]), names.EXPRESSIONS, "count nan is not finite"),
        (([1, 3, 5], [-2.0, math.inf, 1.0]), names.EXPRESSIONS, "count inf is not finite"),
        (([1, 3, 5], [-2.0, -math.inf, 1.0]), names.EXPRESSIONS, "count -inf is not finite"),
        (([1, 3, 5], [-2.0, 2.0**25, 1.0]), names.EXPRESSIONS, r"above 2\^24"),
        (([1], [-2.0]), names.EXPRESSIONS, "no counts"),
        (([1, 3], [-2.0, 0.0]), names.EXPRESSIONS, "no counts"),
        ((None, [-2.0]), names.GENES, "the list is null"),
        (([1], None), names.EXPRESSIONS, "the list is null"),
        (([1, None], [-2.0, 1.0]), names.GENES, "an entry of the list is null"),
        (([1, 3], [-2.0, None]), names.EXPRESSIONS, "an entry of the list is null"),
    ],
)
def test_a_broken_cell_is_named_by_column_row_and_value(
    cell: tuple[list[int], list[float]], column: str, problem: str
) -> None:
    with pytest.raises(BadCellError, match=problem) as caught:
        check_records(batch_of(CLEAN, CLEAN, cell, CLEAN), first_row=1000, tokens=TOKENS)

    assert (caught.value.column, caught.value.row) == (column, 1002)
    assert caught.value.remedy


def test_a_slice_of_a_batch_is_judged_alone_and_keeps_its_row_numbers() -> None:
    batch = batch_of(([3], [1.0]), CLEAN, ([1, 3], [-2.0, 0.5]))

    check_records(batch.slice(1, 1), first_row=1, tokens=TOKENS)
    with pytest.raises(BadCellError, match="row 2") as caught:
        check_records(batch.slice(1), first_row=1, tokens=TOKENS)
    assert caught.value.row == 2


def test_a_token_inside_the_range_but_absent_from_the_gene_table_is_refused() -> None:
    with pytest.raises(BadCellError, match="token 7 is not"):
        check_records(batch_of(([1, 7], [-2.0, 1.0])), first_row=0, tokens=GAPPED_TOKENS)
    check_records(batch_of(([1, 10], [-2.0, 1.0])), first_row=0, tokens=GAPPED_TOKENS)


def test_large_lists_become_the_released_types_and_released_ones_are_left_alone() -> None:
    released = batch_of(CLEAN)
    large = pa.RecordBatch.from_arrays(
        [
            released.column(0).cast(pa.large_list(pa.int32())),
            released.column(1).cast(pa.large_list(pa.float32())),
        ],
        names=[names.GENES, names.EXPRESSIONS],
    )

    assert as_released_lists(large).equals(released)
    assert as_released_lists(released) is released


def is_fit(cell: tuple[list[int], list[float]]) -> bool:
    """The rules once more, entry by entry."""
    genes, values = cell
    entries = list(zip(genes, values, strict=True))
    counts = [entry for entry in entries if entry != (1, -2.0)]
    return (
        len(counts) < len(entries)
        and all(3 <= token <= 10 for token, _ in counts)
        and all(math.isfinite(v) and v >= 0 and v == int(v) for _, v in counts)
        and sum(v for _, v in counts) > 0
    )


ENTRIES = st.sampled_from([(1, -2.0), (3, 1.0), (4, 0.0), (2, 1.0), (1, 1.0), (5, -2.0), (5, 0.5)])


@given(st.lists(st.lists(ENTRIES, max_size=4), min_size=1, max_size=5))
def test_a_batch_passes_exactly_when_each_of_its_cells_keeps_every_rule(
    cells: list[list[tuple[int, float]]],
) -> None:
    pairs = [([g for g, _ in cell], [v for _, v in cell]) for cell in cells]
    should_pass = all(is_fit(pair) for pair in pairs)

    try:
        check_records(batch_of(*pairs), first_row=0, tokens=TOKENS)
        passed = True
    except BadCellError:
        passed = False

    assert passed == should_pass


def test_clean_cells_pass_without_the_slow_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        msg = "the slow search was used"
        raise AssertionError(msg)

    monkeypatch.setattr(records, "_diagnose", refuse)
    monkeypatch.setattr(records, "CHUNK_VALUES", 4)

    check_records(batch_of(CLEAN, CLEAN, CLEAN), first_row=0, tokens=TOKENS)
