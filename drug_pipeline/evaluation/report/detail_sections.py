"""What the report shows on demand: what each metric can tell, uncertainty, best and worst cases.

What belongs here: the folded parts of a split's section. What does not: new figures, HTML.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, MEANS, SplitEvaluation
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.report.figures import RAW_COSINE, which_conditions
from drug_pipeline.evaluation.report.tables import (
    Cell,
    Row,
    Table,
    figure_cell,
    gap_rows,
    largest_n,
    queries_of,
    share_cell,
)
from drug_pipeline.evaluation.report.wording import (
    METRIC_PHRASES,
    at_k,
    count,
    number,
    percent,
    percent_interval,
    predictor_title,
    split_title,
    with_interval,
)
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.calibration import (
    BLIND,
    SATURATED_VERDICT,
    TELLS,
    Estimate,
    agreement,
    dynamic_range,
)
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME
from drug_pipeline.evaluation.scoring.noise import ACTIVE
from drug_pipeline.evaluation.scoring.strata import active_rows

N_CASES: Final = 8
"""Best and worst conditions shown."""
RANDOM_ORDER: Final = "a random order"
CAN_IT_TELL: Final = "Can it tell predictors apart here?"


def ranges(one: SplitEvaluation) -> pd.DataFrame:
    """Dynamic range of each metric on a split, and whether it can tell predictors apart."""
    active = _main_rows(one)
    return dynamic_range(
        active,
        mean=_mean(active),
        simple=one.best_simple,
        shipped=one.predictions.shipped,
        tops=ceilings.CEILINGS,
    )


def _main_rows(one: SplitEvaluation) -> pd.DataFrame:
    return active_rows(one.metrics[one.metrics["task"] == FORWARD_TASK])


def _mean(active: pd.DataFrame) -> str:
    return next((name for name in MEANS if name in set(active["predictor"])), "")


def calibration_table(one: SplitEvaluation) -> Table:
    """Each metric from the mean predictor to the most that can be reached, and what it can tell."""
    active = _main_rows(one)
    named = (_mean(active), one.best_simple, one.predictions.shipped)
    gaps = {name: gap_rows(one.gaps, name) for name in set(active["metric"])}
    return Table(
        heads=(
            (predictor_title(named[0]), "knows the mean alone"),
            (predictor_title(named[1]), "best simple baseline"),
            (predictor_title(named[2]), "shipped"),
            ("Most to reach", "a ceiling, or the best that anything scored"),
            (CAN_IT_TELL, ""),
            (
                "Gap closed",
                f"share of the way from {predictor_title(one.best_simple)} to the strictest "
                "ceiling that the shipped predictor has gone; empty where no ceiling is known",
            ),
        ),
        rows=tuple(
            replace(row, cells=(*row.cells, share_cell(gaps[name], named[2])))
            for name, row in _range_rows(active, ranges(one), named, floor="the mean")
        ),
        caption=f"{which_conditions(one)}, n = {count(largest_n(active))}; 95 % intervals over parent "
        "compounds.",
    )


def ranking_ranges(one: SplitEvaluation) -> pd.DataFrame:
    """Dynamic range of each ranking metric, and whether it can tell rankers apart; may be empty.

    From a random order, over plain correlation as the simple ranker, to the best that is known.
    """
    queries = active_rows(one.metrics[one.metrics["task"] == names.DRUG_TASK])
    rankings = one.predictions.rankings.get(names.DRUG_TASK)
    shipped = rankings.shipped if rankings is not None else ""
    return dynamic_range(queries, mean=chance.RANDOM, simple=RAW_COSINE, shipped=shipped, tops=())


def ranking_calibration_table(one: SplitEvaluation) -> Table | None:
    """Each ranking metric from a random order to the best that is known; None without rankings."""
    found = ranking_ranges(one)
    if found.empty:
        return None
    queries = active_rows(one.metrics[one.metrics["task"] == names.DRUG_TASK])
    named = (chance.RANDOM, RAW_COSINE, one.predictions.rankings[names.DRUG_TASK].shipped)
    return Table(
        heads=(
            (predictor_title(named[0]), "one random order"),
            (predictor_title(named[1]), "plain correlation with measured profiles"),
            (predictor_title(named[2]), "shipped"),
            ("Most to reach", "the best that any ranker, or the measured replicate, scored"),
            (CAN_IT_TELL, ""),
        ),
        rows=tuple(row for _, row in _range_rows(queries, found, named, floor=RANDOM_ORDER)),
        caption=f"{count(largest_n(queries))} {queries_of(queries)}, every drug competes; 95 % "
        "intervals over parent compounds.",
    )


def _range_rows(
    figures: pd.DataFrame, found: pd.DataFrame, named: tuple[str, str, str], *, floor: str
) -> list[tuple[str, Row]]:
    """A row a metric by its name: floor, simple, shipped and most to reach, and the verdict."""
    rows = []
    for entry in found.to_dict("records"):
        metric = BY_NAME[entry["metric"]]
        own = figures[(figures["metric"] == metric.name) & (figures["k"] == entry["k"])]
        cells = [figure_cell(own, name, metric.name) for name in (*named, entry["top_name"])]
        top = predictor_title(entry["top_name"]) if entry["top_name"] else ""
        cells[-1] = replace(cells[-1], note=f"{cells[-1].note}\n{top}")
        cells.append(Cell(text=_in_words(entry["verdict"], floor)))
        rows.append(
            (metric.name, Row(title=at_k(metric.title, entry["k"]), role="", cells=tuple(cells)))
        )
    return rows


def why(verdict: str, floor: str = "the mean") -> str:
    """Why a metric tells nothing on a split; ``floor`` is what it starts from."""
    reasons = {
        BLIND: f"what can be reached is not told apart from {floor}",
        SATURATED_VERDICT: "the simple baseline has gone nine tenths of the way",
    }
    return reasons[verdict]


def _in_words(verdict: str, floor: str) -> str:
    if verdict == TELLS:
        return "yes"
    return f"{'no' if verdict == BLIND else 'hardly'}: {why(verdict, floor)}"


def uncertainty(one: SplitEvaluation) -> dict[str, Estimate]:
    """Calibration of expected errors against actual ones; empty where the model expects none."""
    expected = one.predictions.uncertainty_N
    if expected is None or one.reliability.empty:
        return {}
    return agreement(
        np.asarray(expected),
        np.sqrt(one.rows["mse"].to_numpy()),
        one.rows[names.PARENT_COMPOUND].to_numpy(),
        coverage=one.predictions.notes.get("bound_coverage_test"),
    )


def uncertainty_sentence(one: SplitEvaluation, estimates: Mapping[str, Estimate]) -> str:
    """What :func:`uncertainty` found, in words."""
    off, order = estimates["off"], estimates["order"]
    return (
        f"{split_title(one.split, one.kind)}, n = {count(len(one.rows))}: expected errors are off by "
        f"{percent(off.value)} {percent_interval(off.low, off.high)} on average, and rank the actual "
        f"ones with Spearman {with_interval(number(order.value, 2), order.low, order.high, 2)}."
    )


def cases(one: SplitEvaluation) -> Table | None:
    """Best and worst predicted active conditions of a split."""
    rows = one.rows[one.rows["label"] == ACTIVE]
    rows = rows if len(rows) else one.rows
    rows = rows[np.isfinite(rows[one.main_metric])].sort_values(
        one.main_metric, ascending=False, kind="stable"
    )
    if rows.empty:
        return None
    picked = [("best", rows.head(N_CASES)), ("worst", rows.tail(N_CASES).iloc[::-1])]
    table_rows = []
    for role, frame in picked:
        for entry in frame.to_dict("records"):
            table_rows.append(
                Row(
                    title=str(entry[names.DRUG]),
                    role=role,
                    cells=(
                        Cell(text=f"{entry[names.DOSE_UM]:g}"),
                        Cell(text=str(entry[names.CELL_LINE_ID])),
                        Cell(text=str(entry[names.PLATE])),
                        Cell(text=count(entry[names.N_CELLS])),
                        Cell(text=number(np.sqrt(max(entry["activity"], 0.0)))),
                        Cell(text=number(entry[one.main_metric])),
                        Cell(text=number(entry["pearson"])),
                        Cell(text=number(entry["mse"], 4)),
                    ),
                )
            )
    heads = [
        ("Dose, µM", ""),
        ("Cell line", ""),
        ("Plate", ""),
        ("Cells", "treated cells measured"),
    ]
    heads += [("Response, RMS", "beyond counting noise, natural log")]
    heads += [
        (BY_NAME[name].title, BY_NAME[name].definition)
        for name in (one.main_metric, "pearson", "mse")
    ]
    return Table(
        heads=tuple(heads),
        rows=tuple(table_rows),
        caption=f"The {N_CASES} best and the {N_CASES} worst active test conditions by "
        f"{METRIC_PHRASES[one.main_metric]}, of {count(len(rows))}.",
    )
