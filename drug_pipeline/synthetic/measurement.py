"""What a measured expression is expected to be: the mean over cells of ln(1 + 10,000 · count / library).

The generator draws counts from a negative binomial with mean ``library · p`` and one dispersion for
all genes, with lognormal library sizes. The expectation of the log is then one function of ``p``.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.names import TARGET_SUM

LIBRARY_SD = 0.35
"""Spread (natural log) of the library size between cells of a well."""
DISPERSION_SHAPE = 4.0
"""Shape of the gamma that multiplies a gene's mean in one cell; variance 1/4 of the squared mean."""

_N_LIBRARY_NODES = 9
_GRID_SIZE = 300
_LOG_P_RANGE = (-19.0, 0.0)


def expected_log1p_cp10k(
    median_umi: float,
) -> Callable[[NDArray[np.floating]], NDArray[np.float64]]:
    """The function that turns expression shares into expected mean ln(1 + 10,000 · count / library).

    Parameters
    ----------
    median_umi
        Median library size, in UMI.

    Returns
    -------
    A function of ln(share) of any shape, a share being a gene's part of a cell's RNA; natural logs
    out. It integrates the count distribution over Gauss-Hermite nodes of the log library size on a
    grid of shares, and interpolates linearly in ln(share).

    Notes
    -----
    The library is taken as drawn; the pipeline divides by the sum of the drawn counts, whose own
    counting noise moves the expectation by at most 0.02 for a gene and 0.002 over all genes.
    """
    from scipy.special import roots_hermitenorm
    from scipy.stats import nbinom

    nodes, weights = roots_hermitenorm(_N_LIBRARY_NODES)
    weights = weights / weights.sum()
    log_p_grid = np.linspace(*_LOG_P_RANGE, _GRID_SIZE)
    expected = np.zeros(_GRID_SIZE)
    for node, weight in zip(nodes, weights, strict=True):
        library = median_umi * np.exp(LIBRARY_SD * node)
        means = library * np.exp(log_p_grid)
        for position, mean in enumerate(means):
            top = int(np.ceil(mean + 12.0 * np.sqrt(mean + mean**2 / DISPERSION_SHAPE) + 12.0))
            counts = np.arange(top + 1)
            chance = nbinom.pmf(
                counts, DISPERSION_SHAPE, DISPERSION_SHAPE / (DISPERSION_SHAPE + mean)
            )
            expected[position] += weight * float(chance @ np.log1p(TARGET_SUM * counts / library))

    def of_log_share(log_share: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(np.interp(log_share, log_p_grid, expected))

    return of_log_share


def log_softmax(log_rate: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log shares along the last axis: ``log_rate`` less the log of its summed exponential."""
    shifted = log_rate - log_rate.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def expected_umi(median_umi: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean library size, in UMI, of wells with these medians."""
    return np.asarray(median_umi * np.exp(LIBRARY_SD**2 / 2.0))


def expected_detected_genes(share_LG: NDArray[np.floating], library: float) -> float:
    """Mean number of genes with a count in a cell of this library size, over equally many of each line."""
    absent_LG = (1.0 + library * share_LG / DISPERSION_SHAPE) ** -DISPERSION_SHAPE
    return float((1.0 - absent_LG).sum(axis=1).mean())
