"""Kernel ridge on products of dose, drug and line kernels: one model for every kind of split.

The prior covariance of two conditions is a sum of products: drug kernel × line kernel × dose
kernel, each with its own variance, plus what is noise for a prediction though conditions share
it: the well (all lines of one drug, dose and plate) and the vehicle (all drugs of one line and
plate). Variances are estimated by the method of moments, per group of gene axes; predictions
leave the shared noise out, so they aim at the truth and not at the next reading of the same well.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, G = genes, K = gene axes, I = terms.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import ArrayPredictor, Conditions, Features, State, nested, part
from drug_pipeline.linear.gain import gain_center, relative_gain
from drug_pipeline.linear.kernels import (
    dose_rbf,
    drug_descriptor_rbf,
    drug_tanimoto,
    line_rbf,
    same_key,
)
from drug_pipeline.linear.means import fit_effects, join_keys, predict_effects
from drug_pipeline.linear.solver import (
    MIN_NOISE,
    combined_kernels,
    conjugate_gradients,
    kernel_times,
    system_operator,
)
from drug_pipeline.linear.strength import amplitude, fit_strength
from drug_pipeline.linear.tuned import main_axes
from drug_pipeline.linear.variance import ProductDesign, variance_components

TERMS: Final = (
    ("any", "near", "near"),
    ("any", "own", "near"),
    ("shared", "any", "near"),
    ("shared", "near", "near"),
    ("structure", "any", "near"),
    ("descriptors", "any", "near"),
    ("own", "any", "near"),
    ("own", "any", "any"),
    ("structure", "near", "near"),
    ("structure", "own", "near"),
    ("own", "near", "near"),
    ("own", "near", "any"),
    ("own", "own", "near"),
)
"""(drug, line, dose) kernels of each term: ``any`` is constant, ``own`` is identity."""
BASE_LEVELS: Final = ("dose",)
"""What is taken off before the kernels: the mean response at a dose."""
N_AXES: Final = 100
"""Gene axes kept of Δ."""
AXIS_BOUNDS: Final = (1, 2, 5, 10, 25)
"""Where groups of axes with variances of their own end; the rest share one group."""
STRUCTURE_POWER: Final = 3
"""Power of the Tanimoto similarity: only close analogues are alike in effect."""


@dataclass(frozen=True, kw_only=True)
class Treatments:
    """Distinct (drug, dose) with their parents, in sorted order of their keys (T)."""

    key_T: NDArray[np.str_]
    drug_T: NDArray[np.str_]
    parent_T: NDArray[np.str_]
    dose_um_T: NDArray[np.float64]

    @classmethod
    def of(cls, asked: Conditions) -> tuple["Treatments", NDArray[np.int64]]:
        """The treatments of some conditions, and which one each condition has (N)."""
        key_T, first_T, row_N = np.unique(
            join_keys(asked.drug_N, asked.dose_um_N), return_index=True, return_inverse=True
        )
        return (
            cls(
                key_T=key_T,
                drug_T=asked.drug_N[first_T],
                parent_T=asked.parent_N[first_T],
                dose_um_T=asked.dose_um_N[first_T],
            ),
            row_N,
        )


def treatment_kernels(
    features: Features, asked: Treatments, known: Treatments
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Drug × dose kernels (A, T) of all terms, by (drug kernel, dose kernel)."""
    drug_A, row_A = np.unique(asked.drug_T, return_inverse=True)
    drug_B, row_B = np.unique(known.drug_T, return_inverse=True)
    rows = np.ix_(row_A, row_B)
    same_parent = same_key(asked.parent_T, known.parent_T)
    structure = drug_tanimoto(features.drugs, drug_A, drug_B)[rows]
    drug_kernels = {
        "any": np.ones_like(same_parent),
        "structure": np.maximum(structure, same_parent),
        "close": np.maximum(structure**STRUCTURE_POWER, same_parent),
        "descriptors": drug_descriptor_rbf(features.drugs, drug_A, drug_B)[rows],
        "shared": np.ones_like(same_parent),
        "own": same_parent,
    }
    near = dose_rbf(asked.dose_um_T, known.dose_um_T)
    dose_kernels = {"any": np.ones_like(near), "near": near}
    return {
        (drug, dose): drug_kernels[drug] * dose_kernels[dose]
        for drug, dose in {(drug, dose) for drug, _, dose in TERMS}
    }


def line_kernels(
    features: Features, asked_A: NDArray[np.str_], known_L: NDArray[np.str_]
) -> dict[str, NDArray[np.float64]]:
    """Line kernels (A, L) by name."""
    return {
        "any": np.ones((len(asked_A), len(known_L))),
        "near": line_rbf(features.cell_lines, asked_A, known_L, width=1.0),
        "own": same_key(asked_A, known_L),
    }


class ProductKernelRidge(ArrayPredictor):
    """Product-kernel ridge for any drug, dose and line, seen or not.

    An unseen drug without structure gets what is known of the line at that dose; an unseen line
    without control PCs gets the drug's mean response.
    """

    def __init__(self, name: str = "product_kernel_ridge") -> None:
        super().__init__(name)

    def _fit(
        self,
        train: Conditions,
        delta_NG: NDArray[np.float32],
        weight_N: NDArray[np.float64],
        features: Features,
    ) -> State:
        is_used_N = weight_N > 0
        train, delta_NG, weight_N = train.take(is_used_N), delta_NG[is_used_N], weight_N[is_used_N]
        center_G = gain_center(features, train, delta_NG.shape[1])
        even_NG = delta_NG / relative_gain(features, train, center_G)
        base = fit_effects(train, even_NG, weight_N, levels=BASE_LEVELS)
        residual_NG = even_NG - predict_effects(train, base, levels=BASE_LEVELS)
        axes_KG = main_axes(residual_NG, N_AXES)
        scores_NK = residual_NG @ axes_KG.T
        strength = fit_strength(train, scores_NK, weight_N)
        solved = _solve(train, scores_NK, weight_N, features, strength)
        return (
            nested("base", base)
            | nested("strength", strength)
            | solved
            | {"center_G": center_G, "axes_KG": axes_KG.astype(np.float32)}
        )

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        wanted, treatment_N = Treatments.of(asked)
        known = Treatments(
            key_T=state["key_T"],
            drug_T=state["drug_T"],
            parent_T=state["parent_T"],
            dose_um_T=state["dose_um_T"],
        )
        line_A, line_N = np.unique(asked.line_N, return_inverse=True)
        kernels = term_kernels(
            features, part("strength", state), (wanted, line_A), (known, state["lines_L"])
        )
        scores_NK = np.empty((len(asked), state["dual_TLK"].shape[2]))
        for group in np.unique(state["group_K"]):
            axes = np.flatnonzero(state["group_K"] == group)
            combined = combined_kernels(*kernels, state["component_IP"][:, group])
            if not combined:  # no term explains anything of these axes
                scores_NK[:, axes] = 0.0
                continue
            scores_ALK = kernel_times(combined, state["dual_TLK"][:, :, axes])
            scores_NK[:, axes] = scores_ALK[treatment_N, line_N]
        even_NG = predict_effects(asked, part("base", state), levels=BASE_LEVELS)
        even_NG += scores_NK @ state["axes_KG"]
        return np.asarray(even_NG * relative_gain(features, asked, state["center_G"]))


def term_kernels(
    features: Features,
    strength: State,
    asked: tuple[Treatments, NDArray[np.str_]],
    known: tuple[Treatments, NDArray[np.str_]],
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Treatment kernels (A, T) and line kernels (A, L) of all terms, in the order of TERMS.

    Where the drug matters the kernel is scaled by the strength of either treatment.
    """
    by_treatment = treatment_kernels(features, asked[0], known[0])
    by_line = line_kernels(features, asked[1], known[1])
    scale_AT = np.outer(
        amplitude(strength, asked[0].parent_T, asked[0].dose_um_T),
        amplitude(strength, known[0].parent_T, known[0].dose_um_T),
    )
    scaled = {
        key: kernel if key[0] == "any" else kernel * scale_AT
        for key, kernel in by_treatment.items()
    }
    return (
        [scaled[(drug, dose)] for drug, _, dose in TERMS],
        [by_line[line] for _, line, _ in TERMS],
    )


def _solve(
    train: Conditions,
    scores_NK: NDArray[np.float64],
    weight_N: NDArray[np.float64],
    features: Features,
    strength: State,
) -> State:
    """Variances of the terms on each group of axes, and the dual weights on the grid."""
    known, treatment_N = Treatments.of(train)
    lines_L, line_N = np.unique(train.line_N, return_inverse=True)
    kernels = term_kernels(features, strength, (known, lines_L), (known, lines_L))
    design = ProductDesign(
        treatment_N=treatment_N,
        line_N=line_N,
        noise_N=1.0 / weight_N,
        treatment_kernels=kernels[0],
        line_kernels=kernels[1],
        groupings=(
            np.unique(join_keys(train.drug_N, train.dose_um_N, train.plate_N), return_inverse=True)[
                1
            ],
            np.unique(join_keys(train.line_N, train.plate_N), return_inverse=True)[1],
        ),
    )
    group_K = np.searchsorted(AXIS_BOUNDS, np.arange(scores_NK.shape[1]), side="right")
    axis_groups = [np.flatnonzero(group_K == group) for group in range(int(group_K.max()) + 1)]
    component_IP = variance_components(design, scores_NK, axis_groups)
    dual_NK = np.empty_like(scores_NK)
    for group, axes in enumerate(axis_groups):
        component_I = component_IP[:, group]
        dual_NK[:, axes] = conjugate_gradients(
            system_operator(design, component_I),
            scores_NK[:, axes],
            design.variance(component_I) + MIN_NOISE,
        )
    return {
        "key_T": known.key_T,
        "drug_T": known.drug_T,
        "parent_T": known.parent_T,
        "dose_um_T": known.dose_um_T,
        "lines_L": lines_L,
        "group_K": group_K,
        "component_IP": component_IP[: len(TERMS)],
        "noise_component_IP": component_IP[len(TERMS) :],
        "dual_TLK": design.to_grid(dual_NK).astype(np.float32),
    }
