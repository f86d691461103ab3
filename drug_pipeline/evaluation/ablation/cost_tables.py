"""Ablation costs as tables, what leaving each thing out costs: one row per variant.

What belongs here: the tables, in HTML and Markdown. What does not: the costs (``costs``), the page
around them (``page``).
"""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.ablation.costs import BEST_LINEAR, NETWORK, SHIPPED, rows_of
from drug_pipeline.evaluation.evaluate import FORWARD_TASK
from drug_pipeline.evaluation.report.tables import Cell, Row, Table, direction
from drug_pipeline.evaluation.report.wording import count, interval, number, signed, split_title
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME

VARIANTS: Final = {
    names.REFERENCE: "As configured",
    names.NO_DRUG: "No drug",
    names.SHUFFLED_DRUG: "Drugs shuffled",
    names.NO_CELL: "No cell line",
    names.SHUFFLED_CELL: "Cell lines shuffled",
    names.NO_CELL_TOKEN: "No [CELL] token",
    names.NO_RANK_LOSS: "No ranking loss",
    names.FULL_RANK_LOSS: "Ranking loss at full weight",
    names.NO_ALIGN_LOSS: "No alignment loss",
    names.NO_WARMUP: "No warm-up of the ranking loss",
    names.NO_GENE_TOKENS: "No gene tokens",
    names.NO_SKIP: "No read-out skip",
    names.RANDOM_GENE_EMBEDDINGS: "Gene embeddings left random",
    names.PERMUTED: "Targets permuted",
}
"""Variants as people call them, in the order of the page."""
FORWARD_COLUMNS: Final = (
    (SHIPPED, "pearson_centred"),
    (NETWORK, "pearson_centred"),
    (BEST_LINEAR, "pearson_centred"),
    (SHIPPED, "mse"),
    (NETWORK, "mse"),
)
INVERSE_COLUMNS: Final = (
    (names.COMBINED, "mrr"),
    (names.TOWER, "mrr"),
    (names.COMBINED, "normalised_rank"),
    (names.TOWER, "normalised_rank"),
)
PREDICTORS: Final = {
    SHIPPED: "what ships",
    NETWORK: "linear + network",
    BEST_LINEAR: "best linear",
    names.COMBINED: "what ships",
    names.TOWER: "expression tower",
}


def split_tables(rows: pd.DataFrame) -> list[Table]:
    """The cost tables of one split: predictions, rankings."""
    made = (
        cost_table(rows, FORWARD_TASK, FORWARD_COLUMNS),
        cost_table(rows, names.DRUG_TASK, INVERSE_COLUMNS),
    )
    return [table for table in made if table is not None]


def cost_table(frame: pd.DataFrame, task: str, columns: Sequence[tuple[str, str]]) -> Table | None:
    """Each variant's figure and below it what it costs; the first row is the full model."""
    rows = []
    n = n_parents = gallery = 0
    for variant, title in VARIANTS.items():
        cells = []
        for predictor, metric in columns:
            found = rows_of(frame, variant=variant, task=task, predictor=predictor, metric=metric)
            if found.empty:
                cells.append(Cell(text=""))
                continue
            one = found.iloc[0]
            n, n_parents, gallery = int(one["n"]), int(one["n_parents"]), int(one["gallery"])
            cells.append(_cost_cell(one, metric, is_reference=variant == names.REFERENCE))
        if any(cell.text for cell in cells):
            role = "shipped" if variant == names.REFERENCE else "linear"
            rows.append(Row(title=title, role=role, cells=tuple(cells)))
    if not rows:
        return None
    what = "Ranked drugs" if task == names.DRUG_TASK else "Predicted Δ"
    among = f", gallery of {gallery} parent compounds" if gallery else ""
    return Table(
        heads=tuple(
            (f"{BY_NAME[metric].title}, {PREDICTORS[predictor]}", BY_NAME[metric].definition)
            for predictor, metric in columns
        ),
        rows=tuple(rows),
        caption=f"{what}: first row the full model's figure with its interval, below it what "
        f"leaving each thing out costs (above 0: it hurts). n = {count(n)} test conditions of "
        f"{n_parents} parent compounds{among}.",
    )


def _cost_cell(row: pd.Series, metric: str, *, is_reference: bool) -> Cell:
    digits = BY_NAME[metric].digits
    if is_reference:
        return Cell(
            text=number(row["value"], digits),
            note=interval(row["ci_low"], row["ci_high"], digits),
        )
    tone = {"better": "worse", "worse": "better"}.get(
        direction(row["cost_low"], row["cost_high"]), ""
    )
    text = signed(row["cost"], digits)
    return Cell(
        text=text,
        note=interval(row["cost_low"], row["cost_high"], digits),
        tone=tone if text.strip("+\N{MINUS SIGN}0.") else "",
    )


def markdown_costs(figures: pd.DataFrame, split: str) -> list[str]:
    """One Markdown table: each variant's cost in the two figures that matter most."""
    lines = [
        f"\n### {split_title(split, split)}: what leaving it out costs",
        "",
        "| variant | centred Pearson, linear + network | MRR, what ships | n |",
        "|---|---|---|---|",
    ]
    for variant, title in VARIANTS.items():
        cells, n = [], 0
        for task, predictor, metric in (
            (FORWARD_TASK, NETWORK, "pearson_centred"),
            (names.DRUG_TASK, names.COMBINED, "mrr"),
        ):
            found = rows_of(
                figures,
                split=split,
                variant=variant,
                task=task,
                predictor=predictor,
                metric=metric,
            )
            if found.empty:
                cells.append("")
                continue
            cell = _cost_cell(found.iloc[0], metric, is_reference=variant == names.REFERENCE)
            cells.append(f"{cell.text} {cell.note}".strip())
            n = int(found.iloc[0]["n"])
        if any(cells):
            lines.append(f"| {title} | {' | '.join(cells)} | {n} |")
    return lines
