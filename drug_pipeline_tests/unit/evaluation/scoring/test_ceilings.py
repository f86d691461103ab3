"""Ceilings are what the truth itself scores; the gap to them is a share with an interval."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import ceilings, delta_metrics
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap


def test_the_counting_ceiling_is_the_correlation_of_the_truth(
    table: DeltaTable, truth: np.ndarray
) -> None:
    has_effect = truth.any(axis=1)
    noise = np.square(table.se_NG.astype(float)).mean(axis=1)

    reachable = ceilings.reachable_correlation(table.delta_NG, noise)

    reached = delta_metrics.pearson(truth, table.delta_NG)
    assert reachable[has_effect].mean() == pytest.approx(reached[has_effect].mean(), abs=0.02)


def test_more_noise_than_variance_leaves_nothing_to_reach_and_a_constant_row_is_nan() -> None:
    measured = np.array([[1.0, -1.0], [0.5, 0.5], [2.0, 0.0]])

    got = ceilings.reachable_correlation(measured, np.array([5.0, 0.1, np.nan]))

    np.testing.assert_array_equal(got, [0.0, np.nan, np.nan])


def test_about_zero_a_constant_shift_can_be_predicted_about_the_mean_it_cannot() -> None:
    measured = np.array([[2.0, 2.0 + 1e-9]])
    noise = np.array([0.04])

    assert ceilings.reachable_correlation(measured, noise, about_mean=False)[0] > 0.99
    assert ceilings.reachable_correlation(measured, noise)[0] == 0.0


def test_the_root_of_the_replicate_correlation_is_what_the_truth_reaches(
    table: DeltaTable, truth: np.ndarray
) -> None:
    second = np.flatnonzero(table.conditions["plate"] == "plate3")
    place, row = ceilings.replicate_rows(table.conditions, second)

    assert len(place) == len(second)
    other = table.conditions.iloc[row].reset_index(drop=True)
    assert set(other["plate"]) == {"plate2"}
    for column in ("drug", "dose_um", "cell_line_id"):
        pd.testing.assert_series_equal(
            other[column], table.conditions.iloc[second[place]][column].reset_index(drop=True)
        )
    has_effect = truth[second[place]].any(axis=1)
    correlation = delta_metrics.pearson(table.delta_NG[row], table.delta_NG[second[place]])[
        has_effect
    ]
    reached = delta_metrics.pearson(truth[second[place]], table.delta_NG[second[place]])[has_effect]
    assert ceilings.from_replicates(correlation.mean()) == pytest.approx(reached.mean(), abs=0.02)


def test_of_several_replicates_the_one_with_most_cells_stands_for_all() -> None:
    conditions = pd.DataFrame(
        {
            "drug": ["a"] * 4,
            "dose_um": [1.0, 1.0, 1.0, 2.0],
            "cell_line_id": ["L"] * 4,
            "plate": ["p1", "p2", "p3", "p4"],
            "n_cells": [10, 20, 30, 99],
        }
    )

    place, row = ceilings.replicate_rows(conditions, np.array([0, 3]))

    assert place.tolist() == [0]
    assert row.tolist() == [2]


def test_the_gap_closed_by_hand_and_as_nan_where_there_is_no_gap() -> None:
    rng = np.random.default_rng(0)
    bootstrap = ClusterBootstrap(np.arange(200), BootstrapConfig(n_resamples=200))
    noise = 0.01 * rng.normal(size=200)
    baseline, ceiling = 0.4 + noise, 0.8 + noise
    models = np.column_stack([0.5 + noise, 0.8 + noise, 0.3 + noise])

    open_gap = ceilings.gap_closed(bootstrap, models, baseline, ceiling)
    no_gap = ceilings.gap_closed(bootstrap, models, ceiling, baseline)

    np.testing.assert_allclose(open_gap.value_M, [0.25, 1.0, -0.25])
    assert np.all(open_gap.low_M <= open_gap.value_M + 1e-9)
    assert np.isnan(no_gap.value_M).all()


def test_a_ceiling_that_does_not_stand_clear_of_the_baseline_is_no_gap() -> None:
    rng = np.random.default_rng(1)
    bootstrap = ClusterBootstrap(np.arange(40), BootstrapConfig())
    baseline, ceiling = rng.normal(size=40), rng.normal(size=40) + 0.05

    assert np.isnan(ceilings.gap_closed(bootstrap, baseline[:, None], baseline, ceiling).value_M[0])


def test_rows_without_a_ceiling_are_left_out_of_all_three_means() -> None:
    bootstrap = ClusterBootstrap(np.arange(10), BootstrapConfig(n_resamples=100))
    baseline, ceiling = np.zeros(10), np.ones(10)
    model = np.full((10, 1), 0.5)
    model[0], ceiling[0] = 99.0, np.nan

    found = ceilings.gap_closed(bootstrap, model, baseline, ceiling)

    assert found.value_M[0] == pytest.approx(0.5)
    assert found.n_M[0] == 9


def test_a_replicate_correlation_becomes_a_ceiling_by_its_root() -> None:
    bootstrap = ClusterBootstrap(np.arange(10), BootstrapConfig(n_resamples=100))
    baseline, replicate = np.zeros(10), np.full(10, 0.64)

    found = ceilings.gap_closed(
        bootstrap, np.full((10, 1), 0.4), baseline, replicate, is_replicate=True
    )

    assert found.value_M[0] == pytest.approx(0.5)
