"""Kernels of drugs, doses and cell lines (Tanimoto, RBF, identity), and the features they read.

What belongs here: kernels (symmetric, positive semi-definite, 1 on the diagonal) and standardised
features. A drug without structure is like itself alone: it gets no feature, never a zero vector
that would make it resemble other drugs.

Shapes: A, B = keys on either side, F = features.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.blocks import Block
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear.base import Flags, Floats, Texts
from drug_pipeline.linear.means import log_dose


def block_rows(table: EmbeddingTable, keys_A: Texts) -> tuple[Floats, Flags]:
    """Vectors of the keys (A, F), rows of 0 where there is none, and who has one (A)."""
    position = {key: row for row, key in enumerate(table.keys)}
    is_known_A = np.array([str(key) in position for key in keys_A], dtype=bool)
    vectors_AF = np.zeros((len(keys_A), table.vectors_KF.shape[1]))
    rows = [position[str(key)] for key in keys_A[is_known_A]]
    vectors_AF[is_known_A] = table.vectors_KF[rows]
    return vectors_AF, is_known_A


def scaled(table: EmbeddingTable) -> EmbeddingTable:
    """The table with each feature standardised and clipped at ±4.

    The scale is that of the whole table: features are known without any treated cell.
    """
    vectors_KF = table.vectors_KF.astype(np.float64)
    spread_F = vectors_KF.std(axis=0)
    centred_KF = vectors_KF - vectors_KF.mean(axis=0)
    scaled_KF = np.where(spread_F > 1e-9, centred_KF / np.maximum(spread_F, 1e-9), 0.0)
    return replace(table, vectors_KF=scaled_KF.clip(-4.0, 4.0).astype(np.float32))


def same_key(keys_A: NDArray[Any], keys_B: NDArray[Any]) -> Floats:
    """Identity kernel: 1 where two keys are equal, else 0 (A, B)."""
    return np.asarray(keys_A[:, None] == keys_B[None, :], dtype=np.float64)


def tanimoto(counts_AF: Floats, counts_BF: Floats) -> Floats:
    """Tanimoto similarity of non-negative counts: sum of minima over sum of maxima (A, B).

    Two rows of zeros are not alike (0). Row by row, so that memory stays at B × F.

    Notes
    -----
    The MinMax kernel of Ralaivola, Swamidass, Saigo & Baldi (2005), "Graph kernels for chemical
    informatics".
    """
    total_A, total_B = counts_AF.sum(axis=1), counts_BF.sum(axis=1)
    shared_AB = np.array([np.minimum(row_F, counts_BF).sum(axis=1) for row_F in counts_AF]).reshape(
        len(counts_AF), len(counts_BF)
    )
    union_AB = total_A[:, None] + total_B[None, :] - shared_AB
    similarity_AB = np.zeros_like(shared_AB)
    np.divide(shared_AB, union_AB, out=similarity_AB, where=union_AB > 0)
    return similarity_AB


def squared_distance(vectors_AF: Floats, vectors_BF: Floats) -> Floats:
    """Squared Euclidean distances (A, B)."""
    square_A = np.einsum("af,af->a", vectors_AF, vectors_AF)
    square_B = np.einsum("bf,bf->b", vectors_BF, vectors_BF)
    cross_AB = vectors_AF @ vectors_BF.T
    distance_AB = square_A[:, None] + square_B[None, :] - 2.0 * cross_AB
    return np.asarray(np.maximum(distance_AB, 0.0))


def median_squared_distance(vectors_AF: Floats) -> float:
    """Median squared distance between different rows; 1 where there is no such pair.

    Notes
    -----
    The median heuristic for the width of an RBF kernel: Gretton, Borgwardt, Rasch, Schölkopf &
    Smola (2012), "A kernel two-sample test".
    """
    distance_AA = squared_distance(vectors_AF, vectors_AF)
    positive = distance_AA[distance_AA > 1e-9]
    return float(np.median(positive)) if len(positive) else 1.0


def block_likeness(
    block: Block, table: EmbeddingTable, keys_A: Texts, keys_B: Texts, *, width: float = 1.0
) -> Floats:
    """Kernel of drugs or lines by one block of features: 1 for a key with itself (A, B).

    Tanimoto similarity of counts, else an RBF kernel with ``width`` in median squared distances
    between the keys of the table. A key without a vector is like itself alone.

    Notes
    -----
    Tanimoto: :func:`tanimoto`; the RBF width: :func:`median_squared_distance`. That a key without a
    vector is like itself alone is ours.
    """
    if block.values == "counts":
        vectors_AF, _ = block_rows(table, keys_A)
        vectors_BF, _ = block_rows(table, keys_B)
        kernel_AB = tanimoto(vectors_AF, vectors_BF)
    else:
        table = scaled(table) if block.values == "numbers" else table
        scale = width * median_squared_distance(table.vectors_KF.astype(np.float64))
        vectors_AF, is_known_A = block_rows(table, keys_A)
        vectors_BF, is_known_B = block_rows(table, keys_B)
        kernel_AB = np.exp(-squared_distance(vectors_AF, vectors_BF) / scale)
        kernel_AB *= is_known_A[:, None] * is_known_B[None, :]
    return np.asarray(np.maximum(kernel_AB, same_key(keys_A, keys_B)))


def dose_rbf(dose_um_A: Floats, dose_um_B: Floats, *, width: float = 1.0) -> Floats:
    """RBF kernel over log10 dose; ``width`` is the standard deviation in decades (A, B).

    Notes
    -----
    The squared exponential kernel: Rasmussen & Williams (2006), "Gaussian Processes for Machine
    Learning", chapter 4.
    """
    gap_AB = log_dose(dose_um_A)[:, None] - log_dose(dose_um_B)[None, :]
    return np.asarray(np.exp(-(gap_AB**2) / (2.0 * width**2)))
