"""Intervals by cluster: they cover, they are paired, they are silent where they cannot speak."""

import numpy as np
import pytest

from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap


def _clusters(n_clusters: int, rows_each: int) -> np.ndarray:
    return np.repeat([f"P{i}" for i in range(n_clusters)], rows_each)


def test_means_leave_undefined_rows_out_and_count_the_rest() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])

    got = ClusterBootstrap(np.array(["a", "b", "c"]), BootstrapConfig()).means(values)

    assert got.value_M[0] == 2.0
    assert np.isnan(got.value_M[1])
    np.testing.assert_array_equal(got.n_M, [2, 0])


def test_resampling_equals_a_plain_loop_over_drawn_clusters() -> None:
    rng = np.random.default_rng(0)
    cluster = _clusters(6, 3)
    values = rng.normal(size=(18, 2))
    bootstrap = ClusterBootstrap(cluster, BootstrapConfig(n_resamples=200))

    got = bootstrap.means(values)

    drawn = [np.repeat(np.arange(6), weights.astype(int)) for weights in bootstrap.weight_BP]
    means = [np.concatenate([values[3 * c : 3 * c + 3] for c in picks]).mean(0) for picks in drawn]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(got.low_M, low)
    np.testing.assert_allclose(got.high_M, high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    n_covered = 0
    for _ in range(200):
        drug_effect = np.repeat(rng.normal(size=40), 5)
        values = (drug_effect + 0.3 * rng.normal(size=200))[:, None]
        got = ClusterBootstrap(_clusters(40, 5), BootstrapConfig(n_resamples=300)).means(values)
        n_covered += bool(got.low_M[0] <= 0.0 <= got.high_M[0])

    assert 176 <= n_covered <= 198  # 0.95 nominal; rows as clusters would give about 120


def test_rows_as_clusters_are_overconfident_where_a_drug_has_many_rows() -> None:
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=30), 10)[:, None]

    by_drug = ClusterBootstrap(_clusters(30, 10), BootstrapConfig()).means(values)
    by_row = ClusterBootstrap(np.arange(300), BootstrapConfig()).means(values)

    width = (by_drug.high_M - by_drug.low_M) / (by_row.high_M - by_row.low_M)
    assert width[0] > 2.5


def test_differences_are_paired_so_that_what_is_shared_cancels() -> None:
    rng = np.random.default_rng(3)
    difficulty = rng.normal(size=(60, 1))
    better, worse = difficulty + 0.1, difficulty.copy()
    worse[0] = np.nan
    bootstrap = ClusterBootstrap(_clusters(20, 3), BootstrapConfig())

    got = bootstrap.differences(better, worse)

    assert got.value_M[0] == pytest.approx(0.1)
    assert got.low_M[0] == pytest.approx(0.1)
    assert got.n_M[0] == 59


def test_medians_and_their_interval_are_order_statistics() -> None:
    values = np.arange(1.0, 31.0)[:, None]
    values[29] = np.nan

    got = ClusterBootstrap(_clusters(30, 1), BootstrapConfig()).medians(values)

    assert got.value_M[0] == 15.0
    assert got.low_M[0] in values
    assert got.low_M[0] < 15.0 < got.high_M[0]
    assert got.n_M[0] == 29


def test_few_clusters_give_a_value_but_no_interval() -> None:
    bootstrap = ClusterBootstrap(_clusters(4, 10), BootstrapConfig())

    for got in (bootstrap.means(np.ones((40, 1))), bootstrap.medians(np.ones((40, 1)))):
        assert got.value_M[0] == 1.0
        assert np.isnan(got.low_M[0])
        assert np.isnan(got.high_M[0])


def test_no_rows_give_no_value() -> None:
    got = ClusterBootstrap(np.array([], dtype=str), BootstrapConfig()).means(np.zeros((0, 2)))

    assert np.isnan(got.value_M).all()
    np.testing.assert_array_equal(got.n_M, [0, 0])


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(5).normal(size=(50, 1))
    cluster = _clusters(10, 5)

    first, second, other = (
        ClusterBootstrap(cluster, BootstrapConfig(seed=seed)).means(values) for seed in (1, 1, 2)
    )

    assert first.low_M[0] == second.low_M[0]
    assert first.low_M[0] != other.low_M[0]


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="n_resamples must be at least 100"):
        BootstrapConfig(n_resamples=10)
