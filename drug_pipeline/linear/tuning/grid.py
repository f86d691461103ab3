"""Conditions arranged as a treatment × line matrix.

What belongs here: replicates averaged, missing cells masked, asked conditions found. All of it is
linear in the number of conditions; nothing is N × N.

Shapes: N = conditions, C = measured cells of the grid, T = treatments (drug, dose), L = lines,
G = genes.
"""

from dataclasses import dataclass

import numpy as np

from drug_pipeline.linear.base import Conditions, Flags, Floats, Ints, MeasuredConditions, Texts
from drug_pipeline.linear.means import LEVELS, find, group_sums


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Measured (treatment, line) cells; replicate plates are averaged by their evidence.

    ``treatments_T`` (``drug|dose``) and ``lines_L`` are sorted; ``weight_C`` sums the evidence.
    """

    treatments_T: Texts
    drug_T: Texts
    dose_um_T: Floats
    lines_L: Texts
    treatment_C: Ints
    line_C: Ints
    weight_C: Floats
    values_CG: Floats

    def dense(self) -> tuple[Floats, Flags]:
        """Values with 0 where nothing was measured (T, L, G), and the mask of what was (T, L)."""
        shape = (len(self.treatments_T), len(self.lines_L))
        values_TLG = np.zeros((*shape, self.values_CG.shape[1]))
        values_TLG[self.treatment_C, self.line_C] = self.values_CG
        is_measured_TL = np.zeros(shape, dtype=bool)
        is_measured_TL[self.treatment_C, self.line_C] = True
        return values_TLG, is_measured_TL


def to_grid(measured: MeasuredConditions) -> Grid:
    """The conditions as a matrix; a cell whose weights are all 0 counts as not measured."""
    used = measured.take(measured.weight_N > 0)
    train, weight_N = used.conditions, used.weight_N
    treatments_T, first_T, treatment_N = np.unique(
        LEVELS["drug_dose"](train), return_index=True, return_inverse=True
    )
    lines_L, line_N = np.unique(train.line_N, return_inverse=True)
    cells_C, cell_N = np.unique(treatment_N * len(lines_L) + line_N, return_inverse=True)
    weight_C = np.bincount(cell_N, weights=weight_N).astype(np.float64)
    values_CG = group_sums(used.delta_NG * weight_N[:, None], cell_N, len(cells_C))
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


def grid_positions(treatments_T: Texts, lines_L: Texts, asked: Conditions) -> tuple[Ints, Ints]:
    """Treatment and line of each asked condition on a grid; -1 where never seen."""
    return find(treatments_T, LEVELS["drug_dose"](asked)), find(lines_L, asked.line_N)
