"""The ablation page: what each token and loss is worth, and what was once observed of them.

What belongs here: words and pictures of the long table. What does not: its tables
(``cost_tables``), figures that were not computed before (``costs``), files (``ablation_report``).
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.ablation.claims import Claim
from drug_pipeline.evaluation.ablation.cost_tables import (
    PREDICTORS,
    VARIANTS,
    markdown_costs,
    split_tables,
)
from drug_pipeline.evaluation.ablation.costs import (
    NETWORK,
    SHIPPED,
    SPREAD,
    rows_of,
)
from drug_pipeline.evaluation.ablation.gene_findings import GeneFindings
from drug_pipeline.evaluation.ablation.gene_sections import gene_map, gene_observation, gene_table
from drug_pipeline.evaluation.evaluate import FORWARD_TASK
from drug_pipeline.evaluation.report import pictures
from drug_pipeline.evaluation.report.page import render
from drug_pipeline.evaluation.report.pictures import as_picture, as_png, drawing
from drug_pipeline.evaluation.report.tables import direction
from drug_pipeline.evaluation.report.wording import (
    count,
    interval,
    signed,
    split_title,
)
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME

GENERATED: Final = (
    "These data are generated. What is worth something here need not be on real cells."
)
SMALLEST_GAIN: Final = 0.005
"""A gain in MRR or correlation below this is none that anybody would build for."""
SMALLEST_CHANGE: Final = 0.0005
"""An interval that lies within this of 0 reads 0.000 [0.000, 0.000]: the thing never came to act."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A figure whose costs are drawn."""

    task: str
    predictor: str
    metric: str
    title: str


PANELS: Final = (
    Panel(
        task=FORWARD_TASK,
        predictor=NETWORK,
        metric="pearson_centred",
        title="Centred Pearson, linear + network",
    ),
    Panel(task=names.DRUG_TASK, predictor=names.TOWER, metric="mrr", title="MRR, expression tower"),
    Panel(task=names.DRUG_TASK, predictor=names.COMBINED, metric="mrr", title="MRR, what ships"),
)


@dataclass(frozen=True, kw_only=True)
class AblationInputs:
    """Everything that the page is made of; ``fitted`` says how the variants were fitted."""

    figures: pd.DataFrame
    fitted: Mapping[str, Any]
    genes: GeneFindings | None
    is_generated: bool
    n_resamples: int


def render_page(inputs: AblationInputs) -> str:
    """The page, self-contained: no script, no network, pictures inside."""
    splits = list(dict.fromkeys(inputs.figures["split"]))
    return render(
        "ablation.html",
        generated=GENERATED if inputs.is_generated else "",
        observations=observations(inputs),
        smallest_gain=SMALLEST_GAIN,
        gene_table=gene_table(inputs.genes) if inputs.genes else None,
        gene_map=gene_map(inputs.genes) if inputs.genes else None,
        sections=[_section(inputs, split) for split in splits],
        fitted=fitted_sentences(inputs),
        n_resamples=inputs.n_resamples,
    )


def render_summary(inputs: AblationInputs) -> str:
    """The same in short, as Markdown, for the UI."""
    lines = [f"> **{GENERATED}**", ""] if inputs.is_generated else []
    for seen in observations(inputs):
        lines += [f"- **{seen.claim}: {seen.verdict}.** {' '.join(seen.evidence)}"]
    lines += ["", *(f"- {sentence}" for sentence in fitted_sentences(inputs)), ""]
    for split in dict.fromkeys(inputs.figures["split"]):
        lines += markdown_costs(inputs.figures, split)
    return "\n".join(lines) + "\n"


def render_picture(inputs: AblationInputs) -> bytes:
    """Costs on the first split as PNG."""
    split = str(inputs.figures["split"].iloc[0])
    shown = [name for group in _groups(inputs, split).values() for name in group]
    return as_png(_draw_costs(inputs, split, shown, PANELS))


def summary_figures(inputs: AblationInputs) -> dict[str, Any]:
    """What a stamp, a tracker or an asset page shows."""
    figures: dict[str, Any] = {
        "n_figures": len(inputs.figures),
        "n_variants": int(inputs.figures["variant"].nunique()),
        "observations": {seen.claim: seen.verdict for seen in observations(inputs)},
    }
    for predictor, metric, task in (
        (SHIPPED, "pearson_centred", FORWARD_TASK),
        (names.COMBINED, "mrr", names.DRUG_TASK),
    ):
        rows = rows_of(inputs.figures, task=task, predictor=predictor, metric=metric)
        for row in rows[rows["variant"] != names.REFERENCE].to_dict("records"):
            figures[f"{row['split']}_{row['variant']}_cost_{metric}"] = round(float(row["cost"]), 6)
    return figures


def observations(inputs: AblationInputs) -> list[Claim]:
    """What was once observed of such models, each confirmed or not, with its figures."""
    frame = inputs.figures
    return [
        _observed(
            frame,
            claim="Cell tokens stabilise ranking",
            variant=names.NO_CELL_TOKEN,
            task=names.DRUG_TASK,
            deciding=(names.TOWER, "mrr"),
            beside=(
                (names.COMBINED, "mrr"),
                (names.TOWER, "normalised_rank"),
                (names.TOWER, SPREAD),
            ),
        ),
        _observed(
            frame,
            claim="Warm-up of the ranking loss helps",
            variant=names.NO_WARMUP,
            task=FORWARD_TASK,
            deciding=(NETWORK, "pearson_centred"),
            beside=((SHIPPED, "pearson_centred"),),
            ranked=((names.COMBINED, "mrr"), (names.TOWER, "mrr")),
        ),
        gene_observation(inputs.genes),
    ]


def _observed(
    frame: pd.DataFrame,
    *,
    claim: str,
    variant: str,
    task: str,
    deciding: tuple[str, str],
    beside: Sequence[tuple[str, str]],
    ranked: Sequence[tuple[str, str]] = (),
) -> Claim:
    """Confirmed where leaving the thing out costs enough to matter, with its interval."""
    first = rows_of(frame, variant=variant, task=task, predictor=deciding[0], metric=deciding[1])
    if first.empty:
        return Claim(claim=claim, verdict="not looked at", evidence=["It was not fitted."])
    evidence = []
    for split in dict.fromkeys(first["split"]):
        metrics = [deciding, *beside]
        columns = [(task, *one) for one in metrics] + [(names.DRUG_TASK, *one) for one in ranked]
        parts = [
            part
            for one_task, predictor, metric in columns
            if (part := _cost_in_words(frame, split, variant, one_task, predictor, metric))
        ]
        kind = str(first["kind"].iloc[0] if split == first["split"].iloc[0] else split)
        evidence.append(
            f"{split_title(str(split), kind)}: leaving it out costs {'; '.join(parts)}."
        )
    row = first.iloc[0]
    verdict = _verdict(row["cost"], row["cost_low"], row["cost_high"])
    return Claim(claim=claim, verdict=verdict, evidence=evidence)


def _verdict(cost: float, low: float, high: float) -> str:
    """Whether a gain is there, with its interval and large enough to matter."""
    if not np.isfinite(low):
        return "cannot be told, too few compounds"
    if max(abs(cost), abs(low), abs(high)) < SMALLEST_CHANGE:
        return "not decided, nothing changed"
    if low > 0:
        is_worth_it = cost >= SMALLEST_GAIN
        return "confirmed" if is_worth_it else f"refuted, the gain is below {SMALLEST_GAIN}"
    is_harm = high < 0 and cost <= -SMALLEST_GAIN
    return "refuted, it hurts" if is_harm else "refuted, no gain is seen"


def _cost_in_words(
    frame: pd.DataFrame, split: str, variant: str, task: str, predictor: str, metric: str
) -> str:
    rows = rows_of(
        frame, split=split, variant=variant, task=task, predictor=predictor, metric=metric
    )
    if rows.empty:
        return ""
    row = rows.iloc[0]
    title = "spread of MRR over seeds" if metric == SPREAD else BY_NAME[metric].title
    return (
        f"{signed(row['cost'])} {interval(row['cost_low'], row['cost_high'])} in {title} of "
        f"{PREDICTORS.get(predictor, predictor)} (n = {count(row['n'])})"
    )


def fitted_sentences(inputs: AblationInputs) -> list[str]:
    """How the variants were fitted, and where that is less than the model itself gets."""
    fitted, ablation, model = (
        inputs.fitted,
        inputs.fitted["ablation"],
        inputs.fitted["model"],
    )
    sentences = []
    for split, n_train in fitted["n_train"].items():
        whole, n_test = fitted["n_train_whole"][split], fitted["n_test"][split]
        sentences.append(
            f"Split {split}: fitted on {count(n_train)} of {count(whole)} training conditions, "
            f"judged on {count(n_test)} of {count(fitted['n_test_whole'][split])} test conditions."
        )
    epochs = []
    for mode in ("forward", "inverse"):
        own, whole = ablation[f"{mode}_epochs"], model[mode]["loop"]["n_epochs"]
        epochs.append(f"{mode} {own or whole} epochs (the model itself: {whole})")
    sentences.append(f"Networks are trained {', '.join(epochs)}.")
    if ablation["linear"]:
        names = ", ".join(name.replace("_", " ") for name in ablation["linear"])
        sentences.append(f"Of the linear models the means and {names} alone are fitted.")
    seeds = ablation["n_seeds"]
    sentences.append(
        f"Each figure is the mean over {seeds} starts of the networks."
        if seeds > 1
        else "One start of the networks a variant: another start moves every figure too, which "
        "no interval here knows of."
    )
    sentences.append(
        "Linear models, encoder and measured rankers are fitted once for all variants that do not "
        "touch them."
    )
    return sentences


def _section(inputs: AblationInputs, split: str) -> dict[str, Any]:
    rows = inputs.figures[inputs.figures["split"] == split]
    kind = str(rows["kind"].iloc[0])
    shipped = rows_of(
        rows, variant=names.REFERENCE, predictor=SHIPPED, metric="pearson_centred"
    ).iloc[0]
    return {
        "anchor": split.replace("_", "-"),
        "title": split_title(split, kind),
        "pictures": [
            as_picture(
                _draw_costs(inputs, split, group, [panel]),
                alt=f"What leaving each thing out costs on split {split}: {title.lower()}, "
                f"{panel.title}",
                caption=f"{title}. Full model minus variant: right of 0 leaving it out hurts, blue "
                "where the interval is clear of 0. Bars are paired 95 % intervals over parent "
                f"compounds, n = {count(shipped['n'])} test conditions of {shipped['n_parents']} "
                "compounds.",
            )
            for title, group in _groups(inputs, split).items()
            for panel in PANELS
        ],
        "tables": split_tables(rows),
    }


def _draw_costs(
    inputs: AblationInputs, split: str, wanted: Sequence[str], panels: Sequence[Panel]
) -> Any:
    """Costs of some variants, a panel a figure, with their intervals."""
    frame = inputs.figures[inputs.figures["split"] == split]
    width = 1.7 + (pictures.WIDTH - 1.7) * len(panels)
    with drawing(width, 1.2 + 0.3 * len(wanted), ncols=len(panels), sharey=True, squeeze=False) as (
        figure,
        axes,
    ):
        for axis, panel in zip(axes[0], panels, strict=True):
            for place, variant in enumerate(reversed(wanted)):
                rows = rows_of(
                    frame,
                    variant=variant,
                    task=panel.task,
                    predictor=panel.predictor,
                    metric=panel.metric,
                )
                if rows.empty:
                    continue
                row = rows.iloc[0]
                is_sure = direction(row["cost_low"], row["cost_high"]) != ""
                colour = pictures.SHIPPED if is_sure else pictures.BASELINE
                axis.hlines(place, row["cost_low"], row["cost_high"], color=colour, linewidth=1.6)
                axis.plot(row["cost"], place, "o", ms=5, color=colour)
            axis.axvline(0, color=pictures.INK, linewidth=0.8)
            axis.set_title(panel.title)
            axis.set_ylim(-0.7, len(wanted) - 0.3)
            axis.set_xlabel("cost of leaving it out")
        labels = [textwrap.fill(VARIANTS[name], 26) for name in reversed(wanted)]
        axes[0, 0].set_yticks(range(len(wanted)), labels)
        return figure


def _groups(inputs: AblationInputs, split: str) -> dict[str, list[str]]:
    """Variants of a split by what they change: their costs differ by orders of magnitude."""
    fitted = set(inputs.figures.loc[inputs.figures["split"] == split, "variant"])
    of_inputs = (*names.INPUT_VARIANTS, names.PERMUTED)
    groups = {
        "What all models are told": [name for name in VARIANTS if name in of_inputs],
        "How the network is built and trained": [
            name for name in VARIANTS if name not in (*of_inputs, names.REFERENCE)
        ],
    }
    shown = {title: [name for name in group if name in fitted] for title, group in groups.items()}
    return {title: group for title, group in shown.items() if group}
