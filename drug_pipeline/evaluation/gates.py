"""Gates: what must hold before a model may be called better, each a plain function.

What belongs here: the five gates, the planted-leak guards beside them, and the rule of promotion.
What does not: fitting or predicting: gates are handed callables and arrays, so that this room knows
no network.

Shapes: N = conditions, G = genes, Q = queries, D = gallery drugs.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import first_few
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation import retrieval
from drug_pipeline.evaluation.bootstrap import BootstrapConfig, ClusterBootstrap

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Rank = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SMALLEST_LEAK: Final = 0.05
"""Normalised rank above chance that counts as a leak: with few compounds intervals are too narrow."""
PANEL_GATE: Final = "genes chosen on controls"
ROUNDING: Final = 1e-6
"""Difference of scores that is float32's alone: a fit that was shrunk to the mean differs by it."""
UNIT_COLUMNS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "pair": ((names.PARENT_COMPOUND, names.CELL_LINE_ID),),
    "few_shot": ((names.PARENT_COMPOUND, names.CELL_LINE_ID),),
    "cell_line": ((names.CELL_LINE_ID,),),
    "drug": ((names.PARENT_COMPOUND,),),
    "scaffold": ((names.PARENT_COMPOUND,),),
    "both": ((names.PARENT_COMPOUND,), (names.CELL_LINE_ID,)),
    "dose": ((names.PARENT_COMPOUND, names.DOSE_UM, names.CELL_LINE_ID),),
    "plate_replicate": ((names.PLATE,),),
}
"""By kind of split: what may not be on both sides."""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate: whether it is green, the figure it was judged by, and why in words."""

    name: str
    is_green: bool
    figure: float
    explanation: str

    def as_json(self) -> dict[str, Any]:
        """The gate as JSON values; a figure that is not a number is null."""
        return {**asdict(self), "figure": self.figure if np.isfinite(self.figure) else None}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "GateResult":
        """The gate that :meth:`as_json` told of."""
        figure = told["figure"]
        return cls(**{**told, "figure": float("nan") if figure is None else float(figure)})


def blind_to_treated(
    predict: Predict, measured_NG: NDArray[np.float32], *, seed: int = 0
) -> GateResult:
    """Gate 1: forward predictions do not change by a bit when treated measurements become noise.

    Parameters
    ----------
    predict
        Predictions of a fitted model, given what stands where the treated measurements would be.
    """
    measured_NG = np.asarray(measured_NG, dtype=np.float32)
    rng = np.random.default_rng(seed)
    noise_NG = (rng.normal(size=measured_NG.shape) * (measured_NG.std() + 1)).astype(np.float32)
    from_measured, from_noise = predict(measured_NG), predict(noise_NG)
    is_same = from_measured.tobytes() == from_noise.tobytes()
    moved = float(np.abs(from_measured.astype(np.float64) - from_noise).max(initial=0.0))
    return GateResult(
        name="blind to treated cells",
        is_green=is_same,
        figure=moved,
        explanation=(
            f"{len(measured_NG)} predictions are bit-identical with noise in place of the treated "
            "measurements."
            if is_same
            else f"Predictions moved by up to {moved:.3g} when treated measurements became noise: "
            "the model reads what it should predict."
        ),
    )


def fits_are_blind(
    split: str,
    from_measured: Mapping[str, NDArray[np.float32]],
    from_noise: Mapping[str, NDArray[np.float32]],
) -> GateResult:
    """Gate 1 on fitting: models fitted with noise for the test's measurements predict the same.

    Whatever path leads from treated cells of the test side into a model (the value channel, a
    feature, a scaler, a row in training), it moves a bit.

    Parameters
    ----------
    from_measured, from_noise
        Predictor → predictions of the test side, of the two fits.
    """
    moved = {
        name: float(np.abs(one_NG.astype(np.float64) - from_noise[name]).max(initial=0.0))
        if name in from_noise
        else float("inf")
        for name, one_NG in from_measured.items()
    }
    changed = [
        name
        for name, one_NG in from_measured.items()
        if name not in from_noise or np.asarray(one_NG).tobytes() != from_noise[name].tobytes()
    ]
    return GateResult(
        name=f"blind to treated cells when fitted: {split}",
        is_green=not changed,
        figure=max(moved.values(), default=0.0),
        explanation=f"{len(moved)} models fitted with noise in place of the test's measurements "
        "predict the same to the last bit."
        if not changed
        else f"{len(changed)} of {len(moved)} models predict otherwise when the test's measurements "
        f"are noise; first: {first_few(changed)}. Something computed from treated cells reaches them.",
    )


def permuted_targets_teach_nothing(
    permuted_N: NDArray[np.float64],
    mean_N: NDArray[np.float64],
    cluster_N: NDArray[Any],
    config: BootstrapConfig | None = None,
) -> GateResult:
    """Gate 2: trained on permuted targets, the model scores no better than the mean.

    Red where the difference is over :data:`ROUNDING` and above 0 with its interval.

    Parameters
    ----------
    permuted_N, mean_N
        Scores of each test condition (larger is better): of the model fitted on permuted Δ, and of
        the mean predictor.
    """
    found = ClusterBootstrap(cluster_N, config or BootstrapConfig()).differences(
        permuted_N[:, None], mean_N[:, None]
    )
    low, value = float(found.low_M[0]), float(found.value_M[0])
    is_green = not (low > 0 and value > ROUNDING)
    return GateResult(
        name="permuted targets teach nothing",
        is_green=is_green,
        figure=value,
        explanation=f"Fitted on permuted targets the score minus that of the mean is {value:+.3f} "
        f"[{low:+.3f}, {float(found.high_M[0]):+.3f}], n = {int(found.n_M[0])}"
        + (": nothing." if is_green else ": something of the test reaches the model."),
    )


def inputs_matter(
    full_N: NDArray[np.float64],
    without: Mapping[str, NDArray[np.float64]],
    cluster_N: NDArray[Any],
    *,
    required: Sequence[str] = (),
    config: BootstrapConfig | None = None,
) -> list[GateResult]:
    """Gate 3: what dropping or shuffling each input costs; required ones must cost something.

    Parameters
    ----------
    full_N
        Scores of each test condition of the whole model, larger is better.
    without
        Ablation ("shuffled drug", "no cell line") → scores of the same conditions.
    required
        Ablations whose loss must be above 0 with its interval for the gate to be green; the others
        are told and always green.
    """
    bootstrap = ClusterBootstrap(cluster_N, config or BootstrapConfig())
    results = []
    for ablation, scores_N in without.items():
        found = bootstrap.differences(full_N[:, None], scores_N[:, None])
        loss, low, high = (float(part[0]) for part in (found.value_M, found.low_M, found.high_M))
        costs = bool(low > 0)
        results.append(
            GateResult(
                name=f"input matters: {ablation}",
                is_green=costs or ablation not in required,
                figure=loss,
                explanation=f"{ablation} costs {loss:+.3f} "
                + (
                    f"[{low:+.3f}, {high:+.3f}], n = {int(found.n_M[0])}"
                    + ("." if costs else ": the model does not lean on it.")
                    if np.isfinite(low)
                    else f"(n = {int(found.n_M[0])}), of too few compounds for an interval: it "
                    "cannot be told whether the model leans on it."
                ),
            )
        )
    return results


def sides_are_disjoint(table: DeltaTable, split: Split) -> GateResult:
    """Gate 4: no unit of the split, and no measurement, on both the training and the test side.

    Units are parent compounds, never names, so that a salt is found. A test row whose Δ equals a
    training row's bit for bit is a copy under another name, whatever its labels say.
    """
    train, test = split.rows(names.TRAIN), split.rows(names.TEST)
    shared: list[str] = []
    for columns in UNIT_COLUMNS.get(split.kind, ()):
        keys = table.conditions[list(columns)].astype(str).agg("|".join, axis=1)
        shared += sorted(set(keys.iloc[train]) & set(keys.iloc[test]))
    copies = _copied_rows(table.delta_NG, train, test)
    n_problems = len(shared) + len(copies)
    parts = []
    if shared:
        parts.append(f"{len(shared)} units are on both sides; first: {first_few(shared)}")
    if copies:
        where = table.conditions.iloc[copies][list(names.CONDITION_KEY)].astype(str)
        parts.append(
            f"{len(copies)} test measurements are also in training; first: "
            f"{first_few(where.agg('|'.join, axis=1))}"
        )
    return GateResult(
        name=f"sides are disjoint: {split.name}",
        is_green=n_problems == 0,
        figure=float(n_problems),
        explanation="; ".join(parts)
        or f"{len(train)} training and {len(test)} test conditions share no unit and no measurement.",
    )


def _copied_rows(
    delta_NG: NDArray[np.float32], train: NDArray[np.int64], test: NDArray[np.int64]
) -> list[int]:
    """Test rows that occur bit for bit in training; rows of zeros alone are no copies."""

    def digest(row: int) -> bytes:
        return hashlib.blake2b(np.ascontiguousarray(delta_NG[row]).tobytes()).digest()

    seen = {digest(row) for row in train}
    return [int(row) for row in test if delta_NG[row].any() and digest(row) in seen]


def controls_are_own(table: DeltaTable, split: Split) -> GateResult:
    """Guard: no test condition is measured against vehicle cells of another plate.

    In a plate split such a control would come from the training side.
    """
    test = table.conditions.iloc[split.rows(names.TEST)]
    foreign = test[test[names.IS_FALLBACK_CONTROL].to_numpy(dtype=bool)]
    return GateResult(
        name=f"controls are the plate's own: {split.name}",
        is_green=foreign.empty,
        figure=float(len(foreign)),
        explanation=f"{len(test)} test conditions have vehicle cells of their own plate."
        if foreign.empty
        else f"{len(foreign)} of {len(test)} test conditions are measured against vehicle cells of "
        f"other plates; first: {first_few(foreign[names.DRUG])}.",
    )


def panel_is_from_controls(
    panel_tokens: Sequence[int], from_controls: Sequence[int], *, also_allowed: Sequence[int] = ()
) -> GateResult:
    """Guard: the gene panel and its order are what vehicle cells alone give.

    Parameters
    ----------
    from_controls
        Tokens chosen again from control statistics, in order.
    also_allowed
        Tokens in the panel by a rule that looks at no measurement (drug targets).
    """
    allowed = set(also_allowed)
    kept = [token for token in panel_tokens if token not in allowed]
    expected = [token for token in from_controls if token not in allowed]
    foreign = sorted(set(kept) - set(expected))
    is_same = kept == expected
    return GateResult(
        name=PANEL_GATE,
        is_green=is_same,
        figure=float(len(foreign)),
        explanation=f"{len(panel_tokens)} genes are those that vehicle cells alone choose."
        if is_same
        else f"{len(foreign)} of {len(panel_tokens)} genes are not what vehicle cells choose; first "
        f"tokens: {first_few(foreign) or 'another order'}.",
    )


def shuffled_genes_find_nothing(
    rank: Rank,
    query_QG: NDArray[np.float32],
    groups: Sequence[str],
    wanted_Q: NDArray[Any],
    *,
    within_Q: NDArray[Any] | None = None,
    n_shuffles: int = 8,
    seed: int = 0,
    config: BootstrapConfig | None = None,
) -> GateResult:
    """Gate 5: with the genes of every query shuffled, the right drug is found by chance alone.

    Each query becomes a random order of the same values (the mean sorted query), so that neither
    genes nor strength, mean or shape of the response are left. Chance is what a ranker knows of
    drugs without a query (popular ones first): the rank that the right drug gets in the shuffled
    queries of *other* drugs. Red where the difference is over :data:`SMALLEST_LEAK` and above 0
    with its interval.

    Parameters
    ----------
    rank
        Scores (Q, D) of a fitted ranker for queries (Q, G).
    groups
        Identity of each of the D gallery entries.
    wanted_Q
        Identity of each query.
    within_Q
        What a query tells besides its genes (its cell line): chance is taken within it.
    n_shuffles
        Shuffles averaged, so that the luck of one does not decide.
    """
    rng = np.random.default_rng(seed)
    values_G = np.sort(np.asarray(query_QG, dtype=np.float32), axis=1).mean(axis=0)
    share_SQP = []
    for _ in range(n_shuffles):
        shuffled_QG = rng.permuted(np.tile(values_G, (len(query_QG), 1)), axis=1)
        best_QP, identities_P = retrieval.by_identity(rank(shuffled_QG), groups)
        share_SQP.append(1.0 - (retrieval.ranks(best_QP) - 1.0) / max(len(identities_P) - 1, 1))
    share_QP = np.mean(share_SQP, axis=0)
    wanted_Q = np.asarray(wanted_Q, dtype=str)
    within_Q = np.zeros(len(wanted_Q)) if within_Q is None else np.asarray(within_Q)
    own_Q, chance_Q = _own_and_chance(share_QP, identities_P, wanted_Q, within_Q)
    bootstrap = ClusterBootstrap(wanted_Q, config or BootstrapConfig())
    found = bootstrap.differences(own_Q[:, None], chance_Q[:, None])
    is_green = not (float(found.low_M[0]) > 0 and float(found.value_M[0]) > SMALLEST_LEAK)
    return GateResult(
        name="shuffled genes find nothing",
        is_green=is_green,
        figure=float(found.value_M[0]),
        explanation=f"Normalised rank of queries with shuffled genes minus chance "
        f"({_mean(chance_Q):.3f}) is {float(found.value_M[0]):+.3f} [{float(found.low_M[0]):+.3f}, "
        f"{float(found.high_M[0]):+.3f}], n = {int(found.n_M[0])}"
        + ("." if is_green else ": something other than the signature gives the drug away."),
    )


def _own_and_chance(
    share_QP: NDArray[np.float64],
    identities_P: NDArray[np.str_],
    wanted_Q: NDArray[np.str_],
    within_Q: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised rank of each right answer in its own query, and its mean in those of others."""
    own_Q, chance_Q = np.full(len(wanted_Q), np.nan), np.full(len(wanted_Q), np.nan)
    for query, wanted in enumerate(wanted_Q):
        place = np.flatnonzero(identities_P == wanted)
        others = (within_Q == within_Q[query]) & (wanted_Q != wanted)
        if len(place) and others.any():
            own_Q[query] = share_QP[query, place[0]]
            chance_Q[query] = share_QP[others, place[0]].mean()
    return own_Q, chance_Q


def _mean(values_N: NDArray[np.float64]) -> float:
    known_N = values_N[np.isfinite(values_N)]
    return float(known_N.mean()) if len(known_N) else float("nan")


def promotion(
    gates: Sequence[GateResult],
    candidate_N: NDArray[np.float64],
    rivals: Mapping[str, NDArray[np.float64]],
    cluster_N: NDArray[Any],
    *,
    champion_N: NDArray[np.float64] | None = None,
    config: BootstrapConfig | None = None,
) -> GateResult:
    """Whether a model may be champion: gates green, and better than each baseline and the champion.

    Better means: the paired difference on the frozen test lies above 0 with its 95 % interval.
    Without a champion the baselines decide. The figure is the smallest lower bound.

    Parameters
    ----------
    candidate_N, champion_N
        Scores of each test condition, larger is better, same rows.
    rivals
        Baseline → scores of the same rows.
    """
    red = [gate.name for gate in gates if not gate.is_green]
    against = dict(rivals)
    if champion_N is not None:
        against["champion"] = champion_N
    bootstrap = ClusterBootstrap(cluster_N, config or BootstrapConfig())
    bounds: dict[str, float] = {}
    sentences = []
    for rival, scores_N in against.items():
        found = bootstrap.differences(candidate_N[:, None], scores_N[:, None])
        bounds[rival] = float(found.low_M[0])
        sentences.append(
            f"{rival} {float(found.value_M[0]):+.3f} [{bounds[rival]:+.3f}, "
            f"{float(found.high_M[0]):+.3f}]"
        )
    not_beaten = [rival for rival, low in bounds.items() if not low > 0]
    reasons = []
    if red:
        reasons.append(f"{len(red)} gates are red ({first_few(red)})")
    if not_beaten:
        reasons.append(f"not better than {first_few(not_beaten)}")
    if not against:
        reasons.append("there is no baseline to be better than")
    return GateResult(
        name="promotion",
        is_green=not reasons,
        figure=min(bounds.values(), default=float("nan")),
        explanation=("; ".join(reasons) or "all gates green, better than every rival")
        + (f". Difference to {'; '.join(sentences)}." if sentences else "."),
    )


def as_frame(gates: Sequence[GateResult]) -> pd.DataFrame:
    """Gates as a table, one row each."""
    columns = ["name", "is_green", "figure", "explanation"]
    return pd.DataFrame([vars(gate) for gate in gates], columns=columns)
