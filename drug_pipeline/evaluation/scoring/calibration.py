"""Calibration of expected errors, and whether a metric can tell predictors apart.

Shapes: N = conditions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.evaluation.scoring import delta_metrics
from drug_pipeline.evaluation.scoring.bootstrap import (
    BootstrapConfig,
    ClusterBootstrap,
    percentiles,
)
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME

N_BINS: Final = 10
"""Bins of equal numbers of conditions; fewer where they would hold under 10."""
SATURATED: Final = 0.9
"""Share of the way from mean to top at which the simple baseline leaves a metric no room."""
TELLS, BLIND, SATURATED_VERDICT = "tells", "blind", "saturated"


def reliability(
    expected_N: NDArray[np.float32] | None, actual_N: NDArray[np.float64]
) -> pd.DataFrame:
    """Reliability diagram: expected against actual RMS error, in bins of rising expectation.

    Columns ``expected, actual, actual_low, actual_high, n`` (root mean squares; the interval is the
    middle 50 % of the conditions in the bin). Empty where nothing was expected.

    Notes
    -----
    The reliability diagram of regression: Levi et al., Sensors 22 (2022) 5540.
    """
    columns = ["expected", "actual", "actual_low", "actual_high", "n"]
    if expected_N is None or len(expected_N) == 0:
        return pd.DataFrame(columns=columns)
    bins = []
    for places in _bins(expected_N):
        low, high = np.quantile(actual_N[places], [0.25, 0.75])
        bins.append(
            {
                "expected": _rms(expected_N[places]),
                "actual": _rms(actual_N[places]),
                "actual_low": low,
                "actual_high": high,
                "n": len(places),
            }
        )
    return pd.DataFrame(bins, columns=columns)


def _bins(expected_N: NDArray[np.floating]) -> list[NDArray[np.int64]]:
    """Places of the conditions of each bin of rising expectation."""
    n_bins = int(np.clip(len(expected_N) // 10, 1, N_BINS))
    return np.array_split(np.argsort(expected_N, kind="stable"), n_bins)


def _off(
    expected_B: NDArray[np.float64], actual_B: NDArray[np.float64], n_B: NDArray[np.int64]
) -> float:
    """Mean over conditions of the distance of expected from actual, as a share of actual.

    Bins without any error have no such share and are left out; NaN where there are no others.

    Notes
    -----
    ENCE of Levi et al., Sensors 22 (2022) 5540, relative to the actual error.
    """
    has_error_B = actual_B > 0
    if not has_error_B.any():
        return float("nan")
    share_B = np.abs(expected_B - actual_B)[has_error_B] / actual_B[has_error_B]
    return float(np.average(share_B, weights=n_B[has_error_B]))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One figure with its 95 % interval over clusters; NaN where there is none."""

    value: float
    low: float
    high: float


def agreement(
    expected_N: NDArray[np.floating],
    actual_N: NDArray[np.float64],
    cluster_N: NDArray[Any],
    *,
    coverage: float | None = None,
    n_resamples: int = 200,
) -> dict[str, Estimate]:
    """Calibration error, rank correlation and coverage of expected errors, by cluster bootstrap.

    ``off`` is the mean distance of expected from actual over the bins of :func:`reliability`, as a
    share of actual; bins without any error have no such share. ``order`` is Spearman's
    correlation and, where it is known, ``covered`` the share of errors under their bound.

    Parameters
    ----------
    coverage
        Share of errors under a bound that is one factor times the expected error: those are the
        conditions of the smallest ratio of actual to expected.

    Notes
    -----
    ``off`` is the expected normalised calibration error (ENCE) of Levi et al., Sensors 22 (2022)
    5540, relative to the actual error in place of the expected one.
    """
    bootstrap = ClusterBootstrap(cluster_N, BootstrapConfig(n_resamples=n_resamples))
    drawn = []
    for weight_P in bootstrap.weight_BP.astype(np.int64):
        rows = np.repeat(np.arange(len(expected_N)), weight_P[bootstrap.code_N])
        drawn.append(_agree(expected_N[rows], actual_N[rows]))
    value_2 = _agree(expected_N, actual_N)
    low_2, high_2 = percentiles(np.array(drawn).reshape(len(drawn), 2))
    estimates = {
        name: Estimate(value=value_2[column], low=float(low_2[column]), high=float(high_2[column]))
        for column, name in enumerate(("off", "order"))
    }
    if coverage is not None and np.isfinite(coverage):
        order_N = np.argsort(actual_N / np.maximum(expected_N, 1e-12), kind="stable")
        covered_N = np.zeros(len(actual_N))
        covered_N[order_N[: round(coverage * len(actual_N))]] = 1.0
        found = bootstrap.means(covered_N[:, None])
        estimates["covered"] = Estimate(
            value=float(found.value_M[0]), low=float(found.low_M[0]), high=float(found.high_M[0])
        )
    return estimates


def _agree(expected_N: NDArray[np.floating], actual_N: NDArray[np.float64]) -> tuple[float, float]:
    single_N = expected_N.astype(np.float32)
    bins = _bins(single_N)
    off = _off(
        np.array([_rms(single_N[places]) for places in bins]),
        np.array([_rms(actual_N[places]) for places in bins]),
        np.array([len(places) for places in bins]),
    )
    return off, float(delta_metrics.spearman(expected_N[None, :], actual_N[None, :])[0])


def dynamic_range(
    metrics: pd.DataFrame, *, mean: str, simple: str, shipped: str, tops: Sequence[str]
) -> pd.DataFrame:
    """Dynamic range of each metric, from the mean predictor to the most that can be reached.

    Columns ``metric, k, mean, simple, shipped, top, top_name, verdict``. The verdict says whether
    the metric can tell predictors apart here: ``tells``, ``saturated`` (the simple baseline has
    gone :data:`SATURATED` of the way already), or ``blind`` (top and mean have overlapping
    intervals).

    Parameters
    ----------
    metrics
        Rows of one split, task and stratum (``tables.COLUMNS``).
    mean, simple, shipped
        Predictors: the mean predictor, the best simple baseline, the one that is shipped.
    tops
        Ceilings, the strictest first; the first with a figure counts. A metric that none of them
        knows takes the best figure of any predictor or replicate: at least that can be reached.

    Notes
    -----
    After the dynamic range fraction of Miller et al., bioRxiv 2025.10.20.683304 ("Deep
    learning-based genetic perturbation models do outperform uninformative baselines on
    well-calibrated metrics"), between a mean predictor and a technical duplicate.
    """
    rows = []
    for (metric, k), group in metrics.groupby(["metric", "k"], sort=False):
        by_name = group.set_index("predictor")
        if mean not in by_name.index:
            continue
        top = next((name for name in tops if name in by_name.index), "")
        if not top:
            signed = BY_NAME[str(metric)].sign * by_name["value"]
            top = str(signed.idxmax())
        floor = by_name.loc[mean]
        rows.append(
            {
                "metric": metric,
                "k": k,
                "mean": floor["value"],
                "simple": _value(by_name, simple),
                "shipped": _value(by_name, shipped),
                "top": _value(by_name, top),
                "top_name": top,
                "verdict": _verdict(by_name, str(metric), mean, simple, top),
            }
        )
    columns = ["metric", "k", "mean", "simple", "shipped", "top", "top_name", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _verdict(by_name: pd.DataFrame, metric: str, mean: str, simple: str, top: str) -> str:
    sign = BY_NAME[metric].sign
    floor, best = by_name.loc[mean], by_name.loc[top]
    edge_of_floor = floor["ci_high"] if sign > 0 else floor["ci_low"]
    edge_of_top = best["ci_low"] if sign > 0 else best["ci_high"]
    if not sign * (edge_of_top - edge_of_floor) > 0:
        return BLIND
    way = (_value(by_name, simple) - floor["value"]) / (best["value"] - floor["value"])
    return SATURATED_VERDICT if way >= SATURATED else TELLS


def _value(by_name: pd.DataFrame, name: str) -> float:
    return float(by_name["value"].loc[name]) if name in by_name.index else float("nan")


def _rms(values_N: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values_N, dtype=np.float64))))
