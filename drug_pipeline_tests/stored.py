"""Small screens in a data folder, as the assets upstream of the models leave them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from drug_pipeline.domain import schemas
from drug_pipeline.domain.tables import DeltaTable, EmbeddingTable
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import (
    DeltaShard,
    delta_files,
    read_delta,
    write_all_dropped,
    write_delta_genes,
    write_delta_shard,
)
from drug_pipeline.storage.stamps import StampStore


def stamp(
    layout: Layout, asset: str, files: list[Path], summary: dict[str, Any] | None = None
) -> None:
    """Say that an asset consists of these files."""
    StampStore(layout).write(
        asset=asset, code_version="1", inputs={}, config={}, files=files, summary=summary or {}
    )


def store_delta(
    layout: Layout, table: DeltaTable, summary: dict[str, Any] | None = None
) -> DeltaTable:
    """A screen as Δ shards, read back in their order."""
    wells, groups = table.controls.wells, table.controls.groups
    for plate, conditions in table.conditions.groupby("plate"):
        rows = conditions.index.to_numpy()
        arrays = {name: getattr(table, f"{name}_NG")[rows] for name in ("delta", "se")}
        arrays |= {name: getattr(table, f"{name}_NG")[rows] for name in ("half_a", "half_b")}
        arrays["control"] = table.controls.control_MG[(groups["plate"] == plate).to_numpy()]
        arrays["control_well"] = table.controls.well_WG[(wells["plate"] == plate).to_numpy()]
        shard = DeltaShard(
            plate=str(plate),
            arrays=arrays,
            index=conditions.reset_index(drop=True),
            controls=groups[groups["plate"] == plate],
            control_wells=wells[wells["plate"] == plate],
            dropped=pd.DataFrame(
                columns=["drug", "dose_um", "cell_line_id", "plate", "reason", "n"]
            ).astype({"dose_um": float, "n": int}),
        )
        write_delta_shard(layout, shard, made_from="x")
    write_delta_genes(layout, pa.Table.from_pandas(table.genes, preserve_index=False))
    write_all_dropped(layout)
    stamp(layout, "delta_shards", delta_files(layout), summary)
    return read_delta(layout)


def store_metadata(
    layout: Layout,
    drugs: pd.DataFrame,
    cell_lines: pd.DataFrame,
    summary: dict[str, Any] | None = None,
) -> None:
    """Cleaned tables of drugs and lines; columns that are not given stay empty."""
    files = []
    for name, frame, schema in (
        ("drugs", drugs, schemas.DRUGS),
        ("cell_lines", cell_lines, schemas.CELL_LINES),
    ):
        whole = frame.reindex(columns=schema.names)
        path = layout.metadata_dir / f"{name}.parquet"
        write_parquet(pa.Table.from_pandas(whole, schema=schema, preserve_index=False), path)
        files.append(path)
    stamp(layout, "tahoe_metadata", files, summary)


def block_table(key_name: str, keys: tuple[str, ...], **vectors: np.ndarray) -> EmbeddingTable:
    """A table of vectors in named blocks, side by side."""
    edges = np.cumsum([0, *(one.shape[1] for one in vectors.values())]).tolist()
    return EmbeddingTable(
        key_name=key_name,
        keys=keys,
        vectors_KF=np.hstack(list(vectors.values())).astype(np.float32),
        feature_names=tuple(map(str, range(edges[-1]))),
        blocks=dict(zip(vectors, pairwise(edges), strict=True)),
        trained_on="a test",
    )
