"""Δ by hand and against numpy on single cells."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.expression.delta import (
    PAIR_NOT_KEPT,
    TOO_FEW_CELLS,
    TOO_FEW_CONTROL_CELLS,
    DeltaConfig,
    PlateDelta,
    Sums,
    WellSums,
    control_sums,
    delta_of_plate,
)
from drug_pipeline.expression.moments import X2_SCALE, X_SCALE, mean_of_sums, variance_of_sums

VEHICLE = names.CONTROL_DRUG
SOLVATE = "Trametinib (DMSO_TF solvate)"
Wells = list[tuple[str, str, str, float, list[list[float]], list[bool]]]
"""Well, line, drug, dose, x of each cell per gene, and whether it is in the first half."""


def sums_of(wells: Wells) -> WellSums:
    """The state that the kernel would make of some cells."""
    wells = sorted(wells, key=lambda well: well[:2])
    x = [np.array(cells, dtype=float).reshape(len(cells), -1) for *_, cells, _ in wells]
    halves = [np.array(is_first, dtype=bool) for *_, is_first in wells]
    well_lines = pd.DataFrame(
        {
            names.SAMPLE: [well[0] for well in wells],
            names.CELL_LINE_ID: [well[1] for well in wells],
            names.PLATE: "plate1",
            names.DRUG: [well[2] for well in wells],
            names.DOSE_UM: [well[3] for well in wells],
            names.N_CELLS: [len(cells) for cells in x],
            names.N_CELLS_HALF: [int(is_first.sum()) for is_first in halves],
            names.TOTAL_COUNTS: [10 * len(cells) for cells in x],
        }
    )
    return WellSums(
        plate="plate1",
        well_lines=well_lines,
        sum_x_WG=np.array([np.rint(cells * X_SCALE).sum(axis=0) for cells in x], np.int64),
        sum_x2_WG=np.array([np.rint(cells**2 * X2_SCALE).sum(axis=0) for cells in x], np.int64),
        half_sum_x_WG=np.array(
            [
                np.rint(cells[is_first] * X_SCALE).sum(axis=0)
                for cells, is_first in zip(x, halves, strict=True)
            ],
            np.int64,
        ),
    )


ONE_LINE: Wells = [
    ("w1", "A", VEHICLE, 0.0, [[1.0, 0.0], [3.0, 0.0]], [True, False]),
    ("w2", "A", VEHICLE, 0.0, [[5.0, 3.0]], [True]),
    ("w3", "A", "drug", 0.5, [[2.0, 4.0], [4.0, 4.0], [6.0, 1.0]], [True, True, False]),
]
KEPT = frozenset({("drug", "A"), ("drug", "B"), (SOLVATE, "A")})


def delta_of(wells: Wells, **config: object) -> PlateDelta:
    settings_ = DeltaConfig(**({"min_control_cells": 1} | config))  # type: ignore[arg-type]
    return delta_of_plate(sums_of(wells), kept_pairs=KEPT, config=settings_)


def test_delta_is_the_mean_of_the_cells_minus_that_of_all_vehicle_cells() -> None:
    delta = delta_of(ONE_LINE)

    np.testing.assert_allclose(delta.delta_NG, [[4.0 - 3.0, 3.0 - 1.0]], rtol=1e-6)
    assert delta.conditions[[names.N_CELLS, names.N_CONTROL_CELLS]].to_numpy().tolist() == [[3, 3]]


def test_the_standard_error_adds_the_variances_of_both_means() -> None:
    delta = delta_of(ONE_LINE)

    expected = [
        math.sqrt(np.var([2, 4, 6], ddof=1) / 3 + np.var([1, 3, 5], ddof=1) / 3),
        math.sqrt(np.var([4, 4, 1], ddof=1) / 3 + np.var([0, 0, 3], ddof=1) / 3),
    ]
    np.testing.assert_allclose(delta.se_NG[0], expected, rtol=1e-6)


def test_halves_are_compared_with_the_whole_control() -> None:
    delta = delta_of(ONE_LINE)

    np.testing.assert_allclose(delta.half_a_NG, [[3.0 - 3.0, 4.0 - 1.0]], rtol=1e-6)
    np.testing.assert_allclose(delta.half_b_NG, [[6.0 - 3.0, 1.0 - 1.0]], rtol=1e-6)


def test_one_cell_has_a_delta_but_no_error_and_one_half_only() -> None:
    wells: Wells = [*ONE_LINE[:2], ("w3", "A", "drug", 0.5, [[2.0, 4.0]], [True])]

    delta = delta_of(wells)

    assert np.isfinite(delta.delta_NG).all()
    assert np.isfinite(delta.half_a_NG).all()
    assert np.isnan(delta.se_NG).all()
    assert np.isnan(delta.half_b_NG).all()


def test_wells_of_one_condition_are_pooled_cell_by_cell() -> None:
    wells: Wells = [
        *ONE_LINE[:2],
        ("w3", "A", "drug", 0.5, [[2.0, 4.0], [4.0, 4.0]], [True, True]),
        ("w9", "A", "drug", 0.5, [[6.0, 1.0]], [False]),
    ]

    delta, together = delta_of(wells), delta_of(ONE_LINE)

    assert delta.conditions.equals(together.conditions)
    assert np.array_equal(delta.delta_NG, together.delta_NG)
    assert np.array_equal(delta.se_NG, together.se_NG)


def test_doses_are_conditions_of_their_own_sorted_by_line_drug_dose() -> None:
    cells, half = [[1.0, 1.0]], [True]
    wells: Wells = [
        ("w1", "A", VEHICLE, 0.0, cells, half),
        ("w1", "B", VEHICLE, 0.0, cells, half),
        ("w2", "B", "drug", 0.05, cells, half),
        ("w3", "A", "drug", 5.0, cells, half),
        ("w4", "A", "drug", 0.5, cells, half),
        ("w5", "A", SOLVATE, 0.5, cells, half),
    ]

    keys = delta_of(wells).conditions[[names.CELL_LINE_ID, names.DRUG, names.DOSE_UM]]

    assert keys.to_numpy().tolist() == [
        ["A", SOLVATE, 0.5],
        ["A", "drug", 0.5],
        ["A", "drug", 5.0],
        ["B", "drug", 0.05],
    ]


def test_a_drug_with_the_vehicle_in_its_name_is_no_control() -> None:
    wells: Wells = [*ONE_LINE, ("w4", "A", SOLVATE, 5.0, [[9.0, 9.0]], [True])]

    controls = control_sums(sums_of(wells))

    assert controls["A"].n_cells == 3


def test_each_vehicle_well_is_also_kept_alone() -> None:
    delta = delta_of(ONE_LINE)

    assert delta.control_wells[names.SAMPLE].tolist() == ["w1", "w2"]
    np.testing.assert_allclose(delta.control_well_VG, [[2.0, 0.0], [5.0, 3.0]], rtol=1e-6)
    np.testing.assert_allclose(delta.control_MG, [[3.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("config", "reason", "n"),
    [
        ({"min_control_cells": 4}, TOO_FEW_CONTROL_CELLS, 3),
        ({"min_cells_per_condition": 4}, TOO_FEW_CELLS, 3),
    ],
)
def test_what_is_too_small_is_dropped_with_its_reason_and_number(
    config: dict[str, int], reason: str, n: int
) -> None:
    delta = delta_of(ONE_LINE, **config)

    assert len(delta.conditions) == 0
    assert delta.delta_NG.shape == (0, 2)
    assert delta.control_MG.shape[1] == delta.control_well_VG.shape[1] == 2
    (row,) = delta.dropped.to_dict("records")
    assert (row[names.REASON], row["n"], row[names.DRUG]) == (reason, n, "drug")


def test_a_pair_that_is_not_kept_is_listed_too() -> None:
    wells: Wells = [*ONE_LINE, ("w4", "A", "other", 5.0, [[9.0, 9.0]], [True])]

    dropped = delta_of(wells).dropped

    assert dropped[[names.DRUG, names.REASON, "n"]].to_numpy().tolist() == [
        ["other", PAIR_NOT_KEPT, 1]
    ]


def test_a_line_without_any_vehicle_cell_is_dropped_with_zero() -> None:
    wells: Wells = [*ONE_LINE, ("w3", "B", "drug", 0.5, [[2.0, 4.0]], [True])]

    dropped = delta_of(wells).dropped

    assert dropped[[names.CELL_LINE_ID, "n"]].to_numpy().tolist() == [["B", 0]]


ELSEWHERE = {
    "A": Sums(
        n_cells=50,
        sum_x_G=np.array([100, 50]) * int(X_SCALE),
        sum_x2_G=np.array([300, 100]) * int(X2_SCALE),
    )
}


@pytest.mark.parametrize(
    ("allowed", "n_kept"), [(False, 0), (True, 1)], ids=["off-by-default", "on"]
)
def test_a_control_of_other_plates_is_borrowed_only_where_allowed(
    *, allowed: bool, n_kept: int
) -> None:
    config = DeltaConfig(min_control_cells=10, fallback_to_other_plates=allowed)

    delta = delta_of_plate(sums_of(ONE_LINE), kept_pairs=KEPT, config=config, elsewhere=ELSEWHERE)

    assert len(delta.conditions) == n_kept
    assert delta.conditions[names.IS_FALLBACK_CONTROL].all()
    assert delta.conditions[names.N_CONTROL_CELLS].tolist() == [50] * n_kept
    np.testing.assert_allclose(delta.delta_NG, np.full((n_kept, 2), 2.0), rtol=1e-6)


def test_an_own_control_is_never_replaced_by_a_borrowed_one() -> None:
    config = DeltaConfig(min_control_cells=3, fallback_to_other_plates=True)

    delta = delta_of_plate(sums_of(ONE_LINE), kept_pairs=KEPT, config=config, elsewhere=ELSEWHERE)

    assert not delta.conditions[names.IS_FALLBACK_CONTROL].any()
    assert np.array_equal(delta.delta_NG, delta_of(ONE_LINE).delta_NG)


def test_the_index_has_every_column_but_the_parent_compound() -> None:
    expected = [name for name in schemas.CONDITIONS.names if name != names.PARENT_COMPOUND]

    assert list(delta_of(ONE_LINE).conditions.columns) == expected


@pytest.mark.parametrize("name", ["min_control_cells", "min_cells_per_condition"])
def test_a_threshold_below_one_cell_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        DeltaConfig(**{name: 0})  # type: ignore[arg-type]


cells_strategy = st.lists(
    st.lists(st.floats(0, 9.2), min_size=2, max_size=2), min_size=2, max_size=6
)


@settings(deadline=None, max_examples=50)
@given(cells=cells_strategy)
def test_delta_of_the_control_with_itself_is_zero(cells: list[list[float]]) -> None:
    halves = [row % 2 == 0 for row in range(len(cells))]
    wells: Wells = [
        ("w1", "A", VEHICLE, 0.0, cells, halves),
        ("w2", "A", "drug", 1.0, cells, halves),
    ]

    delta = delta_of(wells)

    assert not delta.delta_NG.any()


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(0, 9.2), min_size=2, max_size=30))
def test_moments_agree_with_numpy(values: list[float]) -> None:
    sum_x = np.array([sum(round(value * X_SCALE) for value in values)])
    sum_x2 = np.array([sum(round(value**2 * X2_SCALE) for value in values)])

    assert mean_of_sums(sum_x, len(values))[0] == pytest.approx(np.mean(values), abs=1e-9)
    variance = variance_of_sums(sum_x, sum_x2, len(values))[0]
    assert variance == pytest.approx(np.var(values, ddof=1), abs=1e-7)
    assert variance >= 0
