"""The long table of figures: every metric of every predictor in every stratum, with its interval.

What belongs here: averages over strata, intervals, differences to the shipped predictor, the share
of the gap closed. What does not: per-row metrics (``per_condition``), pictures (``figures``).

Shapes: N = rows (conditions or queries), P = predictors, M = metrics.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import schemas
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap, Estimates
from drug_pipeline.evaluation.scoring.metric import MetricKey, Values
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, ROOTED
from drug_pipeline.evaluation.scoring.strata import ACTIVITY, ALL, Stratum

COLUMNS: Final = tuple(schemas.METRICS.names)
"""Columns of ``metrics.parquet``."""

WIDE_KINDS: Final = (ALL, ACTIVITY)
"""Strata that differences, gaps and medians are computed in."""


def long_table(
    scores: Mapping[str, Values],
    keys: Sequence[MetricKey],
    strata: Sequence[Stratum],
    *,
    split: str,
    task: str,
    config: BootstrapConfig,
    gallery_N: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Means with 95 % intervals of all metrics of all predictors in all strata (schemas.METRICS).

    Metrics that are not of every stratum are told in the wide ones alone; figures without a single
    defined row are left out. ``n`` counts the defined rows; ``gallery`` is
    the median number of candidates.

    Parameters
    ----------
    scores
        Predictor → (N, M).
    gallery_N
        Number of candidates of each row; None outside retrieval.
    """
    is_fine_M = np.array([BY_NAME[name].in_every_stratum for name, _ in keys], dtype=bool)
    fine_keys = [key for key, is_fine in zip(keys, is_fine_M, strict=True) if is_fine]
    fine_scores = {name: values_NM[:, is_fine_M] for name, values_NM in scores.items()}
    parts = [
        _stratum_columns(scores, keys, stratum, config, gallery_N)
        if stratum.kind in WIDE_KINDS
        else _stratum_columns(fine_scores, fine_keys, stratum, config, gallery_N)
        for stratum in strata
        if scores
    ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    # One frame of all strata: there are hundreds, and making a frame costs more than its figures.
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = pd.DataFrame({"split": split, "task": task, **columns})
    return table.loc[table["n"] > 0, list(COLUMNS)].reset_index(drop=True)


def _stratum_columns(
    scores: Mapping[str, Values],
    keys: Sequence[MetricKey],
    stratum: Stratum,
    config: BootstrapConfig,
    gallery_N: NDArray[np.int64] | None,
) -> dict[str, NDArray[Any]]:
    """The figures of one stratum as columns of the long table."""
    predictors = list(scores)
    values_NC = np.concatenate([scores[name][stratum.rows] for name in predictors], axis=1)
    bootstrap = ClusterBootstrap(stratum.cluster, config)
    estimates = bootstrap.means(values_NC)
    owner_C = np.repeat(predictors, len(keys))
    metric_C = np.tile([name for name, _ in keys], len(predictors))
    value_C, low_C, high_C = _rooted(estimates, owner_C, metric_C)
    median_C = np.flatnonzero([BY_NAME[name].is_median for name in metric_C])
    if len(median_C):
        medians = _medians(bootstrap, values_NC[:, median_C], stratum)
        value_C[median_C], low_C[median_C] = medians.value_M, medians.low_M
        high_C[median_C] = medians.high_M
    gallery = 0 if gallery_N is None else int(np.median(gallery_N[stratum.rows]))
    n_columns = len(owner_C)
    return {
        "predictor": owner_C,
        "stratum_kind": np.full(n_columns, stratum.kind),
        "stratum": np.full(n_columns, stratum.name),
        "metric": metric_C,
        "k": np.tile([k for _, k in keys], len(predictors)).astype(np.int64),
        "value": value_C,
        "ci_low": low_C,
        "ci_high": high_C,
        "n": estimates.n_M,
        "gallery": np.full(n_columns, gallery, dtype=np.int64),
    }


def _medians(bootstrap: ClusterBootstrap, values_NC: Values, stratum: Stratum) -> Estimates:
    """Medians; their intervals, which cost a weighted order statistic, in wide strata alone."""
    if stratum.kind in WIDE_KINDS:
        return bootstrap.medians(values_NC)
    value_C = np.full(values_NC.shape[1], np.nan)
    has_any_C = np.isfinite(values_NC).any(axis=0)
    value_C[has_any_C] = np.nanmedian(values_NC[:, has_any_C], axis=0)
    unknown_C = np.full(values_NC.shape[1], np.nan)
    n_C = np.isfinite(values_NC).sum(axis=0)
    return Estimates(value_M=value_C, low_M=unknown_C, high_M=unknown_C, n_M=n_C)


def _rooted(
    estimates: Estimates, owner_C: NDArray[np.str_], metric_C: NDArray[np.str_]
) -> tuple[Values, Values, Values]:
    """Values and interval ends, with the root taken of replicate correlations (plate ceiling)."""
    is_rooted_C = (owner_C == ceilings.PLATE) & np.isin(metric_C, ROOTED)
    return tuple(  # type: ignore[return-value]
        np.where(is_rooted_C, ceilings.from_replicates(part_C), part_C)
        for part_C in (estimates.value_M, estimates.low_M, estimates.high_M)
    )


def differences(
    scores: Mapping[str, Values],
    keys: Sequence[MetricKey],
    strata: Sequence[Stratum],
    *,
    predictor: str,
    split: str,
    task: str,
    config: BootstrapConfig,
) -> pd.DataFrame:
    """One predictor minus each other, paired by row and by draw, in the wide strata.

    Columns ``split, task, predictor, reference, stratum_kind, stratum, metric, k, difference,
    ci_low, ci_high, n``. Positive is better for scores, negative for errors.
    """
    parts = []
    others = [name for name in scores if name != predictor]
    for stratum in strata:
        if stratum.kind not in WIDE_KINDS or predictor not in scores or not others:
            continue
        bootstrap = ClusterBootstrap(stratum.cluster, config)
        own_NC = np.tile(scores[predictor][stratum.rows], len(others))
        other_NC = np.concatenate([scores[name][stratum.rows] for name in others], axis=1)
        found = bootstrap.differences(own_NC, other_NC)
        table = pd.DataFrame(
            {
                "split": split,
                "task": task,
                "predictor": predictor,
                "reference": np.repeat(others, len(keys)),
                "stratum_kind": stratum.kind,
                "stratum": stratum.name,
                "metric": np.tile([name for name, _ in keys], len(others)),
                "k": np.tile([k for _, k in keys], len(others)).astype(np.int64),
                "difference": found.value_M,
                "ci_low": found.low_M,
                "ci_high": found.high_M,
                "n": found.n_M,
            }
        )
        parts.append(table[table["n"] > 0])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def gaps(
    scores: Mapping[str, Values],
    keys: Sequence[MetricKey],
    strata: Sequence[Stratum],
    *,
    baseline: str,
    split: str,
    config: BootstrapConfig,
) -> pd.DataFrame:
    """Share of the gap between a baseline and each ceiling that each predictor closes.

    Columns ``split, predictor, baseline, ceiling, stratum_kind, stratum, metric, value, ci_low,
    ci_high, n``; see :func:`ceilings.gap_closed`.
    """
    not_models = (*ceilings.CEILINGS, ceilings.REPLICATE, baseline)
    models = [name for name in scores if name not in not_models]
    if baseline not in scores or not models:
        return pd.DataFrame()
    parts = []
    for stratum in (one for one in strata if one.kind in WIDE_KINDS):
        bootstrap = ClusterBootstrap(stratum.cluster, config)
        for ceiling in (name for name in ceilings.CEILINGS if name in scores):
            for column, (metric, _) in enumerate(keys):
                if not BY_NAME[metric].has_gap:
                    continue
                sign = BY_NAME[metric].sign
                signed = {
                    name: sign * values[stratum.rows, column] for name, values in scores.items()
                }
                found = ceilings.gap_closed(
                    bootstrap,
                    np.column_stack([signed[name] for name in models]),
                    signed[baseline],
                    signed[ceiling],
                    is_replicate=ceiling == ceilings.PLATE and metric in ROOTED,
                )
                parts.append(
                    pd.DataFrame(
                        {
                            "split": split,
                            "predictor": models,
                            "baseline": baseline,
                            "ceiling": ceiling,
                            "stratum_kind": stratum.kind,
                            "stratum": stratum.name,
                            "metric": metric,
                            "value": found.value_M,
                            "ci_low": found.low_M,
                            "ci_high": found.high_M,
                            "n": found.n_M,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
