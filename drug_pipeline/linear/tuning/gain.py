"""Gain of a gene in a line, from its control expression: how far it can move in log1p_cp10k.

Δ is a difference of log1p: a gene hardly expressed in a line hardly moves there, whatever the
drug does to it. On simulated counts with known truth, log spread of Δ against log control
expression has slope 1.07 below 0.7, 0.8 at 1.6 and 0.5 at 3.6; ``1 - exp(-x / 3.3)`` follows it.
Dividing by this gain before lines are compared, and multiplying by the asked line's gain after,
needs no treated cell of the asked line.

Shapes: N = conditions, A = lines asked, L = training lines, G = genes.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.linear.base import Conditions, Features, Floats, Texts, TrainingRecord

SATURATION: Final = 3.3
"""Control expression (natural log1p_cp10k) at which a gene moves almost freely."""
FLOOR: Final = 0.05
"""Added to control expression: below it the controls themselves are counting noise."""
POWER: Final = 0.7
"""Share of the gain (in log) divided out. At 1 lines with few counts of a gene would be blown up
as much as their signal; noise grows with the square root, so the best is between 0.5 and 1."""
LIMIT: Final = 4.0
"""Largest factor either way."""


def log_gain(features: Features, line_A: Texts, n_genes: int) -> Floats:
    """Natural log of the gain of every gene in some lines (A, G).

    Raises
    ------
    AlignmentError
        If the control profiles have other genes than Δ, or a line has none.

    Notes
    -----
    The saturating form and its constants are ours, fitted to simulated counts: see the module.
    """
    if features.control_LG.shape[1] != n_genes:
        msg = (
            f"control profiles have {features.control_LG.shape[1]} genes, Δ has {n_genes}. "
            "Build both on the same gene panel."
        )
        raise AlignmentError(msg)
    control_AG = features.control_rows(line_A).astype(np.float64)
    return np.asarray(POWER * np.log(-np.expm1(-(control_AG + FLOOR) / SATURATION)))


def gain_center(train: TrainingRecord) -> Floats:
    """Mean log gain of each gene over the training lines (G)."""
    line_A = np.unique(train.conditions.line_N)
    return np.asarray(log_gain(train.features, line_A, train.delta_NG.shape[1]).mean(axis=0))


def relative_gain(
    features: Features, asked: Conditions, center_G: NDArray[Any]
) -> NDArray[np.float32]:
    """Gain of each condition's line against the mean training line, within [1/4, 4] (N, G)."""
    line_A, row_N = np.unique(asked.line_N, return_inverse=True)
    log_AG = log_gain(features, line_A, len(center_G)) - center_G
    limit = float(np.log(LIMIT))
    gain_AG = np.exp(log_AG.clip(-limit, limit))
    return np.asarray(gain_AG, dtype=np.float32)[row_N]
