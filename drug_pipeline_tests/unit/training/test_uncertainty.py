import numpy as np
import pytest

from drug_pipeline.training.uncertainty import error_terms, fit_error_model, rms_error


def made_up(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions whose error grows with their size, their terms, and the measurements."""
    rng = np.random.default_rng(seed)
    size_N1 = rng.uniform(0.1, 2.0, (n, 1))
    predicted_NG = size_N1 * rng.normal(size=(n, 40))
    measured_NG = predicted_NG + (0.2 + 0.5 * size_N1) * rng.normal(size=(n, 40))
    return error_terms(predicted_NG, [predicted_NG]), predicted_NG, measured_NG


def test_rms_error_of_a_worked_example():
    assert rms_error(np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]])) == pytest.approx([12.5**0.5])


def test_expected_errors_follow_the_errors_and_the_bound_covers_as_it_says():
    model = fit_error_model(*made_up(400, seed=0))
    terms_NK, predicted_NG, measured_NG = made_up(1000, seed=1)

    assert model is not None
    expected_N = model.expected(terms_NK)
    error_N = rms_error(predicted_NG, measured_NG)
    assert np.corrcoef(expected_N, error_N)[0, 1] > 0.8
    assert expected_N.mean() == pytest.approx(error_N.mean(), rel=0.1)
    assert 0.86 < model.coverage(terms_NK, predicted_NG, measured_NG) < 0.94


def test_parts_that_disagree_are_a_term():
    ones_NG, zeros_NG = np.ones((2, 3)), np.zeros((2, 3))

    assert error_terms(ones_NG, [ones_NG, zeros_NG]).tolist() == [[1.0, 0.5, 1.0]] * 2


def test_nothing_is_calibrated_on_a_handful_of_conditions():
    assert fit_error_model(*made_up(10, seed=0)) is None
