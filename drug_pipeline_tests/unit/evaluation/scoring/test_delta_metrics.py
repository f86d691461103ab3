"""Metrics of predicted Δ agree with scipy and scikit-learn, also where little is defined."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import spatial, stats
from sklearn import metrics

from drug_pipeline.evaluation.scoring import delta_metrics

N, G = 7, 40


@pytest.fixture
def pair_NG() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    measured = rng.normal(size=(N, G)).astype(np.float32)
    predicted = (0.5 * measured + rng.normal(size=(N, G))).astype(np.float32)
    predicted[0, :9] = 0.25  # ties
    return predicted, measured


REFERENCES: dict[str, tuple[Callable[..., NDArray[np.float64]], Callable[..., float]]] = {
    "mse": (delta_metrics.mse, lambda p, m: metrics.mean_squared_error(m, p)),
    "mae": (delta_metrics.mae, lambda p, m: metrics.mean_absolute_error(m, p)),
    "r2": (delta_metrics.r2, lambda p, m: metrics.r2_score(m, p)),
    "cosine": (delta_metrics.cosine, lambda p, m: 1 - spatial.distance.cosine(p, m)),
    "pearson": (delta_metrics.pearson, lambda p, m: stats.pearsonr(p, m).statistic),
    "spearman": (delta_metrics.spearman, lambda p, m: stats.spearmanr(p, m).statistic),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_each_metric_agrees_with_its_reference_row_by_row(
    name: str, pair_NG: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    ours, reference = REFERENCES[name]
    predicted, measured = pair_NG

    expected = [reference(predicted[i].astype(float), measured[i].astype(float)) for i in range(N)]

    np.testing.assert_allclose(ours(predicted, measured), expected, rtol=1e-9)


def test_weighted_mse_agrees_with_sample_weights_and_leaves_unknown_genes_out() -> None:
    rng = np.random.default_rng(4)
    predicted, measured = rng.normal(size=(2, 3, 10))
    se = rng.uniform(0.1, 1.0, size=(3, 10))
    se[0, 4] = np.nan
    se[2] = np.nan

    got = delta_metrics.weighted_mse(predicted, measured, se)

    for row in (0, 1):
        known = np.isfinite(se[row])
        weight = 1 / (se[row, known] ** 2 + np.median(se[row, known]) ** 2)
        expected = metrics.mean_squared_error(
            measured[row, known], predicted[row, known], sample_weight=weight
        )
        assert got[row] == pytest.approx(expected)
    assert np.isnan(got[2])


def test_noise_corrected_mse_is_the_error_beyond_the_variance_of_the_measurement() -> None:
    measured, se = np.array([[1.0, -1.0], [0.1, 0.0], [1.0, 1.0]]), np.full((3, 2), 0.5)
    se[2, 1] = np.nan

    got = delta_metrics.noise_corrected_mse(np.zeros((3, 2)), measured, se)

    np.testing.assert_allclose(got, [1.0 - 0.25, 0.005 - 0.25, np.nan])


def test_the_truth_scores_a_noise_corrected_mse_of_0_and_another_prediction_its_distance() -> None:
    rng = np.random.default_rng(5)
    truth, se = rng.normal(size=(1, 400)), rng.uniform(0.1, 1.0, size=(1, 400))
    measured = truth + se * rng.normal(size=(500, 400))

    of_truth = delta_metrics.noise_corrected_mse(np.tile(truth, (500, 1)), measured, se)
    of_zero = delta_metrics.noise_corrected_mse(np.zeros((500, 400)), measured, se)

    assert of_truth.mean() == pytest.approx(0.0, abs=4 * of_truth.std() / np.sqrt(500))
    assert of_zero.mean() == pytest.approx(
        np.square(truth).mean(), abs=4 * of_zero.std() / np.sqrt(500)
    )


@pytest.mark.parametrize("name", ["r2", "cosine", "pearson", "spearman"])
def test_a_measured_row_without_variation_is_nan_and_a_predicted_one_knows_nothing(
    name: str,
) -> None:
    varied = np.array([[1.0, -2.0, 3.0]])
    zero = np.zeros((1, 3))
    ours = REFERENCES[name][0]

    assert np.isnan(ours(varied, zero)).all()
    if name == "r2":
        assert ours(np.full((1, 3), varied.mean()), varied) == pytest.approx(0.0)
    else:
        assert ours(zero, varied) == pytest.approx(0.0)


def test_a_constant_that_is_not_representable_still_counts_as_constant() -> None:
    constant = np.full((1, 1000), 0.1)
    varied = np.random.default_rng(0).normal(size=(1, 1000))

    assert delta_metrics.pearson(constant, varied)[0] == 0.0
    assert np.isnan(delta_metrics.pearson(varied, constant)[0])
    assert np.isnan(delta_metrics.r2(varied, constant)[0])


def test_discrimination_by_hand_with_a_twin_and_a_tie() -> None:
    measured = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.1, 0.0]])
    predicted = np.array([[0.4, 0.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    identity = np.array(["a", "b", "c", "a"])  # rows 0 and 3 are one compound
    group = np.array(["g"] * 4)

    score, compared = delta_metrics.discrimination(
        predicted, measured, group, identity, distance="l1"
    )

    # row 0: own 0.4; rivals b 0.6, c 3.4 (its twin, nearer, is no rival) -> rank 0 of 3
    # row 1: own 0 -> rank 0 of 4; row 2: own 3.5, rivals .5 .5 .4 -> rank 3 of 4
    # row 3: own 0.1; rivals b 1, c 3 -> rank 0 of 3
    np.testing.assert_allclose(score, [1.0, 1.0, 1 - 3 / 4, 1.0])
    np.testing.assert_array_equal(compared, [3, 4, 4, 3])


def test_discrimination_heeds_signs_shares_ties_and_needs_a_rival() -> None:
    measured = np.array([[3.0, 0.0], [-3.0, 0.0], [1.0, 1.0]])
    group = np.array(["g", "g", "alone"])
    identity = np.array(["a", "b", "c"])

    wrong_sign, _ = delta_metrics.discrimination(-measured, measured, group, identity)
    silent, _ = delta_metrics.discrimination(0 * measured, measured, group, identity)

    np.testing.assert_allclose(wrong_sign[:2], 0.5)  # rank 1 of 2
    np.testing.assert_allclose(silent[:2], 0.75)  # tied with one rival
    assert np.isnan(silent[2])


@pytest.mark.parametrize("distance", ["l1", "l2", "cosine"])
def test_discrimination_agrees_with_a_plain_loop(distance: delta_metrics.Distance) -> None:
    rng = np.random.default_rng(1)
    predicted, measured = rng.normal(size=(2, 30, 12))
    group = rng.integers(0, 3, size=30).astype(str)
    identity = np.arange(30)
    kind = {"l1": "cityblock", "l2": "euclidean", "cosine": "cosine"}[distance]

    score, _ = delta_metrics.discrimination(predicted, measured, group, identity, distance=distance)

    for i in range(30):
        rivals = np.flatnonzero(group == group[i])
        d = spatial.distance.cdist(predicted[i : i + 1], measured[rivals], kind)[0]
        expected = 1 - (d < d[rivals == i]).sum() / len(rivals)
        assert score[i] == pytest.approx(expected)


def test_ranks_equal_scipy_with_and_without_ties() -> None:
    values = np.random.default_rng(0).integers(0, 50, size=(20, 12)).astype(np.float32)

    np.testing.assert_array_equal(delta_metrics.ranks(values), stats.rankdata(values, axis=1))
