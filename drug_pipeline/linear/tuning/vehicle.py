"""Batch effect of the shared control: the error that all drugs of a line and plate have in common.

Δ is a difference to the vehicle of the same line and plate, so the vehicle's own error stands in
every Δ of that line and plate with the same sign. A model that fits it predicts other drugs of
the same plate better, and the truth worse. Here it is estimated (as what is left of the mean of a
line and plate after dose, line and drug are accounted for) and taken off before a model learns.

Shapes: N = conditions, K = gene axes.
"""

from typing import Final

import numpy as np

from drug_pipeline.linear.base import Floats, MeasuredConditions
from drug_pipeline.linear.means import (
    ADDITIVE_LEVELS,
    N_PASSES,
    fit_effects,
    part_of_levels,
    predict_effects,
)

SHARED_ERROR: Final = "line_plate"
"""The level whose effect is error."""


def without_vehicle_error(scored: MeasuredConditions) -> Floats:
    """Δ (or its scores on gene axes) without the batch effect of each line's control on a plate.

    Plates of one dose tell the error from the response of the line at that dose; with one plate a
    dose the error cannot be told apart and, being fitted last, is left where it is.

    Notes
    -----
    A shrunk batch mean taken off, as the location part of Johnson, Li & Rabinovic (2007),
    "Adjusting batch effects in microarray expression data using empirical Bayes methods"; fitted as
    crossed random effects, see :func:`means.fit_effects`. That the batch is a line's vehicle on a
    plate is ours.
    """
    levels = (*ADDITIVE_LEVELS, SHARED_ERROR)
    state = fit_effects(scored, levels=levels, n_passes=N_PASSES)
    error = part_of_levels(state, [SHARED_ERROR]) | {"mean_G": np.zeros(scored.delta_NG.shape[1])}
    error_NK = predict_effects(scored.conditions, error, levels=[SHARED_ERROR])
    return np.asarray(scored.delta_NG - error_NK)
