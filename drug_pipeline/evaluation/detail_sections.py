"""What the report shows on demand: what each metric can tell, uncertainty, best and worst cases.

What belongs here: the folded parts of a split's section. What does not: new figures, HTML.
"""

from typing import Final

import numpy as np

from drug_pipeline.domain import names
from drug_pipeline.evaluation import ceilings, forward
from drug_pipeline.evaluation.calibration import calibration_error, dynamic_range
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, MEANS, SplitEvaluation
from drug_pipeline.evaluation.figures import MAIN, best_simple, which_conditions
from drug_pipeline.evaluation.metrics import BY_NAME
from drug_pipeline.evaluation.noise import ACTIVE
from drug_pipeline.evaluation.report_tables import Cell, Row, Table, active_rows
from drug_pipeline.evaluation.wording import (
    count,
    digits_of,
    number,
    percent,
    predictor_title,
    split_title,
)

N_CASES: Final = 8
"""Best and worst conditions shown."""


def calibration_table(one: SplitEvaluation) -> Table:
    """Each metric from the mean predictor to the most that can be reached, and what it can tell."""
    active = one.metrics[one.metrics["task"] == FORWARD_TASK]
    active = active_rows(active)
    mean = next((name for name in MEANS if name in set(active["predictor"])), "")
    simple = best_simple(one)
    found = dynamic_range(
        active,
        mean=mean,
        simple=simple,
        shipped=one.predictions.shipped,
        tops=ceilings.CEILINGS,
    )
    rows = []
    for entry in found.to_dict("records"):
        metric, digits = BY_NAME[entry["metric"]], digits_of(entry["metric"])
        title = f"{metric.title} @{entry['k']}" if entry["k"] else metric.title
        top = predictor_title(entry["top_name"]) if entry["top_name"] else ""
        cells = [Cell(text=number(entry[name], digits)) for name in ("mean", "simple", "shipped")]
        cells.append(Cell(text=number(entry["top"], digits), note=top))
        cells.append(Cell(text=VERDICTS[entry["verdict"]]))
        rows.append(Row(title=title, role="", cells=tuple(cells)))
    heads = (
        (predictor_title(mean), "knows the mean alone"),
        (predictor_title(simple), "best simple baseline"),
        (predictor_title(one.predictions.shipped), "shipped"),
        ("Most to reach", "a ceiling, or the best that anything scored"),
        ("Can it tell predictors apart here?", ""),
    )
    return Table(heads=heads, rows=tuple(rows), caption=f"{which_conditions(one)}.")


VERDICTS: Final = {
    "tells": "yes",
    "blind": "no: what can be reached is not told apart from the mean",
    "saturated": "hardly: the simple baseline has gone nine tenths of the way",
}


def uncertainty_sentence(one: SplitEvaluation) -> str:
    """How well expected errors match actual ones; empty where the model expects none."""
    expected = one.predictions.uncertainty_N
    if expected is None or one.reliability.empty:
        return ""
    actual = np.sqrt(one.rows["mse"].to_numpy())
    order = float(forward.spearman(np.asarray(expected)[None, :], actual[None, :])[0])
    off = calibration_error(one.reliability)
    return (
        f"{split_title(one.split, one.kind)}: expected errors are off by {percent(off)} on average, "
        f"and rank the actual ones with Spearman {number(order, 2)}."
    )


def cases(one: SplitEvaluation) -> Table | None:
    """Best and worst predicted active conditions of a split."""
    rows = one.rows[one.rows["label"] == ACTIVE]
    rows = rows if len(rows) else one.rows
    rows = rows[np.isfinite(rows[MAIN])].sort_values(MAIN, ascending=False, kind="stable")
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
                        Cell(text=number(entry[MAIN])),
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
    heads += [(BY_NAME[name].title, BY_NAME[name].definition) for name in (MAIN, "pearson", "mse")]
    return Table(
        heads=tuple(heads),
        rows=tuple(table_rows),
        caption=f"The {N_CASES} best and the {N_CASES} worst active test conditions by "
        f"centred Pearson, of {count(len(rows))}.",
    )
