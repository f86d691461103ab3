"""Gates: what must hold before a model may be called better, each a plain function.

What belongs here: four of the five gates (the fifth is in ``shuffled_genes``), and the planted-leak
guards beside them. What does not: what a gate's verdict is and who may be champion (``verdicts``);
fitting or predicting: gates are handed arrays, so that this room knows no network.

Shapes: N = conditions, G = genes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import first_few
from drug_pipeline.domain.split_kinds import KINDS, TABLE_KEYS
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.gates.verdicts import GateResult, judged
from drug_pipeline.evaluation.scoring.bootstrap import (
    MIN_CLUSTERS,
    BootstrapConfig,
    ClusterBootstrap,
)

BLIND_GATE: Final = "blind to treated cells"
BLIND_FIT_GATE: Final = "blind to treated cells when fitted"
PERMUTED_GATE: Final = "permuted targets teach nothing"
INPUT_GATE: Final = "input matters"
DISJOINT_GATE: Final = "sides are disjoint"
OWN_CONTROLS_GATE: Final = "controls are the plate's own"
SHUFFLED_GENES_GATE: Final = "shuffled genes find nothing"
PANEL_GATE: Final = "genes chosen on controls"
ROUNDING: Final = 1e-6
"""Difference of scores that is float32's alone: a fit that was shrunk to the mean differs by it."""


def demanded_gates(split: str) -> tuple[str, ...]:
    """Names of the gates without which no model is champion on this split."""
    return (
        BLIND_GATE,
        f"{BLIND_FIT_GATE}: {split}",
        f"{PERMUTED_GATE}: shipped, {split}",
        f"{INPUT_GATE}: shuffled drug, shipped, {split}",
        f"{DISJOINT_GATE}: {split}",
        f"{OWN_CONTROLS_GATE}: {split}",
        SHUFFLED_GENES_GATE,
        PANEL_GATE,
    )


def predicts_blind(
    name: str,
    from_measured: Mapping[str, NDArray[np.float32]],
    from_noise: Mapping[str, NDArray[np.float32]],
) -> GateResult:
    """Gate 1, no leakage: predictions do not move by a bit when treated measurements become noise.

    For fitted models the noise stands in for the test's measurements while they are fitted:
    whatever path leads from treated cells into a model (the value channel, a feature, a scaler, a
    row in training), it moves a bit. For a deployed one it stands in the table that is asked about.

    Parameters
    ----------
    from_measured, from_noise
        Predictor → predictions (N, G) of the test side, with the measurements and with noise.
    """
    moved = {
        model: float(np.abs(one_NG.astype(np.float64) - from_noise[model]).max(initial=0.0))
        if model in from_noise
        else float("inf")
        for model, one_NG in from_measured.items()
    }
    changed = [
        model
        for model, one_NG in from_measured.items()
        if model not in from_noise or np.asarray(one_NG).tobytes() != from_noise[model].tobytes()
    ]
    n = max((len(one_NG) for one_NG in from_measured.values()), default=0)
    models = f"{len(moved)} models predict" if len(moved) > 1 else "The model predicts"
    return judged(
        name,
        holds=not changed,
        n=n,
        figure=max(moved.values(), default=0.0),
        explanation=f"{models} {n} test conditions the same to the last bit with noise in place of "
        "their measurements."
        if not changed
        else f"{len(changed)} of {len(moved)} models predict otherwise (by up to "
        f"{max(moved.values()):.3g}) when the test's measurements are noise; first: "
        f"{first_few(changed)}. Something computed from treated cells reaches them.",
        otherwise="No test condition was predicted.",
    )


def permuted_targets_teach_nothing(
    name: str,
    permuted_N: NDArray[np.float64],
    mean_N: NDArray[np.float64],
    cluster_N: NDArray[Any],
    config: BootstrapConfig | None = None,
) -> GateResult:
    """Gate 2: trained on permuted targets, the model scores no better than the mean.

    Red where the difference is over :data:`ROUNDING` and above 0 with its interval; not measured
    where there are too few clusters for one.

    Parameters
    ----------
    permuted_N, mean_N
        Scores of each test condition (larger is better): of the model fitted on permuted Δ, and of
        the mean predictor.
    """
    found = ClusterBootstrap(cluster_N, config or BootstrapConfig()).differences(
        permuted_N[:, None], mean_N[:, None]
    )
    value, low, high = (float(part[0]) for part in (found.value_M, found.low_M, found.high_M))
    n = int(found.n_M[0])
    holds = not (low > 0 and value > ROUNDING)
    return judged(
        name,
        holds=holds,
        n=n if np.isfinite(low) else 0,
        figure=value,
        interval=(low, high),
        explanation=f"Fitted on permuted targets the score minus that of the mean is {value:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], n = {n}"
        + (": nothing." if holds else ": something of the test reaches the model."),
        otherwise=_too_few(n),
    )


def _too_few(n: int) -> str:
    return (
        f"{n} test conditions of fewer than {MIN_CLUSTERS} parent compounds allow no interval: "
        "hold out more compounds."
        if n
        else "No test condition has a score."
    )


def inputs_matter(
    full_N: NDArray[np.float64],
    without: Mapping[str, NDArray[np.float64]],
    cluster_N: NDArray[Any],
    *,
    required: Sequence[str] = (),
    remark: str = "",
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
        Ablations whose loss must be above 0 with its interval for the gate to be green; what the
        others cost is reported and judged by nobody.
    remark
        Put behind a finding that the model does not lean on an input.
    """
    bootstrap = ClusterBootstrap(cluster_N, config or BootstrapConfig())
    results = []
    for ablation, scores_N in without.items():
        found = bootstrap.differences(full_N[:, None], scores_N[:, None])
        loss, low, high = (float(part[0]) for part in (found.value_M, found.low_M, found.high_M))
        n, costs = int(found.n_M[0]), bool(low > 0)
        results.append(
            judged(
                f"{INPUT_GATE}: {ablation}",
                holds=costs,
                n=n if np.isfinite(low) else 0,
                figure=loss,
                interval=(low, high),
                is_demanded=ablation in required,
                explanation=f"{ablation[:1].upper()}{ablation[1:]} costs {loss:+.3f} "
                f"[{low:+.3f}, {high:+.3f}], n = {n}"
                + ("." if costs else f": the model does not lean on it.{remark}"),
                otherwise=_too_few(n),
            )
        )
    return results


def sides_are_disjoint(
    table: DeltaTable,
    split: Split,
    drugs: pd.DataFrame | None = None,
    cell_lines: pd.DataFrame | None = None,
) -> GateResult:
    """Gate 4: no unit of the split, and no measurement, on both the training and the test side.

    Units are parent compounds, never names, so that a salt is found. A test row whose Δ equals a
    training row's bit for bit is a copy under another name, whatever its labels say.

    Parameters
    ----------
    drugs, cell_lines
        Tables of ``schemas.DRUGS`` and ``schemas.CELL_LINES``; a split by a column of one of them
        (scaffolds) is not measured without it.

    Notes
    -----
    Which columns make a unit is read from ``domain/split_kinds.py``, as the split audit does; the
    values are not: they come from the raw tables here, by code that the draw and the audit do not
    share, so that an error in their table of units does not hide itself.
    """
    train, test = split.rows(names.TRAIN), split.rows(names.TEST)
    described = {"drugs": drugs, "cell_lines": cell_lines}
    shared, unknown = _shared_units(table.conditions, split, described)
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
    return judged(
        f"{DISJOINT_GATE}: {split.name}",
        holds=n_problems == 0,
        n=len(test) if len(train) and (not unknown or n_problems) else 0,
        figure=float(n_problems),
        explanation="; ".join(parts)
        or f"{len(train)} training and {len(test)} test conditions share no unit and no measurement.",
        otherwise=f"What may not be on both sides is not known without {first_few(unknown)}."
        if unknown
        else f"Of {len(train)} training and {len(test)} test conditions none could be compared.",
    )


def _shared_units(
    conditions: pd.DataFrame, split: Split, described: Mapping[str, pd.DataFrame | None]
) -> tuple[list[str], list[str]]:
    """Units on both the training and the test side, and what is missing to know of others."""
    if split.kind not in KINDS:
        return [], [f"a rule for kind {split.kind!r}"]
    train, test = split.rows(names.TRAIN), split.rows(names.TEST)
    shared: list[str] = []
    unknown: list[str] = []
    for unit in KINDS[split.kind].apart:
        values = conditions
        if unit.table is not None:
            known, key = described[unit.table], TABLE_KEYS[unit.table]
            if known is None:
                unknown.append(f"the {unit.table} table, which has the {unit.many}")
                continue
            column = unit.columns[0]
            values = conditions[[key]].merge(known[[key, column]], on=key, how="left")
            values[column] = values[column].fillna("only " + values[key])  # a unit of its own
        keys = values[list(unit.columns)].astype(str).agg("|".join, axis=1)
        shared += sorted(set(keys.iloc[train]) & set(keys.iloc[test]))
    return shared, unknown


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
    return judged(
        f"{OWN_CONTROLS_GATE}: {split.name}",
        holds=foreign.empty,
        n=len(test),
        figure=float(len(foreign)),
        explanation=f"{len(test)} test conditions have vehicle cells of their own plate."
        if foreign.empty
        else f"{len(foreign)} of {len(test)} test conditions are measured against vehicle cells of "
        f"other plates; first: {first_few(foreign[names.DRUG])}.",
        otherwise="There is no test condition.",
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
    return judged(
        PANEL_GATE,
        holds=is_same,
        n=len(expected),
        figure=float(len(foreign)),
        explanation=f"{len(panel_tokens)} genes are those that vehicle cells alone choose."
        if is_same
        else f"{len(foreign)} of {len(panel_tokens)} genes are not what vehicle cells choose; first "
        f"tokens: {first_few(foreign) or 'another order'}.",
        otherwise="No gene was chosen on vehicle cells.",
    )
