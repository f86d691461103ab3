"""Doses never measured, interpolated between measured ones.

Shapes: N = conditions, K = gene axes, S = measured doses of one (drug, line).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Floats,
    State,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.means import (
    find,
    fit_additive,
    group_sums,
    join_keys,
    log_dose,
    predict_additive,
)
from drug_pipeline.linear.tuning.tuned import TunedPredictor

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the interpolation tried; the rest is the mean over the pair's doses."""


class DoseInterpolation(TunedPredictor[float]):
    """Linear interpolation in log dose between a pair's doses, averaged with the mean of all.

    Outside the measured doses the nearest one stands for the interpolation. A pair never measured
    gets the additive answer.

    Notes
    -----
    Linear interpolation and its share are ours: with three doses a Hill curve has as many
    parameters as points.
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("dose_interpolation", kind=kind, candidates=SHARES, default=0.5)

    def _states(self, scored: TrainingRecord, candidates: Sequence[float]) -> list[State]:
        conditions, weight_N = scored.conditions, scored.weight_N
        pair_N = join_keys(conditions.drug_N, conditions.line_N)
        cells_C, first_C, cell_N = np.unique(
            join_keys(pair_N, conditions.dose_um_N), return_index=True, return_inverse=True
        )
        weight_C = np.bincount(cell_N, weights=weight_N)
        total_CK = group_sums(scored.delta_NG * weight_N[:, None], cell_N, len(cells_C))
        shared = nested("base", fit_additive(scored)) | {
            "pair_C": pair_N[first_C],
            "dose_um_C": conditions.dose_um_N[first_C],
            "weight_C": weight_C,
            "scores_CK": total_CK / np.maximum(weight_C, 1e-12)[:, None],
        }
        return [shared | {"share": np.array(share)} for share in candidates]

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        del features
        predicted_NK = predict_additive(asked, part("base", state))
        pairs_P, pair_C = np.unique(state["pair_C"], return_inverse=True)
        order_C = np.lexsort((state["dose_um_C"], pair_C))
        start_P = np.searchsorted(pair_C[order_C], np.arange(len(pairs_P) + 1))
        pair_N = find(pairs_P, join_keys(asked.drug_N, asked.line_N))
        for row in np.flatnonzero(pair_N >= 0):
            own_S = order_C[start_P[pair_N[row]] : start_P[pair_N[row] + 1]]
            predicted_NK[row] = between_doses(
                state["scores_CK"][own_S],
                state["dose_um_C"][own_S],
                state["weight_C"][own_S],
                float(asked.dose_um_N[row]),
                float(state["share"]),
            )
        return predicted_NK


def between_doses(
    scores_SK: Floats, dose_um_S: Floats, weight_S: Floats, dose_um: float, share: float
) -> Floats:
    """Weighted mean of the linear interpolation at a dose and of the mean over doses (K).

    ``dose_um_S`` ascends. The mean weighs doses by evidence, never by closeness.
    """
    position = np.interp(
        log_dose(np.array([dose_um])), log_dose(dose_um_S), np.arange(len(dose_um_S))
    )[0]
    low = int(np.floor(position))
    high = min(low + 1, len(dose_um_S) - 1)
    along = position - low
    interpolated_K = (1 - along) * scores_SK[low] + along * scores_SK[high]
    total = float(weight_S.sum())
    mean_K = weight_S @ scores_SK / total if total > 0 else scores_SK.mean(axis=0)
    return np.asarray(share * interpolated_K + (1 - share) * mean_K)
