"""The model of a data folder, opened for questions: bundle, tables and figures side by side."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import StaleInputError
from drug_pipeline.domain.split_kinds import MEASURED_AGAIN
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Library:
    """What stands beside a model when people ask: tables of drugs and lines, and its figures.

    ``metrics`` is the evaluation's long table, or None where there is none yet; ``shipped`` names
    the predictor that each split's model answers with; ``measured`` holds the (drug, cell line)
    pairs that have a measured Δ, ``doses_um`` the doses of any, sorted.
    """

    drugs: pd.DataFrame
    cell_lines: pd.DataFrame
    metrics: pd.DataFrame | None
    shipped: Mapping[str, str]
    measured: frozenset[tuple[str, str]]
    doses_um: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """A model that answers, what stands beside it, and the Δ table it was fitted on.

    ``held_out_rows`` are the test conditions of the first fitted split of ``split_kinds.MEASURED_AGAIN``.
    """

    bundle: Bundle
    library: Library
    table: DeltaTable
    held_out_rows: NDArray[np.int64]


def open_model(layout: Layout) -> OpenModel:
    """The built model of a data folder.

    Raises
    ------
    StaleInputError, ForeignFileError
        If it was not built, its inputs have moved on since, or a file was changed.
    CheckpointError
        If its files do not belong together.
    """
    stamps = StampStore(layout)
    for asset in ("tahoe_metadata", "delta_shards", "splits", "model_full"):
        stamps.require(asset)
    table = read_delta(layout)
    pairs = table.conditions[list(names.PAIR_KEY)].itertuples(index=False, name=None)
    bundle = load_bundle(layout.deploy_dir)
    library = Library(
        drugs=_read(layout, "drugs"),
        cell_lines=_read(layout, "cell_lines"),
        metrics=read_metrics(layout),
        shipped={name: str(split.notes["shipped"]) for name, split in bundle.splits.items()},
        measured=frozenset((str(drug), str(line)) for drug, line in pairs),
        doses_um=tuple(map(float, np.unique(table.conditions[names.DOSE_UM]))),
    )
    splits = read_splits(layout, table.conditions)
    tests = [splits[name].rows(names.TEST) for name in MEASURED_AGAIN if name in bundle.splits]
    held_out_rows = tests[0] if tests else np.zeros(0, dtype=np.int64)
    return OpenModel(bundle=bundle, library=library, table=table, held_out_rows=held_out_rows)


def _read(layout: Layout, table: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(layout.metadata_dir / f"{table}.parquet").to_pandas()
    return frame


def read_metrics(layout: Layout) -> pd.DataFrame | None:
    """The evaluation's figures, or None where it has not judged this model yet.

    Raises
    ------
    ForeignFileError
        If the report's files were changed by something else.
    """
    try:
        StampStore(layout).require("evaluation_report")
    except StaleInputError as error:
        logger.warning("no figure of the evaluation is told: %s", error)
        return None
    frame: pd.DataFrame = pq.read_table(layout.evaluation_dir / "metrics.parquet").to_pandas()
    return frame
