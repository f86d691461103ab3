"""The measures that fits and reports share: what they say where little is to be said."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from drug_pipeline.domain.metrics import cosine, mse, pearson


def test_centred_pearson_agrees_with_scipy_and_is_0_on_a_constant():
    rng = np.random.default_rng(0)
    predicted_NG, measured_NG, centre_NG = rng.normal(size=(3, 4, 9))
    predicted_NG[3] = centre_NG[3] + 2.0

    found_N = pearson(predicted_NG - centre_NG, measured_NG - centre_NG)

    expected = [
        pearsonr(predicted_NG[row] - centre_NG[row], measured_NG[row] - centre_NG[row]).statistic
        for row in range(3)
    ]
    assert found_N[:3] == pytest.approx(expected)
    assert found_N[3] == 0.0


def test_a_prediction_of_the_centre_up_to_rounding_says_nothing():
    rng = np.random.default_rng(1)
    centre_NG, measured_NG = rng.normal(size=(2, 5, 50)).astype(np.float32)
    rounded_NG = (centre_NG.astype(np.float64) * 3.0 / 3.0 + 1e-9).astype(np.float64)

    np.testing.assert_array_equal(cosine(rounded_NG - centre_NG, measured_NG), 0.0)
    np.testing.assert_array_equal(pearson(rounded_NG - centre_NG, measured_NG), 0.0)
    assert np.isnan(cosine(measured_NG, rounded_NG - centre_NG)).all()


def test_mse_over_everything_is_the_mean_over_conditions_and_genes():
    predicted_NG, measured_NG = np.array([[1.0, 3.0], [0.0, 0.0]]), np.zeros((2, 2))

    np.testing.assert_array_equal(mse(predicted_NG, measured_NG), [5.0, 0.0])
    assert mse(predicted_NG, measured_NG, axis=None) == 2.5
