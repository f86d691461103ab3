"""Cell lines never treated, by their control profiles: kernel ridge, and one regression per gene.

What belongs here: the RBF kernel ridge over control PCs, and the line per gene on control
expression; both correct the shrunk mean of the drug at that dose. A treatment never
measured gets that mean alone (of the drug, of its parent, of the dose).

Cost: one L × L system a pattern of missing lines (at most T); memory 8 · T · L · K bytes, and
8 · T · G for the per-gene model.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, G = genes, K = gene axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from drug_pipeline.domain.blocks import KERNEL_BLOCKS
from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Floats,
    Predictor,
    State,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.kernel_ridge.likeness import (
    line_likeness,
    line_mix_of,
    line_mix_state,
    line_mixes,
)
from drug_pipeline.linear.means import (
    DRUG_LEVELS,
    LEVELS,
    find,
    fit_effects,
    group_sums,
    predict_effects,
)
from drug_pipeline.linear.tuning.grid import Grid, to_grid
from drug_pipeline.linear.tuning.inner_folds import Rows, choose, inner_folds
from drug_pipeline.linear.tuning.tuned import TunedPredictor

WIDTH_RIDGES: Final = tuple(
    (width, ridge) for width in (0.3, 1.0, 3.0) for ridge in (0.1, 0.3, 1.0, 3.0, 10.0)
)
"""Width (median squared distances between lines) and ridge tried."""
SLOPE_RIDGES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Ridges of the slopes on control expression tried, in units of one line at one SD."""


@dataclass(frozen=True, kw_only=True)
class LineKernel:
    """Hyperparameters of kernel ridge over lines: weights of blocks, width of the RBF, ridge."""

    lines: dict[str, float]
    width: float = 1.0
    ridge: float = 1.0


class KernelLine(TunedPredictor[LineKernel]):
    """Kernel ridge regression over lines for each treatment, on the control profiles of the lines.

    Further blocks of lines join the profile's kernel with a share.

    Notes
    -----
    Saunders, Gammerman & Vovk (1998), "Ridge regression learning algorithm in dual variables";
    widths in median distances: Gretton et al. (2012), "A kernel two-sample test".
    """

    def __init__(self, *, kind: str) -> None:
        default = LineKernel(lines={KERNEL_BLOCKS.cell_lines[0]: 1.0})
        candidates = [replace(default, width=width, ridge=ridge) for width, ridge in WIDTH_RIDGES]
        super().__init__("kernel_line", kind=kind, candidates=candidates, default=default)

    def _plain(self, features: Features) -> list[LineKernel]:
        return self._over(line_mixes(features.kernel_blocks, features)[:1])

    def _further(self, features: Features) -> list[LineKernel]:
        return self._over(line_mixes(features.kernel_blocks, features)[1:])

    def _over(self, mixes: Sequence[dict[str, float]]) -> list[LineKernel]:
        return [replace(one, lines=lines) for lines in mixes for one in self.candidates]

    def _states(self, scored: TrainingRecord, candidates: Sequence[LineKernel]) -> list[State]:
        base_state = fit_effects(scored, levels=DRUG_LEVELS)
        base_NK = predict_effects(scored.conditions, base_state, levels=DRUG_LEVELS)
        grid = to_grid(scored.with_delta(scored.delta_NG - base_NK))
        shared = nested("base", base_state) | {
            "treatments_T": grid.treatments_T,
            "lines_L": grid.lines_L,
        }
        states = []
        for one in candidates:
            kernel_LL = line_likeness(
                scored.features, one.lines, grid.lines_L, grid.lines_L, width=one.width
            )
            states.append(
                shared
                | {
                    "dual_TLK": dual_weights(grid, kernel_LL, one.ridge),
                    "width": np.array(one.width),
                }
                | line_mix_state(one.lines)
            )
        return states

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        predicted_NK = predict_effects(asked, part("base", state), levels=DRUG_LEVELS)
        treatment_N = find(state["treatments_T"], LEVELS["drug_dose"](asked))
        asked_A, line_N = np.unique(asked.line_N, return_inverse=True)
        kernel_AL = line_likeness(
            features, line_mix_of(state), asked_A, state["lines_L"], width=float(state["width"])
        )
        for line in range(len(asked_A)):
            rows = np.flatnonzero((line_N == line) & (treatment_N >= 0))
            correction_TK = np.einsum("l,tlk->tk", kernel_AL[line], state["dual_TLK"])
            predicted_NK[rows] += correction_TK[treatment_N[rows]]
        return predicted_NK


def dual_weights(grid: Grid, kernel_LL: Floats, ridge: float) -> Floats:
    """Kernel-ridge weights of each treatment over its measured lines (T, L, K), 0 elsewhere.

    Notes
    -----
    Saunders, Gammerman & Vovk (1998), "Ridge regression learning algorithm in dual variables".
    """
    values_TLK, is_measured_TL = grid.dense()
    dual_TLK = np.zeros_like(values_TLK)
    patterns_P, pattern_T = np.unique(is_measured_TL, axis=0, return_inverse=True)
    for number, is_measured_L in enumerate(patterns_P):
        own_M = np.flatnonzero(is_measured_L)
        rows_R = np.flatnonzero(pattern_T.ravel() == number)
        target_MX = values_TLK[np.ix_(rows_R, own_M)].transpose(1, 0, 2).reshape(len(own_M), -1)
        system_MM = kernel_LL[np.ix_(own_M, own_M)] + ridge * np.eye(len(own_M))
        solved_MX = linalg.solve(system_MM, target_MX, assume_a="pos")
        solved_MRK = solved_MX.reshape(len(own_M), len(rows_R), -1)
        dual_TLK[np.ix_(rows_R, own_M)] = solved_MRK.transpose(1, 0, 2)
    return dual_TLK


class GeneLine(Predictor):
    """For each gene, linear regression of Δ on the line's control expression of that gene.

    Slope = shared slope of the gene over all treatments + the treatment's own deviation, both
    shrunk by a ridge. Expression is centred and scaled over the training lines.

    Notes
    -----
    Random slopes: Laird & Ware (1982), "Random-effects models for longitudinal data".
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("gene_line")
        self.kind = kind
        self._ridge: float | None = None

    def _take_settings(self, state: State) -> None:
        self._ridge = float(state["ridge"])

    def _fit(self, train: TrainingRecord) -> State:
        def predict(rows: Rows, ridges: Sequence[float]) -> list[NDArray[Any]]:
            fit, held = rows
            asked = train.conditions.take(held)
            states = _slopes(train.take(fit), ridges)
            return [self._predict(asked, state, train.features) for state in states]

        ridge = self._ridge
        if ridge is None:
            folds = inner_folds(train.conditions, self.kind)
            ridge = choose(SLOPE_RIDGES, 10.0, folds, train, predict)
        return _slopes(train, [ridge])[0]

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        predicted_NG = predict_effects(asked, part("base", state), levels=DRUG_LEVELS)
        asked_A, line_N = np.unique(asked.line_N, return_inverse=True)
        scaled_AG = (features.control_rows(asked_A) - state["center_G"]) / state["spread_G"]
        treatment_N = find(state["treatments_T"], LEVELS["drug_dose"](asked))
        slope_NG = np.where(
            (treatment_N >= 0)[:, None], state["own_slope_TG"][treatment_N], np.float32(0.0)
        )
        predicted_NG += (slope_NG + state["shared_slope_G"]) * scaled_AG[line_N]
        return predicted_NG


def _slopes(train: TrainingRecord, ridges: Sequence[float]) -> list[State]:
    base_state = fit_effects(train, levels=DRUG_LEVELS)
    residual_NG = train.delta_NG - predict_effects(train.conditions, base_state, levels=DRUG_LEVELS)
    lines_L, line_N = np.unique(train.conditions.line_N, return_inverse=True)
    control_LG = train.features.control_rows(lines_L).astype(np.float64)
    center_G, spread_G = control_LG.mean(axis=0), np.maximum(control_LG.std(axis=0), 0.05)
    scaled_NG = ((control_LG - center_G) / spread_G)[line_N]
    treatments_T, treatment_N = np.unique(
        LEVELS["drug_dose"](train.conditions), return_inverse=True
    )
    n_treatments, weight_N1 = len(treatments_T), train.weight_N[:, None]
    square_TG = group_sums(weight_N1 * scaled_NG**2, treatment_N, n_treatments)
    cross_TG = group_sums(weight_N1 * scaled_NG * residual_NG, treatment_N, n_treatments)
    states = []
    for ridge in ridges:
        shared_G = cross_TG.sum(axis=0) / (square_TG.sum(axis=0) + ridge)
        own_TG = (cross_TG - shared_G * square_TG) / (square_TG + ridge)
        states.append(
            nested("base", base_state)
            | {
                "treatments_T": treatments_T,
                "own_slope_TG": own_TG.astype(np.float32),
                "shared_slope_G": shared_G,
                "ridge": np.array(ridge),
                "center_G": center_G,
                "spread_G": spread_G,
            }
        )
    return states
