"""Metrics of predicted against measured Δ: one function each, one value a condition.

What belongs here: how alike two Δ are. What does not: averages, intervals and strata (``tables``),
what to centre by (``centring``), rankings (``ranking_metrics``).

Every function takes (N, G) arrays of differences of natural logs and returns (N,) float64. One rule
for input on which a metric is not defined: a **measured** row without variation gives NaN — it can
tell no two predictors apart, is left out of averages and counted — while a **predicted** row without
variation gives the value of knowing nothing (0 for correlations), so that no predictor can gain by
being silent. Centred variants are the same functions on Δ minus the training mean of the line.

Shapes: N = conditions, G = genes, C = conditions of one comparison group.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatRows: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]
Distance: TypeAlias = Literal["l1", "l2", "cosine"]


def mse(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Mean squared error over genes, squared natural logs; centring changes nothing.

    Notes
    -----
    Equals ``sklearn.metrics.mean_squared_error`` row by row.
    """
    return np.asarray(np.square(_difference(predicted_NG, measured_NG)).mean(axis=1))


def mae(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Mean absolute error over genes, natural logs; centring changes nothing.

    Notes
    -----
    Equals ``sklearn.metrics.mean_absolute_error`` row by row.
    """
    return np.asarray(np.abs(_difference(predicted_NG, measured_NG)).mean(axis=1))


def weighted_mse(predicted_NG: Array, measured_NG: Array, se_NG: Array) -> FloatRows:
    """Mean squared error over genes, each weighted by the evidence for its measurement.

    The weight of a gene is 1 / (SE² + s²), with s the median SE of the row: without s a gene that
    was never detected (SE near 0) would outweigh all others. Genes without a SE are left out; a
    row without any SE (one cell) gives NaN.

    Notes
    -----
    Equals ``sklearn.metrics.mean_squared_error(sample_weight=…)`` row by row.
    """
    se_NG = np.asarray(se_NG, dtype=np.float64)
    is_known_NG = np.isfinite(se_NG)
    floor_N1 = row_median(se_NG)[:, None]
    spread_NG = np.square(se_NG) + np.square(floor_N1)
    is_known_NG &= spread_NG > 0
    weight_NG = np.where(is_known_NG, 1.0 / np.where(is_known_NG, spread_NG, 1.0), 0.0)
    squared_NG = np.square(_difference(predicted_NG, measured_NG))
    return _ratio((weight_NG * squared_NG).sum(axis=1), weight_NG.sum(axis=1))


def r2(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Share of the variance over genes explained, 1 - SSE / SST; below 0 when worse than the mean.

    Notes
    -----
    Equals ``sklearn.metrics.r2_score`` row by row; NaN where the measured row is constant.
    """
    unexplained_N = np.square(_difference(predicted_NG, measured_NG)).sum(axis=1)
    return 1.0 - _ratio(unexplained_N, np.square(_minus_mean(measured_NG)).sum(axis=1))


def cosine(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Cosine of the angle between predicted and measured Δ, -1 to 1; 0 for a prediction of zeros.

    Notes
    -----
    Equals ``1 - scipy.spatial.distance.cosine`` row by row; NaN where the measured row is zero.
    """
    predicted_NG = np.asarray(predicted_NG, dtype=np.float64)
    measured_NG = np.asarray(measured_NG, dtype=np.float64)
    energy_N = np.einsum("ng,ng->n", measured_NG, measured_NG)
    norm_N = np.sqrt(np.einsum("ng,ng->n", predicted_NG, predicted_NG) * energy_N)
    dot_N = np.einsum("ng,ng->n", predicted_NG, measured_NG)
    similarity_N = np.where(norm_N > 0, dot_N / np.where(norm_N > 0, norm_N, 1.0), 0.0)
    return np.where(energy_N > 0, np.clip(similarity_N, -1.0, 1.0), np.nan)


def pearson(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Pearson correlation over genes, -1 to 1; 0 for a constant prediction.

    Notes
    -----
    Equals ``scipy.stats.pearsonr`` row by row; NaN where the measured row is constant.
    """
    return cosine(_minus_mean(predicted_NG), _minus_mean(measured_NG))


def spearman(predicted_NG: Array, measured_NG: Array) -> FloatRows:
    """Pearson correlation of the ranks over genes (mid-ranks for ties); 0 for a constant prediction.

    Notes
    -----
    Equals ``scipy.stats.spearmanr`` row by row; NaN where the measured row is constant.
    """
    return pearson(ranks(predicted_NG), ranks(measured_NG))


def overlap_at(predicted_NG: Array, measured_NG: Array, k: int) -> FloatRows:
    """Share of the k genes measured to change most (largest absolute Δ) that are predicted to, 0 to 1.

    Genes tied at the edge of the top k share the places left, so a constant prediction scores what
    chance does, k / G. With k ≥ G every gene is in both and the share is 1.

    Notes
    -----
    "DE overlap @k" of the perturbation literature, with the magnitude of Δ as the order.
    """
    chosen_NG = _top_share(np.abs(predicted_NG), k)
    wanted_NG = _top_share(np.abs(measured_NG), k)
    share_N = (chosen_NG * wanted_NG).sum(axis=1) / wanted_NG.sum(axis=1)
    return np.where(_varies(measured_NG), share_N, np.nan)


def direction_at(predicted_NG: Array, measured_NG: Array, k: int) -> FloatRows:
    """Share of the k genes measured to change most whose predicted sign is right, 0 to 1.

    A predicted 0 counts one half: it says nothing, and chance is one half.
    """
    wanted_NG = _top_share(np.abs(measured_NG), k)
    agreement_NG = 0.5 + 0.5 * np.sign(predicted_NG) * np.sign(measured_NG)
    share_N = (agreement_NG * wanted_NG).sum(axis=1) / wanted_NG.sum(axis=1)
    return np.where(_varies(measured_NG), share_N, np.nan)


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
    Wu et al. 2024 (PerturBench) and the Virtual Cell Challenge 2025; without ties and with one
    condition an identity it equals ``cell_eval``'s ``discrimination_score``. It saturates where
    every method finds the right drug (drugs seen in training): see ``calibration``.
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


def _minus_mean(values_NG: Array) -> Array:
    """Rows minus their mean, exactly zero for a constant row whatever its rounding."""
    values_NG = np.asarray(values_NG, dtype=np.float64)
    centred_NG = values_NG - values_NG.mean(axis=1, keepdims=True)
    return np.where(_varies(values_NG)[:, None], centred_NG, 0.0)


def _varies(values_NG: Array) -> NDArray[np.bool_]:
    return np.asarray(np.ptp(values_NG, axis=1) > 0)


def _ratio(numerator_N: Array, denominator_N: Array) -> FloatRows:
    is_defined_N = denominator_N > 0
    return np.where(is_defined_N, numerator_N / np.where(is_defined_N, denominator_N, 1.0), np.nan)


def _unit_rows(values_CG: Array) -> Array:
    norm_C1 = np.linalg.norm(values_CG, axis=1, keepdims=True)
    return np.asarray(values_CG / np.where(norm_C1 > 0, norm_C1, 1.0))


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
