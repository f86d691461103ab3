"""Noise ceilings, what a perfect prediction scores on data this noisy, and the gap closed to them.

What belongs here: ceilings of three kinds and the share of the reachable gap. What does not: noise
variances (``noise``), metrics.

A measurement m = truth + noise. A prediction equal to the truth does not reach correlation 1 with m
but √(1 - noise variance / variance of m), and an MSE of the noise variance, not 0. The three ceilings
differ in what counts as noise:

- **counting**: the cells drawn (half of the treated cells against the other half);
- **well**: counting, and what one well adds (vehicle wells against each other);
- **plate**: everything that differs when the same drug, dose and line are measured on another plate;
  with replicates a, b a perfect prediction scores √corr(a, b), and an MSE of ½ mean (a - b)².

They are estimates under independent noise. On simulated data with known truth the counting ceiling of
the centred Pearson was .443 (truth: .407), the plate ceiling .376 (.357). A ceiling is not a
replicate: a second measurement, itself noisy, scores less (``replicate_plate`` in the tables).

Shapes: N = conditions, G = genes, B = resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.evaluation.scoring.bootstrap import ClusterBootstrap, Estimates, percentiles

COUNTING: Final = "ceiling_counting"
WELL: Final = "ceiling_well"
PLATE: Final = "ceiling_plate"
REPLICATE: Final = "replicate_plate"
"""Not a ceiling but a predictor: the same condition as another plate measured it."""
NO_GAP: Final = 0.025
"""Share of resamples in which the ceiling may fall below the baseline before the gap is no gap."""
CEILINGS: Final = (PLATE, WELL, COUNTING)
"""From the strictest; the first that can be had is the one that gaps are measured to."""


def reachable_correlation(
    measured_NG: NDArray[np.float32], noise_N: NDArray[np.float64], *, about_mean: bool = True
) -> NDArray[np.float64]:
    """Noise ceiling of a correlation with each measured row: √(1 - noise / variance), 0 to 1.

    Rows with more noise than variance are 0 (nothing can be predicted but noise); NaN where the
    noise is not known or the row is constant.

    Parameters
    ----------
    noise_N
        Noise variance, mean over genes.
    about_mean
        True for Pearson; False for cosine, which reads the second moment about 0.

    Notes
    -----
    Attenuation by noise on one side: Spearman, Am. J. Psychol. 15 (1904) 72, with the reliability
    1 - noise / variance.
    """
    values_NG = np.asarray(measured_NG, dtype=np.float64)
    centre_N1 = values_NG.mean(axis=1, keepdims=True) if about_mean else 0.0
    variance_N = np.square(values_NG - centre_N1).mean(axis=1)
    is_defined_N = variance_N > 0
    share_N = np.asarray(noise_N) / np.where(is_defined_N, variance_N, 1.0)
    return np.where(is_defined_N, np.sqrt(np.maximum(1.0 - share_N, 0.0)), np.nan)


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """How the noise ceilings of a metric follow from noise variance and from replicates.

    ``reachable`` takes measured Δ (N, G) and the noise variance (N,), mean over genes, and gives
    what a perfect prediction scores; None where that is not known. The plate ceiling is the root of
    the mean over replicates where ``is_rooted``, else half of it (two measurements' noise for one).
    """

    reachable: Callable[[NDArray[Any], NDArray[np.float64]], NDArray[np.float64]] | None
    is_rooted: bool

    def of_replicate(self, value_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the plate ceiling is the mean of, from the replicate's own figures."""
        return value_N if self.is_rooted else 0.5 * value_N


CORRELATION: Final = Ceiling(reachable=reachable_correlation, is_rooted=True)
COSINE: Final = Ceiling(reachable=partial(reachable_correlation, about_mean=False), is_rooted=True)
RANK_CORRELATION: Final = Ceiling(reachable=None, is_rooted=True)
SQUARED_ERROR: Final = Ceiling(reachable=lambda _, noise_N: noise_N, is_rooted=False)


def from_replicates(correlation: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Noise ceiling of a correlation from replicates: √ of their mean correlation (reliability).

    Notes
    -----
    Spearman, Am. J. Psychol. 15 (1904) 72: the correlation of parallel measurements is their
    reliability, its root the correlation of either with the truth.
    """
    return np.sqrt(np.maximum(correlation, 0.0))


def replicate_rows(
    conditions: pd.DataFrame, asked_rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (place in ``asked_rows``, row of the table) of one condition on two plates.

    Of several other plates the one with the most treated cells stands for all.
    """
    keys = [names.DRUG, names.DOSE_UM, names.CELL_LINE_ID]
    asked = conditions.iloc[asked_rows][[*keys, names.PLATE]].reset_index(drop=True)
    asked["place"] = np.arange(len(asked))
    others = conditions[[*keys, names.PLATE, names.N_CELLS]].reset_index(drop=True)
    others["row"] = np.arange(len(others))
    joined = asked.merge(others, on=keys, suffixes=("", "_other"))
    joined = joined[joined[names.PLATE] != joined[f"{names.PLATE}_other"]]
    joined = joined.sort_values(["place", names.N_CELLS, "row"], ascending=[True, False, True])
    best = joined.drop_duplicates("place")
    return best["place"].to_numpy(np.int64), best["row"].to_numpy(np.int64)


def gap_closed(
    bootstrap: ClusterBootstrap,
    model_NP: NDArray[np.float64],
    baseline_N: NDArray[np.float64],
    ceiling_N: NDArray[np.float64],
    *,
    is_replicate: bool = False,
) -> Estimates:
    """Share of the gap from baseline to noise ceiling that each of P models closes, with intervals.

    (model - baseline) / (ceiling - baseline), of means over the rows where all are defined: 1 is
    all that can be reached, 0 nothing gained, below 0 worse than the baseline. NaN where the
    ceiling does not stand above the baseline in at least 97.5 % of resamples: there is no gap to
    close, and a ratio would mean nothing. Larger must be better: hand in the negative of an error.

    Parameters
    ----------
    is_replicate
        Whether ``ceiling_N`` are correlations with a replicate, whose mean's root is the ceiling.

    Notes
    -----
    The share of explainable variance explained of neural prediction (Sahani & Linden, NeurIPS 2002)
    between a baseline other than 0 and the ceiling.
    """
    values_NC = np.column_stack([model_NP, baseline_N, ceiling_N])
    values_NC[~np.isfinite(values_NC).all(axis=1)] = np.nan
    whole = bootstrap.means(values_NC)
    drawn_BC = bootstrap.resampled(values_NC)
    share_P, gap_1 = _shares(whole.value_M[None, :], is_replicate=is_replicate)
    share_BP, gap_B = _shares(drawn_BC, is_replicate=is_replicate)
    unknown_P = np.full(model_NP.shape[1], np.nan)
    n_P = whole.n_M[: model_NP.shape[1]]
    is_open = bool(gap_1[0] > 0) and bool(np.mean(gap_B <= 0) <= NO_GAP if len(gap_B) else True)
    if not is_open:
        return Estimates(value_M=unknown_P, low_M=unknown_P, high_M=unknown_P, n_M=n_P)
    low_P, high_P = percentiles(np.where((gap_B > 0)[:, None], share_BP, np.nan))
    return Estimates(value_M=share_P[0], low_M=low_P, high_M=high_P, n_M=n_P)


def _shares(
    mean_BC: NDArray[np.float64], *, is_replicate: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each model (B, P) and the gap (B,), from means of models, baseline and ceiling."""
    baseline_B, ceiling_B = mean_BC[:, -2], mean_BC[:, -1]
    if is_replicate:
        ceiling_B = from_replicates(ceiling_B)
    gap_B = ceiling_B - baseline_B
    safe_B = np.where(gap_B > 0, gap_B, np.nan)
    return (mean_BC[:, :-2] - baseline_B[:, None]) / safe_B[:, None], gap_B
