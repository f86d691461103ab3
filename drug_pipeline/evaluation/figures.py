"""What the report draws: each function takes rows of the long tables and gives one picture.

Every picture carries its intervals, its n and a line that says how to read it.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from drug_pipeline.evaluation import ceilings, pictures
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, SIMPLE, SplitEvaluation
from drug_pipeline.evaluation.metrics import BY_NAME
from drug_pipeline.evaluation.noise import ACTIVE
from drug_pipeline.evaluation.pictures import Picture, as_picture, drawing
from drug_pipeline.evaluation.report_tables import queries_of, strictest_ceiling
from drug_pipeline.evaluation.strata import ACTIVITY, ALL
from drug_pipeline.evaluation.wording import count, predictor_title, split_title, task_title

MAIN: Final = "pearson_centred"
MANY_DOTS: Final = 150
"""Conditions from which on a scatter has small dots and a running median."""
MAX_GROUPS: Final = 60
"""Lines or drugs shown one by one; beyond that the picture would not be read."""


def headline(evaluations: Sequence[SplitEvaluation], main: str = MAIN) -> Any:
    """The figure of all splits: best simple baseline, best linear model, shipped predictor, ceiling."""
    shown = [one for one in evaluations if one.predictions.predictions]
    with drawing(8.2, 1.3 + 0.5 * max(len(shown), 1)) as (figure, axes):
        for place, one in enumerate(reversed(shown)):
            values = rows_of(one, main).set_index("predictor")
            _mark(axes, values, best_simple(one), place, pictures.BASELINE, "o", "Best simple")
            _mark(
                axes,
                values,
                one.predictions.best_linear,
                place + 0.14,
                pictures.LINEAR,
                "s",
                "Best linear model",
            )
            _mark(
                axes,
                values,
                one.predictions.shipped,
                place - 0.14,
                pictures.SHIPPED,
                "D",
                "Shipped",
            )
            _mark(axes, values, _ceiling(values), place, pictures.CEILING, "|", "Ceiling")
        labels = [
            f"{split_title(one.split, one.kind)}\nn = {count(_n(one, main))}"
            for one in reversed(shown)
        ]
        axes.set_yticks(range(len(shown)), labels)
        axes.set_xlabel(f"{BY_NAME[main].title} on active test conditions*, with 95 % interval")
        axes.axvline(0, color=pictures.INK, linewidth=0.8)
        axes.margins(y=0.12)
        _one_legend(figure, axes)
        return figure


def forest(one: SplitEvaluation, order: Sequence[str], metric: str = MAIN) -> Picture:
    """All predictors of a split on one metric, best first, and the ceilings as lines."""
    values = rows_of(one, metric).set_index("predictor")
    shown = [name for name in order if name in values.index and name not in ceilings.CEILINGS]
    with drawing(7.4, 0.9 + 0.27 * len(shown)) as (figure, axes):
        for place, name in enumerate(reversed(shown)):
            _mark(axes, values, name, place, colour_of(name, one), "o", "")
        axes.set_yticks(range(len(shown)), [predictor_title(name) for name in reversed(shown)])
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
        _one_legend(figure, axes)
        return as_picture(
            figure,
            alt=f"{BY_NAME[metric].title} of every predictor, {split_title(one.split, one.kind)}",
            caption=f"{BY_NAME[metric].title}. {which_conditions(one)}, "
            f"n = {count(_n(one, metric))}; "
            "points are means, bars 95 % intervals over parent compounds, vertical lines what a "
            "perfect prediction could reach. Right is better.",
        )


def by_group(one: SplitEvaluation, kind: str, titles: dict[str, str]) -> Picture | None:
    """Shipped predictor, baseline and ceiling, one row a line or drug, active conditions."""
    rows = rows_of(one, MAIN, stratum_kind=f"active_{kind}", stratum=None)
    wide = rows.pivot_table(index="stratum", columns="predictor", values="value")
    own = rows[rows["predictor"] == one.predictions.shipped].set_index("stratum")
    own = own.sort_values("value")
    if own.empty:
        return None
    note = ""
    if len(own) > MAX_GROUPS:
        half = MAX_GROUPS // 2
        note = f" Of {len(own)}, the {half} lowest and the {half} highest are shown."
        own = pd.concat([own.head(half), own.tail(half)])
    with drawing(7.4, 1.0 + 0.2 * len(own)) as (figure, axes):
        place = np.arange(len(own))
        axes.hlines(place, own["ci_low"], own["ci_high"], color=pictures.SHIPPED, linewidth=1.4)
        axes.plot(own["value"], place, "o", ms=5, color=pictures.SHIPPED, label="Shipped")
        for name, colour, marker, label in (
            (one.gap_baseline, pictures.BASELINE, "o", predictor_title(one.gap_baseline)),
            (ceilings.COUNTING, pictures.CEILING, "|", predictor_title(ceilings.COUNTING)),
        ):
            if name in wide:
                axes.plot(
                    wide.loc[own.index, name],
                    place,
                    marker,
                    color=colour,
                    ms=5,
                    mew=1.6,
                    label=label,
                )
        labels = [f"{titles.get(str(name), name)} ({n})" for name, n in own["n"].items()]
        axes.set_yticks(place, labels, fontsize=7.5)
        axes.set_xlabel(f"{BY_NAME[MAIN].title}, active conditions")
        axes.axvline(0, color=pictures.INK, linewidth=0.8)
        axes.set_ylim(-0.7, len(own) - 0.3)
        _one_legend(figure, axes)
        clusters = "cell lines" if kind == "drug" else "parent compounds"
        return as_picture(
            figure,
            alt=f"{BY_NAME[MAIN].title} by {kind}, {split_title(one.split, one.kind)}",
            caption=f"By {kind}, number of active test conditions in brackets. Bars are 95 % "
            f"intervals over {clusters} (none below five of them). Blue right of grey: better than "
            f"the baseline; orange: what counting noise lets anyone reach.{note}",
        )


def by_dose_and_activity(one: SplitEvaluation) -> Picture | None:
    """The main metric against dose, and against how strong the response is."""
    rows = rows_of(one, MAIN, stratum_kind="dose", stratum=None)
    if rows.empty:
        return None
    with drawing(7.8, 3.1, ncols=2) as (figure, (left, right)):
        series = (
            (one.predictions.shipped, pictures.SHIPPED),
            (one.predictions.best_linear, pictures.LINEAR),
            (one.gap_baseline, pictures.BASELINE),
            (ceilings.COUNTING, pictures.CEILING),
        )
        doses = sorted({float(dose) for dose in rows["stratum"]})
        for offset, (name, colour) in enumerate(dict(series).items()):
            line = rows[rows["predictor"] == name].copy()
            if line.empty:
                continue
            line["dose"] = line["stratum"].astype(float)
            line = line.sort_values("dose")
            place = np.searchsorted(doses, line["dose"]) + 0.06 * (offset - 1.5)
            error = np.abs(line[["ci_low", "ci_high"]].to_numpy().T - line["value"].to_numpy())
            left.errorbar(
                place,
                line["value"],
                yerr=error,
                color=colour,
                marker="o",
                ms=4,
                lw=1.3,
                label=predictor_title(name),
            )
        n_at = rows[rows["predictor"] == one.predictions.shipped].set_index("stratum")["n"]
        labels = [f"{dose:g} µM\nn = {count(n_at.get(f'{dose:g}', 0))}" for dose in doses]
        left.set_xticks(range(len(doses)), labels)
        left.set_ylabel(BY_NAME[MAIN].title)
        left.set_title("By dose, all conditions")
        left.axhline(0, color=pictures.INK, linewidth=0.8)
        left.legend(loc="best", fontsize=7)
        _activity_panel(right, one.rows)
        return as_picture(
            figure,
            alt=f"{BY_NAME[MAIN].title} by dose and by strength of response",
            caption="Left: a predictor of drug effects must gain with dose; one that falls predicts "
            "what all drugs share. Right: each dot a test condition, the line the running median; "
            "conditions left of the dashed line cannot be told from vehicle wells.",
        )


def _activity_panel(axes: Any, rows: pd.DataFrame) -> None:
    known = rows[np.isfinite(rows["activity"]) & np.isfinite(rows[MAIN])].sort_values("activity")
    strength = np.sqrt(np.maximum(known["activity"].to_numpy(), 1e-5))
    is_active = (known["label"] == ACTIVE).to_numpy()
    colours = np.where(is_active, pictures.SHIPPED, pictures.BASELINE)
    is_sparse = len(known) < MANY_DOTS
    axes.scatter(
        strength,
        known[MAIN],
        s=14 if is_sparse else 5,
        c=colours,
        alpha=0.8 if is_sparse else 0.45,
        linewidths=0,
        rasterized=True,
    )
    window = len(known) // 10
    if not is_sparse:
        smooth = known[MAIN].rolling(window, center=True).median()
        axes.plot(strength, smooth, color=pictures.INK, linewidth=1.5)
    if is_active.any() and not is_active.all():
        axes.axvline(strength[is_active].min(), color=pictures.INK, linestyle="--", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("RMS response beyond counting noise (natural log)")
    axes.set_title("By strength of response, shipped predictor")
    axes.axhline(0, color=pictures.INK, linewidth=0.8)


def retrieval(metrics: pd.DataFrame, task: str, order: Sequence[str], shipped: str) -> Picture:
    """MRR of every ranker with its interval, and Hit@K, active queries."""
    rows = metrics[metrics["task"] == task]
    mrr = rows[rows["metric"] == "mrr"].set_index("predictor")
    shown = [name for name in order if name in mrr.index]
    gallery, n = int(mrr["gallery"].iloc[0]), int(mrr["n"].iloc[0])
    with drawing(7.8, 1.0 + max(0.27 * len(shown), 1.6), ncols=2) as (figure, (left, right)):
        for place, name in enumerate(reversed(shown)):
            _mark(left, mrr, name, place, _ranker_colour(name, shipped), "o", "")
        left.set_yticks(range(len(shown)), [predictor_title(name) for name in reversed(shown)])
        left.set_xlim(left=0)
        left.set_xlabel("MRR")
        hits = rows[rows["metric"] == "hit"]
        for name in shown:
            line = hits[hits["predictor"] == name].sort_values("k")
            right.plot(
                line["k"],
                line["value"],
                marker="o",
                ms=3,
                color=_ranker_colour(name, shipped),
                lw=2 if name == shipped else 1,
            )
        right.set_ylim(0, 1)
        right.set_xlabel("K")
        right.set_title("Hit@K")
        left.set_title(f"{n:,} queries, gallery of {gallery:,}")
        return as_picture(
            figure,
            alt=f"{task_title(task)}: MRR and Hit@K of every ranker",
            caption=f"{task_title(task)}: {count(n)} {queries_of(rows)}, "
            f"median gallery {count(gallery)}"
            " identities. Grey rankers never look at the query. Bars are 95 % intervals over parent "
            "compounds.",
        )


def reliability(one: SplitEvaluation) -> Picture | None:
    """Expected against actual error of the shipped predictor."""
    bins = one.reliability
    if bins.empty:
        return None
    with drawing(4.2, 3.6) as (figure, axes):
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
    return "Active test conditions" if ACTIVE in strata else "All test conditions"


def best_simple(one: SplitEvaluation) -> str:
    """The simple baseline with the best main figure."""
    values = rows_of(one, MAIN).set_index("predictor")["value"]
    present = [name for name in SIMPLE if name in values.index]
    return max(present, key=lambda name: float(values.loc[name]), default="")


def colour_of(name: str, one: SplitEvaluation) -> str:
    """What a predictor is drawn in: shipped, network, linear, a mean, or measured."""
    if name == one.predictions.shipped:
        return pictures.SHIPPED
    if name in (one.predictions.network, one.predictions.blend):
        return pictures.NETWORK
    if name in (*ceilings.CEILINGS, ceilings.REPLICATE):
        return pictures.CEILING
    return pictures.BASELINE if name in SIMPLE else pictures.LINEAR


def _ranker_colour(name: str, shipped: str) -> str:
    from drug_pipeline.evaluation.chance import PLATE_ONLY, POPULARITY, RANDOM
    from drug_pipeline.evaluation.oracle import ORACLE

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


def _ceiling(values: pd.DataFrame) -> str:
    known = values[values.index.isin(ceilings.CEILINGS)].reset_index()
    return strictest_ceiling(known, "predictor")


def _n(one: SplitEvaluation, metric: str) -> int:
    rows = rows_of(one, metric).set_index("predictor")
    return int(rows["n"].loc[one.predictions.shipped]) if len(rows) else 0


def _one_legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = {label: handle for handle, label in zip(handles, labels, strict=True) if label}
    if unique:
        figure.legend(
            list(unique.values()), list(unique), loc="outside upper right", ncols=len(unique)
        )
