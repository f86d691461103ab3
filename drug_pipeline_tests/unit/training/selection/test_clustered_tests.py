import numpy as np
import pytest
from scipy.stats import ttest_1samp

from drug_pipeline.linear import Conditions
from drug_pipeline.training.selection.clustered_tests import (
    clusterings,
    cross_fitted,
    is_above_one_error,
    is_lower,
    is_within_one_error,
    upper_bound,
)


def test_with_a_condition_a_cluster_the_bound_is_that_of_scipy_s_one_sided_t_test():
    difference_N = np.random.default_rng(0).normal(-0.2, 1.0, 30)

    expected = ttest_1samp(difference_N, 0.0, alternative="less").confidence_interval(0.95).high

    assert upper_bound(difference_N, np.arange(30)) == pytest.approx(expected)


def test_repeating_each_condition_of_a_cluster_makes_nothing_surer():
    difference_N = np.random.default_rng(0).normal(-0.2, 1.0, 30)
    once = upper_bound(difference_N, np.arange(30))

    assert upper_bound(np.repeat(difference_N, 9), np.repeat(np.arange(30), 9)) == pytest.approx(
        once
    )


def test_with_two_clusters_nothing_can_be_shown():
    assert upper_bound(np.full(10, -1.0), np.repeat([0, 1], 5)) == np.inf


def test_a_mean_gain_counts_above_its_standard_error_over_clusters():
    spread_N = np.random.default_rng(0).normal(size=30)
    spread_N = (spread_N - spread_N.mean()) / spread_N.std(ddof=1)
    error = 1.0 / np.sqrt(30)

    assert is_above_one_error(spread_N + 1.01 * error, np.arange(30))
    assert not is_above_one_error(spread_N + 0.99 * error, np.arange(30))
    assert not is_above_one_error(np.ones(30), np.repeat(["a", "b"], 15))


def test_a_gain_that_all_compounds_share_counts_and_that_of_one_alone_does_not():
    measured_NG = np.zeros((40, 3))
    parent_N = np.repeat([f"p{number}" for number in range(10)], 4)
    reference_NG = np.ones((40, 3))
    shared_NG = reference_NG * np.linspace(0.8, 0.9, 40)[:, None]
    alone_NG = reference_NG.copy()
    alone_NG[:4] = 0.0

    assert is_lower(shared_NG, reference_NG, measured_NG, [parent_N])
    assert not is_lower(alone_NG, reference_NG, measured_NG, [parent_N])


@pytest.mark.parametrize(("kind", "column"), [("cell_line", "line_N"), ("dose", "dose_um_N")])
def test_where_lines_or_doses_are_held_out_these_must_agree_as_well(kind, column):
    parent_N = np.array([f"p{number}" for number in range(12)] * 4)
    asked = Conditions.unmeasured(parent_N, np.repeat(["a", "b", "c", "d"], 12), 5.0)
    if column == "dose_um_N":
        asked = Conditions.unmeasured(parent_N, "a", np.repeat([0.05, 0.5, 5.0, 50.0], 12))
    measured_NG = np.zeros((48, 3))
    reference_NG = np.ones((48, 3))
    in_one_alone_NG = np.where((np.arange(48) < 12)[:, None], 0.0, reference_NG)
    candidate = (in_one_alone_NG, reference_NG, measured_NG)

    assert is_lower(*candidate, clusterings(asked, parent_N, "pair"))
    assert not is_lower(*candidate, clusterings(asked, parent_N, kind))


def test_a_candidate_is_near_the_lowest_where_compounds_disagree_and_not_where_all_agree():
    parent_N = np.repeat([f"p{number}" for number in range(10)], 4)
    lowest_N = np.ones(40)
    worse_in_all_N = 1.1 * lowest_N
    better_and_worse_N = lowest_N * np.where(np.arange(40) % 8 < 4, 1.69, 0.56)

    assert not is_within_one_error(worse_in_all_N, lowest_N, parent_N)
    assert better_and_worse_N.mean() > worse_in_all_N.mean()
    assert is_within_one_error(better_and_worse_N, lowest_N, parent_N)
    assert not is_within_one_error(lowest_N, lowest_N, np.repeat(["a", "b"], 20))


def test_every_row_is_predicted_by_weights_of_other_clusters():
    cluster_N = np.repeat(np.arange(7), 3)
    seen = []

    def mixed(fit, held):
        assert not set(cluster_N[fit]) & set(cluster_N[held])
        seen.extend(held.tolist())
        return np.full((len(held), 2), 1.0, dtype=np.float32)

    total_NG = cross_fitted({"a": np.zeros((21, 2), dtype=np.float32)}, cluster_N, mixed)

    assert sorted(seen) == list(range(21))
    assert (total_NG == 1.0).all()
