"""Every metric of one predictor over the conditions of a split: one row each.

What belongs here: the arrays that metrics of predictions may need. What does not: the metrics
themselves (``delta_metrics``, ``de_metrics``), averages and intervals (``long_table``).

Shapes: N = test conditions, G = genes, M = metrics, B = conditions of a block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import ceilings
from drug_pipeline.evaluation.scoring.centring import (
    BY_LINE,
    BY_LINE_AND_DOSE,
    Centre,
    training_centre,
)
from drug_pipeline.evaluation.scoring.de_metrics import called_de
from drug_pipeline.evaluation.scoring.delta_metrics import ranks
from drug_pipeline.evaluation.scoring.metric import (
    Inputs,
    MetricKey,
    Values,
    computed,
    keys_of,
)
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, FORWARD
from drug_pipeline.evaluation.scoring.noise import Noise

BLOCK_ROWS = 2048


@dataclass(frozen=True, kw_only=True)
class ForwardTask:
    """The test side of one split: what was measured, and what each row is centred by."""

    table: DeltaTable
    rows_N: NDArray[np.int64]
    by_line: Centre
    by_dose: Centre
    de_genes: tuple[int, ...]

    @classmethod
    def of(
        cls,
        table: DeltaTable,
        train_rows: NDArray[np.int64],
        test_rows: NDArray[np.int64],
        de_genes: Sequence[int],
    ) -> "ForwardTask":
        """The task of predicting ``test_rows``; centres come from ``train_rows`` alone."""
        line, dose = (
            training_centre(table.delta_NG, table.conditions, train_rows, test_rows, by=by)
            for by in (BY_LINE, BY_LINE_AND_DOSE)
        )
        usable = tuple(k for k in de_genes if k < len(table.genes))
        return cls(table=table, rows_N=test_rows, by_line=line, by_dose=dose, de_genes=usable)

    @property
    def keys(self) -> tuple[MetricKey, ...]:
        """The M metrics of every row, in column order."""
        return keys_of(FORWARD, (*MEASURED, *PREDICTED), self.de_genes)

    def measured(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Measured Δ of some places of the test side."""
        return np.asarray(self.table.delta_NG[self.rows_N[rows]])

    def taken(self, values_NG: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Rows of an array of the Δ table at some places of the test side."""
        return np.asarray(values_NG[self.rows_N[rows]])

    def column(self, name: str, rows: slice) -> NDArray[np.str_]:
        """A column of the conditions at some places of the test side."""
        return self.table.conditions[name].iloc[self.rows_N[rows]].to_numpy(dtype=str)

    def control(self, rows: slice) -> NDArray[np.float32]:
        """Profile of the vehicle cells of each condition's line and plate, natural log."""
        keys = [names.CELL_LINE_ID, names.PLATE]
        place = self.table.controls.groups[keys].reset_index(drop=True).reset_index(names="place")
        asked = self.table.conditions[keys].iloc[self.rows_N[rows]]
        return self.table.controls.control_MG[asked.merge(place, on=keys, how="left")["place"]]

    def scores(self, predictions: Mapping[str, NDArray[np.float32]]) -> dict[str, Values]:
        """Every metric of every row, predictor → (N, M), block by block of rows.

        Metrics that compare conditions with each other see all rows at once.
        """
        if not len(self.rows_N):
            return {name: np.zeros((0, len(self.keys))) for name in predictions}
        found: dict[str, dict[MetricKey, list[Values]]] = {name: {} for name in predictions}
        for start in range(0, len(self.rows_N), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            self._add_scores(found, predictions, block, is_grouped=False)
        self._add_scores(found, predictions, slice(None), is_grouped=True)
        return {
            name: np.stack([np.concatenate(values[key]) for key in self.keys], axis=1)
            for name, values in found.items()
        }

    def _add_scores(
        self,
        found: Mapping[str, dict[MetricKey, list[Values]]],
        predictions: Mapping[str, NDArray[np.float32]],
        block: slice,
        *,
        is_grouped: bool,
    ) -> None:
        """Append the scores of a block of rows; what is measured is made once for all predictors."""
        metrics = [one for one in FORWARD if one.is_grouped == is_grouped]
        measured = Inputs(made(MEASURED, self, block))
        for name, predicted_NG in predictions.items():
            predicted = made(PREDICTED, np.asarray(predicted_NG[block]), measured)
            scores = computed(metrics, Inputs(predicted, measured), self.de_genes)
            for key, values in scores.items():
                found[name].setdefault(key, []).append(values)

    def ceiling(self, noise_N: Values) -> Values:
        """Noise ceiling of every metric on each row (N, M); NaN where none is known.

        Parameters
        ----------
        noise_N
            Noise variance of the measured rows, mean over genes.
        """
        inputs = Inputs(made(MEASURED, self, slice(None)))
        ceiling_NM = np.full((len(self.rows_N), len(self.keys)), np.nan)
        for column, (name, _) in enumerate(self.keys):
            metric = BY_NAME[name]
            if metric.ceiling is not None and metric.ceiling.reachable is not None:
                _, measured = next(iter(metric.functions))
                ceiling_NM[:, column] = metric.ceiling.reachable(inputs[measured], noise_N)
        return ceiling_NM

    def replicate(self) -> Values:
        """The same metrics with another plate's measurement as the prediction (N, M), or NaN."""
        place_R, row_R = ceilings.replicate_rows(self.table.conditions, self.rows_N)
        values_NM = np.full((len(self.rows_N), len(self.keys)), np.nan)
        if len(place_R):
            replicate_NG = self.measured(slice(None)).copy()
            replicate_NG[place_R] = self.table.delta_NG[row_R]
            values_NM[place_R] = self.scores({ceilings.REPLICATE: replicate_NG})[
                ceilings.REPLICATE
            ][place_R]
        return values_NM


MEASURED: Final[Mapping[str, Callable[[ForwardTask, slice], Any]]] = {
    "measured": ForwardTask.measured,
    "line_centre": lambda task, rows: task.by_line.of(rows),
    "dose_centre": lambda task, rows: task.by_dose.of(rows),
    "measured_centred": lambda task, rows: task.measured(rows) - task.by_line.of(rows),
    "measured_by_dose": lambda task, rows: task.measured(rows) - task.by_dose.of(rows),
    "measured_ranks": lambda task, rows: ranks(task.measured(rows)),
    "measured_centred_ranks": lambda task, rows: ranks(task.measured(rows) - task.by_line.of(rows)),
    "measured_de": lambda task, rows: called_de(
        task.measured(rows), task.taken(task.table.se_NG, rows)
    ),
    "se": lambda task, rows: task.taken(task.table.se_NG, rows),
    "half_a": lambda task, rows: task.taken(task.table.half_a_NG, rows),
    "half_b": lambda task, rows: task.taken(task.table.half_b_NG, rows),
    "control": ForwardTask.control,
    "group": lambda task, rows: np.char.add(
        np.char.add(task.column(names.CELL_LINE_ID, rows), "|"), task.column(names.PLATE, rows)
    ),
    "identity": lambda task, rows: task.column(names.PARENT_COMPOUND, rows),
}
"""What a metric may need of the measured side: name → how it is made for some rows."""

PREDICTED: Final[Mapping[str, Callable[[NDArray[np.float32], Inputs], Any]]] = {
    "predicted": lambda predicted_BG, _: predicted_BG,
    "predicted_centred": lambda predicted_BG, of: predicted_BG - of["line_centre"],
    "predicted_by_dose": lambda predicted_BG, of: predicted_BG - of["dose_centre"],
    "predicted_ranks": lambda predicted_BG, _: ranks(predicted_BG),
    "predicted_centred_ranks": lambda predicted_BG, of: ranks(predicted_BG - of["line_centre"]),
    "predicted_de": lambda predicted_BG, of: called_de(predicted_BG, of["se"]),
}
"""What a metric may need of a prediction, from it and the measured side of the same rows."""


def made(makers: Mapping[str, Callable[..., Any]], *given: Any) -> dict[str, Callable[[], Any]]:
    """The makers of :data:`MEASURED` or :data:`PREDICTED` with what they are made from."""
    return {name: partial(make, *given) for name, make in makers.items()}


def ceiling_scores(task: ForwardTask, noise: Noise) -> dict[str, Values]:
    """Ceilings and replicates as if they were predictors: name → (N, M).

    ``ceiling_plate`` holds what its means are made of (correlation with the replicate, half the
    squared difference); ``long_table`` takes the root of the mean correlations.
    """
    replicate_NM = task.replicate()
    plate_NM = np.full_like(replicate_NM, np.nan)
    for column, (name, _) in enumerate(task.keys):
        if (ceiling := BY_NAME[name].ceiling) is not None:
            plate_NM[:, column] = ceiling.of_replicate(replicate_NM[:, column])
    found = {
        ceilings.REPLICATE: replicate_NM,
        ceilings.PLATE: plate_NM,
        ceilings.WELL: task.ceiling(noise.well_N[task.rows_N]),
        ceilings.COUNTING: task.ceiling(noise.counting_N[task.rows_N]),
    }
    return {name: values_NM for name, values_NM in found.items() if np.isfinite(values_NM).any()}
