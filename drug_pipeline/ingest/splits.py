"""Asset ``splits``: named splits of the Δ table, audited before they are written.

What belongs here: reading inputs, calling the science, writing. What does not: what a split holds
out (``expression/splits/named_splits.py``), its file form (``storage/splits.py``).
"""

from dataclasses import asdict
from typing import Final

import pandas as pd

from drug_pipeline.expression.splits.named_splits import SplitConfig, draw_splits
from drug_pipeline.expression.splits.split_audit import audit_split
from drug_pipeline.ingest.embeddings import read_metadata_table
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import plates_in
from drug_pipeline.storage.shards import read_index
from drug_pipeline.storage.splits import read_splits, read_splits_index, write_splits
from drug_pipeline.storage.stamps import StampStore

CODE_VERSION: Final = "2"


def build_splits(layout: Layout, config: SplitConfig) -> BuildResult:
    """Write ``models/splits/<name>.parquet`` and ``splits.json``; no split with a leak is written.

    Splits that these data do not allow are listed as skipped, with the reason.

    Raises
    ------
    LeakError
        If a split fails its audit.
    """

    def build() -> BuildOutput:
        conditions = _read_conditions(layout)
        drugs = read_metadata_table(layout, "drugs")
        cell_lines = read_metadata_table(layout, "cell_lines")
        drawn = draw_splits(conditions, drugs, config, cell_lines)
        for split in drawn.splits.values():
            audit_split(split, conditions, drugs, cell_lines)
        files = write_splits(
            layout, conditions, drawn.splits, notes=drawn.notes, skipped=drawn.skipped
        )
        return BuildOutput(files=files, summary=read_splits_index(layout))

    return build_once(
        layout,
        "splits",
        code_version=CODE_VERSION,
        upstream=["delta_shards", "tahoe_metadata"],
        config=asdict(config),
        build=build,
    )


def audit_stored_splits(layout: Layout) -> list[str]:
    """Names of the stored splits, all of which pass their audit against the Δ table.

    Raises
    ------
    LeakError
        If a split has a unit on two sides.
    AlignmentError
        If a split was made from other conditions.
    StaleInputError, ForeignFileError
        If the Δ shards are missing, out of date or not what was written.
    """
    StampStore(layout).require("delta_shards")
    conditions = _read_conditions(layout)
    drugs = read_metadata_table(layout, "drugs")
    cell_lines = read_metadata_table(layout, "cell_lines")
    splits = read_splits(layout, conditions)
    for split in splits.values():
        audit_split(split, conditions, drugs, cell_lines)
    return list(splits)


def _read_conditions(layout: Layout) -> pd.DataFrame:
    """The conditions of the Δ table, in its row order, without reading any Δ."""
    plates = plates_in(layout.delta_dir)
    return pd.concat([read_index(layout, plate) for plate in plates], ignore_index=True)
