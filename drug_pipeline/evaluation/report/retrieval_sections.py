"""What the report says of rankings: one table a retrieval task.

What belongs here: which figures are reported, in what order. What does not: new figures, pictures.
"""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, SplitEvaluation
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.rankings.oracle import ORACLE
from drug_pipeline.evaluation.rankings.ranking_tasks import IN_PANEL
from drug_pipeline.evaluation.report.tables import (
    Row,
    Table,
    difference_cell,
    figure_cells,
    queries_of,
    select,
)
from drug_pipeline.evaluation.report.wording import at_k, count, predictor_title, task_title
from drug_pipeline.evaluation.scoring.metric import MetricKey
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, RETRIEVAL
from drug_pipeline.evaluation.scoring.strata import active_rows

TARGET_KS: Final = (5, 10, 20)
"""Several targets may be right, so that a table at each of these stands below."""
BY_CHANCE: Final = (chance.PLATE_ONLY, chance.POPULARITY, chance.RANDOM)
"""Rankers that never look at the query."""
ORACLE_NOTE: Final = (
    " The oracle is no model: its gallery holds each drug as measured in the query's line at its "
    "dose on another plate. Each is one noisy measurement, so that a mean over many profiles may "
    "still beat it."
)


def retrieval_tables(one: SplitEvaluation) -> dict[str, Table]:
    """One table a retrieval task: every ranker beside those that never look at the query."""
    tables = {}
    for task, metrics in one.metrics.groupby("task", sort=False):
        if str(task).endswith(FORWARD_TASK):
            continue
        is_target = str(task).endswith(names.TARGET_TASK)
        wanted = [
            (metric.name, k)
            for metric in RETRIEVAL
            for k in (metric.target_columns if is_target else metric.columns)
        ]
        tables[str(task)] = _retrieval_table(one, str(task), metrics, wanted=wanted)
    return tables


def target_tables(one: SplitEvaluation, task: str) -> list[Table]:
    """Every ranker of protein targets at each K; none for other tasks and for K not computed."""
    if not task.endswith(names.TARGET_TASK):
        return []
    metrics = one.metrics[one.metrics["task"] == task]
    found = set(metrics.loc[metrics["metric"] == "recall", "k"])
    return [
        _retrieval_table(
            one, task, metrics, wanted=[(metric.name, k) for metric in RETRIEVAL], is_compared=False
        )
        for k in TARGET_KS
        if k in found
    ]


def ranker_order(metrics: pd.DataFrame) -> list[str]:
    """Rankers by MRR, best first; then the oracle and those that never look at the query."""
    mrr = metrics[metrics["metric"] == "mrr"].set_index("predictor")["value"]
    last = (ORACLE, *BY_CHANCE)
    looking = [name for name in mrr.index if name not in last]
    best_first = sorted(looking, key=lambda name: (-mrr.loc[name], name))
    return best_first + [name for name in last if name in mrr.index]


def shipped_ranker(one: SplitEvaluation, task: str) -> str:
    """The ranker that is shipped for a task; empty where there is none."""
    of_task = {name: rankings.shipped for name, rankings in one.predictions.rankings.items()}
    return of_task.get(task.removeprefix("prototype_").removesuffix(IN_PANEL), "")


def _retrieval_table(
    one: SplitEvaluation,
    task: str,
    metrics: pd.DataFrame,
    *,
    wanted: Sequence[MetricKey],
    is_compared: bool = True,
) -> Table:
    rows_all = active_rows(metrics)
    shipped = shipped_ranker(one, task)
    present = set(rows_all["predictor"])
    available = set(zip(rows_all["metric"], rows_all["k"], strict=True))
    keys = [key for key in wanted if key in available]
    compared = select(one.comparisons, task=task, metric="mrr") if is_compared else pd.DataFrame()
    n = int(rows_all["n"].max())
    rows = []
    order = ranker_order(rows_all)
    columns = [
        figure_cells(rows_all[(rows_all["metric"] == m) & (rows_all["k"] == k)], order, m)
        for m, k in keys
    ]
    for number, name in enumerate(order):
        cells = [column[number] for column in columns]
        if len(compared):
            cells.append(difference_cell(compared, name))
        title = predictor_title(name) + (" (shipped)" if name == shipped else "")
        own = int(rows_all.loc[rows_all["predictor"] == name, "n"].max())
        note = f"n = {count(own)}" if own != n else ""
        role = _role(name, shipped)
        rows.append(Row(title=title, role=role, cells=tuple(cells), note=note))
    heads = [(at_k(BY_NAME[m].title, k), BY_NAME[m].definition) for m, k in keys]
    if len(compared):
        heads.append(
            ("Shipped minus this, MRR", "Paired difference; above 0 the shipped is better.")
        )
    return Table(
        heads=tuple(heads),
        rows=tuple(rows),
        caption=f"{what_was_asked(one, task)} 95 % intervals over parent compounds."
        + (ORACLE_NOTE if ORACLE in present else ""),
    )


def what_was_asked(one: SplitEvaluation, task: str) -> str:
    """A retrieval task, its queries and its gallery in a sentence."""
    rows = active_rows(one.metrics[one.metrics["task"] == task])
    missing = one.n_unanswerable.get(task, 0)
    left_out = f"; {count(missing)} queries without an answer in the gallery left out"
    return (
        f"{task_title(task)}: {count(rows['n'].max())} {queries_of(rows)}, median gallery "
        f"{count(rows['gallery'].max())}{left_out if missing else ''}."
    )


def _role(name: str, shipped: str) -> str:
    """What a ranker is to a table."""
    if name == shipped:
        return "shipped"
    if name == ORACLE:
        return "ceiling"
    return "simple" if name in BY_CHANCE else "linear"
