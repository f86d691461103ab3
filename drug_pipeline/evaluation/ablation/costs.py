"""Ablation costs of each token and loss: every variant against the full model, paired by condition.

What belongs here: figures of the variants, what leaving each thing out costs, the gates that need
such fits. What does not: files (``ablation_build``), words and pictures (``ablation_report``).

A cost is the full model minus the variant, oriented so that above 0 leaving the thing out hurts;
paired by row and by draw, whole parent compounds drawn again. With several seeds each row's figure
is the mean over seeds before anything is compared.

Shapes: N = test conditions, G = genes, Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, first_few
from drug_pipeline.domain.metrics import mse, pearson, reciprocal_rank
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.evaluate import FORWARD_TASK
from drug_pipeline.evaluation.gates.gates import (
    PERMUTED_GATE,
    inputs_matter,
    permuted_targets_teach_nothing,
)
from drug_pipeline.evaluation.gates.verdicts import GateResult
from drug_pipeline.evaluation.report.wording import count, predictor_title
from drug_pipeline.evaluation.scoring import ranking_inputs, ranking_metrics
from drug_pipeline.evaluation.scoring.bootstrap import (
    BootstrapConfig,
    ClusterBootstrap,
    has_interval,
)
from drug_pipeline.evaluation.scoring.centring import training_centre
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME
from drug_pipeline.evaluation.scoring.noise import ACTIVE, Noise
from drug_pipeline.evaluation.scoring.strata import ALL
from drug_pipeline.storage.predictions import SplitPredictions

SHIPPED, NETWORK, BEST_LINEAR = "shipped", "network", "best_linear"
ROLES: Final = (SHIPPED, NETWORK, BEST_LINEAR)
"""Predictors that every variant has, whatever their names; linear ones stand by name beside."""
SPREAD: Final = "mrr_spread"
"""Standard deviation over seeds of a query's reciprocal rank."""

Column: TypeAlias = tuple[str, str, str]
"""Task, predictor, metric."""
Rows: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SplitAblation:
    """The fits of one split: variant → predictions, one per seed."""

    split: Split
    fits: Mapping[str, Sequence[SplitPredictions]]

    @property
    def reference(self) -> SplitPredictions:
        """The full model, first seed."""
        return self.fits[names.REFERENCE][0]

    @property
    def variants(self) -> list[str]:
        """Every variant, the full model first."""
        shown = [name for name in self.fits if name != names.REFERENCE]
        return [names.REFERENCE, *shown]


@dataclass(frozen=True, kw_only=True)
class AblationScores:
    """Per-condition metrics: variant → (task, predictor, metric) → (N,)."""

    of: Mapping[str, Mapping[Column, Rows]]
    parent_N: NDArray[np.str_]
    label_N: NDArray[np.str_]
    gallery: int

    def strata(self) -> dict[str, NDArray[np.int64]]:
        """Rows that figures are over: all, and active ones where they allow an interval."""
        active = np.flatnonzero(self.label_N == ACTIVE)
        found = {ALL: np.arange(len(self.label_N))}
        return {**found, ACTIVE: active} if has_interval(self.parent_N[active]) else found


def scores(table: DeltaTable, ablation: SplitAblation, noise: Noise) -> AblationScores:
    """Every metric of every variant on each test condition, mean over seeds.

    Raises
    ------
    AlignmentError
        If the fits were judged on different conditions.
    """
    reference = ablation.reference
    rows_N = reference.rows_N
    for variant in ablation.variants:
        for fit in ablation.fits[variant]:
            fit.require_table(table)
            if not np.array_equal(fit.rows_N, rows_N):
                msg = (
                    f"variant {variant!r} of split {ablation.split.name!r} has other test "
                    f"conditions than {names.REFERENCE!r}. Materialise ablation_report again."
                )
                raise AlignmentError(msg)
    measured_NG = np.asarray(table.delta_NG[rows_N])
    train = ablation.split.rows(names.TRAIN)
    centre = training_centre(table.delta_NG, table.conditions, train, rows_N)
    centre_NG = centre.of(slice(None))
    parent_N = reference.conditions[names.PARENT_COMPOUND].to_numpy(dtype=str)
    of = {}
    for variant in ablation.variants:
        each = [
            {**_forward(fit, measured_NG, centre_NG), **_ranked(fit, parent_N)}
            for fit in ablation.fits[variant]
        ]
        of[variant] = _over_seeds(each)
    groups = reference.rankings[names.DRUG_TASK].groups if reference.rankings else ()
    return AblationScores(
        of=of, parent_N=parent_N, label_N=noise.label_N[rows_N], gallery=len(set(groups))
    )


def _forward(
    fit: SplitPredictions, measured_NG: NDArray[np.float32], centre_NG: NDArray[np.float32]
) -> dict[Column, Rows]:
    named = {SHIPPED: fit.shipped, NETWORK: fit.network, BEST_LINEAR: fit.best_linear}
    own = {fit.network, fit.blend, "cross_well"}
    named |= {name: name for name in fit.predictions if name not in own}
    found: dict[Column, Rows] = {}
    for role, name in named.items():
        predicted_NG = np.asarray(fit.predictions[name])
        found[FORWARD_TASK, role, "pearson_centred"] = pearson(
            predicted_NG - centre_NG, measured_NG - centre_NG
        )
        found[FORWARD_TASK, role, "mse"] = mse(predicted_NG, measured_NG)
    return found


def _ranked(fit: SplitPredictions, parent_N: NDArray[np.str_]) -> dict[Column, Rows]:
    found: dict[Column, Rows] = {}
    if names.DRUG_TASK not in fit.rankings:
        return found
    rankings = fit.rankings[names.DRUG_TASK]
    for ranker, scores_QD in rankings.scores.items():
        rank_Q, n_Q = ranking_inputs.identity_ranks(scores_QD, rankings.groups, parent_N)
        found[names.DRUG_TASK, ranker, "mrr"] = reciprocal_rank(rank_Q)
        found[names.DRUG_TASK, ranker, "normalised_rank"] = ranking_metrics.normalised_rank(
            rank_Q, n_Q
        )
    return found


def _over_seeds(each: Sequence[Mapping[Column, Rows]]) -> dict[Column, Rows]:
    """Means over seeds, and how far the reciprocal rank of a query moves between them."""
    common = [column for column in each[0] if all(column in one for one in each)]
    found = {column: np.mean([one[column] for one in each], axis=0) for column in common}
    if len(each) > 1:
        for task, ranker, metric in common:
            if metric == "mrr":
                seeds_SQ = np.array([one[task, ranker, metric] for one in each])
                found[task, ranker, SPREAD] = seeds_SQ.std(axis=0, ddof=1)
    return found


def figures(
    ablation: SplitAblation, scored: AblationScores, config: BootstrapConfig
) -> pd.DataFrame:
    """The long table: each variant's figures with intervals, and what it costs against the full.

    Columns ``split, kind, variant, n_seeds, task, predictor, metric, stratum, value, ci_low,
    ci_high, cost, cost_low, cost_high, n, n_parents, gallery``. The full model has no cost. A
    linear model that a variant does not touch is left out of it.
    """
    parts = []
    for stratum, rows in scored.strata().items():
        bootstrap = ClusterBootstrap(scored.parent_N[rows], config)
        for variant in ablation.variants:
            reference = scored.of[names.REFERENCE]
            columns = [one for one in scored.of[variant] if one in reference]
            own_NC = np.column_stack([scored.of[variant][one][rows] for one in columns])
            other_NC = np.column_stack([reference[one][rows] for one in columns])
            sign_C = np.array(
                [-1.0 if metric == SPREAD else BY_NAME[metric].sign for *_, metric in columns]
            )
            value, cost = (
                bootstrap.means(own_NC),
                bootstrap.differences(sign_C * other_NC, sign_C * own_NC),
            )
            nothing_C = np.full(len(columns), np.nan)
            has_cost = variant != names.REFERENCE
            parts.append(
                pd.DataFrame(
                    {
                        "split": ablation.split.name,
                        "kind": ablation.split.kind,
                        "variant": variant,
                        "n_seeds": len(ablation.fits[variant]),
                        "task": [task for task, _, _ in columns],
                        "predictor": [predictor for _, predictor, _ in columns],
                        "metric": [metric for _, _, metric in columns],
                        "stratum": stratum,
                        "value": value.value_M,
                        "ci_low": value.low_M,
                        "ci_high": value.high_M,
                        "cost": cost.value_M if has_cost else nothing_C,
                        "cost_low": cost.low_M if has_cost else nothing_C,
                        "cost_high": cost.high_M if has_cost else nothing_C,
                        "n": value.n_M,
                        "n_parents": len(np.unique(scored.parent_N[rows])),
                        "gallery": [
                            scored.gallery if t == names.DRUG_TASK else 0 for t, _, _ in columns
                        ],
                    }
                )
            )
    found = pd.concat(parts, ignore_index=True)
    return found[found["n"] > 0].reset_index(drop=True)


def gates(
    ablation: SplitAblation, scored: AblationScores, config: BootstrapConfig
) -> list[GateResult]:
    """Gates 2 and 3 on the fits of one split; those whose fits are not there are left out.

    The promotion asks for the gates of the split that decides, and misses them by name.
    """
    name = ablation.split.name
    found: list[GateResult] = []
    if names.PERMUTED in ablation.fits:
        found += _permuted_gates(name, scored, config)
    rows = scored.strata().get(ACTIVE, np.arange(len(scored.parent_N)))
    variants = [variant for variant in names.INPUT_VARIANTS if variant in ablation.fits]
    for role in ROLES if variants else ():
        column = (FORWARD_TASK, role, "pearson_centred")
        titles = {
            variant: f"{variant.replace('_', ' ')}, {_title(role)}, {name}" for variant in variants
        }
        required = [  # a wrong drug must cost something where the drug was trained on
            titles[variant]
            for variant in variants
            if variant == names.SHUFFLED_DRUG
            and role == SHIPPED
            and not kind_of(ablation.split.kind).is_drug_new
        ]
        found += inputs_matter(
            scored.of[names.REFERENCE][column][rows],
            {titles[variant]: scored.of[variant][column][rows] for variant in variants},
            scored.parent_N[rows],
            required=required,
            remark=_remark(ablation, scored) if role == SHIPPED else "",
            config=config,
        )
    return found


def _remark(ablation: SplitAblation, scored: AblationScores) -> str:
    """What ships on the split, of which it is said that it does not lean on an input."""
    reference = ablation.reference
    n_validation, n_folds = (
        reference.notes.get(name) for name in ("n_validation", "n_left_out_in_turn")
    )
    text = f" What ships there is {predictor_title(reference.shipped)}"
    if n_folds:
        text += f", the linear model chosen on {count(n_folds)} known conditions, left out in turn"
    elif n_validation is not None:
        text += f", chosen on {count(n_validation)} validation conditions"
    if ACTIVE not in scored.strata():
        text += "; too few compounds are active to judge on active conditions alone"
    return f"{text}."


def _permuted_gates(
    split: str, scored: AblationScores, config: BootstrapConfig
) -> list[GateResult]:
    """Gate 2 for each role: error in shares of the mean's, so that the figure can be read."""
    permuted = scored.of[names.PERMUTED]
    mean_N = permuted[FORWARD_TASK, "global_mean", "mse"]
    return [
        permuted_targets_teach_nothing(
            f"{PERMUTED_GATE}: {_title(role)}, {split}",
            -permuted[FORWARD_TASK, role, "mse"] / mean_N.mean(),
            -mean_N / mean_N.mean(),
            scored.parent_N,
            config,
        )
        for role in ROLES
    ]


def _title(role: str) -> str:
    return role.replace("_", " ")


def rows_of(figures: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """Rows whose columns have these values; over active conditions where those are known."""
    rows = figures
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    if "stratum" in wanted:
        return rows
    active = rows[rows["stratum"] == ACTIVE]
    return active if len(active) else rows[rows["stratum"] == ALL]


def require_reference(found: Mapping[str, Sequence[SplitPredictions]], split: str) -> None:
    """Refuse a split without its full model.

    Raises
    ------
    AlignmentError
        If it is not among the fits.
    """
    if names.REFERENCE not in found:
        msg = (
            f"split {split!r} has {len(found)} variants but not {names.REFERENCE!r} to compare with; "
            f"there are {first_few(found)}. Materialise ablation_report again."
        )
        raise AlignmentError(msg)
