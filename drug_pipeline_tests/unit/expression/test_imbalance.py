"""Figures of the long tail."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drug_pipeline.expression.imbalance import gini, level_table, pair_matrix, threshold_table


def counts_of(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        "pair": pairs,
        "drug": pairs.groupby("drug", as_index=False)["n_cells"].sum(),
        "cell line": pairs.groupby("cell_line_id", as_index=False)["n_cells"].sum(),
    }


PAIRS = pd.DataFrame(
    [("A", "L1", 5), ("A", "L2", 15), ("B", "L1", 100), ("DMSO_TF", "L1", 1_000)],
    columns=["drug", "cell_line_id", "n_cells"],
)


@pytest.mark.parametrize(
    ("cells", "expected"), [([7, 7, 7], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)]
)
def test_gini_of_hand_worked_counts(cells: list[int], expected: float) -> None:
    assert gini(np.array(cells)) == pytest.approx(expected)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20))
def test_gini_is_half_the_relative_mean_difference(cells: list[int]) -> None:
    array = np.array(cells)
    mean_difference = np.abs(array[:, None] - array[None, :]).mean()

    assert gini(array) == pytest.approx(mean_difference / (2 * array.mean()))


def test_levels_have_their_extremes_and_leave_the_vehicle_countable() -> None:
    levels = level_table(counts_of(PAIRS)).set_index("level")

    pair, drug = levels.loc["pair"], levels.loc["drug"]
    assert (pair["n_items"], pair["n_treated"], pair["n_cells"]) == (4, 3, 1_120)
    assert (pair["min_cells"], pair["median_cells"], pair["max_cells"]) == (5, 57.5, 1_000)
    assert (drug["n_items"], drug["n_treated"]) == (3, 2)


def test_thresholds_count_items_at_least_so_large_and_their_share_of_cells() -> None:
    table = threshold_table(counts_of(PAIRS))

    of_pairs = table[table["level"] == "pair"].set_index("min_cells")
    assert of_pairs["n_items"].to_dict() == {
        10: 3,
        20: 2,
        50: 2,
        100: 2,
        200: 1,
        500: 1,
        1_000: 1,
        2_000: 0,
    }
    assert of_pairs.loc[100, "n_treated"] == 1
    assert of_pairs.loc[200, "cell_frac"] == pytest.approx(1_000 / 1_120)


def test_the_matrix_puts_the_largest_totals_first_and_zero_where_nothing_was_seen() -> None:
    matrix = pair_matrix(PAIRS)

    assert matrix.index.tolist() == ["DMSO_TF", "B", "A"]
    assert matrix.columns.tolist() == ["L1", "L2"]
    assert matrix.to_numpy().tolist() == [[1_000, 0], [100, 0], [5, 15]]


def test_the_released_cells_have_the_long_tail_that_was_counted(shared_data: Path) -> None:
    grid = pq.read_table(shared_data / "tahoe_metadata" / "obs_cell_grid.parquet").to_pandas()
    pairs = grid.groupby(["drug", "cell_name"], as_index=False)["n_cells"].sum()

    levels = level_table(counts_of(pairs.rename(columns={"cell_name": "cell_line_id"})))

    assert levels["n_items"].tolist() == [380, 50, 19_000]
    assert levels["n_treated"].tolist() == [379, 50, 18_950]
    assert levels["n_cells"].tolist() == [100_648_790] * 3
