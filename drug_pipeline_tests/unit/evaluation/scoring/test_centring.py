"""Centres come from training alone, and stand in where a group was never trained on."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.evaluation.scoring.centring import BY_LINE_AND_DOSE, training_centre

CONDITIONS = pd.DataFrame(
    {"cell_line_id": ["A", "A", "A", "B", "C"], "dose_um": [1.0, 5.0, 5.0, 1.0, 5.0]}
)
DELTA = np.array([[1.0], [3.0], [5.0], [7.0], [9.0]], dtype=np.float32)


def test_a_row_is_centred_by_the_training_mean_of_its_line() -> None:
    centre = training_centre(DELTA, CONDITIONS, np.array([0, 1, 3]), np.array([2, 3]))

    np.testing.assert_allclose(centre.of(slice(None)), [[2.0], [7.0]])
    assert centre.is_own_A.all()


def test_a_line_never_trained_on_takes_the_mean_of_all_training() -> None:
    centre = training_centre(DELTA, CONDITIONS, np.array([0, 1, 3]), np.array([4]))

    np.testing.assert_allclose(centre.of(slice(None)), [[11 / 3]])
    assert not centre.is_own_A.any()


def test_by_dose_a_line_never_trained_on_takes_the_mean_of_its_dose() -> None:
    centre = training_centre(
        DELTA, CONDITIONS, np.array([0, 1, 2, 3]), np.array([4, 0]), by=BY_LINE_AND_DOSE
    )

    np.testing.assert_allclose(centre.of(slice(None)), [[4.0], [1.0]])


def test_test_rows_do_not_move_their_own_centre() -> None:
    changed = DELTA.copy()
    changed[2] = 1e6

    before = training_centre(DELTA, CONDITIONS, np.array([0, 1]), np.array([2]))
    after = training_centre(changed, CONDITIONS, np.array([0, 1]), np.array([2]))

    np.testing.assert_array_equal(before.of(slice(None)), after.of(slice(None)))


def test_no_training_condition_is_an_error() -> None:
    with pytest.raises(EmptyResultError, match="nothing to centre by"):
        training_centre(DELTA, CONDITIONS, np.array([], dtype=int), np.array([0]))
