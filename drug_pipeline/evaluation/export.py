"""Predictions of the test conditions in the forms that others' tools read.

What belongs here: which predictions are written, and where. What does not: the forms themselves
(``storage``), or the report's own files (``build``).

Shapes: N = test conditions, G = genes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.storage.formats.cell_eval import write_cell_eval_inputs
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import (
    SplitPredictions,
    predicted_splits,
    read_predictions,
    write_h5ad,
)
from drug_pipeline.storage.shards import read_delta

SHIPPED: Final = "shipped"
"""Asks for whatever each split ships."""
CELL_EVAL: Final = "cell-eval"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """One predictor of one split as written: its AnnData file and its folders for cell-eval."""

    split: str
    predictor: str
    n_conditions: int
    path: Path
    cell_eval_folders: Sequence[Path]


def export_predictions(
    layout: Layout,
    folder: Path,
    *,
    splits: Sequence[str] = (),
    predictors: Sequence[str] = (SHIPPED,),
) -> list[Exported]:
    """Write ``<split>/<predictor>.h5ad`` and the inputs of cell-eval beside it.

    The AnnData has the predicted Δ as X and the measured one as layer ``measured``, both natural
    logs. For cell-eval there is one pair of files for each (cell line, plate) below
    ``<split>/<predictor>/cell-eval``, since what shares a control is compared and nothing else.

    Parameters
    ----------
    splits
        Names of splits; all that have predictions by default.
    predictors
        Names of predictors; :data:`SHIPPED` stands for what a split ships.

    Raises
    ------
    EmptyResultError
        If no split has predictions yet.
    ConfigurationError
        If a split or a predictor has no predictions.
    StaleInputError
        If the predictions were made for another Δ table than is there now.
    """
    found = predicted_splits(layout.full_dir)
    if not found:
        msg = f"no split has predictions below {layout.full_dir}. Materialise model_full first."
        raise EmptyResultError(msg)
    unknown = [name for name in splits if name not in found]
    if unknown:
        msg = (
            f"{len(unknown)} of {len(splits)} splits have no predictions; first: {unknown[0]}. "
            f"There are: {', '.join(found)}."
        )
        raise ConfigurationError(msg)
    table = read_delta(layout)
    return [
        _export(folder, read, name, table)
        for split in splits or found
        for read in [read_predictions(layout.full_dir / split)]
        for name in _names(read, predictors)
    ]


def _names(read: SplitPredictions, wanted: Sequence[str]) -> list[str]:
    """The predictors of a split that are wanted, each once."""
    names = list(dict.fromkeys(read.shipped if name == SHIPPED else name for name in wanted))
    unknown = [name for name in names if name not in read.predictions]
    if unknown:
        msg = (
            f"split {read.split!r} has no predictor {unknown[0]!r}. "
            f"There are: {SHIPPED}, {', '.join(read.predictions)}."
        )
        raise ConfigurationError(msg)
    return names


def _export(folder: Path, read: SplitPredictions, name: str, table: DeltaTable) -> Exported:
    read.require_table(table)
    path = folder / read.split / f"{name}.h5ad"
    predicted_NG = read.predictions[name]
    measured_NG = np.asarray(table.delta_NG[read.rows_N])
    write_h5ad(
        path,
        conditions=read.conditions,
        genes=table.genes,
        predicted_NG=predicted_NG,
        measured_NG=measured_NG,
    )
    folders = write_cell_eval_inputs(
        path.with_suffix("") / CELL_EVAL,
        conditions=read.conditions,
        genes=table.genes,
        predicted_NG=predicted_NG,
        measured_NG=measured_NG,
        controls=table.controls,
    )
    return Exported(
        split=read.split,
        predictor=name,
        n_conditions=len(read.conditions),
        path=path,
        cell_eval_folders=folders,
    )
