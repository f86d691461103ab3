"""Rankings: one rule for ties, twins as one answer, K and galleries of any size."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from drug_pipeline.evaluation.scoring import ranking_inputs, ranking_metrics


def test_ranks_equal_scipy_and_unscored_candidates_come_last_tied() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.1], [1.0, np.nan, np.nan, -5.0]])

    got = ranking_inputs.ranks(scores)

    np.testing.assert_array_equal(got[0], stats.rankdata(-scores[0]))
    np.testing.assert_array_equal(got[1], [1, 3.5, 3.5, 2])


def test_what_is_no_candidate_has_no_rank_and_takes_no_place() -> None:
    scores = np.array([[9.0, 8.0, np.nan, 7.0]])
    candidates = np.array([[False, True, True, True]])

    np.testing.assert_array_equal(ranking_inputs.ranks(scores, candidates), [[np.inf, 1, 3, 2]])


def test_salts_of_one_compound_are_one_answer_as_good_as_the_best() -> None:
    scores = np.array([[0.1, 0.9, 0.5, np.nan]])

    best, identities = ranking_inputs.by_identity(scores, ["b", "a", "b", "c"])

    assert identities.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(best, [[0.9, 0.5, np.nan]])


def test_identity_ranks_count_compounds_and_miss_what_is_not_in_the_gallery() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]])
    groups = ["p", "q", "p"]

    rank, n_candidates = ranking_inputs.identity_ranks(
        scores, groups, np.array(["p", "q", "absent"])
    )

    np.testing.assert_array_equal(rank, [2, 1, np.nan])
    np.testing.assert_array_equal(n_candidates, [2, 2, 2])


def test_within_a_panel_only_the_panel_competes() -> None:
    scores = np.array([[0.9, 0.5, 0.4], [0.9, 0.5, 0.4]])
    panel = np.array([[False, True, True], [False, True, False]])

    rank, n_candidates = ranking_inputs.identity_ranks(
        scores, ["p", "q", "r"], np.array(["q", "q"]), panel
    )

    np.testing.assert_array_equal(rank, [1, np.nan])  # a gallery of one ranks nothing
    np.testing.assert_array_equal(n_candidates, [2, 1])


def test_within_a_panel_a_form_of_the_compound_that_is_not_on_it_lends_no_score() -> None:
    scores = np.array([[0.9, 0.2, 0.5], [0.1, 0.6, 0.5]])
    panel = np.array([[False, True, True], [True, False, True]])

    rank, n_candidates = ranking_inputs.identity_ranks(
        scores, ["p", "p", "q"], np.array(["p", "p"]), panel
    )

    np.testing.assert_array_equal(rank, [2, 2])
    np.testing.assert_array_equal(n_candidates, [2, 2])


def test_metrics_of_a_rank_by_hand() -> None:
    rank = np.array([1.0, 4.0, np.nan])

    np.testing.assert_array_equal(ranking_metrics.reciprocal_rank(rank), [1, 0.25, np.nan])
    np.testing.assert_array_equal(ranking_metrics.hit_at(rank, 3), [1, 0, np.nan])
    np.testing.assert_array_equal(ranking_metrics.hit_at(rank, 99), [1, 1, np.nan])
    np.testing.assert_allclose(
        ranking_metrics.normalised_rank(rank, np.array([5, 5, 5])), [1, 0.25, np.nan]
    )
    assert np.isnan(ranking_metrics.normalised_rank(np.array([1.0]), np.array([1]))).all()


def test_equal_scores_for_all_earn_the_middle_rank_and_no_hit() -> None:
    rank, _ = ranking_inputs.identity_ranks(np.zeros((1, 9)), list("abcdefghi"), np.array(["c"]))

    assert rank[0] == 5
    assert ranking_metrics.hit_at(rank, 4)[0] == 0
    assert ranking_metrics.normalised_rank(rank, np.array([9]))[0] == 0.5


def test_precision_recall_and_their_ceiling_by_hand() -> None:
    ranks = np.array([[1.0, 2, 3, 4]])
    relevant = np.array([[True, False, True, True]])

    assert ranking_metrics.precision_at(ranks, relevant, 2)[0] == pytest.approx(1 / 2)
    assert ranking_metrics.recall_at(ranks, relevant, 2)[0] == pytest.approx(1 / 3)
    assert ranking_metrics.recall_ceiling_at(ranks, relevant, 2)[0] == pytest.approx(2 / 3)
    # K larger than the gallery means the whole gallery
    assert ranking_metrics.precision_at(ranks, relevant, 10)[0] == pytest.approx(3 / 4)
    assert ranking_metrics.recall_at(ranks, relevant, 10)[0] == 1


def test_average_precision_and_ndcg_equal_scikit_learn_without_ties() -> None:
    rng = np.random.default_rng(2)
    scores = rng.permuted(np.tile(np.arange(15.0), (8, 1)), axis=1)
    grade = rng.integers(0, 4, size=(8, 15))
    ranks = ranking_inputs.ranks(scores)

    average = ranking_metrics.average_precision_at(ranks, grade > 1, 15)
    gain = ranking_inputs.gain_of(grade)

    expected = [metrics.average_precision_score(grade[i] > 1, scores[i]) for i in range(8)]
    np.testing.assert_allclose(average, expected)
    for k in (1, 5, 15):
        expected = [metrics.ndcg_score(gain[i : i + 1], scores[i : i + 1], k=k) for i in range(8)]
        np.testing.assert_allclose(ranking_metrics.ndcg_at(ranks, gain, k), expected)
    assert ranking_metrics.ndcg_at(ranks, gain, 99) == pytest.approx(
        ranking_metrics.ndcg_at(ranks, gain, 15)
    )


def test_average_precision_reads_mid_ranks_and_stops_at_k() -> None:
    tied = np.array([[1.5, 1.5, 3.0, 4.0]])
    relevant = np.array([[True, False, False, True]])

    # first relevant: rank 1 among relevant, 1.5 among all; second: 2 / 4
    assert ranking_metrics.average_precision_at(tied, relevant, 4)[0] == pytest.approx(
        (1 / 1.5 + 0.5) / 2
    )
    assert ranking_metrics.average_precision_at(tied, relevant, 2)[0] == pytest.approx(
        (1 / 1.5) / 2
    )
    both = np.array([[True, True, False, False]])
    assert ranking_metrics.average_precision_at(tied, both, 4)[0] == pytest.approx(1.0)


def test_queries_without_a_choice_or_an_answer_are_not_scored() -> None:
    ranks = np.array([[1.0, 2.0], [1.0, np.inf]])
    nothing = np.array([[False, False], [True, False]])

    for metric in (
        ranking_metrics.precision_at,
        ranking_metrics.recall_at,
        ranking_metrics.recall_ceiling_at,
        ranking_metrics.average_precision_at,
    ):
        assert np.isnan(metric(ranks, nothing, 1)).all()
    assert np.isnan(ranking_metrics.ndcg_at(ranks, nothing.astype(float), 1)).all()


def test_grades_know_twins_targets_and_mechanisms_but_unclear_is_none() -> None:
    drugs = pd.DataFrame(
        {
            "drug": ["a", "a salt", "b", "c", "d", "e"],
            "parent_compound": ["A", "A", "B", "C", "D", "E"],
            "targets": [["X", "Y"], ["X", "Y"], ["Y", "X"], ["X"], [], []],
            "moa_fine": ["kinase", "kinase", "other", "kinase", "unclear", "unclear"],
        }
    )

    got = ranking_inputs.grades(drugs, ["a", "d", "unknown"], ["a", "a salt", "b", "c", "d", "e"])

    np.testing.assert_array_equal(got, [[3, 3, 2, 1, 0, 0], [0, 0, 0, 0, 3, 0], [0] * 6])
