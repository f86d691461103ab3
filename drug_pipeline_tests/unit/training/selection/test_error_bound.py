import numpy as np
import pytest

from drug_pipeline.training.selection.error_bound import (
    error_terms,
    fit_error_model,
    over_clusters,
    rms_error,
)


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


def test_errors_that_scatter_are_promised_no_smaller_than_they_are():
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        predicted_NG = rng.normal(size=(300, 40))
        scale_N1 = np.exp(rng.normal(0.0, 0.5, (300, 1)))  # of which nothing is known beforehand
        measured_NG = predicted_NG + scale_N1 * rng.normal(size=predicted_NG.shape)
        terms_NK = error_terms(predicted_NG, [predicted_NG])
        model = fit_error_model(terms_NK, predicted_NG, measured_NG)
        assert model is not None
        expected, found = model.expected(terms_NK), rms_error(predicted_NG, measured_NG)
        ratios.append(np.mean(expected**2) / np.mean(found**2))

    assert np.mean(ratios) == pytest.approx(1.0, abs=0.03)


def test_parts_that_disagree_are_a_term():
    ones_NG, zeros_NG = np.ones((2, 3)), np.zeros((2, 3))

    assert error_terms(ones_NG, [ones_NG, zeros_NG]).tolist() == [[1.0, 0.5, 1.0]] * 2


def test_nothing_is_calibrated_on_a_handful_of_conditions():
    assert fit_error_model(*made_up(10, seed=0)) is None


def test_the_bound_over_clusters_of_a_worked_example():
    # Nine clusters weigh a tenth each, and so does the new one: 90 % is reached at the last ratio.
    cluster_N = np.repeat(np.arange(9), 2)
    ratio_N = np.arange(18) / 10.0

    assert over_clusters(ratio_N, cluster_N) == pytest.approx(1.7)


def test_with_fewer_than_nine_clusters_the_bound_is_that_of_the_worst():
    ratio_N = np.array([1.0] * 20 + [3.0] * 20)

    assert over_clusters(ratio_N, np.repeat(["calm", "wild"], 20)) == 3.0


@pytest.mark.parametrize(("is_clustered", "least", "most"), [(True, 0.9, 0.99), (False, 0.0, 0.88)])
def test_where_clusters_err_together_only_a_bound_over_clusters_covers_a_new_one(
    is_clustered, least, most
):
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scale_C = np.exp(rng.normal(0.0, 0.5, 10))  # the last cluster is the new one
        predicted_NG = rng.normal(size=(10 * 10, 30))
        noise_NG = rng.normal(size=predicted_NG.shape)
        measured_NG = predicted_NG + np.repeat(scale_C, 10)[:, None] * noise_NG
        terms_NK = error_terms(predicted_NG, [predicted_NG])
        known, new = slice(0, 90), slice(90, None)
        model = fit_error_model(
            terms_NK[known],
            predicted_NG[known],
            measured_NG[known],
            np.repeat(np.arange(9), 10) if is_clustered else None,
        )
        assert model is not None
        covered.append(model.coverage(terms_NK[new], predicted_NG[new], measured_NG[new]))

    assert least < np.mean(covered) < most
