"""Whether expected errors are the errors found, and whether a metric can tell predictors apart.

Shapes: N = conditions.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

N_BINS: Final = 10
"""Bins of equal numbers of conditions; fewer where they would hold under 10."""
MIN_RANGE: Final = 0.05
"""A metric whose ceiling stands less than this share of its scale above the mean predictor, or whose
interval of that difference reaches 0, cannot tell predictors apart."""


def reliability(
    expected_N: NDArray[np.float32] | None, actual_N: NDArray[np.float64]
) -> pd.DataFrame:
    """Expected against actual RMS error, in bins of rising expectation.

    Columns ``expected, actual, actual_low, actual_high, n`` (root mean squares; the interval is the
    middle 50 % of the conditions in the bin). Empty where nothing was expected.
    """
    columns = ["expected", "actual", "actual_low", "actual_high", "n"]
    if expected_N is None or len(expected_N) == 0:
        return pd.DataFrame(columns=columns)
    n_bins = int(np.clip(len(expected_N) // 10, 1, N_BINS))
    order_N = np.argsort(expected_N, kind="stable")
    bins = []
    for places in np.array_split(order_N, n_bins):
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


def calibration_error(bins: pd.DataFrame) -> float:
    """Mean over conditions of the distance of expected from actual, as a share of actual."""
    if bins.empty:
        return float("nan")
    relative = (bins["expected"] - bins["actual"]).abs() / bins["actual"]
    return float(np.average(relative, weights=bins["n"]))


def dynamic_range(metrics: pd.DataFrame, *, floor: str, top: str) -> pd.DataFrame:
    """How far a metric stretches between knowing the mean and the most there is to know.

    One row a metric with ``floor``, ``top``, ``range`` (signed so that larger is better), and
    ``is_telling``: whether the two intervals lie apart and the range is over :data:`MIN_RANGE` of the
    larger of both.

    Parameters
    ----------
    metrics
        Rows of one split, task and stratum (``tables.COLUMNS``).
    floor, top
        Predictors: a mean, and a ceiling or replicate.
    """
    from drug_pipeline.evaluation.metrics import BY_NAME

    by_predictor = {
        name: group.set_index(["metric", "k"]) for name, group in metrics.groupby("predictor")
    }
    if floor not in by_predictor or top not in by_predictor:
        return pd.DataFrame(columns=["metric", "k", "floor", "top", "range", "is_telling"])
    joined = by_predictor[floor].join(
        by_predictor[top], lsuffix="_floor", rsuffix="_top", how="inner"
    )
    sign = np.array([BY_NAME[str(metric)].sign for metric, _ in joined.index])
    spread = sign * (joined["value_top"] - joined["value_floor"])
    larger = joined[["value_floor", "value_top"]].abs().max(axis=1)
    is_apart = np.where(
        sign > 0,
        joined["ci_low_top"] > joined["ci_high_floor"],
        joined["ci_high_top"] < joined["ci_low_floor"],
    )
    return pd.DataFrame(
        {
            "floor": joined["value_floor"],
            "top": joined["value_top"],
            "range": spread,
            "is_telling": is_apart & (spread > MIN_RANGE * larger),
        }
    ).reset_index()


def _rms(values_N: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(values_N, dtype=np.float64))))
