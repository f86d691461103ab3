"""Matrix completion of the drug × line interaction from other lines and drugs (both are known).

What belongs here: panel ridge, line ridge, low-rank completion; all on the residual
of the shrunk additive model, as a treatment × line × axis array with 0 where nothing was measured.
An unseen drug or line has no residual and gets the additive answer.

Cost: T² · L · K for line ridge and L² · T · K for panel ridge and completion (T = 1,137, L = 50,
K = 128 for full Tahoe: about 8 and 0.4 GFLOP per ridge strength); memory 8 · T · L · K bytes.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, K = gene axes, M = a
line's measured treatments.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import linalg

from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Flags,
    Floats,
    State,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.means import fit_additive, predict_additive
from drug_pipeline.linear.tuning.grid import grid_positions, to_grid
from drug_pipeline.linear.tuning.tuned import TunedPredictor

RIDGES: Final = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Ridge strengths tried, in units of the mean diagonal of the Gram matrix."""
THRESHOLDS: Final = (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Soft thresholds tried, as shares of the largest singular value."""
N_IMPUTE_PASSES: Final = 8
"""Soft-impute passes per threshold, each started from the answer of the stronger one."""


class ResidualFill(TunedPredictor[float]):
    """Additive model plus a completed residual matrix; subclasses write ``_fill``."""

    def __init__(self, name: str, *, kind: str, strengths: Sequence[float] = RIDGES) -> None:
        super().__init__(name, kind=kind, candidates=strengths, default=strengths[3])

    @abstractmethod
    def _fill(
        self, residual_TLK: Floats, is_measured_TL: Flags, strengths: Sequence[float]
    ) -> list[Floats]:
        """The residual of every cell of the grid (T, L, K), one array per strength."""

    def _states(self, scored: TrainingRecord, candidates: Sequence[float]) -> list[State]:
        base_state = fit_additive(scored)
        base_NK = predict_additive(scored.conditions, base_state)
        grid = to_grid(scored.with_delta(scored.delta_NG - base_NK))
        residual_TLK, is_measured_TL = grid.dense()
        shared = nested("base", base_state) | {
            "treatments_T": grid.treatments_T,
            "lines_L": grid.lines_L,
        }
        filled = self._fill(residual_TLK, is_measured_TL, candidates)
        return [shared | {"filled_TLK": filled_TLK} for filled_TLK in filled]

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        del features
        predicted_NK = predict_additive(asked, part("base", state))
        treatment_N, line_N = grid_positions(state["treatments_T"], state["lines_L"], asked)
        is_known_N = (treatment_N >= 0) & (line_N >= 0)
        predicted_NK[is_known_N] += state["filled_TLK"][treatment_N[is_known_N], line_N[is_known_N]]
        return predicted_NK


class PanelRidge(ResidualFill):
    """Vertical ridge regression: a line from the other lines, fitted on its own treatments.

    Notes
    -----
    The vertical regression of Athey, Bayati, Doudchenko, Imbens & Khosravi (2021), "Matrix
    completion methods for causal panel data models", as in synthetic control.
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("panel_ridge", kind=kind)

    def _fill(
        self, residual_TLK: Floats, is_measured_TL: Flags, strengths: Sequence[float]
    ) -> list[Floats]:
        gram_TLL = np.einsum("tlk,tmk->tlm", residual_TLK, residual_TLK, optimize=True)
        filled = [np.zeros_like(residual_TLK) for _ in strengths]
        for line in range(residual_TLK.shape[1]):
            others = np.delete(np.arange(residual_TLK.shape[1]), line)
            gram_LL = gram_TLL[is_measured_TL[:, line]].sum(axis=0)
            solutions = ridge_paths(
                gram_LL[np.ix_(others, others)], gram_LL[others, line][:, None], strengths
            )
            for answer, weight_L1 in zip(filled, solutions, strict=True):
                answer[:, line] = np.einsum(
                    "tlk,l->tk", residual_TLK[:, others], weight_L1[:, 0], optimize=True
                )
        return filled


class LineRidge(ResidualFill):
    """Horizontal ridge regression: an unseen (drug, line) from the treatments of that line.

    The combination is learned on the other lines, whose unmeasured treatments count as additive.
    After Rhaister (Tahoe Therapeutics), on a shrunk base and with all lines in one Gram matrix.

    Notes
    -----
    The horizontal regression of Athey et al. (2021), "Matrix completion methods for causal panel
    data models".
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("line_ridge", kind=kind)

    def _fill(
        self, residual_TLK: Floats, is_measured_TL: Flags, strengths: Sequence[float]
    ) -> list[Floats]:
        n_treatments = len(residual_TLK)
        flat_TX = residual_TLK.reshape(n_treatments, -1)
        gram_TT = flat_TX @ flat_TX.T
        filled = [np.zeros_like(residual_TLK) for _ in strengths]
        for line in range(residual_TLK.shape[1]):
            own_M = np.flatnonzero(is_measured_TL[:, line])
            own_TK = residual_TLK[:, line]
            others_TT = gram_TT - own_TK @ own_TK.T
            solutions = ridge_paths(others_TT[np.ix_(own_M, own_M)], own_TK[own_M], strengths)
            for answer, weight_MK in zip(filled, solutions, strict=True):
                answer[:, line] = others_TT[:, own_M] @ weight_MK
        return filled


class Completion(ResidualFill):
    """Additive model plus a low-rank interaction: soft-impute on the line × (treatment, axis) matrix.

    Missing entries are filled with the current estimate and the singular values shrunk by a
    threshold, here a share of the largest one.

    Notes
    -----
    Mazumder, Hastie & Tibshirani (2010), "Spectral regularization algorithms for learning large
    incomplete matrices".
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("additive_svd", kind=kind, strengths=THRESHOLDS)

    def _fill(
        self, residual_TLK: Floats, is_measured_TL: Flags, strengths: Sequence[float]
    ) -> list[Floats]:
        n_lines = residual_TLK.shape[1]
        observed_LX = residual_TLK.transpose(1, 0, 2).reshape(n_lines, -1)
        shape = (n_lines, residual_TLK.shape[0], residual_TLK.shape[2])
        is_measured_L1 = np.repeat(is_measured_TL.T, residual_TLK.shape[2], axis=1)
        largest = np.sqrt(max(float(linalg.eigvalsh(observed_LX @ observed_LX.T)[-1]), 1e-30))
        filled, current_LX = [], np.zeros_like(observed_LX)
        for strength in sorted(strengths, reverse=True):
            for _ in range(N_IMPUTE_PASSES):
                complete_LX = np.where(is_measured_L1, observed_LX, current_LX)
                values_L, vectors_LL = linalg.eigh(complete_LX @ complete_LX.T)
                singular_L = np.sqrt(np.maximum(values_L, 1e-30))
                keep_L = np.maximum(1.0 - strength * largest / singular_L, 0.0)
                current_LX = (vectors_LL * keep_L) @ (vectors_LL.T @ complete_LX)
            filled.append((strength, current_LX.reshape(shape).transpose(1, 0, 2)))
        by_strength = dict(filled)
        return [by_strength[strength] for strength in strengths]


def ridge_paths(gram_MM: Floats, target_MK: Floats, strengths: Sequence[float]) -> list[Floats]:
    """Ridge solutions ``(gram + strength · mean diagonal)⁻¹ target``, one per strength.

    One eigendecomposition where several strengths are asked, one Cholesky where one is.

    Notes
    -----
    Hoerl & Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems".
    """
    size = len(gram_MM)
    if size == 0:
        return [np.zeros_like(target_MK) for _ in strengths]
    scale = max(float(np.trace(gram_MM)) / size, 1e-12)
    if len(strengths) == 1:
        system_MM = gram_MM + strengths[0] * scale * np.eye(size)
        return [linalg.solve(system_MM, target_MK, assume_a="pos")]
    values_M, vectors_MM = linalg.eigh(gram_MM)
    turned_MK = vectors_MM.T @ target_MK
    return [
        vectors_MM @ (turned_MK / (values_M + strength * scale)[:, None]) for strength in strengths
    ]
