"""The report: one self-contained HTML page, a Markdown summary, a headline picture.

What belongs here: which section holds what. What does not: files (``build``), figures of any kind
that were not computed before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluate import SplitEvaluation
from drug_pipeline.evaluation.gates.verdicts import GateResult, tally
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.rankings.measured_galleries import CROSS_LINE, SAME_LINE
from drug_pipeline.evaluation.rankings.ranking_tasks import IN_PANEL
from drug_pipeline.evaluation.report import (
    detail_sections,
    figures,
    forward_sections,
    retrieval_sections,
    stratum_figures,
)
from drug_pipeline.evaluation.report.answers import Answer, answers, ranking_sentence
from drug_pipeline.evaluation.report.pictures import Picture, as_picture, as_png
from drug_pipeline.evaluation.report.tables import Table
from drug_pipeline.evaluation.report.wording import (
    count,
    number,
    percent,
    predictor_title,
    split_question,
    split_title,
    task_title,
)
from drug_pipeline.evaluation.scoring import metric_table
from drug_pipeline.evaluation.scoring.calibration import Estimate
from drug_pipeline.evaluation.scoring.noise import ACTIVE, UNKNOWN, Noise
from drug_pipeline.evaluation.scoring.strata import active_rows

SHOWN_WEIGHT: Final = 1e-3
"""Smaller weights only break ties where no other ranker knows a drug."""
GENERATED: Final = (
    "These data are generated. Every figure below tests the pipeline; none says anything about "
    "real drugs or cells."
)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the report says about where the data come from.

    ``dropped`` lists (stage, reason, number) of everything that was left out on the way;
    ``quarantined`` raw files with their reason; ``raw`` and ``pairs`` single facts by title.
    """

    is_generated: bool
    facts: Mapping[str, str] = field(default_factory=dict)
    dropped: Sequence[tuple[str, str, int]] = ()
    quarantined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Everything that the page is made of."""

    evaluations: Sequence[SplitEvaluation]
    prototypes: Sequence[SplitEvaluation]
    table: DeltaTable
    noise: Noise
    data: DataFacts
    config: EvaluationConfig
    gates: Sequence[GateResult] = ()
    split_notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped_splits: Mapping[str, str] = field(default_factory=dict)
    line_titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def forward(self) -> list[SplitEvaluation]:
        """The splits that have forward predictions."""
        return [one for one in self.evaluations if one.predictions.predictions]

    @cached_property
    def uncertainty(self) -> dict[str, dict[str, Estimate]]:
        """How well the model knows its errors, by split that states them."""
        by_split = {one.split: detail_sections.uncertainty(one) for one in self.forward}
        return {split: found for split, found in by_split.items() if found}

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """What page, summary and terminal begin with."""
        return answers(self.evaluations, self.uncertainty, self.gates)

    @cached_property
    def ranked(self) -> list[tuple[SplitEvaluation, Mapping[str, Table]]]:
        """Every split, of the prototype last, with its retrieval tables by task."""
        return [
            (one, retrieval_sections.retrieval_tables(one))
            for one in (*self.evaluations, *self.prototypes)
        ]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What the page shows of one retrieval task; no pictures where not every drug competes."""

    title: str
    table: Table
    pictures: Sequence[Picture]


@dataclass(frozen=True, kw_only=True)
class SplitSection:
    """What the page shows of one split."""

    anchor: str
    title: str
    question: str
    verdict: str
    table: Table | None
    pictures: Sequence[Picture]
    details: Sequence[Picture]
    ranked: str
    rankings: Sequence[Ranking]
    ranked_details: Sequence[Picture]
    calibration: Table | None
    ranked_calibration: Table | None
    cases: Table | None
    fitted: str


def render_report(inputs: ReportInputs) -> str:
    """The page, self-contained: no script, no network, pictures inside."""
    forward = inputs.forward
    sections = [_section(one, tables, inputs) for one, tables in inputs.ranked]
    n_splits = len(inputs.evaluations)
    return render(
        "report.html",
        generated=GENERATED if inputs.data.is_generated else "",
        facts=_facts(inputs),
        data=inputs.data,
        overview=_overview(forward) if forward else None,
        headline=forward_sections.headline_table(forward) if forward else None,
        splits=forward_sections.splits_table(inputs.evaluations, inputs.split_notes)
        if inputs.evaluations
        else None,
        skipped=inputs.skipped_splits,
        sections=sections[:n_splits],
        prototypes=sections[n_splits:],
        reliability=[
            (detail_sections.uncertainty_sentence(one, estimates), figures.reliability(one))
            for one in forward
            if (estimates := inputs.uncertainty.get(one.split))
        ],
        noise=_noise_sentences(inputs),
        gates=inputs.gates,
        answers=inputs.answers,
        tally=tally(inputs.gates),
        definitions=(metric_table.FORWARD, metric_table.RETRIEVAL),
        config=inputs.config,
    )


def render(template: str, **given: Any) -> str:
    """A page of the folder of templates, escaped; a missing value is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drug_pipeline.evaluation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**given)


def render_summary(inputs: ReportInputs) -> str:
    """The same in short, as Markdown, for the UI and the model card."""
    lines = [f"> **{GENERATED}**", ""] if inputs.data.is_generated else []
    for answer in inputs.answers:
        lines += [f"**{answer.question} {answer.verdict}.**", ""]
        lines += [*(f"- {sentence}" for sentence in (*answer.sentences, *answer.more)), ""]
    lines += ["### What data", ""]
    lines += [f"{title}: {value}  " for title, value in _facts(inputs).items()]
    forward = inputs.forward
    if forward:
        lines += ["", "### Forward: drug, dose and line to Δ", ""]
        lines += [
            f"- **{split_title(one.split, one.kind)}**: {forward_sections.verdict(one)}"
            for one in forward
        ]
    ranked = _ranking_lines(inputs)
    if ranked:
        lines += ["", "### Inverse: Δ to ranked drugs", "", *ranked]
    lines += ["", "### Gates", ""]
    lines += gate_lines(inputs.gates) or ["No gate has been run."]
    lines += ["", "95 % intervals by bootstrap over parent compounds."]
    return "\n".join(lines) + "\n"


def gate_lines(gates: Sequence[GateResult]) -> list[str]:
    """Gates in Markdown: how many are green, then each, those that bar a champion first."""
    if not gates:
        return []
    ordered = sorted(gates, key=lambda gate: not gate.bars)
    return [f"{tally(gates)}.", ""] + [
        f"- {f'**{gate.state.upper()}**' if gate.bars else gate.state}: {gate.name}. "
        f"{gate.explanation}"
        for gate in ordered
    ]


def render_headline(inputs: ReportInputs) -> bytes:
    """The headline picture as PNG."""
    return as_png(figures.headline(inputs.forward))


def _overview(forward: Sequence[SplitEvaluation]) -> Picture:
    return as_picture(
        figures.headline(forward),
        alt="Main figure of every split: baseline, best linear model, shipped predictor, ceiling",
        caption="Each row a way to hold out. Blue right of grey: better than the best simple baseline. "
        "Green is the best linear model, the orange bar what a perfect prediction could reach on "
        "data this noisy. Bars are 95 % intervals over parent compounds. * All test conditions where "
        "fewer than five compounds are active.",
    )


def _section(
    one: SplitEvaluation, ranked_tables: Mapping[str, Table], inputs: ReportInputs
) -> SplitSection:
    has_forward = bool(one.predictions.predictions)
    order = forward_sections.predictor_order(one) if has_forward else []
    shown = [figures.forest(one, order), stratum_figures.by_dose(one)] if has_forward else []
    detail = (
        [
            stratum_figures.by_strength(one),
            stratum_figures.by_group(one, "line", inputs.line_titles),
            stratum_figures.by_group(one, "drug", {}),
        ]
        if has_forward
        else []
    )
    ranked = [
        stratum_figures.ranked_by_dose(one),
        stratum_figures.ranked_by_activity(one),
        stratum_figures.ranked_by_group(one, "line", inputs.line_titles),
        stratum_figures.ranked_by_group(one, "drug", {}),
    ]
    return SplitSection(
        anchor=one.split.replace("_", "-"),
        title=split_title(one.split, one.kind),
        question=split_question(one.kind),
        verdict=forward_sections.verdict(one) if has_forward else "",
        table=forward_sections.forward_table(one) if has_forward else None,
        pictures=[picture for picture in shown if picture is not None],
        details=[picture for picture in detail if picture is not None],
        ranked=ranking_sentence(one),
        rankings=_rankings(one, ranked_tables),
        ranked_details=[picture for picture in ranked if picture is not None],
        calibration=detail_sections.calibration_table(one) if has_forward else None,
        ranked_calibration=detail_sections.ranking_calibration_table(one),
        cases=detail_sections.cases(one) if has_forward else None,
        fitted=_fitted(one),
    )


def _rankings(one: SplitEvaluation, tables: Mapping[str, Table]) -> list[Ranking]:
    """Each retrieval task; targets with a table at each K."""
    found = []
    for task, table in tables.items():
        rows = active_rows(one.metrics[one.metrics["task"] == task])
        order = retrieval_sections.ranker_order(rows)
        shipped = retrieval_sections.shipped_ranker(one, task)
        is_whole = not task.endswith((IN_PANEL, SAME_LINE, CROSS_LINE))
        drawn = figures.retrieval(rows, task, order, shipped) if is_whole else []
        title = task_title(task)
        found.append(Ranking(title=title, table=table, pictures=drawn))
        found += [
            Ranking(title=f"{title} At each K", table=at_k, pictures=[])
            for at_k in retrieval_sections.target_tables(one, task)
        ]
    return found


def _fitted(one: SplitEvaluation) -> str:
    """What was fitted on validation data, in words: how much the network counts, and the weights."""
    notes = one.predictions.notes
    parts = []
    if "alpha" in notes:
        base = f" on {predictor_title(notes['base'])}" if notes.get("base") else ""
        parts.append(f"α {notes['alpha']:.3g} of the network{base}")
    blends = notes.get("blend_weights") or {}
    parts += [f"{predictor_title(name)}: {_weights(blends[name])}" for name in blends]
    if notes.get("ranker_weights"):
        parts.append(f"combined rankers: {_weights(notes['ranker_weights'])}")
    if notes.get("n_validation") is not None:
        parts.append(f"on {count(notes['n_validation'])} conditions")
    return "; ".join(parts)


def _weights(weights: Mapping[str, float]) -> str:
    """Weights that count, the largest first."""
    counting = sorted((-weight, name) for name, weight in weights.items() if weight >= SHOWN_WEIGHT)
    return (
        ", ".join(f"{predictor_title(name)} {-weight:.3g}" for weight, name in counting) or "none"
    )


def _facts(inputs: ReportInputs) -> dict[str, str]:
    conditions = inputs.table.conditions
    doses = ", ".join(f"{dose:g}" for dose in sorted(conditions[names.DOSE_UM].unique())[:8])
    is_active = inputs.noise.label_N == ACTIVE
    is_known = inputs.noise.label_N != UNKNOWN
    activity = (
        f"{count(is_active.sum())} of {count(is_known.sum())} "
        f"({percent(is_active.sum() / is_known.sum())}) differ from vehicle wells"
        if is_known.any()
        else "not known: no plate has two vehicle wells"
    )
    return {
        "Source": "generated" if inputs.data.is_generated else "measured",
        **inputs.data.facts,
        "Conditions with Δ": f"{count(len(conditions))}: "
        f"{count(conditions[names.DRUG].nunique())} drugs "
        f"({count(conditions[names.PARENT_COMPOUND].nunique())} parent compounds) × "
        f"{count(conditions[names.CELL_LINE_ID].nunique())} lines × "
        f"{count(conditions[names.DOSE_UM].nunique())} doses ({doses} µM) on "
        f"{count(conditions[names.PLATE].nunique())} plates",
        "Genes": count(len(inputs.table.genes)),
        "Cells a condition": f"median {count(conditions[names.N_CELLS].median())}, "
        f"{count(conditions[names.N_CELLS].min())} to {count(conditions[names.N_CELLS].max())}",
        "Active conditions": activity,
        "Fingerprint of Δ": inputs.table.fingerprint[:16],
    }


def _noise_sentences(inputs: ReportInputs) -> list[str]:
    """How much of Δ is noise, from three sides."""
    noise = inputs.noise
    energy = np.square(inputs.table.delta_NG, dtype=np.float64).mean()
    counting = _mean(noise.counting_N)
    sentences = [
        f"Mean of Δ² over conditions and genes: {number(energy, 4)} (squared natural logs).",
        f"Of this, the cells drawn make {number(counting, 4)} by the variance between cells"
        + (
            f", {number(_mean(noise.halves_N), 4)} by one half of the cells against the other."
            if np.isfinite(noise.halves_N).any()
            else "."
        )
        if np.isfinite(counting)
        else "Counting noise is not known: conditions have one cell each.",
    ]
    n_wells = len(noise.null.energy_W)
    sentences.append(
        f"A well adds {number(noise.null.well_variance, 4)}, from {count(n_wells)} vehicle wells "
        "against the other vehicle wells of their line and plate."
        if n_wells
        else "What a well adds is not known: no plate has two vehicle wells of a line."
    )
    return sentences


def _ranking_lines(inputs: ReportInputs) -> list[str]:
    """A Markdown table: each task's shipped ranker beside those that never look at the query."""
    lines = [
        "| held out | task | shipped | figures | plate alone, MRR | random, MRR |",
        "|---|---|---|---|---|---|",
    ]
    for one, tables in inputs.ranked:
        for task, table in tables.items():
            cells_of = {row.title.removesuffix(" (shipped)"): row.cells for row in table.rows}
            shipped = predictor_title(retrieval_sections.shipped_ranker(one, task))
            if shipped not in cells_of:
                continue
            mrr = {
                name: f"{cells[0].text} {cells[0].note}".strip() for name, cells in cells_of.items()
            }
            figures_text = "; ".join(
                f"{head} {cell.text} {cell.note}".strip()
                for (head, _), cell in list(zip(table.heads, cells_of[shipped], strict=True))[:3]
            )
            lines.append(
                f"| {split_title(one.split, one.kind)} | "
                f"{retrieval_sections.what_was_asked(one, task)} | {shipped} | "
                f"{figures_text} | {mrr.get(predictor_title(chance.PLATE_ONLY), '')} | "
                f"{mrr[predictor_title(chance.RANDOM)]} |"
            )
    return lines if len(lines) > 2 else []


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
