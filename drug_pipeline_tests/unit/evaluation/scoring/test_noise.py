"""Noise is measured from three sides that agree, and responses stand out from it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import noise


def test_counting_noise_told_from_se_and_from_halves_is_the_true_one(
    table: DeltaTable, cell_sd: float
) -> None:
    found = noise.measure_noise(table)

    true = cell_sd**2 * (1 / table.conditions["n_cells"] + 1 / 200)
    np.testing.assert_allclose(found.counting_N, true, rtol=1e-5)
    assert found.halves_N.mean() == pytest.approx(true.mean(), rel=0.05)


def test_wells_that_differ_by_counting_alone_add_nothing(table: DeltaTable) -> None:
    found = noise.measure_noise(table)

    assert found.null.well_variance < 0.1 * found.counting_N.mean()
    np.testing.assert_allclose(found.null.excess_W.mean(), 0, atol=2e-3)


def test_the_variance_that_wells_add_is_found(table: DeltaTable) -> None:
    rng = np.random.default_rng(1)
    shifted = table.controls.well_WG + rng.normal(size=table.controls.well_WG.shape) * 0.5
    controls = replace(table.controls, well_WG=shifted.astype(np.float32))

    found = noise.measure_noise(replace(table, controls=controls))

    assert found.null.well_variance == pytest.approx(0.25, rel=0.2)
    extra = found.well_N - found.counting_N
    np.testing.assert_allclose(extra, found.null.well_variance * 1.5)  # control: two wells


def test_responses_are_active_and_compounds_without_effect_are_not(table: DeltaTable) -> None:
    label = noise.measure_noise(table).label_N

    is_null = table.conditions["parent_compound"].isin(["P03", "P07", "P11"]).to_numpy()
    is_strong = ~is_null & (table.conditions["dose_um"] == 5.0).to_numpy()
    assert (label[is_strong] == noise.ACTIVE).all()
    assert (label[is_null] == noise.ACTIVE).mean() < 0.2


def test_without_a_second_vehicle_well_nothing_can_be_called_active(table: DeltaTable) -> None:
    one_well = table.controls.wells["sample"] == "well 1"
    controls = replace(
        table.controls,
        wells=table.controls.wells[one_well].reset_index(drop=True),
        well_WG=table.controls.well_WG[one_well.to_numpy()],
    )

    found = noise.measure_noise(replace(table, controls=controls))

    assert set(found.label_N) == {noise.UNKNOWN}
    assert np.isnan(found.threshold)
    assert found.null.well_variance == 0.0


def test_no_vehicle_wells_at_all_leave_activity_unknown(table: DeltaTable) -> None:
    controls = replace(
        table.controls,
        wells=pd.DataFrame(columns=["sample", "cell_line_id", "plate", "n_cells"]),
        well_WG=table.controls.well_WG[:0],
    )

    assert set(noise.measure_noise(replace(table, controls=controls)).label_N) == {noise.UNKNOWN}


def test_one_cell_a_condition_is_judged_by_the_plain_size_of_its_response(
    table: DeltaTable,
) -> None:
    unknown = np.full_like(table.se_NG, np.nan)
    conditions = table.conditions.assign(n_cells=1)

    found = noise.measure_noise(replace(table, se_NG=unknown, conditions=conditions))

    np.testing.assert_allclose(
        found.activity_N, np.square(table.delta_NG.astype(float)).mean(axis=1), rtol=1e-6
    )
    assert np.isnan(found.counting_N).all()
    assert (found.label_N == noise.ACTIVE).any()


def test_a_condition_without_a_standard_error_among_others_is_unknown(table: DeltaTable) -> None:
    se = table.se_NG.copy()
    se[0] = np.nan

    assert noise.measure_noise(replace(table, se_NG=se)).label_N[0] == noise.UNKNOWN
