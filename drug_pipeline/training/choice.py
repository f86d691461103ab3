"""Which predictor of a split ships, decided on its validation conditions.

Three candidates, all shown: the best linear model, the network on its base, the blend. None may be
worse on validation than the best linear model; among those that are not, the one ships that fits
OTHER wells of the same pairs best (``wells.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.training.gate import blend_weights, mix, mse
from drug_pipeline.training.shipped import BLEND, CROSS_WELL, NETWORK
from drug_pipeline.training.split_data import Part
from drug_pipeline.training.wells import (
    MIN_WELL_PAIRS,
    cross_well_cosine,
    cross_well_weights,
    guarded,
    other_wells,
)

Predicted = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The name that ships, and the weights of each mixture (blend, cross-well)."""

    shipped: str
    mixtures: dict[str, dict[str, float]]


def choose(validation: Predicted, part: Part, best_linear: str) -> Choice:
    """What ships, and the mixtures to show.

    Without validation conditions the blend is the preferred linear model, and that ships.
    """
    if not len(part):
        return Choice(shipped=best_linear, mixtures={BLEND: {best_linear: 1.0}})
    measured_NG = part.delta_NG
    safe = blend_weights(validation, measured_NG, best_linear)
    mixtures = {BLEND: safe}
    wells = other_wells(part.asked.drug_N, part.asked.line_N)
    has_wells = len(wells[0]) >= MIN_WELL_PAIRS
    wanted = cross_well_weights(validation, measured_NG, wells) if has_wells else {}
    if wanted:
        mixtures[BLEND] = guarded(
            validation, measured_NG, safe=safe, wanted=wanted, best=best_linear
        )
        mixtures[CROSS_WELL] = wanted
    candidates = {
        best_linear: validation[best_linear],
        NETWORK: validation[NETWORK],
        BLEND: mix(validation, mixtures[BLEND]),
    }
    limit = mse(candidates[best_linear], measured_NG)
    allowed = {
        name: predicted_NG
        for name, predicted_NG in candidates.items()
        if mse(predicted_NG, measured_NG) <= limit
    }
    shipped = across_wells(allowed, part) or lowest_error(allowed, part) or best_linear
    return Choice(shipped=shipped, mixtures=mixtures)


def lowest_error(predicted: Predicted, part: Part) -> str | None:
    """The predictor of lowest validation MSE; the first among equals; None without validation."""
    if not len(part):
        return None
    return min(predicted, key=lambda name: mse(predicted[name], part.delta_NG))


def across_wells(predicted: Predicted, part: Part) -> str | None:
    """The predictor that fits other wells of the same pairs best; None where there are too few."""
    wells = other_wells(part.asked.drug_N, part.asked.line_N)
    if len(wells[0]) < MIN_WELL_PAIRS:
        return None
    return max(predicted, key=lambda name: cross_well_cosine(predicted[name], part.delta_NG, wells))
