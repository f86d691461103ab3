"""Conditions folded onto a treatment × line grid, and Δ folded onto its main axes.

What belongs here: what several families of models share — replicates averaged, missing cells
masked, genes reduced. All of it is linear in the number of conditions; nothing is N × N.

Shapes: N = conditions, C = measured cells of the grid, T = treatments (drug, dose), L = lines,
G = genes, K = axes kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from drug_pipeline.linear.base import Conditions
from drug_pipeline.linear.means import LEVELS, find, group_sums, join_keys


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Measured (treatment, line) cells; replicate plates are averaged by their evidence.

    ``treatments_T`` (``drug|dose``) and ``lines_L`` are sorted; ``weight_C`` sums the evidence.
    """

    treatments_T: NDArray[np.str_]
    drug_T: NDArray[np.str_]
    dose_um_T: NDArray[np.float64]
    lines_L: NDArray[np.str_]
    treatment_C: NDArray[np.int64]
    line_C: NDArray[np.int64]
    weight_C: NDArray[np.float64]
    values_CG: NDArray[np.float64]

    def dense(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values with 0 where nothing was measured (T, L, G), and the mask of what was (T, L)."""
        shape = (len(self.treatments_T), len(self.lines_L))
        values_TLG = np.zeros((*shape, self.values_CG.shape[1]))
        values_TLG[self.treatment_C, self.line_C] = self.values_CG
        is_measured_TL = np.zeros(shape, dtype=bool)
        is_measured_TL[self.treatment_C, self.line_C] = True
        return values_TLG, is_measured_TL


def to_grid(train: Conditions, values_NG: NDArray[Any], weight_N: NDArray[np.float64]) -> Grid:
    """The conditions as a grid; a cell whose evidence is all 0 counts as not measured."""
    is_used_N = weight_N > 0
    train, values_NG, weight_N = train.take(is_used_N), values_NG[is_used_N], weight_N[is_used_N]
    treatments_T, first_T, treatment_N = np.unique(
        LEVELS["drug_dose"](train), return_index=True, return_inverse=True
    )
    lines_L, line_N = np.unique(train.line_N, return_inverse=True)
    cells_C, cell_N = np.unique(treatment_N * len(lines_L) + line_N, return_inverse=True)
    weight_C = np.bincount(cell_N, weights=weight_N).astype(np.float64)
    values_CG = group_sums(values_NG * weight_N[:, None], cell_N, len(cells_C))
    return Grid(
        treatments_T=treatments_T,
        drug_T=train.drug_N[first_T],
        dose_um_T=train.dose_um_N[first_T],
        lines_L=lines_L,
        treatment_C=cells_C // len(lines_L),
        line_C=cells_C % len(lines_L),
        weight_C=weight_C,
        values_CG=values_CG / weight_C[:, None],
    )


def grid_positions(
    treatments_T: NDArray[np.str_], lines_L: NDArray[np.str_], asked: Conditions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Treatment and line of each asked condition on a grid; -1 where never seen."""
    return find(treatments_T, LEVELS["drug_dose"](asked)), find(lines_L, asked.line_N)


def nearest_treatment(
    drug_T: NDArray[np.str_], dose_um_T: NDArray[np.float64], asked: Conditions
) -> NDArray[np.int64]:
    """The treatment of the same drug at the nearest dose (log scale); -1 for an unseen drug."""
    nearest_N = np.full(len(asked), -1, dtype=np.int64)
    wanted_U, user_N = np.unique(join_keys(asked.drug_N, asked.dose_um_N), return_inverse=True)
    first_U = np.unique(user_N, return_index=True)[1]
    for unique, row in enumerate(first_U[: len(wanted_U)]):
        own_S = np.flatnonzero(drug_T == asked.drug_N[row])
        if len(own_S):
            gap_S = np.abs(log_dose(dose_um_T[own_S]) - log_dose(asked.dose_um_N[[row]]))
            nearest_N[user_N == unique] = own_S[np.argmin(gap_S)]
    return nearest_N


def log_dose(dose_um_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 of the dose in µM; doses below 1 pM count as 1 pM."""
    return np.log10(np.maximum(dose_um_N, 1e-6))


def main_axes(values_NG: NDArray[Any], n_axes: int) -> NDArray[np.float64]:
    """Orthonormal gene axes with the largest second moment, strongest first (K, G).

    K is ``n_axes``, or fewer where rows or genes are fewer. The sign of an axis is fixed (its
    largest entry is positive), so that equal data give equal axes. Cost: one eigendecomposition
    of the smaller of the two Gram matrices, at most G × G.
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
