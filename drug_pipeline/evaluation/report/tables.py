"""Tables of the report as words: cells with their intervals, and how they are looked up.

What belongs here: the shape of a table for people and reading the long tables. What does not: which
tables there are (``forward_sections``, ``retrieval_sections``), HTML (``templates/``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drug_pipeline.evaluation.report.wording import (
    interval,
    number,
    percent,
    percent_interval,
    signed,
)
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME
from drug_pipeline.evaluation.scoring.noise import ACTIVE
from drug_pipeline.evaluation.scoring.strata import active_rows


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure in a table: the number, its interval below it; ``tone`` is better, worse or none."""

    text: str
    note: str = ""
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One predictor in a table; ``role`` is shipped, network, linear, simple, measured or ceiling."""

    title: str
    role: str
    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the report: column heads with their definitions, rows, and what n it is over."""

    heads: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    caption: str


def queries_of(rows: pd.DataFrame) -> str:
    """What the queries of some retrieval rows are called."""
    return "active queries" if (rows["stratum"] == ACTIVE).all() else "queries"


def select(frame: pd.DataFrame, *, task: str, metric: str) -> pd.DataFrame:
    """Rows of one task and metric over active conditions."""
    if frame.empty:
        return frame
    return active_rows(frame[(frame["task"] == task) & (frame["metric"] == metric)])


def record(frame: pd.DataFrame, column: str, value: str) -> dict[str, Any] | None:
    """The first row whose column has that value, or None."""
    if frame.empty:
        return None
    found = frame[frame[column] == value].to_dict("records")
    return {str(key): entry for key, entry in found[0].items()} if found else None


def largest_n(rows: pd.DataFrame) -> int:
    """Largest n (conditions or queries) of some rows of a long table; 0 without rows."""
    return int(rows["n"].max()) if len(rows) else 0


def figure_cell(rows: pd.DataFrame, name: str, metric: str) -> Cell:
    """A predictor's figure with its interval."""
    return figure_cells(rows, [name], metric)[0]


def figure_cells(rows: pd.DataFrame, wanted: Sequence[str], metric: str) -> list[Cell]:
    """The figures of some predictors with their intervals; an empty cell where there is none."""
    digits = BY_NAME[metric].digits
    row_of = {str(row["predictor"]): row for row in reversed(rows.to_dict("records"))}
    return [
        Cell(
            text=number(row["value"], digits), note=interval(row["ci_low"], row["ci_high"], digits)
        )
        if (row := row_of.get(name)) is not None
        else Cell(text="")
        for name in wanted
    ]


def share_cell(closed: pd.DataFrame, name: str) -> Cell:
    """A predictor's share of the gap with its interval."""
    row = record(closed, "predictor", name)
    if row is None:
        return Cell(text="")
    return Cell(text=percent(row["value"]), note=percent_interval(row["ci_low"], row["ci_high"]))


def difference_cell(compared: pd.DataFrame, reference: str) -> Cell:
    """The shipped predictor minus a reference, with its interval."""
    row = record(compared, "reference", reference)
    if row is None:
        return Cell(text="")
    return Cell(
        text=signed(row["difference"]),
        note=interval(row["ci_low"], row["ci_high"]),
        tone=direction(row["ci_low"], row["ci_high"]),
    )


def direction(low: float, high: float) -> str:
    """Whether an interval of a difference lies above 0 (better), below (worse), or neither."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else ""


def gap_rows(gaps: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Shares of the gap to the ceiling that stands for the split, over active conditions."""
    if gaps.empty:
        return gaps
    rows = active_rows(gaps[gaps["metric"] == metric])
    return rows[rows["ceiling"] == strictest_ceiling(rows[np.isfinite(rows["value"])], "ceiling")]


def strictest_ceiling(rows: pd.DataFrame, column: str) -> str:
    """The strictest ceiling known for at least half of the conditions; empty where there is none.

    A plate ceiling from a few replicates would stand for conditions that it says nothing of.
    """
    n_of = rows.groupby(column)["n"].max()
    known = [name for name in ceilings.CEILINGS if n_of.get(name, 0) * 2 >= n_of.max()]
    return known[0] if known else ""
