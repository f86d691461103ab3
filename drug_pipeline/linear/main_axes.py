"""Principal components about the origin: leading right singular vectors, rows not centred.

Shapes: N = rows, G = genes or other features, K = axes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from drug_pipeline.linear.base import Floats


def main_axes(values_NG: NDArray[Any], n_axes: int) -> Floats:
    """Principal gene axes (uncentred PCA): orthonormal, largest second moment first (K, G).

    K is ``n_axes``, or fewer where rows or genes are fewer. The sign of an axis is fixed (its
    largest entry is positive), so that equal data give equal axes. Cost: one eigendecomposition
    of the smaller of the two Gram matrices, at most G × G.

    Notes
    -----
    The best approximation of lower rank: Eckart & Young (1936), "The approximation of one matrix by
    another of lower rank". Rows are not centred here; equals the right singular vectors of
    ``numpy.linalg.svd`` up to their sign.
    """
    n_rows, n_genes = values_NG.shape
    n_kept = min(n_axes, n_rows, n_genes)
    values_NG = values_NG.astype(np.float64, copy=False)
    is_wide = n_rows < n_genes
    gram = values_NG @ values_NG.T if is_wide else values_NG.T @ values_NG
    size = len(gram)
    values_K, vectors = linalg.eigh(gram, subset_by_index=[size - n_kept, size - 1])
    axes_KG = (vectors.T @ values_NG if is_wide else vectors.T)[::-1]
    is_real_K = values_K[::-1] > max(float(values_K[-1]), 1e-30) * 1e-12
    axes_KG = axes_KG[is_real_K] if is_real_K.any() else np.eye(1, n_genes)
    axes_KG = axes_KG / np.linalg.norm(axes_KG, axis=1, keepdims=True)
    peak_K = np.argmax(np.abs(axes_KG), axis=1)
    sign_K = np.sign(axes_KG[np.arange(len(axes_KG)), peak_K])
    return np.asarray(axes_KG * sign_K[:, None])
