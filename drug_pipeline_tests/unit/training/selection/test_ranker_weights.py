"""What rankers count for, and that a combination ships only where it is better than one of them."""

import numpy as np
import pytest

from drug_pipeline.training.selection.ranker_weights import (
    chosen_weights,
    combine,
    fit_combination,
    known_scores,
    mean_reciprocal_rank,
    standardised,
)


def test_mean_reciprocal_rank_of_a_worked_example():
    scores_QD = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    is_right_QD = np.array([[False, True, False], [True, False, False], [False, False, False]])

    # ranks 2 and (tied with one other) 1.5; the third query has no right drug
    found = mean_reciprocal_rank(scores_QD, is_right_QD, np.ones(3))

    assert found == pytest.approx((1 / 2 + 1 / 1.5) / 2)


def test_drugs_without_a_score_come_last():
    scores_QD = np.array([[np.nan, -9.0, np.nan]])
    is_right_QD = np.array([[False, True, False]])

    assert mean_reciprocal_rank(scores_QD, is_right_QD, np.ones(1)) == 1.0


def test_a_twin_above_the_drug_does_not_cost_a_rank():
    scores_QD = np.array([[3.0, 2.0, 1.0]])

    assert mean_reciprocal_rank(scores_QD, np.array([[True, True, False]]), np.ones(1)) == 1.0


def test_a_gallery_of_one_is_always_right():
    assert mean_reciprocal_rank(np.array([[0.3]]), np.array([[True]]), np.ones(1)) == 1.0
    assert standardised(np.array([[0.3]])).tolist() == [[0.0]]


def test_standardised_scores_leave_what_is_not_known_out():
    scores_QD = standardised(np.array([[1.0, 3.0, np.nan]]))

    assert scores_QD[0, :2].tolist() == pytest.approx([-1.0, 1.0])
    assert np.isnan(scores_QD[0, 2])


def test_a_drug_that_one_ranker_does_not_know_is_judged_by_the_other():
    scores = {
        "tower": np.array([[1.0, 0.0, 2.0]]),
        "cosine": np.array([[1.0, 0.0, np.nan]]),
    }

    combined_QD = combine(scores, {"tower": 1.0, "cosine": 1.0})

    assert np.isfinite(combined_QD).all()
    assert combined_QD[0, 2] == pytest.approx(standardised(scores["tower"])[0, 2])


def test_a_drug_without_a_profile_to_compare_with_has_no_score():
    scores_QD = np.array([[0.5, -2.0, 0.1], [-2.0, -1.0, 0.1]], dtype=np.float32)

    known_QD = known_scores(scores_QD, np.array([True, True, False]))

    np.testing.assert_array_equal(
        known_QD, np.float32([[0.5, np.nan, np.nan], [np.nan, -1.0, np.nan]])
    )


def test_a_ranker_that_only_misleads_gets_no_weight():
    rng = np.random.default_rng(0)
    is_right_QD = np.eye(12, dtype=bool)
    good_QD = is_right_QD + 0.3 * rng.normal(size=(12, 12))

    weights = fit_combination({"bad": -good_QD, "good": good_QD}, is_right_QD, np.ones(12))

    assert weights["bad"] == 0.0
    assert weights["good"] == 1.0


def test_without_queries_the_first_ranker_counts_alone():
    nothing = np.zeros((0, 3))

    weights = fit_combination({"a": nothing, "b": nothing}, nothing.astype(bool), np.zeros(0))

    assert weights == {"a": 1.0, "b": 0.0}


def noisy_rankers(rng: np.random.Generator, n_queries: int, noise: dict[str, float]):
    """Rankers that see the right drug of 20 under noise of their own."""
    is_right_QD = np.eye(20, dtype=bool)[rng.integers(20, size=n_queries)]
    scores = {
        name: is_right_QD + sd * rng.normal(size=is_right_QD.shape) for name, sd in noise.items()
    }
    return scores, is_right_QD


def some_lines(n_queries: int, n_lines: int = 5) -> np.ndarray:
    return np.array([f"line{number % n_lines}" for number in range(n_queries)])


def shipped(weights: dict[str, float]) -> set[str]:
    return {name for name, weight in weights.items() if weight > 0}


def test_rankers_that_help_each_other_ship_together():
    scores, is_right_QD = noisy_rankers(np.random.default_rng(0), 400, {"a": 0.8, "b": 0.8})
    compound_Q = np.arange(400) // 8

    weights = chosen_weights(scores, is_right_QD, np.ones(400), some_lines(400), [compound_Q])

    assert shipped(weights) == {"a", "b"}


def test_a_gain_that_few_queries_fitted_does_not_ship():
    noise = {"good": 0.5} | {f"poor{number}": 30.0 for number in range(6)}  # these see nothing
    n_fitted = n_combined = 0
    for seed in range(20):
        scores, is_right_QD = noisy_rankers(np.random.default_rng(seed), 40, noise)
        fitted = fit_combination(scores, is_right_QD, np.ones(40))
        clusters = [np.arange(40)]
        chosen = chosen_weights(scores, is_right_QD, np.ones(40), some_lines(40), clusters)
        n_fitted += len(shipped(fitted)) > 1
        n_combined += len(shipped(chosen)) > 1
        assert "good" in shipped(chosen)
    assert n_fitted >= 15
    assert n_combined <= 3


def test_in_two_lines_nothing_can_be_shown_to_be_better_than_rank_cosine():
    noise = {"rank_cosine": 2.0, "sda_cosine": 0.8, "lda_cosine": 0.8}
    scores, is_right_QD = noisy_rankers(np.random.default_rng(1), 400, noise)
    compound_Q = np.arange(400) // 8

    two, five = (
        chosen_weights(scores, is_right_QD, np.ones(400), some_lines(400, n), [compound_Q])
        for n in (2, 5)
    )

    assert shipped(two) == {"rank_cosine"}
    assert shipped(five) >= {"sda_cosine", "lda_cosine"}


def test_another_ranker_ships_only_where_it_is_better_beyond_a_standard_error():
    right_QD = np.eye(20, dtype=bool)[np.arange(60) % 20]
    ahead_QD = right_QD * np.array([1.0, -1.0, 1.0])[np.arange(60) % 3][:, None]
    once_QD = ahead_QD.copy()
    once_QD[1] = right_QD[1]  # one query of 60 more than the other ranker finds

    def chosen(tower_QD):
        scores = {"rank_cosine": ahead_QD, "tower": tower_QD}
        lines, clusters = some_lines(60), [np.arange(60) // 3]
        return shipped(chosen_weights(scores, right_QD, np.ones(60), lines, clusters))

    assert chosen(once_QD) == {"rank_cosine"}
    assert chosen(right_QD * 1.0) == {"tower"}


def test_a_ranker_that_falls_below_plain_correlation_in_one_line_does_not_ship():
    rng = np.random.default_rng(2)
    scores, right_QD = noisy_rankers(
        rng, 600, {"rank_cosine": 1.5, "tower": 0.5, "raw_cosine": 1.5}
    )
    lines = some_lines(600, 6)
    in_first = lines == "line0"
    clusters = [np.arange(600) // 6]
    fair = chosen_weights(scores, right_QD, np.ones(600), lines, clusters)
    scores["tower"][in_first] = rng.normal(size=scores["tower"][in_first].shape)

    unfair = chosen_weights(scores, right_QD, np.ones(600), lines, clusters)

    assert "tower" in shipped(fair)
    assert shipped(unfair) == {"rank_cosine"}


def test_a_line_of_many_queries_counts_as_one_of_few():
    right_QD = np.eye(20, dtype=bool)[np.arange(120) % 20]
    lines = np.array(["large"] * 90 + [f"small{number % 6}" for number in range(30)])
    is_large = (lines == "large")[:, None]
    wrong_QD = np.roll(right_QD, 1, axis=1) * 1.0
    scores = {
        "rank_cosine": np.where(is_large, right_QD * 1.0, wrong_QD),
        "raw_cosine": np.where(is_large, wrong_QD, right_QD * 1.0),
    }

    weights = chosen_weights(scores, right_QD, np.ones(120), lines, [np.arange(120)])

    assert shipped(weights) == {"raw_cosine"}
