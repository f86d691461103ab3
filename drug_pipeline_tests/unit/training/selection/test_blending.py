import numpy as np
import pytest

from drug_pipeline.domain.metrics import mse
from drug_pipeline.training.selection.blending import (
    blend_weights,
    fit_alpha,
    mix,
)


def test_alpha_of_a_worked_example():
    missing_NG = np.array([[1.0, 2.0]])
    network_NG = np.array([[2.0, 4.0]])

    assert fit_alpha(missing_NG, network_NG) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("missing", "network", "alpha"),
    [
        ([[1.0, 0.0]], [[-1.0, 0.0]], 0.0),
        ([[9.0, 0.0]], [[1.0, 0.0]], 1.2),
        ([[1.0, 0.0]], [[0.0, 0.0]], 0.0),
        ([[1.0, 0.0]], [[0.0, 1.0]], 0.0),
    ],
    ids=["opposite", "too-small", "says-nothing", "unrelated"],
)
def test_alpha_stays_between_0_and_its_cap(missing, network, alpha):
    assert fit_alpha(np.array(missing), np.array(network)) == alpha


def test_alpha_without_validation_conditions_is_0():
    assert fit_alpha(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


def test_blend_weights_recover_a_mixture():
    rng = np.random.default_rng(0)
    left_NG, right_NG = rng.normal(size=(2, 30, 5))

    weights = blend_weights({"a": left_NG, "b": right_NG}, 0.3 * left_NG + 0.6 * right_NG, "a")

    assert weights == pytest.approx({"a": 0.3, "b": 0.6}, abs=1e-4)


def test_a_blend_is_never_worse_than_the_best_linear_model_on_validation():
    rng = np.random.default_rng(1)
    for seed in range(5):
        measured_NG = rng.normal(size=(20, 4))
        predicted = {f"p{i}": measured_NG + rng.normal(size=(20, 4)) * (i + 1) for i in range(3)}
        weights = blend_weights(predicted, measured_NG, "p0")
        assert mse(mix(predicted, weights), measured_NG, axis=None) <= mse(
            predicted["p0"], measured_NG, axis=None
        ), seed


def test_predictors_that_say_nothing_leave_the_best_one_alone():
    zeros_NG = np.zeros((4, 3))

    assert blend_weights({"zero": zeros_NG}, np.ones((4, 3)), "zero") == {"zero": 1.0}
