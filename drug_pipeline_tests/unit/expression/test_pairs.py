"""Which pairs are kept, and why others are not."""

from typing import Any

import pandas as pd
import pytest

from drug_pipeline.domain import schemas
from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError
from drug_pipeline.expression.pairs import PairFilterConfig, count_reasons, filter_pairs

CONDITIONS = pd.DataFrame(
    [
        ("B", 5.0, "L1", "p1", 6),
        ("B", 0.5, "L1", "p2", 4),
        ("A", 5.0, "L1", "p1", 3),
        ("A", 5.0, "L2", "p1", 10),
        ("DMSO_TF", 0.0, "L1", "p1", 100),
        ("Trametinib (DMSO_TF solvate)", 5.0, "L1", "p1", 20),
    ],
    columns=["drug", "dose_um", "cell_line_id", "plate", "n_cells"],
)
PAIRS = CONDITIONS.groupby(["drug", "cell_line_id"], as_index=False, sort=False)["n_cells"].sum()


def filtered(**changes: Any) -> pd.DataFrame:
    return filter_pairs(PAIRS, CONDITIONS, PairFilterConfig(**changes))


def test_each_pair_is_kept_or_has_its_reason() -> None:
    pairs = filtered(min_cells_per_pair=10)

    assert pairs.columns.tolist() == schemas.PAIRS.names
    assert pairs[["drug", "cell_line_id", "reason"]].to_numpy().tolist() == [
        ["A", "L1", "3 cells, fewer than min_cells_per_pair = 10"],
        ["A", "L2", ""],
        ["B", "L1", ""],
        ["DMSO_TF", "L1", "vehicle"],
        ["Trametinib (DMSO_TF solvate)", "L1", ""],
    ]
    assert (pairs["is_kept"] == (pairs["reason"] == "")).all()


def test_a_pair_spread_thin_over_its_conditions_is_dropped_for_that() -> None:
    pairs = filtered(min_cells_per_pair=10, min_cells_per_condition=7).set_index("drug")

    assert pairs.loc["B", "reason"].startswith("6 cells in its largest condition")


def test_the_order_of_the_counts_does_not_matter() -> None:
    config = PairFilterConfig(min_cells_per_pair=10)

    forward = filter_pairs(PAIRS, CONDITIONS, config)
    backward = filter_pairs(PAIRS[::-1], CONDITIONS[::-1], config)

    pd.testing.assert_frame_equal(forward, backward)


def test_reasons_are_counted_without_their_numbers() -> None:
    assert count_reasons(filtered(min_cells_per_pair=15)) == {
        "cells, fewer than min_cells_per_pair = 15": 3,
        "vehicle": 1,
    }


def test_nothing_left_names_the_largest_pair_and_a_threshold_that_keeps_some() -> None:
    with pytest.raises(
        EmptyResultError,
        match=r"none of 4 treated pairs has 1000 cells.*Trametinib \(DMSO_TF solvate\) in L1, "
        r"has 20 cells.*min_cells_per_pair = 17 .* would keep",
    ):
        filtered(min_cells_per_pair=1_000)
    assert filtered(min_cells_per_pair=17)["is_kept"].sum() == 1


def test_vehicle_alone_leaves_nothing_to_keep() -> None:
    vehicle = PAIRS[PAIRS["drug"] == "DMSO_TF"]

    with pytest.raises(EmptyResultError, match="no treated cell"):
        filter_pairs(vehicle, CONDITIONS, PairFilterConfig())


@pytest.mark.parametrize("value", ["many", None, 0, -5, 2.5, True, float("nan")], ids=repr)
@pytest.mark.parametrize("name", ["min_cells_per_pair", "min_cells_per_condition"])
def test_a_threshold_that_is_no_number_of_cells_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is .*whole number"):
        PairFilterConfig(**{name: value})
