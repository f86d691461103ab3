"""What no model can be fitted on is refused where it is put together."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.errors import AlignmentError, EmptyResultError
from drug_pipeline.linear import Conditions, MeasuredConditions

MEASURED = MeasuredConditions(
    conditions=Conditions.unmeasured(["a", "b", "c"], "line", 5.0),
    delta_NG=np.zeros((3, 2), dtype=np.float32),
    weight_N=np.ones(3),
)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"weight_N": np.ones(2)}, AlignmentError, "3 conditions, 3 rows of Δ, 2 weights"),
        ({"weight_N": np.zeros(3)}, EmptyResultError, "no condition to train on"),
        ({"weight_N": np.array([1.0, -1.0, 1.0])}, ValueError, "finite and not negative"),
        (
            {"delta_NG": np.array([[0.0], [np.nan], [0.0]])},
            ValueError,
            "1 of 3 conditions have a Δ that is not finite; rows: 1",
        ),
    ],
    ids=["lengths", "no evidence", "negative weight", "no number"],
)
def test_measured_conditions_that_nothing_can_be_fitted_on_are_refused(change, error, says):
    with pytest.raises(error, match=says):
        replace(MEASURED, **change)


def test_what_is_asked_has_the_parent_that_is_known_and_no_plate():
    asked = Conditions.unmeasured(["a salt", "b"], "line", [5.0, 0.5], {"a salt": "a"})

    assert asked.parent_N.tolist() == ["a", "b"]
    assert asked.line_N.tolist() == ["line", "line"]
    assert asked.dose_um_N.tolist() == [5.0, 0.5]
    assert asked.plate_N.tolist() == ["", ""]


def test_no_conditions_at_all_are_refused():
    with pytest.raises(EmptyResultError, match="no condition to train on"):
        MEASURED.take(np.zeros(0, dtype=np.int64))
