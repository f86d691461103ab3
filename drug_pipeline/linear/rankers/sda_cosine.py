"""SDA-whitened cosine: all genes, within-compound covariance shrunk by a closed form.

Each gene is divided by its SD within compounds, the correlation of what is left is shrunk towards
none, and the signatures are whitened by it. Nothing is chosen, and no gene or axis is dropped:
better than ``rankers/whitening.py`` where genes are measured equally well (probes, deep counts), worse
where many genes are mostly counting noise, which it lifts. Validation weights the two.

What belongs here: that space and how far its correlations are shrunk. What does not: plain cosines
(``rankers/cosine.py``), a space of few axes (``rankers/whitening.py``).

Shapes: N = measured conditions, Q = queries, G = genes, R = drugs.

Notes
-----
Shrinkage discriminant analysis (Ahdesmäki and Strimmer 2010, Ann. Appl. Stat. 4, 503), with the
shrinkage of correlations of Schäfer and Strimmer (2005, Stat. Appl. Genet. Mol. Biol. 4, 32).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from drug_pipeline.linear.base import MeasuredConditions, Queries, State
from drug_pipeline.linear.rankers.gallery import (
    GalleryRanker,
    centred,
    line_means,
    without_line_response,
)
from drug_pipeline.linear.rankers.whitening import weighted_means

LEAST_SHRINKAGE: Final = 0.01
"""Keeps the correlations of many genes and few conditions invertible."""
ROWS_AT_ONCE: Final = 4096
"""Conditions whose squares are held beside the others: bounds memory on full atlases."""


class SdaCosine(GalleryRanker):
    """Cosine to each drug's centroid, whitened by the shrunk within-compound covariance.

    Notes
    -----
    Ahdesmäki & Strimmer (2010), "Feature selection in omics prediction problems using cat scores
    and false nondiscovery rate control".
    """

    def __init__(self) -> None:
        super().__init__("sda_cosine")

    def _reference(
        self, measured: MeasuredConditions
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        train, weight_N = measured.conditions, measured.weight_N
        means = line_means(measured)
        centred_NG = centred(measured.delta_NG, train.line_N, means)
        residual_NG, is_repeated_N = within_compounds(centred_NG, train.parent_N, weight_N)
        scatter = _scatter(residual_NG[is_repeated_N], weight_N[is_repeated_N])
        drugs_R, mean_RG = weighted_means(centred_NG, train.drug_N, weight_N)
        return _whitened(mean_RG, scatter), drugs_R, means | scatter

    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        return _whitened(without_line_response(queries.signature_QG, queries.line_Q, state), state)


def within_compounds(
    centred_NG: NDArray[np.float64], parent_N: NDArray[np.str_], weight_N: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows minus the mean of their compound (N, G), and which compounds have several (N,)."""
    parents_P, mean_PG = weighted_means(centred_NG, parent_N, weight_N)
    compound_N = np.searchsorted(parents_P, parent_N)
    n_N = np.bincount(compound_N[weight_N > 0], minlength=len(parents_P))[compound_N]
    return centred_NG - mean_PG[compound_N], (n_N > 1) & (weight_N > 0)


def shrunk_correlation(
    scaled_NG: NDArray[np.float64], weight_N: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Shrinkage estimate of the gene correlations (G, G), and its intensity in (0, 1].

    The shrinkage is the one of least expected squared error: the sampling variance of all
    correlations over their squares.

    Parameters
    ----------
    scaled_NG
        Residuals with mean 0 and weighted variance 1 in each gene (or 0 throughout).

    Notes
    -----
    Schäfer & Strimmer (2005), "A shrinkage approach to large-scale covariance matrix estimation and
    implications for functional genomics", correlations towards 0; :data:`LEAST_SHRINKAGE` is ours.
    """
    weight_N = weight_N / weight_N.sum()
    n_effective = 1.0 / np.square(weight_N).sum()
    correlation_GG = np.zeros((scaled_NG.shape[1],) * 2)
    variance_GG = np.zeros_like(correlation_GG)
    for start in range(0, len(scaled_NG), ROWS_AT_ONCE):
        part_NG, part_N1 = (x[start : start + ROWS_AT_ONCE] for x in (scaled_NG, weight_N[:, None]))
        correlation_GG += (part_NG * part_N1).T @ part_NG
        variance_GG += (np.square(part_NG) * part_N1).T @ np.square(part_NG)
    variance_GG -= np.square(correlation_GG)
    power = np.square(correlation_GG).sum() - np.square(np.diag(correlation_GG)).sum()
    noise = (variance_GG.sum() - np.trace(variance_GG)) / max(n_effective - 1.0, 1.0)
    shrinkage = min(max(noise / power, LEAST_SHRINKAGE), 1.0) if power > 0 else 1.0
    shrunk_GG = (1.0 - shrinkage) * correlation_GG
    np.fill_diagonal(shrunk_GG, 1.0)
    return shrunk_GG, float(shrinkage)


def _scatter(residual_NG: NDArray[np.float64], weight_N: NDArray[np.float64]) -> State:
    """What whitens: SDs of genes, and the Cholesky factor of their shrunk correlation.

    Without any compound of several conditions there is nothing to whiten by.
    """
    n_genes = residual_NG.shape[1]
    if not len(residual_NG):
        return {"sd_G": np.ones(n_genes), "cholesky_GG": np.eye(n_genes, dtype=np.float32)}
    sd_G = np.sqrt(np.average(np.square(residual_NG), axis=0, weights=weight_N))
    sd_G = np.where(sd_G > 0, sd_G, np.inf)  # a gene that never varies tells nothing
    correlation_GG, _ = shrunk_correlation(residual_NG / sd_G, weight_N)
    return {"sd_G": sd_G, "cholesky_GG": np.linalg.cholesky(correlation_GG).astype(np.float32)}


def _whitened(rows_NG: NDArray[np.float64], scatter: State) -> NDArray[Any]:
    scaled_GN = (rows_NG / scatter["sd_G"]).T
    return np.asarray(solve_triangular(scatter["cholesky_GG"], scaled_GN, lower=True).T)
