"""Drugs never measured, by chemical structure: ridge, kernel ridge and nearest neighbours.

What belongs here: ridge on fingerprints, kernel ridge and nearest neighbours by Tanimoto
similarity. All of them correct the line mean at that dose; a drug without structure gets that
mean (kernel and neighbours: unless the drug itself was measured).

Cost: one T × T system (kernel ridge), T × T similarities (neighbours), one F × F system (ridge).

Shapes: N = conditions, T = treatments (drug, dose), K = gene axes, F = features, A = asked keys.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy import linalg

from drug_pipeline.domain.blocks import DRUG_BLOCKS
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Floats,
    State,
    Texts,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.kernel_ridge.kernels import block_likeness, block_rows, dose_rbf, scaled
from drug_pipeline.linear.main_axes import main_axes
from drug_pipeline.linear.means import (
    LEVELS,
    LINE_LEVELS,
    fit_additive,
    group_sums,
    log_dose,
    part_of_levels,
    predict_effects,
)
from drug_pipeline.linear.tuning.tuned import TunedPredictor

RIDGES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Kernel ridges tried, in units of the noise of a treatment averaged over lines."""
NEIGHBOURS: Final = (3, 5, 10, 20, 40)
"""Numbers of neighbours tried."""
FEATURE_RIDGES: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridges of the feature model tried, in units of the mean diagonal of the Gram matrix."""
N_MORGAN_AXES: Final = 60
"""Principal components of the fingerprints: raw bits memorise the training drugs."""


class TreatmentModel(TunedPredictor[float]):
    """The mean of the line at that dose plus a treatment effect predicted from structure."""

    def _treatments(self, scored: TrainingRecord) -> State:
        """Line part and mean residual of each treatment over lines (T, K), with its weight."""
        conditions, weight_N = scored.conditions, scored.weight_N
        base_state = part_of_levels(fit_additive(scored), LINE_LEVELS)
        residual_NK = scored.delta_NG - predict_effects(conditions, base_state, levels=LINE_LEVELS)
        keys_T, first_T, treatment_N = np.unique(
            LEVELS["drug_dose"](conditions), return_index=True, return_inverse=True
        )
        weight_T = np.bincount(treatment_N, weights=weight_N)
        total_TK = group_sums(residual_NK * weight_N[:, None], treatment_N, len(keys_T))
        return nested("base", base_state) | {
            "drug_T": conditions.drug_N[first_T],
            "dose_um_T": conditions.dose_um_N[first_T],
            "effect_TK": total_TK / np.maximum(weight_T, 1e-12)[:, None],
            "weight_T": weight_T / max(float(weight_T.mean()), 1e-12),
        }

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        predicted_NK = predict_effects(asked, part("base", state), levels=LINE_LEVELS)
        _, first_A, row_N = np.unique(
            LEVELS["drug_dose"](asked), return_index=True, return_inverse=True
        )
        similarity_AT = treatment_kernel(
            features,
            asked.drug_N[first_A],
            asked.dose_um_N[first_A],
            state["drug_T"],
            state["dose_um_T"],
        )
        return np.asarray(predicted_NK + self._effect(similarity_AT, state)[row_N])

    @abstractmethod
    def _effect(self, similarity_AT: Floats, state: State) -> Floats:
        """Treatment effects (A, K) from similarities to the training treatments."""


def treatment_kernel(
    features: Features, drug_A: Texts, dose_um_A: Floats, drug_T: Texts, dose_um_T: Floats
) -> Floats:
    """Product kernel of treatments: Tanimoto similarity of drugs times an RBF of log dose (A, T).

    Notes
    -----
    The product of two kernels is one again: pairwise (Kronecker) kernels of Stock, Pahikkala,
    Airola, De Baets & Waegeman (2018), "A comparative study of pairwise learning methods based on
    kernel ridge regression".
    """
    unique_A, row_A = np.unique(drug_A, return_inverse=True)
    unique_T, row_T = np.unique(drug_T, return_inverse=True)
    morgan = features.drug_blocks["morgan"]
    structure = block_likeness(DRUG_BLOCKS["morgan"], morgan, unique_A, unique_T)
    structure = structure[np.ix_(row_A, row_T)]
    return np.asarray(structure * dose_rbf(dose_um_A, dose_um_T))


class TanimotoKernelRidge(TreatmentModel):
    """Kernel ridge regression of treatment effects: Tanimoto kernel of drugs × RBF kernel of doses.

    Notes
    -----
    Saunders, Gammerman & Vovk (1998), "Ridge regression learning algorithm in dual variables";
    the kernel: Ralaivola, Swamidass, Saigo & Baldi (2005), "Graph kernels for chemical informatics".
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("tanimoto_kernel_ridge", kind=kind, candidates=RIDGES, default=3.0)

    def _states(self, scored: TrainingRecord, candidates: Sequence[float]) -> list[State]:
        shared = self._treatments(scored)
        drug_T, dose_um_T = shared["drug_T"], shared["dose_um_T"]
        kernel_TT = treatment_kernel(scored.features, drug_T, dose_um_T, drug_T, dose_um_T)
        noise_T = 1.0 / np.maximum(shared["weight_T"], 1e-3)
        return [
            shared
            | {
                "dual_TK": linalg.solve(
                    kernel_TT + ridge * np.diag(noise_T), shared["effect_TK"], assume_a="pos"
                )
            }
            for ridge in candidates
        ]

    def _effect(self, similarity_AT: Floats, state: State) -> Floats:
        return np.asarray(similarity_AT @ state["dual_TK"])


class TanimotoNeighbours(TreatmentModel):
    """k nearest neighbours by Tanimoto similarity: weighted mean effect, shrunk by one neighbour.

    The shrinkage (weights sum to S / (S + 1)) keeps a drug unlike all others near the line mean.

    Notes
    -----
    Nadaraya (1964), "On estimating regression", with similarities of Willett, Barnard & Downs
    (1998), "Chemical similarity searching"; the shrinkage is ours.
    """

    def __init__(self, *, kind: str) -> None:
        candidates = tuple(float(count) for count in NEIGHBOURS)
        super().__init__("tanimoto_knn", kind=kind, candidates=candidates, default=10.0)

    def _states(self, scored: TrainingRecord, candidates: Sequence[float]) -> list[State]:
        shared = self._treatments(scored)
        return [shared | {"n_neighbours": np.array(int(count))} for count in candidates]

    def _effect(self, similarity_AT: Floats, state: State) -> Floats:
        n_kept = min(int(state["n_neighbours"]), similarity_AT.shape[1])
        kept_AH = np.argsort(-similarity_AT, axis=1, kind="stable")[:, :n_kept]
        weight_AT = np.zeros_like(similarity_AT)
        np.put_along_axis(
            weight_AT, kept_AH, np.take_along_axis(similarity_AT, kept_AH, axis=1), axis=1
        )
        total_A1 = weight_AT.sum(axis=1, keepdims=True)
        return np.asarray((weight_AT @ state["effect_TK"]) / (total_A1 + 1.0))


class MorganRidge(TunedPredictor[float]):
    """Ridge regression on fingerprint PCs, descriptors, control PCs, dose and drug × dose products.

    Notes
    -----
    Hoerl & Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems"; the
    fingerprints: Rogers & Hahn (2010), "Extended-connectivity fingerprints".
    """

    def __init__(self, *, kind: str) -> None:
        super().__init__("morgan_ridge", kind=kind, candidates=FEATURE_RIDGES, default=0.1)

    def _states(self, scored: TrainingRecord, candidates: Sequence[float]) -> list[State]:
        scores_NK, weight_N = scored.delta_NG, scored.weight_N
        morgan = scored.features.drug_blocks["morgan"]
        drug_axes_KF = _drug_axes(morgan, np.unique(scored.conditions.drug_N))
        design_NF = _design(scored.conditions, scored.features, drug_axes_KF)
        mean_K = np.average(scores_NK, axis=0, weights=weight_N)
        gram_FF = design_NF.T @ (design_NF * weight_N[:, None])
        cross_FK = design_NF.T @ ((scores_NK - mean_K) * weight_N[:, None])
        values_F, vectors_FF = linalg.eigh(gram_FF)
        turned_FK = vectors_FF.T @ cross_FK
        scale = max(float(values_F.mean()), 1e-12)
        return [
            {
                "mean_K": mean_K,
                "drug_axes_KF": drug_axes_KF,
                "weights_FK": vectors_FF @ (turned_FK / (values_F + ridge * scale)[:, None]),
            }
            for ridge in candidates
        ]

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        design_NF = _design(asked, features, state["drug_axes_KF"])
        return np.asarray(state["mean_K"] + design_NF @ state["weights_FK"])


def _drug_axes(morgan: EmbeddingTable, drug_D: Texts) -> Floats:
    """Principal axes of the training drugs' fingerprints, scaled to unit spread."""
    morgan_DF, is_known_D = block_rows(morgan, drug_D)
    known_DF = morgan_DF[is_known_D]
    if len(known_DF) < 2:
        return np.zeros((1, morgan_DF.shape[1]))
    axes_KF = main_axes(known_DF - known_DF.mean(axis=0), N_MORGAN_AXES)
    spread = (known_DF @ axes_KF.T).std(axis=0).max()
    return np.asarray(axes_KF / max(float(spread), 1e-9))


def _design(asked: Conditions, features: Features, drug_axes_KF: Floats) -> Floats:
    """Features of conditions (N, F): structure, line, dose, and structure × dose."""
    morgan_NF, is_known_N = block_rows(features.drug_blocks["morgan"], asked.drug_N)
    descriptors_NF, _ = block_rows(scaled(features.drug_blocks["descriptors"]), asked.drug_N)
    descriptors_NF /= np.sqrt(max(descriptors_NF.shape[1], 1))
    drug_NF = np.hstack([morgan_NF @ drug_axes_KF.T, descriptors_NF, is_known_N[:, None]])
    line_NF, _ = block_rows(scaled(features.line_blocks["control_pca"]), asked.line_N)
    dose_N1 = log_dose(asked.dose_um_N)[:, None]
    return np.hstack([drug_NF, drug_NF * dose_N1, line_NF, line_NF * dose_N1, dose_N1, dose_N1**2])
