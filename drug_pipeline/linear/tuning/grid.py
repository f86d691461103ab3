"""Conditions folded onto a treatment × line grid.

What belongs here: replicates averaged, missing cells masked, asked conditions found. All of it is
linear in the number of conditions; nothing is N × N.

Shapes: N = conditions, C = measured cells of the grid, T = treatments (drug, dose), L = lines,
G = genes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import Conditions
from drug_pipeline.linear.means import LEVELS, find, group_sums, join_keys, log_dose


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
