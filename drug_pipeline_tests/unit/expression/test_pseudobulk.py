"""Integer sums of raw cells, against a reference in float64 and by hand."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, ConfigurationError, RawDataError
from drug_pipeline.expression import kernel
from drug_pipeline.expression.moments import (
    COUNT_SHIFT,
    MAX_CELLS,
    MAX_COUNTS,
    X2_SCALE,
    X_SCALE,
    check_capacity,
)
from drug_pipeline.expression.pseudobulk import (
    Accumulator,
    GeneColumns,
    GroupIndex,
    GroupSums,
    single_group,
)

KNOWN = np.arange(3, 43)
PANEL = [5, 3, 9, 20, 41]
COLUMNS = GeneColumns.from_tokens(PANEL, KNOWN)
Cell = tuple[list[int], list[float]]
PLAIN: Cell = ([1, 3, 5], [-2.0, 4.0, 1.0])


def batch_of(
    cells: list[Cell], barcodes: list[str] | None = None, **columns: list[str | None]
) -> pa.RecordBatch:
    arrays = {
        names.GENES: pa.array([genes for genes, _ in cells], pa.list_(pa.int64())),
        names.EXPRESSIONS: pa.array([values for _, values in cells], pa.list_(pa.float32())),
        names.BARCODE: pa.array(barcodes or [f"barcode-{row}" for row in range(len(cells))]),
    } | {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return pa.RecordBatch.from_pydict(arrays)


def random_cells(rng: np.random.Generator, n_cells: int, *, top_count: int = 200) -> list[Cell]:
    cells: list[Cell] = []
    for _ in range(n_cells):
        n_genes = int(rng.integers(1, len(KNOWN)))
        genes = [1, *np.sort(rng.choice(KNOWN, n_genes, replace=False)).tolist()]
        counts = rng.integers(1, top_count, n_genes).astype(float)
        cells.append((genes, [-2.0, *counts.tolist()]))
    return cells


def sums_of(
    cells: list[Cell],
    groups: list[int],
    *,
    barcodes: list[str] | None = None,
    columns: GeneColumns = COLUMNS,
    pieces: int = 1,
    window_entries: int = 1_000,
) -> GroupSums:
    accumulator = Accumulator(max(groups) + 1, columns, window_entries=window_entries)
    codes = barcodes or [f"barcode-{row}" for row in range(len(cells))]
    for part in np.array_split(np.arange(len(cells)), pieces):
        batch = batch_of([cells[row] for row in part], [codes[row] for row in part])
        group_C = np.array([groups[row] for row in part], dtype=np.int32)
        accumulator.add(batch, group_C, first_row=int(part[0]))
    return accumulator.result()


def reference(cells: list[Cell], panel: list[int]) -> np.ndarray:
    """x of each cell and panel gene in float64."""
    x_CG = np.zeros((len(cells), len(panel)))
    for row, (genes, values) in enumerate(cells):
        counts = dict.fromkeys(genes, 0.0)
        for gene, value in zip(genes, values, strict=True):
            if (gene, value) != (names.MARKER_TOKEN, names.MARKER_VALUE):
                counts[gene] += value
        library = sum(counts.values())
        x_CG[row] = [math.log1p(1e4 * counts.get(token, 0.0) / library) for token in panel]
    return x_CG


@pytest.mark.parametrize("top_count", [3, 200, 40_000, 200_000])
def test_sums_agree_with_a_float64_reference(top_count: int) -> None:
    rng = np.random.default_rng(0)
    cells = random_cells(rng, 300, top_count=top_count)
    groups = rng.integers(0, 4, 300).tolist()

    sums = sums_of(cells, groups, pieces=7)

    x_CG = reference(cells, PANEL)
    group_C = np.array(groups)
    for group in range(4):
        x_KG = x_CG[group_C == group]
        result_G4 = sums.sums_WG4[group]
        np.testing.assert_allclose(
            result_G4[:, kernel.SUM_X] / X_SCALE, x_KG.sum(axis=0), rtol=1e-10
        )
        np.testing.assert_allclose(
            result_G4[:, kernel.SUM_X2] / X2_SCALE, (x_KG**2).sum(axis=0), rtol=1e-9
        )
        n_nonzero_G = result_G4[:, kernel.COUNTS_NNZ] & ((1 << COUNT_SHIFT) - 1)
        assert n_nonzero_G.tolist() == (x_KG > 0).sum(axis=0).tolist()


def test_counts_and_cells_are_exact() -> None:
    sums = sums_of([PLAIN, ([1, 5, 7], [-2.0, 2.0, 10.0])], [0, 0])

    assert (sums.sums_WG4[0, :, kernel.COUNTS_NNZ] >> COUNT_SHIFT).tolist() == [3, 4, 0, 0, 0]
    assert sums.n_cells_W.tolist() == [2]
    assert sums.total_counts_W.tolist() == [17]


def test_the_library_counts_genes_outside_the_panel() -> None:
    sums = sums_of([([1, 3, 7], [-2.0, 1.0, 9_999.0])], [0])

    x = sums.sums_WG4[0, PANEL.index(3), kernel.SUM_X] / X_SCALE
    assert x == pytest.approx(math.log(2.0), rel=1e-10)


@pytest.mark.parametrize(
    "odd",
    [
        ([3, 1, 5], [4.0, -2.0, 1.0]),
        ([1, 5, 3], [-2.0, 1.0, 4.0]),
        ([1, 3, 3, 5], [-2.0, 1.0, 3.0, 1.0]),
        ([1, 3, 4, 5], [-2.0, 4.0, 0.0, 1.0]),
    ],
    ids=["marker-in-the-middle", "descending", "gene-twice", "explicit-zero"],
)
def test_the_form_of_a_cell_does_not_matter(odd: Cell) -> None:
    assert np.array_equal(sums_of([odd], [0]).sums_WG4, sums_of([PLAIN], [0]).sums_WG4)


def test_entries_of_one_gene_add_up_before_the_log() -> None:
    twice = sums_of([([1, 3, 3, 7], [-2.0, 1.0, 1.0, 8.0])], [0])

    x = twice.sums_WG4[0, PANEL.index(3), kernel.SUM_X] / X_SCALE
    assert x == pytest.approx(math.log1p(1e4 * 2 / 10), rel=1e-10)


@pytest.mark.parametrize("window_entries", [1, 60, 1_000, 100_000])
@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_pieces_and_windows_do_not_change_a_bit(pieces: int, window_entries: int) -> None:
    rng = np.random.default_rng(1)
    cells, groups = random_cells(rng, 60), rng.integers(0, 9, 60).tolist()
    whole = sums_of(cells, groups)

    parts = sums_of(cells, groups, pieces=pieces, window_entries=window_entries)

    assert np.array_equal(parts.sums_WG4, whole.sums_WG4)
    assert np.array_equal(parts.n_cells_half_W, whole.n_cells_half_W)


def test_the_order_of_cells_does_not_change_a_bit() -> None:
    rng = np.random.default_rng(2)
    cells, groups = random_cells(rng, 80), rng.integers(0, 5, 80).tolist()
    barcodes = [f"{row:03d}" for row in range(80)]
    order = rng.permutation(80)

    shuffled = sums_of(
        [cells[row] for row in order],
        [groups[row] for row in order],
        barcodes=[barcodes[row] for row in order],
    )

    straight = sums_of(cells, groups, barcodes=barcodes)
    assert np.array_equal(shuffled.sums_WG4, straight.sums_WG4)


def fnv1a_with_mixed_end(text: str) -> bool:
    code = 0xCBF29CE484222325
    for byte in text.encode():
        code = (code ^ byte) * 0x100000001B3 % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        code = (code ^ (code >> 33)) * factor % 2**64
    return bool((code ^ (code >> 33)) & 1)


@pytest.mark.parametrize("n_groups", [1, 40], ids=["through-the-scratch-row", "straight"])
def test_the_first_half_is_the_cells_whose_barcode_says_so(n_groups: int) -> None:
    rng = np.random.default_rng(3)
    cells = random_cells(rng, 40)
    barcodes = [f"{rng.integers(97):02d}_{row:03d}-lib_µ{row % 7}" for row in range(40)]
    is_first_C = np.array([fnv1a_with_mixed_end(barcode) for barcode in barcodes])

    sums = sums_of(cells, [row % n_groups for row in range(40)], barcodes=barcodes)

    half_G = sums.sums_WG4[:, :, kernel.HALF_SUM_X].sum(axis=0) / X_SCALE
    assert 10 < is_first_C.sum() < 30
    assert sums.n_cells_half_W.sum() == is_first_C.sum()
    np.testing.assert_allclose(half_G, reference(cells, PANEL)[is_first_C].sum(axis=0), rtol=1e-10)


def test_barcodes_that_differ_in_the_last_letter_fall_on_both_sides() -> None:
    codes = pa.array([f"01_002_{row:03d}-lib_1022" for row in range(1_000)])
    _, offsets, text = codes.buffers()

    is_first_C = kernel.first_halves(
        np.frombuffer(offsets, np.int32)[:1001], np.frombuffer(text, np.uint8)
    )

    assert 450 < is_first_C.sum() < 550


def test_cells_of_no_group_are_not_even_looked_at() -> None:
    broken: Cell = ([1, 3], [-2.0, float("nan")])

    sums = sums_of([broken, PLAIN], [-1, 0])

    assert sums.n_cells_W.tolist() == [1]
    assert (
        sums.n_cells_half_W.tolist()
        == sums_of([PLAIN], [0], barcodes=["barcode-1"]).n_cells_half_W.tolist()
    )


@pytest.mark.parametrize(
    ("cell", "match"),
    [
        (([3, 5], [4.0, 1.0]), "no marker"),
        (([1, 3, 99], [-2.0, 4.0, 1.0]), "token 99 is not in the gene table"),
        (([1, 2, 3], [-2.0, 4.0, 1.0]), "token 2 is not in the gene table"),
        (([1, -7, 3], [-2.0, 4.0, 1.0]), "token -7 is not in the gene table"),
        (([1, 3, 2**40], [-2.0, 4.0, 1.0]), "is not in the gene table"),
        (([1, 3, 5], [-2.0, -4.0, 1.0]), "negative"),
        (([1, 3, 5], [-2.0, 0.5, 1.0]), "not a whole number"),
        (([1, 3, 5], [-2.0, float("nan"), 1.0]), "not finite"),
        (([1, 3, 5], [-2.0, float("inf"), 1.0]), "not finite"),
        (([1, 3, 5], [-2.0, 2.0**25, 1.0]), "2\\^24"),
        (([1, 3, 3], [-2.0, 2.0**24, 1.0]), "add up to more than 16,777,216"),
        (([1], [-2.0]), "no counts"),
        (([1, 3], [-2.0, 0.0]), "no counts"),
        (([], []), "no marker"),
        (([1, 3, 5], [-2.0, 4.0]), "3 genes but 2 expressions"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_refused_by_row_and_nothing_of_its_batch_is_added(
    cell: Cell, match: str
) -> None:
    accumulator = Accumulator(1, COLUMNS, window_entries=100)
    accumulator.add(batch_of([PLAIN]), np.zeros(1, np.int32), first_row=0)

    with pytest.raises(BadCellError, match=match) as caught:
        accumulator.add(batch_of([PLAIN, cell]), np.zeros(2, np.int32), first_row=1_000)

    assert caught.value.row == 1_001
    assert np.array_equal(accumulator.result().sums_WG4, sums_of([PLAIN], [0]).sums_WG4)


def test_a_null_barcode_is_refused() -> None:
    batch = batch_of([PLAIN, PLAIN], ["a", None])  # type: ignore[list-item]

    with pytest.raises(BadCellError, match="BARCODE_SUB_LIB_ID") as caught:
        Accumulator(1, COLUMNS, window_entries=100).add(batch, np.zeros(2, np.int32), first_row=10)

    assert caught.value.row == 11


def test_the_largest_count_and_the_largest_count_in_16_bits_are_exact() -> None:
    for count in (2**16 - 2, 2**16 - 1, 2**16, 2**24):
        sums = sums_of([([1, 3, 5], [-2.0, float(count), 1.0])], [0])
        counts_G = sums.sums_WG4[0, :, kernel.COUNTS_NNZ] >> COUNT_SHIFT
        assert counts_G.tolist() == [1, count, 0, 0, 0]


def test_lists_of_another_width_are_read_alike() -> None:
    batch = batch_of([PLAIN])
    wide = batch.set_column(0, names.GENES, batch.column(0).cast(pa.large_list(pa.int32())))
    accumulator = Accumulator(1, COLUMNS, window_entries=100)

    accumulator.add(wide, np.zeros(1, np.int32), first_row=0)

    assert np.array_equal(accumulator.result().sums_WG4, sums_of([PLAIN], [0]).sums_WG4)


def test_a_slice_of_a_batch_is_read_from_its_own_start() -> None:
    batch = batch_of([([1, 9], [-2.0, 1.0]), PLAIN, ([1, 9], [-2.0, 1.0])])
    accumulator = Accumulator(1, COLUMNS, window_entries=100)

    accumulator.add(batch.slice(1, 1), np.zeros(1, np.int32), first_row=0)

    assert np.array_equal(
        accumulator.result().sums_WG4[0, :, 0], sums_of([PLAIN], [0]).sums_WG4[0, :, 0]
    )


@pytest.mark.parametrize(
    ("n_cells", "n_counts"), [(MAX_CELLS + 1, 1), (1, MAX_COUNTS)], ids=["cells", "counts"]
)
def test_sums_that_could_overflow_are_refused(n_cells: int, n_counts: int) -> None:
    with pytest.raises(RawDataError, match="14,500,000 cells"):
        check_capacity(np.array([1, n_cells]), np.array([n_counts, 1]))


def test_the_limits_leave_room_in_63_bits() -> None:
    largest_x = math.log1p(1e4)

    assert MAX_CELLS * (largest_x * X_SCALE + 1) < 2**63
    assert MAX_CELLS * (largest_x**2 * X2_SCALE + 1) < 2**63
    assert ((MAX_COUNTS - 1) << COUNT_SHIFT) + MAX_CELLS < 2**63
    assert MAX_CELLS < 2**COUNT_SHIFT


def test_a_panel_gene_that_the_gene_table_lacks_is_refused() -> None:
    with pytest.raises(RawDataError, match="gene table does not have"):
        GeneColumns.from_tokens([3, 99], KNOWN)


def test_a_panel_beyond_16_bits_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at most 65,536"):
        GeneColumns.from_tokens(np.arange(70_000), np.arange(70_000))


GROUPS = pd.DataFrame(
    {
        names.PLATE: ["p1", "p1", "p2"],
        names.SAMPLE: ["s1", "s2", "s3"],
        names.CELL_LINE_ID: ["A", "B", "A"],
    }
)


def keyed(*cells: tuple[str | None, str | None, str | None]) -> pa.RecordBatch:
    columns = (names.PLATE, names.SAMPLE, names.CELL_LINE_ID)
    return pa.RecordBatch.from_pydict(
        {
            column: pa.array([cell[place] for cell in cells], pa.string())
            for place, column in enumerate(columns)
        }
    )


def test_cells_find_their_group_and_cells_of_other_plates_none() -> None:
    cells = keyed(("p1", "s2", "B"), ("p2", "s3", "A"), ("p9", "s1", "A"), ("p1", "s1", "A"))

    assert GroupIndex(GROUPS).of_cells(cells, plates=["p1"], first_row=0).tolist() == [1, -1, -1, 0]


@pytest.mark.parametrize("cell", [("p1", "s1", "B"), ("p1", "s9", "A"), ("p1", "s1", "Z")])
def test_a_well_and_line_that_were_not_counted_are_refused(cell: tuple[str, str, str]) -> None:
    with pytest.raises(RawDataError, match="row 6 is of well and line"):
        GroupIndex(GROUPS).of_cells(keyed(("p1", "s1", "A"), cell), plates=["p1"], first_row=5)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["plate", "well", "line"])
def test_a_cell_without_plate_well_or_line_is_refused(place: int) -> None:
    cell: list[str | None] = ["p1", "s1", "A"]
    cell[place] = None

    with pytest.raises(BadCellError, match="null"):
        GroupIndex(GROUPS).of_cells(keyed((cell[0], cell[1], cell[2])), plates=["p1"], first_row=0)


def test_some_wells_can_be_taken_as_one_group() -> None:
    cells = keyed(("p1", "s1", "A"), ("p1", "s2", "B"), ("p2", "s3", "A"))

    assert single_group(cells, {"s1", "s3"}, first_row=0).tolist() == [0, -1, 0]


def coded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its lists dictionary-encoded, as pages of a file hold them."""
    for column in (names.GENES, names.EXPRESSIONS):
        lists = batch.column(column)
        encoded = lists.values.dictionary_encode()
        values = pa.DictionaryArray.from_arrays(
            encoded.indices.cast(pa.uint32()), encoded.dictionary
        )
        position = batch.schema.get_field_index(column)
        batch = batch.set_column(position, column, pa.ListArray.from_arrays(lists.offsets, values))
    return batch


ODD_CELLS: list[Cell] = [
    ([3, 1, 5], [4.0, -2.0, 1.0]),
    ([1, 5, 3], [-2.0, 1.0, 4.0]),
    ([1, 3, 3, 5], [-2.0, 1.0, 3.0, 1.0]),
    ([1, 3, 4, 5], [-2.0, 4.0, 0.0, 1.0]),
    ([1, 3, 5], [-2.0, 2.0**24, 1.0]),
    ([1, 3, 5], [-2.0, 2.0**16 - 1, 1.0]),
    ([1, 3, 5], [-2.0, 2.0**16 - 2, 1.0]),
]


@pytest.mark.parametrize("window_entries", [1, 1_000])
@pytest.mark.parametrize("top_count", [3, 200, 200_000])
def test_coded_lists_give_the_same_bits(top_count: int, window_entries: int) -> None:
    rng = np.random.default_rng(top_count)
    cells = [*random_cells(rng, 50, top_count=top_count), *ODD_CELLS]
    group_C = rng.integers(-1, 5, len(cells)).astype(np.int32)
    batch = batch_of(cells)
    sums = []
    for lists in (batch, coded(batch), coded(batch.slice(0, 20))):
        accumulator = Accumulator(5, COLUMNS, window_entries=window_entries)
        accumulator.add(lists, group_C[: lists.num_rows], first_row=0)
        if lists.num_rows == 20:
            accumulator.add(coded(batch).slice(20), group_C[20:], first_row=20)
        sums.append(accumulator.result())

    for other in sums[1:]:
        assert np.array_equal(other.sums_WG4, sums[0].sums_WG4)
        assert np.array_equal(other.total_counts_W, sums[0].total_counts_W)
        assert np.array_equal(other.n_cells_half_W, sums[0].n_cells_half_W)


@pytest.mark.parametrize(
    "cell",
    [
        ([3, 5], [4.0, 1.0]),
        ([1, 3, 99], [-2.0, 4.0, 1.0]),
        ([1, 2, 3], [-2.0, 4.0, 1.0]),
        ([1, -7, 3], [-2.0, 4.0, 1.0]),
        ([1, 3, 2**40], [-2.0, 4.0, 1.0]),
        ([1, 3, 5], [-2.0, -4.0, 1.0]),
        ([1, 3, 5], [-2.0, 0.5, 1.0]),
        ([1, 3, 5], [-2.0, float("nan"), 1.0]),
        ([1, 3, 5], [-2.0, float("inf"), 1.0]),
        ([1, 3, 5], [-2.0, 2.0**25, 1.0]),
        ([1, 3, 3], [-2.0, 2.0**24, 1.0]),
        ([1], [-2.0]),
        ([1, 3], [-2.0, 0.0]),
        ([], []),
        ([1, 3, 5], [-2.0, 4.0]),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_cell_in_coded_lists_is_refused_in_the_same_words(cell: Cell) -> None:
    batch = batch_of([PLAIN, cell, PLAIN])
    errors = []
    for lists in (batch, coded(batch)):
        accumulator = Accumulator(1, COLUMNS, window_entries=100)
        with pytest.raises(BadCellError) as caught:
            accumulator.add(lists, np.zeros(3, np.int32), first_row=1_000)
        errors.append((str(caught.value), caught.value.row, caught.value.column))
        assert not accumulator.result().sums_WG4.any()

    assert errors[0] == errors[1]
