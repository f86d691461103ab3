"""Kernel ridge regression on products of dose, drug and line kernels, for every kind of split.

The prior covariance of two conditions is a sum of products: drug kernel × line kernel × dose
kernel (``kernel_ridge/likeness.py``), each with its own variance, plus what is noise for a prediction though
conditions share it: the well (all lines of one drug, dose and plate) and the vehicle (all drugs of
one line and plate). Variances are estimated by the method of moments, per group of gene axes;
predictions leave the shared noise out, so they aim at the truth and not at the next reading of the
same well.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, K = gene axes, I = terms, P = groups
of gene axes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Floats,
    State,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.kernel_ridge.likeness import (
    FURTHER_SHARES,
    TERMS,
    Likeness,
    Mix,
    Treatments,
    line_mixes,
)
from drug_pipeline.linear.kernel_ridge.solver import (
    MIN_NOISE,
    TOLERANCE,
    combined_kernels,
    conjugate_gradients,
    kernel_times,
    system_operator,
)
from drug_pipeline.linear.kernel_ridge.strength import fit_strength
from drug_pipeline.linear.means import fit_effects, join_keys, predict_effects
from drug_pipeline.linear.tuning.tuned import TunedPredictor
from drug_pipeline.linear.variance import ProductDesign, variance_components

BASE_LEVELS: Final = ("dose",)
"""What is taken off before the kernels: the mean response at a dose."""
AXIS_BOUNDS: Final = (1, 2, 5, 10, 25)
"""Where groups of axes with variances of their own end; the rest share one group."""
KNOWN_DRUG_MIXES: Final = (Mix(drugs={"morgan": 0.4, "annotations": 0.2}, power=2),)
"""Where the drug was measured, close analogues and drugs of the same targets add a little."""
NEW_DRUG_MIXES: Final = (
    Mix(drugs={"morgan": 0.8}),
    Mix(drugs={"morgan": 0.4, "descriptors": 0.3}),
    Mix(drugs={"morgan": 0.3, "descriptors": 0.1, "annotations": 0.3}),
    Mix(drugs={"morgan": 0.3, "annotations": 0.5}),
)
"""Mixes tried where the drug is new: it is known by structure, and maybe by its targets and
mechanism, so that the mix is chosen on inner folds."""
CHOOSING_TOLERANCE: Final = 1e-2
"""Residual norm at which a system counts as solved while mixes are compared, ten times that of a fit
that predicts: a third fewer iterations."""
CHOOSING_AXES: Final = 32
"""Gene axes by which the mix is chosen; the weaker ones cost time and are mostly noise."""


class ProductKernelRidge(TunedPredictor[Mix]):
    """Product-kernel ridge (Gaussian process) regression for any drug, dose and line, seen or not.

    An unseen drug without structure gets what is known of the line at that dose; an unseen line
    without control PCs gets the drug's mean response.

    Notes
    -----
    Gaussian process regression with a sum of product kernels: Bonilla, Chai & Williams (2008),
    "Multi-task Gaussian process prediction"; Stock et al. (2018), "A comparative study of pairwise
    learning methods based on kernel ridge regression".
    """

    def __init__(
        self, *, kind: str, name: str = "product_kernel_ridge", mixes: Sequence[Mix] | None = None
    ) -> None:
        if mixes is None:
            mixes = NEW_DRUG_MIXES if kind_of(kind).is_drug_new else KNOWN_DRUG_MIXES
        super().__init__(name, kind=kind, candidates=mixes, default=mixes[0])

    def _plain(self, features: Features) -> list[Mix]:
        over = [mix.over(features.kernel_blocks) for mix in self.candidates]
        return [mix for number, mix in enumerate(over) if mix not in over[:number]]

    def _further(self, features: Features) -> list[Mix]:
        """The first mix with each block that no mix knows, at every share to try."""
        used, (first, *_) = features.kernel_blocks, self._plain(features)
        embedded = {name for mix in self.candidates for name in mix.drugs}
        blocks = [name for name in used.drugs if name in set(features.drug_blocks) - embedded]
        return [
            *(first.with_drugs(name, share) for name in blocks for share in FURTHER_SHARES),
            *(replace(first, lines=lines) for lines in line_mixes(used, features)[1:]),
        ]

    def _choose(self, scored: TrainingRecord) -> Mix:
        return super()._choose(scored.with_delta(scored.delta_NG[:, :CHOOSING_AXES]))

    def _states(self, scored: TrainingRecord, candidates: Sequence[Mix]) -> list[State]:
        used = scored.take(scored.weight_N > 0)
        base = fit_effects(used, levels=BASE_LEVELS)
        base_NK = predict_effects(used.conditions, base, levels=BASE_LEVELS)
        residual = used.with_delta(used.delta_NG - base_NK)
        strength = fit_strength(residual)
        shared = nested("base", base) | nested("strength", strength)
        tolerance = CHOOSING_TOLERANCE if len(candidates) > 1 else TOLERANCE
        return [
            shared
            | _solved(
                residual, Likeness(features=scored.features, strength=strength, mix=mix), tolerance
            )
            | mix.state()
            for mix in candidates
        ]

    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        likeness = Likeness(features=features, strength=part("strength", state), mix=Mix.of(state))
        known = Treatments(
            drug_T=state["drug_T"], parent_T=state["parent_T"], dose_um_T=state["dose_um_T"]
        )
        wanted, treatment_N = Treatments.of(asked)
        line_A, line_N = np.unique(asked.line_N, return_inverse=True)
        kernels = likeness.kernels((wanted, line_A), (known, state["lines_L"]))
        scores_NK = predict_effects(asked, part("base", state), levels=BASE_LEVELS)
        for group in np.unique(state["group_K"]):
            axes = np.flatnonzero(state["group_K"] == group)
            combined = combined_kernels(*kernels, state["component_IP"][:, group])
            if combined:  # else no term explains anything of these axes
                scores_ALK = kernel_times(combined, state["dual_TLK"][:, :, axes])
                scores_NK[:, axes] += scores_ALK[treatment_N, line_N]
        return scores_NK


def _solved(residual: TrainingRecord, likeness: Likeness, tolerance: float) -> State:
    """Variances of the terms on each group of axes, and the dual weights on the grid."""
    train, scores_NK = residual.conditions, residual.delta_NG
    known, treatment_N = Treatments.of(train)
    lines_L, line_N = np.unique(train.line_N, return_inverse=True)
    treatment_kernels, line_kernels = likeness.kernels((known, lines_L), (known, lines_L))
    well_N = join_keys(train.drug_N, train.dose_um_N, train.plate_N)
    vehicle_N = join_keys(train.line_N, train.plate_N)
    design = ProductDesign(
        treatment_N=treatment_N,
        line_N=line_N,
        noise_N=1.0 / residual.weight_N,
        treatment_kernels=treatment_kernels,
        line_kernels=line_kernels,
        groupings=[np.unique(key_N, return_inverse=True)[1] for key_N in (well_N, vehicle_N)],
    )
    group_K = np.searchsorted(AXIS_BOUNDS, np.arange(scores_NK.shape[1]), side="right")
    axis_groups = [np.flatnonzero(group_K == group) for group in np.unique(group_K)]
    component_IP = variance_components(design, scores_NK, axis_groups)
    dual_NK = np.empty_like(scores_NK)
    for component_I, axes in zip(component_IP.T, axis_groups, strict=True):
        dual_NK[:, axes] = conjugate_gradients(
            system_operator(design, component_I),
            scores_NK[:, axes],
            design.variance(component_I) + MIN_NOISE,
            tolerance=tolerance,
        )
    return known.state() | {
        "lines_L": lines_L,
        "group_K": group_K,
        "component_IP": component_IP[: len(TERMS)],
        "noise_component_IP": component_IP[len(TERMS) :],
        "dual_TLK": design.to_grid(dual_NK),
    }
