"""Model selection: which predictor of a split ships, decided on its validation conditions.

The best linear model is the one that fits other wells of the same pairs best (``selection/cross_well.py``) among
those whose validation error cannot be told from the lowest. Three candidates, all shown: this
model, the network on its base, the blend. The best linear model ships unless another one has the lower validation error beyond Student's interval
(``selection/clustered_tests.py``), the blend's weights being fitted on other compounds than they are judged on; among
those that are allowed, the one ships that fits other wells best.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import mse
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.training.selection.blending import blend_weights, mix
from drug_pipeline.training.selection.clustered_tests import (
    clusterings,
    cross_fitted,
    is_lower,
    is_within_one_error,
)
from drug_pipeline.training.selection.cross_well import (
    MIN_WELL_PAIRS,
    cross_well_cosine,
    cross_well_weights,
    guarded,
    other_wells,
)
from drug_pipeline.training.split_data import Part

Predicted = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The name that ships, and the weights of each mixture (blend, cross-well)."""

    shipped: str
    mixtures: dict[str, dict[str, float]]


def choose(validation: Predicted, part: Part, best_linear: str, kind: str) -> Choice:
    """What ships for a kind of split, and the mixtures to show.

    Without validation conditions the blend is the preferred linear model, and that ships.

    Notes
    -----
    Stacking judged on other clusters than it was fitted on: :func:`clustered_tests.cross_fitted`;
    the test: :func:`clustered_tests.upper_bound`. The rule of what ships is ours.
    """
    if not len(part):
        return Choice(shipped=best_linear, mixtures={names.BLEND: {best_linear: 1.0}})
    rows_N = np.arange(len(part))
    mixtures = fit_mixtures(validation, part, best_linear, rows_N)
    grouped = clusterings(part.asked, part.parent_N, kind)

    def blended(fit: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float32]:
        weights = fit_mixtures(validation, part, best_linear, fit)[names.BLEND]
        return mix({name: member[held] for name, member in validation.items()}, weights)

    candidates = {
        names.NETWORK: validation[names.NETWORK],
        names.BLEND: cross_fitted(validation, grouped[0], blended),
    }
    best_NG = validation[best_linear]
    allowed = {best_linear: best_NG} | {
        name: predicted_NG
        for name, predicted_NG in candidates.items()
        if is_lower(predicted_NG, best_NG, part.delta_NG, grouped)
    }
    shipped = _across_shared_wells(allowed, part, kind) or lowest_error(allowed, part)
    shipped = shipped or best_linear
    return Choice(shipped=shipped, mixtures=mixtures)


def preferred_linear(validation: Predicted, part: Part, kind: str) -> str | None:
    """The best linear model: one-standard-error rule, then the fit to other wells.

    Squared errors count in shares of the size of the condition's Δ, so that a few strong conditions
    do not decide for all. Lowest is what validation cannot tell from the lowest: at most one
    standard error (of the paired differences by parent compound) above it. For drugs never
    measured it is the lowest itself: their wells are not in training, so that no model can have
    learned them. None without validation conditions.

    Notes
    -----
    The one standard error rule of Breiman, Friedman, Olshen & Stone (1984), "Classification and
    Regression Trees"; among those it leaves, the choice by other wells is ours.
    """
    if not len(part):
        return None
    size_N = np.square(part.delta_NG, dtype=np.float64).mean(axis=1)
    scale_N = np.maximum(size_N + np.median(size_N), 1e-12)
    shares = {name: mse(one_NG, part.delta_NG) / scale_N for name, one_NG in validation.items()}
    lowest = min(shares, key=lambda name: float(shares[name].mean()))
    if kind_of(kind).is_drug_new:
        return lowest
    cluster_N = clusterings(part.asked, part.parent_N, kind)[-1]
    near = {
        name: validation[name]
        for name, share_N in shares.items()
        if name == lowest or is_within_one_error(share_N, shares[lowest], cluster_N)
    }
    return across_wells(near, part) or lowest


def fit_mixtures(
    validation: Predicted, part: Part, best_linear: str, rows_N: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Stacking weights of the blend (and of the cross-well mixture behind it) on some rows."""
    predicted = {name: member[rows_N] for name, member in validation.items()}
    measured_NG = part.delta_NG[rows_N]
    safe = blend_weights(predicted, measured_NG, best_linear)
    mixtures = {names.BLEND: safe}
    wells = other_wells(part.asked.drug_N[rows_N], part.asked.line_N[rows_N])
    has_wells = len(wells[0]) >= MIN_WELL_PAIRS
    wanted = cross_well_weights(predicted, measured_NG, wells) if has_wells else {}
    if wanted:
        mixtures[names.BLEND] = guarded(
            predicted, measured_NG, safe=safe, wanted=wanted, best=best_linear
        )
        mixtures[names.CROSS_WELL] = wanted
    return mixtures


def lowest_error(predicted: Predicted, part: Part) -> str | None:
    """The predictor of lowest validation MSE; the first among equals; None without validation."""
    if not len(part):
        return None
    return min(predicted, key=lambda name: float(mse(predicted[name], part.delta_NG, axis=None)))


def _across_shared_wells(predicted: Predicted, part: Part, kind: str) -> str | None:
    """As :func:`across_wells`; None where training has no condition of the wells that are asked."""
    return None if kind_of(kind).is_drug_new else across_wells(predicted, part)


def across_wells(predicted: Predicted, part: Part) -> str | None:
    """The predictor of highest cross-well cosine; None where there are too few pairs of wells."""
    wells = other_wells(part.asked.drug_N, part.asked.line_N)
    if len(wells[0]) < MIN_WELL_PAIRS:
        return None
    return max(predicted, key=lambda name: cross_well_cosine(predicted[name], part.delta_NG, wells))
