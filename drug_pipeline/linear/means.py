"""Means over groups of conditions, shrunk towards wider means: nested, or crossed (additive).

What belongs here: the baselines that need no feature (zero, global, line, drug mean, additive).

Shapes: N = conditions, G = genes, K = groups of one level.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from drug_pipeline.domain import names
from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Floats,
    Ints,
    MeasuredConditions,
    Predictor,
    State,
    Texts,
    TrainingRecord,
)

MAX_SHRINKAGE: Final = 1e9
"""Shrinkage where groups do not differ by more than noise: the wider mean is taken."""
UNKNOWN_SHRINKAGE: Final = 1.0
"""Shrinkage where every group has one member, so that noise cannot be told from effect."""


def join_keys(*columns: NDArray[Any]) -> Texts:
    """One text key per row, ``a|b``; doses as ``%g``."""
    texts = [_texts(column) for column in columns]
    return np.array(["|".join(row) for row in zip(*texts, strict=True)], dtype=np.str_)


def unit_keys(asked: Conditions, columns: Sequence[str]) -> Texts:
    """One text key per condition from columns of ``schemas.CONDITIONS``, such as compound and line."""
    column_of: dict[str, NDArray[Any]] = {
        names.DRUG: asked.drug_N,
        names.PARENT_COMPOUND: asked.parent_N,
        names.DOSE_UM: asked.dose_um_N,
        names.CELL_LINE_ID: asked.line_N,
        names.PLATE: asked.plate_N,
    }
    return join_keys(*(column_of[column] for column in columns))


def _texts(column: NDArray[Any]) -> list[str]:
    if not np.issubdtype(column.dtype, np.floating):
        return [str(value) for value in column.tolist()]
    values_U, value_N = np.unique(column, return_inverse=True)  # few doses, many rows
    text_U = [f"{value:g}" for value in values_U.tolist()]
    return [text_U[number] for number in value_N.tolist()]


N_PASSES: Final = 8
"""Passes of alternating least squares; on a near-complete design 4 reach 1e-4 of the limit."""

ADDITIVE_LEVELS: Final = ("dose", "line", "line_dose", "parent", "drug", "drug_dose")
"""Levels of the additive model."""
DRUG_LEVELS: Final = ("dose", "parent", "drug", "drug_dose")
"""The drug part of the additive model: what an unseen line can be given."""
LINE_LEVELS: Final = ("dose", "line", "line_dose")
"""The line part of the additive model: what an unseen drug can be given."""

LEVELS: Final[Mapping[str, Callable[[Conditions], Texts]]] = {
    "line": lambda asked: asked.line_N,
    "line_dose": lambda asked: join_keys(asked.line_N, asked.dose_um_N),
    "line_plate": lambda asked: join_keys(asked.line_N, asked.plate_N),
    "dose": lambda asked: join_keys(asked.dose_um_N),
    "parent": lambda asked: asked.parent_N,
    "parent_dose": lambda asked: join_keys(asked.parent_N, asked.dose_um_N),
    "drug": lambda asked: asked.drug_N,
    "drug_dose": lambda asked: join_keys(asked.drug_N, asked.dose_um_N),
}
"""Ways to group conditions, by name."""


def find(keys_K: Texts, wanted_N: Texts) -> Ints:
    """Position of each wanted key among sorted unique keys; -1 where it is not there."""
    if len(keys_K) == 0:
        return np.full(len(wanted_N), -1, dtype=np.int64)
    # A key beyond the last has no position: it is held against the last, and differs.
    position_N = np.searchsorted(keys_K, wanted_N).clip(max=len(keys_K) - 1)
    return np.where(keys_K[position_N] == wanted_N, position_N, -1).astype(np.int64)


def group_sums(values_NG: NDArray[Any], group_N: Ints, n_groups: int) -> Floats:
    """Sums of the rows of each group (K, G), added in row order."""
    order_N = np.argsort(group_N, kind="stable")
    sizes_K = np.bincount(group_N, minlength=n_groups)
    sums_KG = np.zeros((n_groups, values_NG.shape[1]))
    starts_K = np.concatenate([[0], np.cumsum(sizes_K)[:-1]])
    filled_K = sizes_K > 0  # reduceat gives an empty group the next one's first row
    if filled_K.any():
        sums_KG[filled_K] = np.add.reduceat(
            values_NG[order_N].astype(np.float64), starts_K[filled_K], axis=0
        )
    return sums_KG


def fit_effects(measured: MeasuredConditions, *, levels: Sequence[str], n_passes: int = 1) -> State:
    """Global mean and the shrunk effect of each group of each level, wide levels first.

    One pass suits nested levels. For crossed ones (line and drug) several passes of alternating
    least squares give the additive model: each level is fitted to what the others leave, its
    shrinkage estimated once, in the first pass.

    Notes
    -----
    Robinson (1991), "That BLUP is a good thing: the estimation of random effects", by backfitting:
    Buja, Hastie & Tibshirani (1989), "Linear smoothers and additive models". What is left to a
    group is a sum over its rows, and an effect taken off elsewhere changes it by the weight that
    the two groups share. So Δ is read once, and the passes work on group sums.
    """
    weight_N = measured.weight_N
    mean_G = np.average(measured.delta_NG, axis=0, weights=weight_N)
    centred_NG = measured.delta_NG - mean_G
    # In one pass: a product by BLAS would first write out an (N, G) array of weighted values.
    energy = float(np.einsum("n,ng,ng->", weight_N, centred_NG, centred_NG, optimize=False))
    groups = {
        level: np.unique(LEVELS[level](measured.conditions), return_inverse=True)
        for level in levels
    }
    design = _Crossed([(group_N, len(keys_K)) for keys_K, group_N in groups.values()], weight_N)
    effect_KG, shrinkages = design.effects(centred_NG, energy, n_passes)
    state: State = {"mean_G": mean_G}
    for (level, (keys_K, _)), rows, shrinkage in zip(
        groups.items(), design.rows, shrinkages, strict=True
    ):
        state[f"{level}_keys_K"] = keys_K
        state[f"{level}_effect_KG"] = effect_KG[rows]
        state[f"{level}_shrinkage"] = np.array(shrinkage)
    return state


class _Crossed:
    """Groups of several levels one below the other (K of them), and the weight that any two share.

    Parameters
    ----------
    groups
        Of each level: the group of each row (N,), and how many groups there are.
    """

    def __init__(self, groups: Sequence[tuple[Ints, int]], weight_N: Floats) -> None:
        ends = np.cumsum([0, *(n_groups for _, n_groups in groups)])
        self.rows = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        n_rows = len(weight_N)
        member_KN = sparse.vstack(
            [
                sparse.csr_array(
                    (np.ones(n_rows), (group_N, np.arange(n_rows))), shape=(n_groups, n_rows)
                )
                for group_N, n_groups in groups
            ]
            or [sparse.csr_array((0, n_rows))],  # no level: the global mean alone
            format="csr",
        )
        self._weighted_KN = (member_KN * weight_N[None, :]).tocsr()
        self._shared_KK = (self._weighted_KN @ member_KN.T).tocsc()
        self._weight_K = np.asarray(self._weighted_KN.sum(axis=1)).ravel()
        self._n_used = int((weight_N > 0).sum())

    def effects(
        self, centred_NG: NDArray[Any], energy: float, n_passes: int
    ) -> tuple[Floats, list[float]]:
        """The effects (K, G) and the shrinkage of each level; ``energy`` is ``Σ weight · Δ²``."""
        left_KG = np.asarray(self._weighted_KN @ centred_NG)
        effect_KG = np.zeros_like(left_KG)
        shrinkages: list[float] = []
        for _ in range(n_passes):
            for level, rows in enumerate(self.rows):
                weight_K1 = self._weight_K[rows, None]
                sums_KG = left_KG[rows] + weight_K1 * effect_KG[rows]
                if level == len(shrinkages):  # first pass: what the wider levels leave
                    shrinkages.append(
                        shrinkage_of(energy, sums_KG, self._weight_K[rows], self._n_used)
                    )
                fitted_KG = sums_KG / np.maximum(weight_K1 + shrinkages[level], 1e-12)
                change_KG = fitted_KG - effect_KG[rows]
                # Σw(r - c)² = Σwr² - 2Σcwr + Σwc²: the residual's energy without reading Δ again.
                energy += float(np.vdot(change_KG, weight_K1 * change_KG - 2.0 * left_KG[rows]))
                # Other levels see the change by the weight that their groups share with these.
                left_KG -= self._shared_KK[:, rows] @ change_KG
                effect_KG[rows] = fitted_KG
        return effect_KG, shrinkages


def shrinkage_of(energy: float, sums_KG: Floats, weight_K: Floats, n_used: int) -> float:
    """Prior weight of the wider mean: variance within groups over variance between them.

    One number for all genes, by the method of moments of the one-way random-effects model
    (weighted ANOVA). A group of total weight w keeps the fraction ``w / (w + shrinkage)`` of its
    own mean. Genes are pooled, so a few strong genes decide; that is what Δ is about.

    Parameters
    ----------
    energy
        ``Σ weight · residual²`` over the rows and genes.
    sums_KG, weight_K
        Of each group: ``Σ weight · residual`` and ``Σ weight``.
    n_used
        Rows of a weight above 0.

    Notes
    -----
    The ANOVA estimator of unbalanced one-way data: Searle, Casella & McCulloch (1992), "Variance
    Components", chapter 3.
    """
    n_groups = int((weight_K > 0).sum())
    n_free_within = n_used - n_groups
    if n_free_within <= 0:  # one member per group
        return UNKNOWN_SHRINKAGE
    between = float(np.vdot(sums_KG / np.maximum(weight_K, 1e-12)[:, None], sums_KG))
    within_variance = max(energy - between, 0.0) / n_free_within
    # The prior mean is known (0 after the wider level is subtracted): K, not K - 1, free groups.
    excess = between - n_groups * within_variance
    if excess <= 0:  # no more between groups than noise explains
        return MAX_SHRINKAGE
    # The variance between groups is excess / Σw.
    return min(within_variance * float(weight_K.sum()) / excess, MAX_SHRINKAGE)


def predict_effects(asked: Conditions, state: State, *, levels: Sequence[str]) -> Floats:
    """Sum of the global mean and the effects that are known for each condition (N, G).

    A dose never measured gets what its neighbours have: linear in log dose between two of them,
    the nearest one outside.
    """
    predicted_NG: Floats = np.tile(state["mean_G"], (len(asked), 1))
    for level in levels:
        position_N = find(state[f"{level}_keys_K"], LEVELS[level](asked))
        is_seen_N = position_N >= 0
        predicted_NG[is_seen_N] += state[f"{level}_effect_KG"][position_N[is_seen_N]]
        if level == "dose" and not is_seen_N.all():
            predicted_NG[~is_seen_N] += _between_doses(asked.dose_um_N[~is_seen_N], state)
    return predicted_NG


def _between_doses(dose_um_N: Floats, state: State) -> Floats:
    """Effects of doses that were not measured (N, G), from those of the doses around them."""
    known_um_K = np.array([float(key) for key in state["dose_keys_K"]])
    order_K = np.argsort(known_um_K)
    position_N = np.interp(
        log_dose(dose_um_N), log_dose(known_um_K[order_K]), np.arange(len(order_K))
    )
    low_N = np.floor(position_N).astype(np.int64)
    high_N = np.minimum(low_N + 1, len(order_K) - 1)
    share_N1 = (position_N - low_N)[:, None]
    effect_KG = state["dose_effect_KG"][order_K]
    return np.asarray((1.0 - share_N1) * effect_KG[low_N] + share_N1 * effect_KG[high_N])


def log_dose(dose_um_N: Floats) -> Floats:
    """log10 of the dose in µM; doses below 1 pM count as 1 pM."""
    return np.log10(np.maximum(dose_um_N, 1e-6))  # the vehicle's dose is 0


class GroupMean(Predictor):
    """Mean Δ of the finest group that was seen, each level shrunk towards the wider one.

    ``levels`` runs from wide to narrow; above them all stands the global mean. A key never seen
    falls back to the level above. With no levels it is the global mean.

    Notes
    -----
    Efron & Morris (1975), "Data analysis using Stein's estimator and its generalizations"; how it
    is fitted: :func:`fit_effects`.
    """

    def __init__(self, name: str, *, levels: tuple[str, ...], n_passes: int = 1) -> None:
        super().__init__(name)
        self.levels = levels
        self.n_passes = n_passes

    def _fit(self, train: TrainingRecord) -> State:
        return fit_effects(train, levels=self.levels, n_passes=self.n_passes)

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        del features
        return predict_effects(asked, state, levels=self.levels)


class Zero(Predictor):
    """No response, for every condition."""

    def __init__(self) -> None:
        super().__init__("zero")

    def _fit(self, train: TrainingRecord) -> State:
        return {"n_genes": np.array(train.delta_NG.shape[1])}

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        del features
        return np.zeros((len(asked), int(state["n_genes"])), dtype=np.float32)


def global_mean() -> GroupMean:
    """The mean Δ of all training conditions."""
    return GroupMean("global_mean", levels=())


def line_mean() -> GroupMean:
    """The mean Δ of the line at that dose; for an unseen line the mean of the dose.

    Notes
    -----
    The perturbed mean of Viñas Torné et al. (2025), "Systema: a framework for evaluating genetic
    perturbation response prediction beyond systematic variation", by line and dose and shrunk as in
    :func:`fit_effects`.
    """
    return GroupMean("line_mean", levels=LINE_LEVELS)


def drug_mean() -> GroupMean:
    """The mean Δ of the drug at that dose over lines; else of the drug, else of its parent.

    Notes
    -----
    Shrunk means: see :class:`GroupMean`.
    """
    return GroupMean("drug_mean", levels=("parent", "drug", "drug_dose"))


def additive() -> GroupMean:
    """Line effect plus drug effect, each by dose, shrunk, by alternating least squares.

    An unseen line gets the drug part alone, an unseen drug the line part.

    Notes
    -----
    Crossed random effects by backfitting: see :func:`fit_effects`.
    """
    return GroupMean("additive", levels=ADDITIVE_LEVELS, n_passes=N_PASSES)


def fit_additive(measured: MeasuredConditions) -> State:
    """State of the additive model, for models that correct it."""
    return fit_effects(measured, levels=ADDITIVE_LEVELS, n_passes=N_PASSES)


def predict_additive(asked: Conditions, state: State) -> Floats:
    """Predictions of :func:`fit_additive` (N, G)."""
    return predict_effects(asked, state, levels=ADDITIVE_LEVELS)


def part_of_levels(state: State, levels: Sequence[str]) -> State:
    """The state of some levels out of that of more, such as the line part of the additive model."""
    kept = {"mean_G"} | {
        f"{level}_{entry}" for level in levels for entry in ("keys_K", "effect_KG", "shrinkage")
    }
    return {key: value for key, value in state.items() if key in kept}
