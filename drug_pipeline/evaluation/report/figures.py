"""What the report draws: each function takes rows of the long tables and gives one picture.

Every picture carries its intervals, its n and a line that says how to read it.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd

from drug_pipeline.evaluation.evaluate import FORWARD_TASK, SIMPLE, SplitEvaluation
from drug_pipeline.evaluation.rankings.oracle import ORACLE
from drug_pipeline.evaluation.report import pictures
from drug_pipeline.evaluation.report.pictures import Picture, as_picture, drawing
from drug_pipeline.evaluation.report.tables import queries_of, strictest_ceiling
from drug_pipeline.evaluation.report.wording import count, predictor_title, split_title, task_title
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME
from drug_pipeline.evaluation.scoring.noise import ACTIVE
from drug_pipeline.evaluation.scoring.strata import ACTIVITY, ALL

ACTIVE_ONLY: Final = "Active test conditions"
EVERY_ONE: Final = "All test conditions (fewer than five compounds are active)"
LABEL_CHARACTERS: Final = 26
RAW_COSINE: Final = "raw_cosine"
"""Plain correlation with measured profiles: the ranker of one line that a model must beat."""
CROSS_WELL: Final = "cross_well"
"""The blend without its guard, shown and never shipped."""


def headline(evaluations: Sequence[SplitEvaluation]) -> Any:
    """The figure of all splits: best simple baseline, best linear model, shipped predictor, ceiling."""
    shown = [one for one in evaluations if one.predictions.predictions]
    with drawing(pictures.WIDTH, 1.3 + 0.5 * max(len(shown), 1)) as (figure, axes):
        for place, one in enumerate(reversed(shown)):
            values = rows_of(one, one.main_metric).set_index("predictor")
            best_linear, shipped = one.predictions.best_linear, one.predictions.shipped
            for name, up, colour, marker, label in (
                (one.best_simple, 0.0, pictures.BASELINE, "o", "Best simple"),
                (best_linear, 0.14, pictures.LINEAR, "s", "Best linear model"),
                (shipped, -0.14, pictures.SHIPPED, "D", "Shipped"),
                (_ceiling(values), 0.0, pictures.CEILING, "|", "Ceiling"),
            ):
                _mark(axes, values, name, place + up, colour, marker, label)
        labels = [
            f"{split_title(one.split, one.kind)}\nn = {count(_n(one))}" for one in reversed(shown)
        ]
        axes.set_yticks(range(len(shown)), labels)
        axes.set_xlabel("Centred Pearson, active conditions*")
        axes.axvline(0, color=pictures.INK, linewidth=0.8)
        axes.margins(y=0.12)
        one_legend(figure, axes)
        return figure


def forest(one: SplitEvaluation, order: Sequence[str]) -> Picture:
    """All predictors of a split on its main metric, best first, and the ceilings as lines."""
    metric = one.main_metric
    values = rows_of(one, metric).set_index("predictor")
    shown = [name for name in order if name in values.index and name not in ceilings.CEILINGS]
    with drawing(pictures.WIDTH, 1.2 + 0.3 * len(shown)) as (figure, axes):
        for place, name in enumerate(reversed(shown)):
            _mark(axes, values, name, place, colour_of(name, one), "o", "")
        axes.set_yticks(range(len(shown)), _wrapped(reversed(shown)))
        for name, dash in zip(ceilings.CEILINGS, ("-", "--", ":"), strict=True):
            if name in values.index:
                axes.axvline(
                    values.loc[name, "value"],
                    color=pictures.CEILING,
                    linestyle=dash,
                    linewidth=1.2,
                    label=predictor_title(name),
                )
        axes.axvline(0, color=pictures.INK, linewidth=0.8)
        axes.set_xlabel(BY_NAME[metric].title)
        axes.set_ylim(-0.7, len(shown) - 0.3)
        one_legend(figure, axes)
        return as_picture(
            figure,
            alt=f"{BY_NAME[metric].title} of every predictor, {split_title(one.split, one.kind)}",
            caption=f"{BY_NAME[metric].title}. {which_conditions(one)}, "
            f"n = {count(_n(one))}; "
            "points are means, bars 95 % intervals over parent compounds, vertical lines what a "
            "perfect prediction could reach. Blue: what ships; purple: the network and its blends; "
            "green: linear models; grey: means and additive models; orange: measured. Right is "
            "better.",
        )


def retrieval(
    metrics: pd.DataFrame, task: str, order: Sequence[str], shipped: str
) -> list[Picture]:
    """MRR of every ranker with its interval, and Hit@K, active queries."""
    rows = metrics[metrics["task"] == task]
    mrr = rows[rows["metric"] == "mrr"].set_index("predictor")
    shown = [name for name in order if name in mrr.index]
    among = (
        f"{count(mrr['n'].iloc[0])} {queries_of(rows)}, median gallery "
        f"{count(mrr['gallery'].iloc[0])} identities."
    )
    with drawing(pictures.WIDTH, 0.8 + 0.3 * max(len(shown), 5)) as (figure, axes):
        for place, name in enumerate(reversed(shown)):
            _mark(axes, mrr, name, place, _ranker_colour(name, shipped), "o", "")
        axes.set_yticks(range(len(shown)), _wrapped(reversed(shown)))
        axes.set_xlim(left=0)
        axes.set_xlabel("MRR")
        by_mrr = as_picture(
            figure,
            alt=f"{task_title(task)}: MRR of every ranker",
            caption=f"{task_title(task)}: {among} Grey rankers never look at the query; orange has "
            "the queried condition measured on another plate in its gallery. Bars are 95 % "
            "intervals over parent compounds.",
        )
    hits = rows[rows["metric"] == "hit"]
    with drawing(pictures.WIDTH, 2.6) as (figure, axes):
        for name in shown:
            line = hits[hits["predictor"] == name].sort_values("k")
            width, colour = (2 if name == shipped else 1), _ranker_colour(name, shipped)
            axes.plot(line["k"], line["value"], marker="o", ms=3, color=colour, lw=width)
        axes.set(ylim=(0, 1.02), xlabel="K", ylabel="Hit@K")
        by_k = as_picture(
            figure,
            alt=f"{task_title(task)}: Hit@K of every ranker",
            caption=f"Share of queries with the right one among the first K; {among} Colours as "
            "beside, blue what ships.",
        )
    return [by_mrr, by_k]


def reliability(one: SplitEvaluation) -> Picture | None:
    """Expected against actual error of the shipped predictor."""
    bins = one.reliability
    if bins.empty:
        return None
    with drawing(pictures.WIDTH, 3.6) as (figure, axes):
        top = 1.1 * float(bins[["expected", "actual_high", "actual"]].max().max()) or 1.0
        axes.plot([0, top], [0, top], color=pictures.BASELINE, linewidth=1)
        axes.vlines(
            bins["expected"],
            bins["actual_low"],
            bins["actual_high"],
            color=pictures.SHIPPED,
            linewidth=1.2,
        )
        axes.plot(bins["expected"], bins["actual"], "o", color=pictures.SHIPPED, ms=5)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.set_xlabel("Expected RMS error (natural log)")
        axes.set_ylabel("Actual RMS error")
        return as_picture(
            figure,
            alt=f"Expected against actual error, {split_title(one.split, one.kind)}",
            caption=f"{split_title(one.split, one.kind)}: {count(bins['n'].sum())} test conditions in "
            f"{len(bins)} bins of rising expectation; dots are root mean squares, bars the middle "
            "half. On the grey line the model knows how wrong it is.",
        )


def rows_of(
    one: SplitEvaluation,
    metric: str,
    *,
    k: int = 0,
    stratum_kind: str = ACTIVITY,
    stratum: str | None = ACTIVE,
) -> pd.DataFrame:
    """Forward rows of one metric in one stratum; all conditions where none is known to be active."""
    rows = one.metric_rows(FORWARD_TASK, metric, k, stratum_kind)
    if stratum is None:
        return rows
    picked = rows[rows["stratum"] == stratum]
    return picked if len(picked) else one.metric_rows(FORWARD_TASK, metric, k, ALL)


def which_conditions(one: SplitEvaluation) -> str:
    """Whether the figures are over active conditions, or over all where too few are known."""
    strata = set(one.metrics.loc[one.metrics["stratum_kind"] == ACTIVITY, "stratum"])
    return ACTIVE_ONLY if ACTIVE in strata else EVERY_ONE


def colour_of(name: str, one: SplitEvaluation) -> str:
    """What a predictor is drawn in: shipped, network, linear, a mean, or measured."""
    if name == one.predictions.shipped:
        return pictures.SHIPPED
    if name in (one.predictions.network, one.predictions.blend, CROSS_WELL):
        return pictures.NETWORK
    if name in (*ceilings.CEILINGS, ceilings.REPLICATE):
        return pictures.CEILING
    return pictures.BASELINE if name in SIMPLE else pictures.LINEAR


def _ranker_colour(name: str, shipped: str) -> str:
    from drug_pipeline.evaluation.rankings.chance import PLATE_ONLY, POPULARITY, RANDOM

    if name == shipped:
        return pictures.SHIPPED
    if name == ORACLE:
        return pictures.CEILING
    return pictures.BASELINE if name in (RANDOM, POPULARITY, PLATE_ONLY) else pictures.LINEAR


def _mark(
    axes: Any, values: pd.DataFrame, name: str, place: float, colour: str, marker: str, label: str
) -> None:
    """One point with its interval, where the predictor has a figure."""
    if not name or name not in values.index:
        return
    row = values.loc[name]
    if marker != "|":
        axes.hlines(place, row["ci_low"], row["ci_high"], color=colour, linewidth=1.6)
    size = 16 if marker == "|" else 6
    axes.plot(
        row["value"],
        place,
        marker,
        color=colour,
        ms=size,
        mew=2.2 if marker == "|" else 1,
        label=label,
    )


def _wrapped(shown: Iterable[str]) -> list[str]:
    """What predictors are called, in lines short enough to leave a telephone room for the marks."""
    return [textwrap.fill(predictor_title(name), LABEL_CHARACTERS) for name in shown]


def _ceiling(values: pd.DataFrame) -> str:
    known = values[values.index.isin(ceilings.CEILINGS)].reset_index()
    return strictest_ceiling(known, "predictor")


def _n(one: SplitEvaluation) -> int:
    rows = rows_of(one, one.main_metric).set_index("predictor")
    return int(rows["n"].loc[one.predictions.shipped]) if len(rows) else 0


def one_legend(figure: Any, axes: Any) -> None:
    """One legend above the axes, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    unique = {label: handle for handle, label in zip(handles, labels, strict=True) if label}
    if unique:
        figure.legend(list(unique.values()), list(unique), loc="outside upper left", ncols=2)
