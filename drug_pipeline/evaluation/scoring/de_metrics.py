"""Metrics over the genes that change: the k most changed, or those called differentially expressed.

What belongs here: which genes a Δ changes, and how alike two such sets are. What does not: metrics
over all genes (``delta_metrics``). To add a metric, add its function and its row here.

A gene is called differentially expressed (DE) by a z test of Δ against the standard error of the
measurement, at a false discovery rate of 5 % over the genes of a condition. A prediction has no
error of its own and is put to the same test: would its Δ have been called, had it been measured in
these cells? Called genes are 1, others 0, and NaN throughout where no gene has a standard error.

Shapes: N = conditions, G = genes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import Array, FloatRows
from drug_pipeline.evaluation.scoring.metric import Metric

FDR: Final = 0.05
"""False discovery rate at which a gene is called, as of cell-eval and cell-eval2."""
MIN_CALLED: Final = 10
"""Fewest called genes for a ratio over them, as of cell-eval2: over less it is noise."""


def overlap_at(predicted_NG: Array, measured_NG: Array, k: int) -> FloatRows:
    """Share of the k genes measured to change most (largest absolute Δ) that are predicted to, 0 to 1.

    Genes tied at the edge of the top k share the places left, so a constant prediction scores what
    chance does, k / G. With k ≥ G every gene is in both and the share is 1.

    Notes
    -----
    "DE overlap at N" of the Virtual Cell Challenge (Roohani et al., Cell 188 (2025) 3370) and of
    State (Adduri et al., bioRxiv 2025.06.26.661135), with the magnitude of Δ as the order.
    """
    chosen_NG = _top_share(np.abs(predicted_NG), k)
    wanted_NG = _top_share(np.abs(measured_NG), k)
    share_N = (chosen_NG * wanted_NG).sum(axis=1) / wanted_NG.sum(axis=1)
    return np.where(_varies(measured_NG), share_N, np.nan)


def direction_at(predicted_NG: Array, measured_NG: Array, k: int) -> FloatRows:
    """Share of the k genes measured to change most whose predicted sign is right, 0 to 1.

    A predicted 0 counts one half: it says nothing, and chance is one half.

    Notes
    -----
    "DE direction match" of State (Adduri et al., bioRxiv 2025.06.26.661135), over the k most
    changed genes.
    """
    wanted_NG = _top_share(np.abs(measured_NG), k)
    agreement_NG = 0.5 + 0.5 * np.sign(predicted_NG) * np.sign(measured_NG)
    share_N = (agreement_NG * wanted_NG).sum(axis=1) / wanted_NG.sum(axis=1)
    return np.where(_varies(measured_NG), share_N, np.nan)


def called_de(delta_NG: Array, se_NG: Array) -> FloatRows:
    """Which genes are called differentially expressed (N, G): 1 or 0; NaN rows without any SE.

    A gene without a SE, or never seen to vary (SE 0), cannot be tested and is not called.

    Notes
    -----
    Two-sided z test; Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289, as
    ``scipy.stats.false_discovery_control``.
    """
    from scipy.special import erfc
    from scipy.stats import false_discovery_control

    se_NG = np.asarray(se_NG, dtype=np.float64)
    is_tested_NG = np.isfinite(se_NG) & (se_NG > 0)
    z_NG = np.abs(delta_NG) / np.where(is_tested_NG, se_NG, 1.0)
    p_NG = np.where(is_tested_NG, erfc(z_NG / np.sqrt(2.0)), 1.0)
    called_NG = np.asarray(false_discovery_control(p_NG, axis=1) < FDR, dtype=np.float64)
    called_NG[~np.isfinite(se_NG).any(axis=1)] = np.nan
    return called_NG


def de_jaccard(predicted_de_NG: Array, measured_de_NG: Array) -> FloatRows:
    """Genes called in both over genes called in either, 0 to 1; 1 where both call none.

    Notes
    -----
    Jaccard, New Phytol. 11 (1912) 37; ``sig_jaccard`` of cell-eval2 0.20.
    """
    both_N = (predicted_de_NG * measured_de_NG).sum(axis=1)
    either_N = np.maximum(predicted_de_NG, measured_de_NG).sum(axis=1)
    return np.where(either_N == 0, 1.0, both_N / np.where(either_N == 0, 1.0, either_N))


def sign_fidelity(
    predicted_NG: Array, measured_NG: Array, predicted_de_NG: Array, measured_de_NG: Array
) -> FloatRows:
    """Genes called for the prediction with the right sign, over the genes called on the larger side.

    0 to 1. The larger side: too few calls cost as much as wrong ones, so that silence earns 0.
    Genes whose measured Δ is 0 have no sign and are not counted for the prediction. NaN where
    neither side calls a gene.

    Notes
    -----
    ``direction_fidelity_yield_raw`` of cell-eval2 0.20, k / max(n_pred, n_conf).
    """
    has_sign_NG = np.sign(measured_NG) != 0
    n_predicted_N = (predicted_de_NG * has_sign_NG).sum(axis=1)
    is_right_NG = np.sign(predicted_NG) == np.sign(measured_NG)
    n_right_N = (predicted_de_NG * (has_sign_NG & is_right_NG)).sum(axis=1)
    n_called_N = np.maximum(n_predicted_N, measured_de_NG.sum(axis=1))
    return np.where(n_called_N == 0, np.nan, n_right_N / np.where(n_called_N == 0, 1.0, n_called_N))


def lfc_nmae(predicted_NG: Array, measured_NG: Array, measured_de_NG: Array) -> FloatRows:
    """Mean absolute error over mean absolute Δ, both over the genes called; 1 for a prediction of 0.

    Whatever the base of the logarithm. NaN with fewer than :data:`MIN_CALLED` genes called.

    Notes
    -----
    ``lfc_nmae`` of cell-eval2 0.20.
    """
    error_NG = np.abs(np.subtract(predicted_NG, measured_NG, dtype=np.float64))
    size_N = (np.abs(np.asarray(measured_NG, dtype=np.float64)) * measured_de_NG).sum(axis=1)
    is_enough_N = measured_de_NG.sum(axis=1) >= MIN_CALLED  # False for NaN
    error_N = (error_NG * measured_de_NG).sum(axis=1)
    return np.where(is_enough_N, error_N / np.where(is_enough_N, size_N, 1.0), np.nan)


def _varies(values_NG: Array) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(values_NG, axis=1) > 0)


def _top_share(magnitude_NG: Array, k: int) -> Array:
    """How far each gene is in the top k of its row: 1, 0, or a share of the places at the edge."""
    if k < 1:
        msg = f"k must be at least 1, not {k}"
        raise ValueError(msg)
    magnitude_NG = np.asarray(magnitude_NG)
    n_genes = magnitude_NG.shape[1]
    if k >= n_genes:
        return np.ones(magnitude_NG.shape)
    edge_N1 = np.partition(magnitude_NG, n_genes - k, axis=1)[:, n_genes - k, None]
    above_NG = magnitude_NG > edge_N1
    level_NG = magnitude_NG == edge_N1
    left_N1 = k - above_NG.sum(axis=1, keepdims=True)
    return np.asarray(above_NG + level_NG * (left_N1 / level_NG.sum(axis=1, keepdims=True)))


_STATE = "Adduri et al., bioRxiv 2025.06.26.661135 (State, cell-eval)"
_TEST = "a z test of Δ against the SE of the measurement, 5 % false discoveries"

METRICS: Final = (
    Metric(
        name="overlap",
        title="DE overlap",
        definition="Share of the k genes measured to change most that are predicted to. Chance is "
        "k / genes.",
        source=f"{_STATE}, DE overlap at N",
        functions={("predicted", "measured", "k"): overlap_at},
    ),
    Metric(
        name="direction",
        title="DE direction",
        definition="Share of the k genes measured to change most whose predicted sign is right; a "
        "predicted 0 counts one half. Chance is one half.",
        source=f"{_STATE}, DE direction match",
        functions={("predicted", "measured", "k"): direction_at},
    ),
    Metric(
        name="de_jaccard",
        title="DE Jaccard",
        definition=f"Genes called for prediction and measurement over genes called for either, by "
        f"{_TEST}, the same for both. 1 where neither calls any.",
        source="Jaccard, New Phytol. 11 (1912) 37; Benjamini & Hochberg, J. R. Stat. Soc. B 57 "
        "(1995) 289; cell-eval2 0.20, sig_jaccard",
        functions={("predicted_de", "measured_de"): de_jaccard},
    ),
    Metric(
        name="sign_fidelity",
        title="Sign fidelity",
        definition="Genes called for the prediction (as in DE Jaccard) whose sign is right, over the "
        "genes called for prediction or measurement, whichever are more. Silence scores 0.",
        source="cell-eval2 0.20, direction_fidelity_yield_raw",
        functions={
            ("predicted", "measured", "predicted_de", "measured_de"): sign_fidelity,
        },
    ),
    Metric(
        name="lfc_nmae",
        title="LFC-NMAE",
        definition="Mean absolute error over the genes called for the measurement (as in DE "
        f"Jaccard, {MIN_CALLED} at least), over the mean absolute measured Δ there. Predicting 0 "
        "scores 1.",
        source="cell-eval2 0.20, lfc_nmae",
        functions={("predicted", "measured", "measured_de"): lfc_nmae},
        is_error=True,
    ),
)
"""Metrics over changed genes, in the order of the report's columns."""
