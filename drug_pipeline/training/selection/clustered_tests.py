"""Paired tests of two predictors on validation errors, with cluster-robust standard errors.

Conditions of one compound (and, where lines or doses are held out, of one line or dose) err
together: what counts is the mean difference of each cluster, and how far the clusters agree.

Shapes: N = validation conditions, G = genes, C = clusters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from drug_pipeline.domain import names
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.linear import Conditions
from drug_pipeline.linear.means import unit_keys
from drug_pipeline.linear.tuning.inner_folds import shuffled_fold

LEVEL: Final = 0.95
"""One-sided confidence that a more complex predictor has the lower error."""
MIN_CLUSTERS: Final = 3
"""With fewer clusters nothing can be shown."""
N_FOLDS: Final = 5
"""Folds of clusters in which weights are fitted on the others."""

Predicted = Mapping[str, NDArray[Any]]


def is_lower(
    candidate_NG: NDArray[Any],
    reference_NG: NDArray[Any],
    measured_NG: NDArray[Any],
    clusterings: Sequence[NDArray[Any]],
) -> bool:
    """Whether the candidate's squared error is below the reference's, by a clustered t interval.

    It must be so under each clustering. With fewer than three clusters nothing can be shown.
    """
    candidate_N = np.mean((candidate_NG - measured_NG).astype(np.float64) ** 2, axis=1)
    reference_N = np.mean((reference_NG - measured_NG).astype(np.float64) ** 2, axis=1)
    return all(upper_bound(candidate_N - reference_N, one) < 0 for one in clusterings)


def is_within_one_error(
    candidate_N: NDArray[np.float64], lowest_N: NDArray[np.float64], cluster_N: NDArray[Any]
) -> bool:
    """One-standard-error rule: whether the mean of some errors is at most a clustered SE above the lowest.

    With fewer than three clusters there is no standard error to speak of: it is not.

    Notes
    -----
    The one standard error rule of Breiman, Friedman, Olshen & Stone (1984), "Classification and
    Regression Trees", on paired differences.
    """
    mean, error, n_clusters = clustered(candidate_N - lowest_N, cluster_N)
    return n_clusters >= MIN_CLUSTERS and mean <= error


def is_above_one_error(gain_N: NDArray[np.float64], cluster_N: NDArray[Any]) -> bool:
    """Whether a mean gain is above its standard error; not with fewer than three clusters.

    Notes
    -----
    As :func:`is_within_one_error`, for a gain.
    """
    mean, error, n_clusters = clustered(gain_N, cluster_N)
    return n_clusters >= MIN_CLUSTERS and mean > error


def upper_bound(difference_N: NDArray[np.float64], cluster_N: NDArray[Any]) -> float:
    """Upper end of the one-sided 95 % Student interval of the mean difference, clustered.

    Infinity with fewer than three clusters.

    Notes
    -----
    Student's t with clusters - 1 degrees of freedom: Cameron & Miller (2015), "A practitioner's
    guide to cluster-robust inference".
    """
    mean, error, n_clusters = clustered(difference_N, cluster_N)
    if n_clusters < MIN_CLUSTERS:
        return np.inf
    return mean + float(stdtrit(n_clusters - 1, LEVEL)) * error


def clustered(
    difference_N: NDArray[np.float64], cluster_N: NDArray[Any]
) -> tuple[float, float, int]:
    """Mean difference, its cluster-robust standard error, and the number of clusters.

    The error is that of a ratio of cluster totals, so that clusters of many conditions count for
    as many.

    Notes
    -----
    The cluster-robust variance of Liang & Zeger (1986), "Longitudinal data analysis using
    generalized linear models", of a mean, with the factor clusters / (clusters - 1) of Cameron &
    Miller (2015), "A practitioner's guide to cluster-robust inference".
    """
    _, code_N = np.unique(cluster_N, return_inverse=True)
    size_C = np.bincount(code_N)
    n_clusters = len(size_C)
    mean = float(difference_N.mean())
    excess_C = np.bincount(code_N, weights=difference_N) - mean * size_C
    inflation = n_clusters / max(n_clusters - 1, 1)
    variance = inflation * float(np.sum(excess_C**2)) / len(difference_N) ** 2
    return mean, float(np.sqrt(variance)), n_clusters


def clusterings(asked: Conditions, parent_N: NDArray[np.str_], kind: str) -> list[NDArray[np.str_]]:
    """Cluster labels for a kind of split: what is held out as a whole, then parent compounds.

    The lines, where lines are held out; the doses, where doses are: what holds at one dose between
    many compounds need not hold at the next.
    """
    return [
        parent_N if column == names.PARENT_COMPOUND else unit_keys(asked, [column])
        for column in kind_of(kind).clusters
    ]


def cross_fitted(
    predicted: Predicted,
    cluster_N: NDArray[Any],
    mixed: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Cross-fitted predictions of a mixture: on each cluster, weights fitted on others (N, G).

    Weights that are judged on the rows they were fitted on look better than they are.

    Parameters
    ----------
    mixed
        Takes rows to fit on and rows to predict, gives the mixture's predictions of the latter.

    Notes
    -----
    Cross-fitting: Chernozhukov et al. (2018), "Double/debiased machine learning for treatment and
    structural parameters"; by whole clusters, as Roberts et al. (2017), "Cross-validation
    strategies for data with temporal, spatial, hierarchical, or phylogenetic structure".
    """
    fold_N = shuffled_fold(cluster_N, N_FOLDS, seed=0)
    total_NG = np.zeros(next(iter(predicted.values())).shape, dtype=np.float32)
    for fold in np.unique(fold_N):
        held, others = np.flatnonzero(fold_N == fold), np.flatnonzero(fold_N != fold)
        total_NG[held] = mixed(others if len(others) else held, held)
    return total_NG
