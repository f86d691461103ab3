import numpy as np
import pytest

from drug_pipeline.linear import Conditions
from drug_pipeline.training.inverse import (
    combine,
    fit_combination,
    mean_reciprocal_rank,
    remembered,
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


@pytest.mark.parametrize(("most_bytes", "n_asked"), [(10**6, 2), (0, 4)])
def test_predictions_of_a_gallery_are_asked_for_once_as_long_as_they_fit(most_bytes, n_asked):
    asked_of = []

    def predict(asked: Conditions) -> np.ndarray:
        asked_of.append(asked.line_N[0])
        return np.full((len(asked), 3), float(asked.dose_um_N[0]), dtype=np.float32)

    def gallery(line: str, dose_um: float) -> Conditions:
        column = np.array(["a", "b"])
        return Conditions(
            drug_N=column,
            parent_N=column,
            dose_um_N=np.full(2, dose_um),
            line_N=np.full(2, line),
            plate_N=np.full(2, ""),
        )

    ask = remembered(predict, most_bytes=most_bytes)
    answers = [ask(gallery(line, 5.0)) for line in ("one", "two", "one", "two")]

    assert len(asked_of) == n_asked
    assert all((answer == 5.0).all() for answer in answers)
    assert (ask(gallery("one", 0.5)) == 0.5).all()
