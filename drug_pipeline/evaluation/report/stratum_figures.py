"""Pictures by line, drug, dose and activity: of predictions, and of ranked drugs.

Every picture carries its intervals, its n and a line that says how to read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.evaluate import SplitEvaluation
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.report import pictures
from drug_pipeline.evaluation.report.figures import RAW_COSINE, one_legend, rows_of
from drug_pipeline.evaluation.report.pictures import Picture, as_picture, drawing
from drug_pipeline.evaluation.report.wording import count, predictor_title, split_title
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME
from drug_pipeline.evaluation.scoring.noise import ACTIVE
from drug_pipeline.evaluation.scoring.strata import ACTIVITY

MANY_DOTS: Final = 150
"""Conditions from which on a scatter has small dots and a running median."""
MAX_GROUPS: Final = 60
"""Lines or drugs shown one by one; beyond that the picture would not be read."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is drawn beside the shipped one: its name in the tables, colour and marker."""

    name: str
    colour: str
    marker: str = "o"


def by_group(one: SplitEvaluation, kind: str, titles: Mapping[str, str]) -> Picture | None:
    """Shipped predictor, best simple baseline and ceiling, one row a line or drug, active conditions."""
    return _groups(
        rows_of(one, one.main_metric, stratum_kind=f"active_{kind}", stratum=None),
        one.predictions.shipped,
        (
            Mark(name=one.best_simple, colour=pictures.BASELINE),
            Mark(name=ceilings.COUNTING, colour=pictures.CEILING, marker="|"),
        ),
        kind=kind,
        titles=titles,
        metric=one.main_metric,
        where=split_title(one.split, one.kind),
        reading="Blue right of grey: better than the best simple baseline; orange: what counting noise lets "
        "anyone reach.",
    )


def ranked_by_group(one: SplitEvaluation, kind: str, titles: Mapping[str, str]) -> Picture | None:
    """MRR of the shipped ranker, the raw cosine and chance, one row a line or drug."""
    if names.DRUG_TASK not in one.predictions.rankings:
        return None
    return _groups(
        one.metric_rows(names.DRUG_TASK, "mrr", 0, f"active_{kind}"),
        one.predictions.rankings[names.DRUG_TASK].shipped,
        (
            Mark(name=chance.RANDOM, colour=pictures.BASELINE),
            Mark(name=RAW_COSINE, colour=pictures.LINEAR),
        ),
        kind=kind,
        titles=titles,
        metric="mrr",
        where=f"ranked drugs, {split_title(one.split, one.kind)}",
        reading="Every drug competes. Blue right of green: better than plain correlation with measured "
        "profiles; "
        "grey: one random order.",
    )


def _groups(
    rows: pd.DataFrame,
    shipped: str,
    beside: Sequence[Mark],
    *,
    kind: str,
    titles: Mapping[str, str],
    metric: str,
    where: str,
    reading: str,
) -> Picture | None:
    own = rows[rows["predictor"] == shipped].set_index("stratum").sort_values("value")
    if own.empty:
        return None
    wide = rows.pivot_table(index="stratum", columns="predictor", values="value")
    note = ""
    if len(own) > MAX_GROUPS:
        half = MAX_GROUPS // 2
        note = f" Of {len(own)}, the {half} lowest and the {half} highest are shown."
        own = pd.concat([own.head(half), own.tail(half)])
    with drawing(pictures.WIDTH, 1.2 + 0.2 * len(own)) as (figure, axes):
        place = np.arange(len(own))
        axes.hlines(place, own["ci_low"], own["ci_high"], color=pictures.SHIPPED, linewidth=1.4)
        label = f"Shipped: {predictor_title(shipped)}"
        axes.plot(own["value"], place, "o", ms=5, color=pictures.SHIPPED, label=label)
        for mark in (one for one in beside if one.name in wide):
            axes.plot(
                wide[mark.name].reindex(own.index),
                place,
                mark.marker,
                color=mark.colour,
                ms=5,
                mew=1.6,
                label=predictor_title(mark.name),
            )
        labels = [f"{titles.get(str(name), name)} ({n})" for name, n in own["n"].items()]
        axes.set_yticks(place, labels, fontsize=8)
        axes.set_xlabel(f"{BY_NAME[metric].title}, active conditions")
        axes.axvline(0, color=pictures.INK, linewidth=0.8)
        axes.set_ylim(-0.7, len(own) - 0.3)
        one_legend(figure, axes)
        clusters = "cell lines" if kind == "drug" else "parent compounds"
        return as_picture(
            figure,
            alt=f"{BY_NAME[metric].title} by {kind}, {where}",
            caption=f"By {kind}, number of active test conditions in brackets. Bars are 95 % "
            f"intervals over {clusters} (none below five of them). {reading}{note}",
        )


def by_dose(one: SplitEvaluation) -> Picture | None:
    """The main metric against dose: shipped, best linear, best simple, ceiling."""
    return _stepped(
        rows_of(one, one.main_metric, stratum_kind="dose", stratum=None),
        {
            one.predictions.best_linear: pictures.LINEAR,
            one.best_simple: pictures.BASELINE,
            ceilings.COUNTING: pictures.CEILING,
            one.predictions.shipped: pictures.SHIPPED,
        },
        one.predictions.shipped,
        what=BY_NAME[one.main_metric].title,
        reading="A predictor of drug effects must gain with dose; one that falls predicts what all "
        "drugs share.",
    )


def ranked_by_dose(one: SplitEvaluation) -> Picture | None:
    """MRR of the shipped ranker, the raw cosine and chance against dose."""
    return _ranked_steps(one, "dose", "All test conditions as queries, every drug competes.")


def ranked_by_activity(one: SplitEvaluation) -> Picture | None:
    """MRR of the shipped ranker, the raw cosine and chance, for active and inactive queries."""
    return _ranked_steps(
        one,
        ACTIVITY,
        "Active conditions differ from vehicle wells; inactive ones hardly can name their drug.",
    )


def _ranked_steps(one: SplitEvaluation, kind: str, reading: str) -> Picture | None:
    if names.DRUG_TASK not in one.predictions.rankings:
        return None
    shipped = one.predictions.rankings[names.DRUG_TASK].shipped
    return _stepped(
        one.metric_rows(names.DRUG_TASK, "mrr", 0, kind),
        {
            RAW_COSINE: pictures.LINEAR,
            chance.RANDOM: pictures.BASELINE,
            shipped: pictures.SHIPPED,
        },
        shipped,
        what="MRR",
        reading=reading,
    )


def _stepped(
    rows: pd.DataFrame, shown: Mapping[str, str], shipped: str, *, what: str, reading: str
) -> Picture | None:
    """One point with its interval a dose or activity and predictor, n of the shipped one below."""
    if rows.empty:
        return None
    is_dose = (rows["stratum_kind"] == "dose").all()
    strata = sorted(set(rows["stratum"]), key=float if is_dose else str)
    with drawing(pictures.WIDTH, 3.1) as (figure, axes):
        for offset, (name, colour) in enumerate(shown.items()):
            line = rows[rows["predictor"] == name].set_index("stratum").reindex(strata)
            if line["value"].isna().all():
                continue
            error = np.abs(line[["ci_low", "ci_high"]].to_numpy().T - line["value"].to_numpy())
            axes.errorbar(
                np.arange(len(strata)) + 0.06 * (offset - 1.5),
                line["value"],
                yerr=np.nan_to_num(error),
                color=colour,
                marker="o",
                ms=4,
                lw=1.3,
                label=predictor_title(name),
            )
        n_at = rows[rows["predictor"] == shipped].set_index("stratum")["n"]
        unit = " µM" if is_dose else ""
        labels = [f"{one}{unit}\nn = {count(n_at.get(one, 0))}" for one in strata]
        axes.set_xticks(range(len(strata)), labels)
        axes.axhline(0, color=pictures.INK, linewidth=0.8)
        axes.set_ylabel(what)
        one_legend(figure, axes)
        return as_picture(
            figure,
            alt=f"{what} by {'dose' if is_dose else 'activity'}",
            caption=f"By {'dose, all conditions' if is_dose else 'activity'}. {reading} Bars are "
            "95 % intervals over parent compounds (none below five of them).",
        )


def by_strength(one: SplitEvaluation) -> Picture:
    """The shipped predictor's main metric against how strong the response is."""
    metric, rows = one.main_metric, one.rows
    known = rows[np.isfinite(rows["activity"]) & np.isfinite(rows[metric])].sort_values("activity")
    strength = np.sqrt(np.maximum(known["activity"].to_numpy(), 1e-5))
    is_active = (known["label"] == ACTIVE).to_numpy()
    is_sparse = len(known) < MANY_DOTS
    with drawing(pictures.WIDTH, 3.1) as (figure, axes):
        axes.scatter(
            strength,
            known[metric],
            s=14 if is_sparse else 5,
            c=np.where(is_active, pictures.SHIPPED, pictures.BASELINE),
            alpha=0.8 if is_sparse else 0.45,
            linewidths=0,
            rasterized=True,
        )
        if not is_sparse:
            smooth = known[metric].rolling(len(known) // 10, center=True).median()
            axes.plot(strength, smooth, color=pictures.INK, linewidth=1.5)
        if is_active.any() and not is_active.all():
            first = strength[is_active].min()
            axes.axvline(first, color=pictures.INK, linestyle="--", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel("RMS response beyond counting noise (natural log)")
        axes.set_ylabel(BY_NAME[metric].title)
        axes.axhline(0, color=pictures.INK, linewidth=0.8)
        return as_picture(
            figure,
            alt=f"{BY_NAME[metric].title} of the shipped predictor by strength of response",
            caption=f"Each dot a test condition (n = {count(len(rows))}), the line the running "
            "median; conditions left of the dashed line cannot be told from vehicle wells.",
        )
