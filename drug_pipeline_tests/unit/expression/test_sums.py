"""The array of sums that threads share."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from drug_pipeline.expression.pseudobulk import Accumulator, GeneColumns
from drug_pipeline.expression.sums import MAX_STRIPES, Sums, zeros_untouched
from drug_pipeline_tests.unit.expression.test_pseudobulk import (
    COLUMNS,
    batch_of,
    random_cells,
    sums_of,
)


def test_fresh_memory_is_zero_and_writable() -> None:
    values = zeros_untouched((3, 70_000, 4))
    assert values.shape == (3, 70_000, 4)
    assert not values.any()
    values += 1
    assert values.min() == values.max() == 1
    assert zeros_untouched((0, 5, 4)).shape == (0, 5, 4)


def test_stripes_cover_each_group_once() -> None:
    for n_groups in (1, 2, MAX_STRIPES, MAX_STRIPES + 1, 4_800):
        first_group_S = Sums(n_groups, 1).first_group_S
        assert first_group_S[0] == 0
        assert first_group_S[-1] == n_groups
        assert (np.diff(first_group_S) > 0).all()


def test_threads_that_add_to_one_array_give_the_sums_of_one() -> None:
    rng = np.random.default_rng(5)
    cells, groups = random_cells(rng, 400), rng.integers(0, 70, 400)
    sums = Sums(70, COLUMNS.n_genes)

    def add(part: np.ndarray) -> np.ndarray:
        accumulator = Accumulator(70, COLUMNS, sums=sums, window_entries=50)
        for row in part:
            group_C = groups[row : row + 1].astype(np.int32)
            accumulator.add(batch_of([cells[row]], [f"barcode-{row}"]), group_C, first_row=0)
        return accumulator.result().n_cells_W

    with ThreadPoolExecutor(4) as pool:
        n_cells = sum(pool.map(add, np.array_split(np.arange(400), 8)))

    expected = sums_of(cells, groups.tolist())
    assert np.array_equal(sums.sums_WG4, expected.sums_WG4)
    assert np.array_equal(n_cells, expected.n_cells_W)


def test_a_copy_by_pickling_is_the_same_array() -> None:
    sums = Sums(2, 3)
    assert pickle.loads(pickle.dumps(sums)) is sums


def test_an_accumulator_without_genes_counts_cells() -> None:
    columns = GeneColumns.from_tokens([], np.arange(3, 43))
    accumulator = Accumulator(1, columns, window_entries=10)
    accumulator.add(batch_of([([1, 3], [-2.0, 1.0])]), np.zeros(1, np.int32), first_row=0)
    assert accumulator.result().n_cells_W.tolist() == [1]
