"""What the report says of predictions: verdict, table, calibration and cases of each split.

What belongs here: which figures are reported, in what order, in what words. What does not: HTML
(``templates/``), pictures (``figures``), new figures: everything here was computed before.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from drug_pipeline.domain import names
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, SIMPLE, SplitEvaluation
from drug_pipeline.evaluation.report.detail_sections import ranges, why
from drug_pipeline.evaluation.report.figures import (
    ACTIVE_ONLY,
    rows_of,
    which_conditions,
)
from drug_pipeline.evaluation.report.tables import (
    Cell,
    Row,
    Table,
    difference_cell,
    direction,
    figure_cell,
    gap_rows,
    largest_n,
    record,
    select,
    share_cell,
    strictest_ceiling,
)
from drug_pipeline.evaluation.report.wording import (
    METRIC_PHRASES,
    at_k,
    count,
    number,
    percent,
    percent_interval,
    predictor_title,
    signed,
    split_question,
    split_title,
    with_interval,
)
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.calibration import TELLS
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, FORWARD
from drug_pipeline.evaluation.scoring.noise import ACTIVE
from drug_pipeline.evaluation.scoring.strata import ALL


def predictor_order(one: SplitEvaluation) -> list[str]:
    """Predictors by their main figure, best first; then the replicate and the ceilings."""
    values = rows_of(one, one.main_metric).set_index("predictor")["value"]
    last = (ceilings.REPLICATE, *ceilings.CEILINGS)
    measured = [name for name in values.index if name not in last]
    best_first = sorted(measured, key=lambda name: (-values.loc[name], name))
    return best_first + [name for name in last if name in values.index]


def role_of(name: str, one: SplitEvaluation) -> str:
    """What a predictor is to this split."""
    predictions = one.predictions
    if name == predictions.shipped:
        return "shipped"
    if name == ceilings.REPLICATE:
        return "measured"
    if name in ceilings.CEILINGS:
        return "ceiling"
    if name in (predictions.network, predictions.blend):
        return "network"
    return "simple" if name in SIMPLE else "linear"


def forward_table(one: SplitEvaluation) -> Table:
    """Every predictor of a split: figures on active conditions, gap closed, distance to shipped."""
    withheld = _withheld(one)
    order = (BY_NAME[one.main_metric], *(m for m in FORWARD if m.name != one.main_metric))
    keys = [
        (metric.name, k)
        for metric in order
        for k in (metric.columns or ((0,) if metric is order[0] else ()))
        if metric.name not in withheld and len(rows_of(one, metric.name, k=k))
    ]
    compared = select(one.comparisons, task=FORWARD_TASK, metric=one.main_metric)
    closed = gap_rows(one.gaps, one.main_metric)
    rows = []
    for name in predictor_order(one):
        cells = [figure_cell(rows_of(one, metric, k=k), name, metric) for metric, k in keys]
        cells.append(share_cell(closed, name))
        cells.append(difference_cell(compared, name))
        rows.append(
            Row(title=_shipped_title(name, one), role=role_of(name, one), cells=tuple(cells))
        )
    heads = [(at_k(BY_NAME[name].title, k), BY_NAME[name].definition) for name, k in keys]
    heads.append(
        (
            "Gap closed",
            f"Share of the way from {predictor_title(one.best_simple)} to the strictest ceiling "
            f"in {BY_NAME[one.main_metric].title}.",
        )
    )
    heads.append(
        (
            "Shipped minus this",
            f"Paired difference in {BY_NAME[one.main_metric].title}; above 0 the shipped predictor is better.",
        )
    )
    n = largest_n(rows_of(one, one.main_metric))
    return Table(
        heads=tuple(heads),
        rows=tuple(rows),
        caption=f"{which_conditions(one)}, n = {count(n)} of {count(n_parents(one))} parent "
        "compounds; 95 % intervals by bootstrap over parent compounds."
        + "".join(f" {sentence}" for sentence in withheld.values()),
    )


def _withheld(one: SplitEvaluation) -> dict[str, str]:
    """Columns that cannot tell predictors apart on this split though they must, and why not."""
    found = ranges(one)
    verdicts = dict(zip(found["metric"], found["verdict"], strict=True))
    return {
        metric.name: f"{metric.title} is not shown, since it cannot tell predictors apart here: "
        f"{why(verdicts[metric.name])}."
        for metric in FORWARD
        if metric.must_tell and verdicts.get(metric.name, TELLS) != TELLS
    }


def n_parents(one: SplitEvaluation) -> int:
    """Parent compounds of the test conditions that the main figures are over."""
    rows = one.rows
    if which_conditions(one) == ACTIVE_ONLY:
        rows = rows[rows["label"] == ACTIVE]
    return int(rows[names.PARENT_COMPOUND].nunique())


def verdict(one: SplitEvaluation) -> str:
    """What the split shows of the shipped predictor against the best simple baseline."""
    shipped, linear = one.predictions.shipped, one.predictions.best_linear
    simple = one.best_simple
    compared = select(one.comparisons, task=FORWARD_TASK, metric=one.main_metric)
    own = record(rows_of(one, one.main_metric), "predictor", shipped)
    if own is None:  # a correlation with a constant is not defined
        return (
            f"{BY_NAME[one.main_metric].title} is not defined: no measured Δ of the test differs between genes "
            f"from the mean of its line. {_error_sentence(one)}"
        )
    parts = [
        f"{predictor_title(shipped)} reaches "
        f"{with_interval(number(own['value']), own['ci_low'], own['ci_high'])} in "
        f"{METRIC_PHRASES[one.main_metric]}"
    ]
    rivals = {linear: "the best linear model", simple: "the best simple baseline"}
    if simple == linear:
        rivals[simple] = "the best linear model, which is a simple baseline"
    for rival, called in reversed(rivals.items()):
        found = record(compared, "reference", rival)
        if found is None:
            continue
        way = WORDS[direction(found["ci_low"], found["ci_high"])]
        parts.append(
            f"{way} {called}, {predictor_title(rival)} "
            f"({with_interval(signed(found['difference']), found['ci_low'], found['ci_high'])})"
        )
    share = record(gap_rows(one.gaps, one.main_metric), "predictor", shipped)
    if share is not None and np.isfinite(share["value"]):
        parts.append(
            f"it closes "
            f"{percent(share['value'])} {percent_interval(share['ci_low'], share['ci_high'])}".rstrip()
            + " of the gap between "
            f"{predictor_title(one.best_simple)} and {predictor_title(share['ceiling']).lower()}"
        )
    return f"{'; '.join(parts)} (n = {count(own['n'])}). {_error_sentence(one)}"


def _error_sentence(one: SplitEvaluation) -> str:
    """MSE over all test conditions, which must not be above that of the best linear model."""
    shipped, linear = one.predictions.shipped, one.predictions.best_linear
    own = record(rows_of(one, "mse", stratum_kind=ALL, stratum=ALL), "predictor", shipped)
    assert own is not None, "the shipped predictor is always scored"
    sentence = f"MSE over all {count(own['n'])} test conditions is {number(own['value'], 4)}"
    compared = one.comparisons
    if compared.empty:
        return f"{sentence}."
    compared = compared[(compared["task"] == FORWARD_TASK) & (compared["metric"] == "mse")]
    found = record(compared[compared["stratum_kind"] == ALL], "reference", linear)
    if found is None:
        return f"{sentence}."
    way = direction(-found["ci_high"], -found["ci_low"])
    return (
        f"{sentence}, {WORDS[way]} that of {predictor_title(linear)} "
        f"({with_interval(signed(found['difference'], 4), found['ci_low'], found['ci_high'], 4)}; "
        "smaller is better)."
    )


WORDS: Final = {
    "better": "better than",
    "": "not told apart from",
    "worse": "worse than",
}


def headline_table(evaluations: Sequence[SplitEvaluation]) -> Table:
    """One row a split: shipped predictor, its parts, the simple baseline, the ceiling, the gap."""
    rows = []
    for one in evaluations:
        found = rows_of(one, one.main_metric)
        compared = select(one.comparisons, task=FORWARD_TASK, metric=one.main_metric)
        predictions, simple = one.predictions, one.best_simple
        ceiling = strictest_ceiling(found[found["predictor"].isin(ceilings.CEILINGS)], "predictor")
        named = [
            (predictions.shipped, True),
            (predictions.best_linear, True),
            (predictions.network, False),
            (predictions.blend, False),
            (simple, True),
            (ceiling, False),
        ]
        cells = []
        for name, is_named in named:
            figure = figure_cell(found, name, one.main_metric)
            title = f"{figure.note}\n{predictor_title(name)}" if is_named else figure.note
            cells.append(Cell(text=figure.text, note=title if figure.text else ""))
        cells.append(difference_cell(compared, simple))
        cells.append(difference_cell(compared, predictions.best_linear))
        cells.append(share_cell(gap_rows(one.gaps, one.main_metric), predictions.shipped))
        n = f"n = {count(largest_n(found))}"
        rows.append(
            Row(title=split_title(one.split, one.kind), note=n, role="", cells=tuple(cells))
        )
    heads = (
        ("Shipped", "chosen on validation data"),
        ("Best linear", "chosen on validation data"),
        ("Linear + network", "the linear base corrected by the gated network"),
        ("Blend", "weighted sum, weights fitted on validation data"),
        ("Best simple", "the best of the means and additive models, on the test itself"),
        ("Ceiling", "what a perfect prediction could reach on data this noisy"),
        ("Shipped minus simple", "paired difference"),
        ("Shipped minus linear", "paired difference"),
        ("Gap closed", "share of the way from the best simple baseline to the ceiling"),
    )
    return Table(
        heads=heads,
        rows=tuple(rows),
        caption="Centred Pearson, by line and dose where the drug is new, on active test conditions (n of them; all where fewer than five "
        "compounds are active), with 95 % intervals over "
        "parent compounds. Green: better "
        "with the whole interval; red: worse. No baseline is left out: each split's own table has "
        "all of them.",
    )


def splits_table(
    evaluations: Sequence[SplitEvaluation], notes: Mapping[str, Sequence[str]]
) -> Table:
    """What was held out: sizes of each split, units of its test, and what was left out."""
    rows = []
    for one in evaluations:
        tested = one.predictions.conditions
        left_out = one.predictions.left_out
        cells = [Cell(text=split_question(one.kind))]
        cells += [Cell(text=count(one.sizes.get(role, 0))) for role in one.sizes]
        cells.append(
            Cell(
                text=f"{tested[names.PARENT_COMPOUND].nunique()} / {tested[names.CELL_LINE_ID].nunique()} / "
                f"{tested[names.PLATE].nunique()}"
            )
        )
        reasons = [f"{reason}: {count(n)}" for reason, n in sorted(left_out.items())]
        cells.append(Cell(text="; ".join([*reasons, *notes.get(one.split, ())]) or "none"))
        rows.append(
            Row(
                title=split_title(one.split, one.kind),
                note=one.predictions.split_fingerprint[:12],
                role="",
                cells=tuple(cells),
            )
        )
    roles = tuple((role.capitalize(), "conditions") for role in evaluations[0].sizes)
    heads = (
        ("Never seen in training", ""),
        *roles,
        ("Compounds / lines / plates tested", ""),
        ("Left out, notes", ""),
    )
    return Table(
        heads=heads,
        rows=tuple(rows),
        caption="Conditions by role in each split; below its name the hash of who is on which side.",
    )


def _shipped_title(name: str, one: SplitEvaluation) -> str:
    parts = [predictor_title(name)]
    if name == one.predictions.shipped:
        parts.append("shipped")
    elif name == one.predictions.best_linear:
        parts.append("best linear")
    return ", ".join(parts)
