"""The figures of a data set with a known truth, and which goals they meet."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from truth_scores import BEST_LINEAR, MEASURED, REPLICATE, SHIPPED
from truth_summary import Figure, difference, gap_closed, means

ACTIVE_RMS = 0.0
"""Root mean square of the true Δ over the panel, natural log, above which a condition is active:
every condition that does anything. About 20 % of either data set are exact nulls."""
STRONG_RMS = 0.1
"""The same for strong conditions, about the upper third."""
REFERENCES = ("drug_mean", "additive_svd", "line_ridge", "product_kernel_ridge", "network", "blend")
"""Predictors that what ships is compared with, beside the best linear model of each draw."""
RANKERS = ("raw_cosine", "centred_cosine", "lda_cosine", "lda_nearest", "tower")
RANKERS = (*RANKERS, "sda_cosine", "forward_gallery", "whitened_gallery", "combined")


def summary(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of every split, all draws together and each draw by itself where it matters."""
    return {name: _split(name, rows, found) for name, rows in found.items()}


def _split(
    name: str, rows: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    forward = rows["forward"]
    active = forward[forward["true_rms"] > ACTIVE_RMS]
    predictors = list(dict.fromkeys(forward["predictor"]))
    result: dict[str, Any] = {
        "fits": rows["about"],
        "active": {
            figure: means(active, figure, predictors) for figure in ("own", "train", "own_measured")
        },
        "strong": {
            "own": means(forward[forward["true_rms"] > STRONG_RMS], "own", predictors),
        },
        "all": {figure: means(forward, figure, predictors) for figure in ("mse", "mse_truth")},
        "shipped_minus_best_linear": {
            figure: difference(part, figure, SHIPPED, BEST_LINEAR)
            for figure, part in (
                *(("own", active), ("train", active)),
                *(("mse", forward), ("mse_truth", forward)),
            )
        },
        "own_minus": {
            reference: difference(active, "own", SHIPPED, reference)
            for reference in REFERENCES
            if reference in predictors
        },
        "by_draw": {
            str(draw): {
                "own": means(part, "own", [SHIPPED, BEST_LINEAR]),
                "mse": difference(forward[forward["draw"] == draw], "mse", SHIPPED, BEST_LINEAR),
            }
            for draw, part in active.groupby("draw")
        },
        "ranks": _ranks(rows["ranks"]),
    }
    if name == "plate_replicate":
        result["gap_closed"] = _gaps(active)
    if name == "drug" and "drug_shuffled" in found:
        shuffled = found["drug_shuffled"]["forward"]
        result["shuffle_cost"] = _cost(active, shuffled[shuffled["true_rms"] > ACTIVE_RMS])
    return result


def _gaps(active: pd.DataFrame) -> dict[str, Figure]:
    """Share of the gap between additive and each ceiling that what ships closes.

    Against the truth the ceiling is 1. Against the measurement it is what the truth itself scores
    there, or what the measured replicate does.
    """
    of_truth = active[active["predictor"] == MEASURED].assign(predictor="truth")
    of_truth = of_truth.assign(own_measured=of_truth["own"])  # a correlation has no direction
    rows = pd.concat([active, of_truth])
    measured = {"name": SHIPPED, "low": "additive"}
    return {
        "against_truth": gap_closed(active, "own", **measured, high=None),
        "against_measurement_of_truth": gap_closed(rows, "own_measured", **measured, high="truth"),
        "against_measurement_of_replicate": gap_closed(
            rows, "own_measured", **measured, high=REPLICATE
        ),
    }


def _cost(intact: pd.DataFrame, shuffled: pd.DataFrame) -> dict[str, Figure]:
    """What dealing out the structures anew costs, paired by condition."""
    both = pd.concat(
        [
            intact[intact["predictor"] == SHIPPED].assign(predictor="intact"),
            shuffled[shuffled["predictor"] == SHIPPED].assign(predictor="shuffled"),
        ]
    )
    return {
        "shuffled": means(both, "own", ["shuffled"])["shuffled"],
        "cost": difference(both, "own", "intact", "shuffled"),
    }


def _ranks(ranks: pd.DataFrame) -> dict[str, Any]:
    active = ranks[ranks["true_rms"] > ACTIVE_RMS]
    result: dict[str, Any] = {}
    for gallery, part in active.groupby("gallery"):
        result[str(gallery)] = {
            "n_gallery": float(part["n_gallery"].median()),
            "mrr": means(part, "mrr", RANKERS),
            "normalised_rank": means(part, "normalised_rank", RANKERS),
        }
        for reference in ("lda_cosine", "lda_nearest"):
            result[str(gallery)][f"combined_minus_{reference}"] = difference(
                part, "mrr", "combined", reference
            )
    return result
