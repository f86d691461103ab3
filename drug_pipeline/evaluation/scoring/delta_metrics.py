"""Metrics of predicted against measured Δ: one function each, one value per condition, and its row.

What belongs here: how alike two Δ are, over all genes. What does not: the most changed genes
(``de_metrics``), rankings (``ranking_metrics``), what to centre by (``centring``), averages,
intervals and strata (``long_table``). To add a metric, add its function and its row here.

Every function takes (N, G) arrays of differences of natural logs and returns (N,) float64. One rule
for input on which a metric is not defined: a **measured** row without variation gives NaN — it can
tell no two predictors apart, is left out of averages and counted — while a **predicted** row without
variation gives the value of knowing nothing (0 for correlations), so that no predictor can gain by
being silent. Centred variants are the same functions on Δ minus the training mean of the line.

Shapes: N = conditions, G = genes, C = conditions of one comparison group.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.metrics import (
    ROUNDING,
    Array,
    FloatRows,
    cosine,
    minus_mean,
    mse,
    pearson,
)
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.metric import Metric

Distance: TypeAlias = Literal["l1", "l2", "cosine"]


def mae(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Mean absolute error over genes, natural logs; centring changes nothing.

    Notes
    -----
    Willmott & Matsuura, Clim. Res. 30 (2005) 79; of the Virtual Cell Challenge (Roohani et al.,
    Cell 188 (2025) 3370). Equals ``sklearn.metrics.mean_absolute_error`` row by row.
    """
    return np.asarray(np.abs(_difference(predicted_NG, measured_NG)).mean(axis=1))


def weighted_mse(predicted_NG: Array, measured_NG: Array, se_NG: Array) -> FloatRows:
    """Mean squared error over genes, each weighted by the evidence for its measurement.

    The weight of a gene is 1 / (SE² + s²), with s the median SE of the row: without s a gene that
    was never detected (SE near 0) would outweigh all others. Genes without a SE are left out; a
    row without any SE (one cell) gives NaN.

    Notes
    -----
    Inverse-variance weights (Aitken, Proc. R. Soc. Edinb. 55 (1936) 42) with a constant added as in
    SAM (Tusher et al., PNAS 98 (2001) 5116). Equals
    ``sklearn.metrics.mean_squared_error(sample_weight=…)`` row by row.
    """
    se_NG = np.asarray(se_NG, dtype=np.float64)
    is_known_NG = np.isfinite(se_NG)
    floor_N1 = row_median(se_NG)[:, None]
    spread_NG = np.square(se_NG) + np.square(floor_N1)
    is_known_NG &= spread_NG > 0
    weight_NG = np.where(is_known_NG, 1.0 / np.where(is_known_NG, spread_NG, 1.0), 0.0)
    squared_NG = np.square(_difference(predicted_NG, measured_NG))
    return _ratio((weight_NG * squared_NG).sum(axis=1), weight_NG.sum(axis=1))


def noise_corrected_mse(predicted_NG: Array, measured_NG: Array, se_NG: Array) -> FloatRows:
    """MSE minus the variance of the measurement, mean over genes of SE²: 0 is the truth.

    An estimate of the squared distance to the true Δ, without bias, so that it may be negative. The
    prediction comes from other cells than the measurement and has no noise of its own to subtract.
    What wells and plates add to the noise is not in SE. NaN where a gene has no SE (one cell).

    Notes
    -----
    E|p - m|² = |p - µ|² + tr Σ / n. ``expr_mse_unbiased`` of cell-eval2 0.20 on log-normalised
    cells, for a prediction of one profile; that subtracts the variance of the treated mean alone,
    as both of its sides have the control in them, and here SE² is that of Δ, control included.
    With a prediction of 0 it is its ``expr_distance_unbiased``. Its
    ``expr_mse_unbiased_capped_norm`` is then the mean of this metric over that of the predictor
    ``zero``, up to the control's variance in the numerator.
    """
    noise_N = np.square(np.asarray(se_NG, dtype=np.float64)).mean(axis=1)
    return np.asarray(mse(predicted_NG, measured_NG) - noise_N)


def r2(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Share of the variance over genes explained, 1 - SSE / SST; below 0 when worse than the mean.

    Notes
    -----
    Kvålseth, Am. Stat. 39 (1985) 279. Equals ``sklearn.metrics.r2_score`` row by row; NaN where the
    measured row is constant.
    """
    unexplained_N = np.square(_difference(predicted_NG, measured_NG)).sum(axis=1)
    spread_N = np.square(minus_mean(measured_NG)).sum(axis=1)
    return 1.0 - _ratio(unexplained_N, np.where(spread_N > ROUNDING**2, spread_N, 0.0))


def spearman(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Pearson correlation of the ranks over genes (mid-ranks for ties); 0 for a constant prediction.

    Notes
    -----
    Spearman, Am. J. Psychol. 15 (1904) 72. Equals ``scipy.stats.spearmanr`` row by row; NaN where
    the measured row is constant.
    """
    return pearson(ranks(predicted_NG), ranks(measured_NG))


def discrimination(
    predicted_NG: Array,
    measured_NG: Array,
    group_N: Array,
    identity_N: Array,
    *,
    distance: Distance = "l1",
) -> tuple[FloatRows, NDArray[np.int64]]:
    """Perturbation discrimination score (PDS), and the number of conditions compared.

    PDS = 1 - rank / C: of the C measured Δ of a group, ``rank`` many are nearer to the prediction
    than the one it was made for (ties count one half). 1 is best, near ½ is chance. Signs count:
    Δ itself is compared, not its magnitude. Other conditions of the same identity (parent compound)
    are no competitors. A condition without a competitor gives NaN.

    Parameters
    ----------
    group_N
        What is compared with what: conditions of one cell line on one plate share a control, so
        that neither the line nor the plate gives the answer away.
    identity_N
        Parent compound of each condition.
    distance
        ``l1`` as in the Virtual Cell Challenge; ``l2``; or ``cosine``, which ignores effect size.

    Notes
    -----
    Wu et al., PerturBench, arXiv:2408.10609 (2024) and the Virtual Cell Challenge (Roohani et al.,
    Cell 188 (2025) 3370); without ties and with one condition an identity it equals ``cell_eval``'s
    ``discrimination_score``. It saturates where every method finds the right drug (drugs seen in
    training): see ``calibration``.
    """
    score_N = np.full(len(measured_NG), np.nan)
    n_compared_N = np.zeros(len(measured_NG), dtype=np.int64)
    _, code_N = np.unique(np.asarray(group_N).astype(str), return_inverse=True)
    order_N = np.argsort(code_N, kind="stable")
    for rows_C in np.split(order_N, np.flatnonzero(np.diff(code_N[order_N])) + 1):
        if len(rows_C) == 0:
            continue
        score_N[rows_C], n_compared_N[rows_C] = _discrimination_of_group(
            np.asarray(predicted_NG[rows_C], dtype=np.float64),
            np.asarray(measured_NG[rows_C], dtype=np.float64),
            np.asarray(identity_N)[rows_C],
            distance,
        )
    return score_N, n_compared_N


def _discrimination_of_group(
    predicted_CG: Array, measured_CG: Array, identity_C: Array, distance: Distance
) -> tuple[FloatRows, NDArray[np.int64]]:
    from scipy.spatial.distance import cdist

    if distance == "cosine":
        distance_CC = 1.0 - _unit_rows(predicted_CG) @ _unit_rows(measured_CG).T
    else:
        metric = {"l1": "cityblock", "l2": "euclidean"}[distance]
        distance_CC = cdist(predicted_CG, measured_CG, metric=metric)
    is_rival_CC = identity_C[:, None] != identity_C[None, :]
    own_C1 = np.diagonal(distance_CC)[:, None]
    nearer_C = ((distance_CC < own_C1) & is_rival_CC).sum(axis=1)
    level_C = ((distance_CC == own_C1) & is_rival_CC).sum(axis=1)
    n_compared_C = is_rival_CC.sum(axis=1) + 1
    score_C = 1.0 - (nearer_C + 0.5 * level_C) / n_compared_C
    return np.where(n_compared_C > 1, score_C, np.nan), n_compared_C


def ranks(values_NG: Array) -> FloatRows:
    """Ranks from 1 along each row, mid-ranks for ties (N, G).

    Notes
    -----
    Equals ``scipy.stats.rankdata(axis=1)``; sorting float32 and touching only rows that have ties
    makes it 3 times faster on predictions, which have few.
    """
    from scipy.stats import rankdata

    values_NG = np.asarray(values_NG)
    order_NG = np.argsort(values_NG, axis=1)
    result_NG = np.empty(values_NG.shape, dtype=np.float64)
    places_1G = np.arange(1.0, values_NG.shape[1] + 1)[None, :]
    np.put_along_axis(result_NG, order_NG, np.broadcast_to(places_1G, values_NG.shape), axis=1)
    ordered_NG = np.take_along_axis(values_NG, order_NG, axis=1)
    has_ties_N = (np.diff(ordered_NG, axis=1) == 0).any(axis=1)
    if has_ties_N.any():
        result_NG[has_ties_N] = rankdata(values_NG[has_ties_N], axis=1)
    return result_NG


def row_median(values_NG: Array) -> FloatRows:
    """Median of the finite values of each row; NaN for a row without any (no warning)."""
    values_NG = np.asarray(values_NG, dtype=np.float64)
    is_whole_N = np.isfinite(values_NG).all(axis=1)
    is_some_N = np.isfinite(values_NG).any(axis=1) & ~is_whole_N
    median_N = np.full(len(values_NG), np.nan)
    median_N[is_whole_N] = np.median(values_NG[is_whole_N], axis=1)  # nanmedian is 4 times slower
    median_N[is_some_N] = np.nanmedian(values_NG[is_some_N], axis=1)
    return median_N


def _difference(predicted_NG: Array, measured_NG: Array) -> Array:
    return np.subtract(predicted_NG, measured_NG, dtype=np.float64)


def _ratio(numerator_N: Array, denominator_N: Array) -> FloatRows:
    is_defined_N = denominator_N > 0
    return np.where(is_defined_N, numerator_N / np.where(is_defined_N, denominator_N, 1.0), np.nan)


def _unit_rows(values_CG: Array) -> Array:
    norm_C1 = np.linalg.norm(values_CG, axis=1, keepdims=True)
    return np.asarray(values_CG / np.where(norm_C1 > 0, norm_C1, 1.0))


def _pds(distance: Distance) -> Callable[[Array, Array, Array, Array], FloatRows]:
    return lambda *given: discrimination(*given, distance=distance)[0]


_CENTRED = "of Δ minus the mean Δ over the training conditions of the line, both sides"
_SYSTEMA = "Viñas Torné et al., Nat. Biotechnol. 2025 (Systema)"
_PERTURBENCH = "Wu et al. 2024 (PerturBench, arXiv:2408.10609)"
_CHALLENGE = "Virtual Cell Challenge: Roohani et al., Cell 188 (2025) 3370"

METRICS: Final = (
    Metric(
        name="pearson_centred",
        title="Pearson, centred",
        definition=f"Correlation over genes {_CENTRED}. What the drug does beyond what any drug "
        "does in that line; predicting the line's mean scores 0.",
        source=f"{_SYSTEMA}, Pearson Δ about the perturbed reference",
        functions={("predicted_centred", "measured_centred"): pearson},
        ceiling=ceilings.CORRELATION,
        columns=(0,),
    ),
    Metric(
        name="pearson",
        title="Pearson",
        definition="Correlation over genes of predicted and measured Δ. Shared stress counts: "
        "predicting the same for every drug scores well.",
        source="Roohani et al., Nat. Biotechnol. 42 (2024) 927 (GEARS), Pearson of Δ",
        functions={("predicted", "measured"): pearson},
        ceiling=ceilings.CORRELATION,
        columns=(0,),
    ),
    Metric(
        name="mse",
        title="MSE",
        definition="Mean squared error over genes, squared natural logs. Centring does not change "
        "it. A perfect prediction scores the noise variance, not 0.",
        source="Roohani et al., Nat. Biotechnol. 42 (2024) 927 (GEARS)",
        functions={("predicted", "measured"): mse},
        is_error=True,
        ceiling=ceilings.SQUARED_ERROR,
        columns=(0,),
        digits=4,
    ),
    Metric(
        name="pearson_centred_dose",
        title="Pearson, centred by dose",
        definition="As centred Pearson, about the training mean of the line at that dose: knowing "
        "that high doses do more earns nothing either.",
        source=f"{_SYSTEMA}, with the dose in the reference",
        functions={("predicted_by_dose", "measured_by_dose"): pearson},
        ceiling=ceilings.CORRELATION,
    ),
    Metric(
        name="cosine_centred",
        title="Cosine, centred",
        definition=f"Cosine {_CENTRED}.",
        source=f"{_PERTURBENCH}, cosine of log fold changes, about the reference of {_SYSTEMA}",
        functions={("predicted_centred", "measured_centred"): cosine},
        ceiling=ceilings.COSINE,
    ),
    Metric(
        name="spearman_centred",
        title="Spearman, centred",
        definition=f"Rank correlation over genes {_CENTRED}.",
        source=f"Spearman, Am. J. Psychol. 15 (1904) 72, about the reference of {_SYSTEMA}",
        functions={("predicted_centred_ranks", "measured_centred_ranks"): pearson},
        ceiling=ceilings.RANK_CORRELATION,
        columns=(0,),
    ),
    Metric(
        name="cosine",
        title="Cosine",
        definition="Cosine of the angle between predicted and measured Δ.",
        source=f"{_PERTURBENCH}, cosine of log fold changes",
        functions={("predicted", "measured"): cosine},
        ceiling=ceilings.COSINE,
    ),
    Metric(
        name="spearman",
        title="Spearman",
        definition="Rank correlation over genes of predicted and measured Δ (mid-ranks).",
        source="Spearman, Am. J. Psychol. 15 (1904) 72",
        functions={("predicted_ranks", "measured_ranks"): pearson},
        ceiling=ceilings.RANK_CORRELATION,
    ),
    Metric(
        name="weighted_mse",
        title="MSE, weighted",
        definition="Squared error with each gene weighted by 1 / (SE² + s²), s the median SE of "
        "the condition.",
        source="inverse-variance weights (Aitken, Proc. R. Soc. Edinb. 55 (1936) 42), s² as in SAM "
        "(Tusher et al., PNAS 98 (2001) 5116)",
        functions={("predicted", "measured", "se"): weighted_mse},
        is_error=True,
        digits=4,
    ),
    Metric(
        name="mae",
        title="MAE",
        definition="Mean absolute error, natural logs.",
        source=_CHALLENGE,
        functions={("predicted", "measured"): mae},
        is_error=True,
    ),
    Metric(
        name="r2",
        title="R²",
        definition="1 - SSE / SST over genes; below 0 when worse than the condition's own mean.",
        source="Kvålseth, Am. Stat. 39 (1985) 279",
        functions={("predicted", "measured"): r2},
    ),
    Metric(
        name="noise_corrected_mse",
        title="MSE, noise-corrected",
        definition="MSE minus the mean over genes of SE², squared natural logs: the squared distance "
        "to the true Δ, without bias. 0 is the truth up to what wells and plates add, chance takes "
        "it below.",
        source="cell-eval2 0.20, expr_mse_unbiased and expr_distance_unbiased",
        functions={("predicted", "measured", "se"): noise_corrected_mse},
        is_error=True,
        digits=4,
    ),
)
"""Metrics over all genes, in the order of the report's columns."""

DISCRIMINATION: Final = (
    Metric(
        name="pds",
        title="PDS",
        definition="Perturbation discrimination: 1 - rank / C, the rank of the condition's own "
        "measurement among the C test conditions of its line and plate by L1 distance to the "
        "prediction (signed Δ, ties one half, other forms of the drug no rivals). Chance is near "
        "one half. It saturates where every method knows the drug.",
        source=f"{_PERTURBENCH}, rank metric; {_CHALLENGE}",
        functions={("predicted", "measured", "group", "identity"): _pds("l1")},
        columns=(0,),
        must_tell=True,
    ),
    Metric(
        name="pds_cosine",
        title="PDS, cosine",
        definition="The same by cosine of centred Δ, which ignores the size of effects.",
        source=f"{_PERTURBENCH}, rank metric by cosine",
        functions={
            ("predicted_centred", "measured_centred", "group", "identity"): _pds("cosine"),
        },
    ),
)
"""Metrics that compare conditions with each other."""
