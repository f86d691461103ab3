"""Expected errors against actual ones, and what a metric can tell."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from drug_pipeline.evaluation.scoring.calibration import (
    BLIND,
    SATURATED_VERDICT,
    TELLS,
    agreement,
    dynamic_range,
    reliability,
)


def off(expected_N: np.ndarray, actual_N: np.ndarray) -> float:
    cluster_N = np.arange(len(actual_N))
    return agreement(expected_N, actual_N, cluster_N, n_resamples=100)["off"].value


def test_errors_that_are_what_was_expected_lie_on_the_diagonal() -> None:
    expected = np.linspace(0.1, 1.0, 200).astype(np.float32)

    bins = reliability(expected, expected.astype(float))

    assert len(bins) == 10
    assert bins["n"].sum() == 200
    np.testing.assert_allclose(bins["expected"], bins["actual"])
    assert off(expected, expected) == pytest.approx(0.0, abs=1e-6)


def test_errors_twice_as_large_as_expected_are_half_off() -> None:
    expected = np.linspace(0.1, 1.0, 50).astype(np.float32)

    assert off(expected, 2.0 * expected) == pytest.approx(0.5)


def test_agreement_comes_with_intervals_over_compounds_and_counts_what_the_bound_holds() -> None:
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.1, 1.0, 120)
    cluster = np.repeat(np.arange(12), 10)
    actual = expected * np.where(cluster < 3, 2.0, 1.0)  # three compounds are twice as far off

    told = agreement(expected, actual, cluster, coverage=0.75)

    bins = reliability(expected, actual)
    share = np.abs(bins["expected"] - bins["actual"]) / bins["actual"]
    assert told["off"].value == pytest.approx(np.average(share, weights=bins["n"]))
    assert told["order"].value == pytest.approx(spearmanr(expected, actual).statistic)
    assert told["covered"].value == pytest.approx(0.75)  # those that are not twice as far off
    for one in told.values():
        assert one.low < one.value < one.high
    assert told["covered"].low < 0.6  # whole compounds are drawn: three of twelve decide
    assert "covered" not in agreement(expected, actual, cluster)
    alone = agreement(expected, actual, np.zeros(120))
    assert np.isnan([alone["off"].low, alone["order"].high]).all()  # one compound: no interval


def test_no_expectation_gives_no_bins() -> None:
    assert reliability(None, np.ones(3)).empty


def _rows(metric: str, figures: dict[str, tuple[float, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"metric": metric, "k": 0, "predictor": p, "value": v, "ci_low": lo, "ci_high": hi}
            for p, (v, lo, hi) in figures.items()
        ]
    )


@pytest.mark.parametrize(
    ("metric", "figures", "expected"),
    [
        (
            "pearson",
            {"line_mean": (0.1, 0.0, 0.2), "additive": (0.4, 0.3, 0.5), "top": (0.8, 0.7, 0.9)},
            TELLS,
        ),
        (
            "pearson",
            {"line_mean": (0.1, 0.0, 0.2), "additive": (0.78, 0.7, 0.8), "top": (0.8, 0.7, 0.9)},
            SATURATED_VERDICT,
        ),
        (
            "pearson",
            {"line_mean": (0.1, 0.0, 0.3), "additive": (0.1, 0.0, 0.3), "top": (0.2, 0.1, 0.4)},
            BLIND,
        ),
        (
            "mse",
            {"line_mean": (0.9, 0.8, 1.0), "additive": (0.7, 0.6, 0.8), "top": (0.1, 0.0, 0.2)},
            TELLS,
        ),
    ],
    ids=["tells", "saturated", "blind", "errors-run-the-other-way"],
)
def test_a_metric_tells_is_saturated_or_is_blind(
    metric: str, figures: dict[str, tuple[float, float, float]], expected: str
) -> None:
    found = dynamic_range(
        _rows(metric, figures), mean="line_mean", simple="additive", shipped="top", tops=["top"]
    )

    assert found["verdict"].tolist() == [expected]


def test_without_a_ceiling_the_best_that_anything_scored_is_the_top() -> None:
    figures = {"line_mean": (0.9, 0.8, 1.0), "model": (0.3, 0.2, 0.4), "replicate": (0.5, 0.4, 0.6)}

    found = dynamic_range(
        _rows("mae", figures), mean="line_mean", simple="line_mean", shipped="model", tops=["top"]
    )

    assert found["top_name"].tolist() == ["model"]
    assert found["verdict"].tolist() == [TELLS]


def test_a_bin_without_any_error_says_nothing_of_how_far_expectations_are_off():
    expected, actual = np.repeat([0.0, 0.3], 10), np.repeat([0.0, 0.2], 10)

    assert off(expected, actual) == pytest.approx(0.5)
    assert np.isnan(off(expected[:10], actual[:10]))
