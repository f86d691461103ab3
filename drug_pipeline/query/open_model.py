"""Opening a model for queries: of a data folder, or of a registry."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, StaleInputError
from drug_pipeline.domain.split_kinds import MEASURED_AGAIN
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.query.library import Library, load_library
from drug_pipeline.query.pyfunc import BUNDLE, LIBRARY
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_conditions
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.tracking.base import ModelVersion, Tracking
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle

logger = logging.getLogger(__name__)

ADDRESS: Final = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """A model that answers, and what stands beside it; ``source`` says in words where it is of."""

    bundle: Bundle
    library: Library
    source: str


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
    for asset in ("tahoe_metadata", "splits", "model_full"):
        stamps.require(asset)
    conditions = read_conditions(layout)
    pairs = conditions[list(names.PAIR_KEY)].itertuples(index=False, name=None)
    bundle = load_bundle(layout.deploy_dir)
    library = Library(
        drugs=_read(layout, "drugs"),
        cell_lines=_read(layout, "cell_lines"),
        metrics=read_metrics(layout),
        shipped=_shipped(bundle),
        measured=frozenset((str(drug), str(line)) for drug, line in pairs),
        doses_um=tuple(map(float, np.unique(conditions[names.DOSE_UM]))),
    )
    return OpenModel(bundle=bundle, library=library, source=f"the model in {layout.root}")


def open_registered(tracking: Tracking, address: str) -> OpenModel:
    """A registered model, by ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

    Raises
    ------
    QueryError
        If the address is written otherwise, or nothing in the registry has it.
    TrackingError
        If the registry or the version's files cannot be read.
    CheckpointError, ForeignFileError
        If its files do not belong together, or one was changed.
    """
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        msg = (
            f"{address!r} is no registered model. Write models:/NAME/VERSION or models:/NAME@ALIAS."
        )
        raise QueryError(msg)
    name = parts["name"]
    version = (
        tracking.find_alias(name, parts["alias"])
        if parts["alias"]
        else ModelVersion(name=name, version=int(parts["version"]), alias="", run_id="")
    )
    if version is None:
        where = tracking.registry or "the data folder's registry"
        msg = f"{where} has no {address}. Register one with `drug-pipeline run`, or name another."
        raise QueryError(msg)
    return OpenModel(
        bundle=load_bundle(tracking.artifact_of(version, BUNDLE)),
        library=load_library(tracking.artifact_of(version, LIBRARY)),
        source=f"{version.uri}{f' ({version.alias})' if version.alias else ''}",
    )


def held_out_rows(layout: Layout, table: DeltaTable, bundle: Bundle) -> NDArray[np.int64]:
    """Test conditions of the first fitted split whose test is measured again; may be none."""
    splits = read_splits(layout, table.conditions)
    tests = [splits[name].rows(names.TEST) for name in MEASURED_AGAIN if name in bundle.splits]
    return tests[0] if tests else np.zeros(0, dtype=np.int64)


def _shipped(bundle: Bundle) -> Mapping[str, str]:
    return {name: str(split.notes["shipped"]) for name, split in bundle.splits.items()}


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
