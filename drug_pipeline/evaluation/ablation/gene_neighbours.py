"""Nearest-neighbour enrichment of gene sets, and rank agreement, of gene embeddings.

What belongs here: neighbours, their enrichment for gene sets, agreement with co-expression and
co-response, a map. What does not: where vectors come from (``training/``), words and pictures.

Shapes: G = genes, A = annotated genes, K = neighbours, E = width, M = profiles.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap

N_NEIGHBOURS: Final = 10
N_PERMUTATIONS: Final = 1_000
MIN_ANNOTATED: Final = 50
"""With fewer genes in any set nothing is said of enrichment."""
MIN_SET: Final = 5
"""Sets with fewer genes of the panel are left out."""
MIN_GENES: Final = 30
"""With fewer vectors there are no neighbourhoods to speak of."""
MIN_PROFILES: Final = 5

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Enrichment:
    """Enrichment of shared gene sets among nearest neighbours, against permuted genes.

    ``ratio`` is the share of neighbours with a set in common over its mean when sets are dealt out
    to genes anew; the interval is over genes, ``p`` counts permutations that reach the share.
    """

    ratio: float
    low: float
    high: float
    p: float
    n_genes: int
    n_sets: int


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Mean rank correlation over genes of two similarities to all other genes, with interval."""

    value: float
    low: float
    high: float
    n_genes: int


def likeness(vectors_GE: Vectors) -> NDArray[np.float64]:
    """Cosine similarity of every two genes (G, G); 0 for a vector of zeros."""
    vectors_GE = np.asarray(vectors_GE, dtype=np.float64)
    norm_G1 = np.linalg.norm(vectors_GE, axis=1, keepdims=True)
    unit_GE = vectors_GE / np.where(norm_G1 > 0, norm_G1, 1.0)
    return np.asarray(unit_GE @ unit_GE.T)


def correlation(profiles_MG: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """Correlation of every two genes over profiles (G, G); None with too few profiles."""
    if len(profiles_MG) < MIN_PROFILES:
        return None
    profiles_MG = np.asarray(profiles_MG, dtype=np.float64)
    return likeness((profiles_MG - profiles_MG.mean(axis=0)).T.astype(np.float32))


def enrichment(
    vectors_GE: Vectors,
    symbols_G: Sequence[str],
    gene_sets: Mapping[str, Collection[str]],
    config: BootstrapConfig,
) -> Enrichment | None:
    """Enrichment of gene sets among the nearest neighbours by cosine; None with too few genes.

    Genes in no set take no part, neither as genes nor as neighbours.
    """
    member_SG = np.array([np.isin(symbols_G, list(members)) for members in gene_sets.values()])
    member_SG = member_SG[member_SG.sum(axis=1) >= MIN_SET] if len(member_SG) else member_SG
    annotated = np.flatnonzero(member_SG.any(axis=0)) if len(member_SG) else np.zeros(0, int)
    if len(annotated) < MIN_ANNOTATED:
        return None
    member_AS = member_SG[:, annotated].T.astype(np.float32)
    is_shared_AA = member_AS @ member_AS.T > 0
    neighbour_AK = _nearest(np.asarray(vectors_GE)[annotated])
    genes_A1 = np.arange(len(annotated))[:, None]
    share_A = is_shared_AA[genes_A1, neighbour_AK].mean(axis=1)
    rng = np.random.default_rng(config.seed)
    permuted = np.empty(N_PERMUTATIONS)
    for number in range(N_PERMUTATIONS):
        order = rng.permutation(len(annotated))
        permuted[number] = is_shared_AA[order[genes_A1], order[neighbour_AK]].mean()
    expected = float(permuted.mean())
    found = ClusterBootstrap(np.arange(len(share_A)), config).means(share_A[:, None] / expected)
    return Enrichment(
        ratio=float(found.value_M[0]),
        low=float(found.low_M[0]),
        high=float(found.high_M[0]),
        p=float((1 + np.sum(permuted >= share_A.mean())) / (1 + N_PERMUTATIONS)),
        n_genes=len(annotated),
        n_sets=len(member_SG),
    )


def agreement(
    vectors_GE: Vectors, other_GG: NDArray[np.float64] | None, config: BootstrapConfig
) -> Agreement | None:
    """Agreement of cosines of vectors with another likeness of the same genes; None without it."""
    if other_GG is None:
        return None
    own, other = (_ranks_without_self(one) for one in (likeness(vectors_GE), other_GG))
    scale_G = np.sqrt((own**2).sum(axis=1) * (other**2).sum(axis=1))
    value_G = np.full(len(own), np.nan)
    is_defined_G = scale_G > 0
    value_G[is_defined_G] = (own * other).sum(axis=1)[is_defined_G] / scale_G[is_defined_G]
    found = ClusterBootstrap(np.arange(len(own)), config).means(value_G[:, None])
    return Agreement(
        value=float(found.value_M[0]),
        low=float(found.low_M[0]),
        high=float(found.high_M[0]),
        n_genes=int(found.n_M[0]),
    )


def main_components(delta_NG: NDArray[np.float32], width: int) -> Vectors:
    """Gene loadings on the principal components of Δ, scaled by their size: no network (G, E)."""
    from drug_pipeline.linear.main_axes import main_axes

    centred_NG = np.asarray(delta_NG, dtype=np.float64)
    centred_NG = centred_NG - centred_NG.mean(axis=0)
    axes_EG = main_axes(centred_NG, width)
    size_E = np.linalg.norm(centred_NG @ axes_EG.T, axis=0)
    return np.asarray(axes_EG.T * size_E, dtype=np.float32)


def map_of(vectors_GE: Vectors, *, seed: int) -> NDArray[np.float32]:
    """Places of genes on a plane, by UMAP through scanpy on the cosines of vectors (G, 2)."""
    import warnings

    import anndata
    import scanpy

    genes = anndata.AnnData(np.asarray(vectors_GE, dtype=np.float32))
    with warnings.catch_warnings():
        # umap asks for one thread wherever a seed is set, and says so each time.
        warnings.simplefilter("ignore", UserWarning)
        scanpy.pp.neighbors(genes, n_neighbors=15, use_rep="X", metric="cosine", random_state=seed)
        scanpy.tl.umap(genes, random_state=seed)
    return np.asarray(genes.obsm["X_umap"], dtype=np.float32)


def _nearest(vectors_AE: Vectors) -> NDArray[np.int64]:
    like_AA = likeness(vectors_AE)
    np.fill_diagonal(like_AA, -np.inf)
    return np.argsort(-like_AA, axis=1, kind="stable")[:, :N_NEIGHBOURS]


def _ranks_without_self(like_GG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred ranks of each gene's likeness to all others (G, G - 1)."""
    from scipy.stats import rankdata

    n_genes = len(like_GG)
    others = ~np.eye(n_genes, dtype=bool)
    ranks = rankdata(like_GG[others].reshape(n_genes, n_genes - 1), axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))
