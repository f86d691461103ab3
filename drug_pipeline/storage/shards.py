"""Δ shards on disk: one folder per plate, ``expression/delta/plate=<plate>/``, and the index.

What belongs here: their form, writing them, reading them as one ``DeltaTable``.
What does not: what Δ is (``expression/delta.py``).

A plate's folder holds ``delta.npy``, ``se.npy``, ``half_a.npy``, ``half_b.npy`` (float32, N x G)
with ``index.parquet`` (``schemas.CONDITIONS``, the N rows), ``control.npy`` (M x G) with
``controls.parquet``, ``control_well.npy`` (V x G) with ``control_wells.parquet``,
``dropped.parquet`` and ``state.json`` (what it was made from). Beside the plates lie
``genes.parquet`` (the G genes) and ``dropped.parquet`` (of all plates).

Shapes: N = conditions, G = genes, M = (line, plate) controls, V = control wells x lines.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.tables import ControlTable, DeltaTable
from drug_pipeline.storage.files import (
    hashes_of,
    is_as_hashed,
    read_sealed_json,
    replacing_folder,
    write_json,
    write_npy,
    write_parquet,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import plate_folder, plates_in
from drug_pipeline.storage.stamps import StampStore

ASSET: Final = "delta_shards"
ARRAYS: Final = ("delta", "se", "half_a", "half_b", "control", "control_well")
CONTROLS = pa.schema(
    [(names.CELL_LINE_ID, pa.string()), (names.PLATE, pa.string()), (names.N_CELLS, pa.int64())]
)
"""The rows of ``control.npy``."""
CONTROL_WELLS = pa.schema([(names.SAMPLE, pa.string()), *CONTROLS])
"""The rows of ``control_well.npy``."""
DROPPED = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.DOSE_UM, pa.float64()),
        (names.CELL_LINE_ID, pa.string()),
        (names.PLATE, pa.string()),
        (names.REASON, pa.string()),
        ("n", pa.int64()),  # the number of cells that was too small
    ]
)
"""Conditions without a Δ."""
_TABLES: Final = {
    "index": schemas.CONDITIONS,
    "controls": CONTROLS,
    "control_wells": CONTROL_WELLS,
    "dropped": DROPPED,
}
_STATE_FILE: Final = "state.json"


@dataclass(frozen=True, kw_only=True)
class DeltaShard:
    """What one plate's folder holds; ``arrays`` by ``ARRAYS``, tables as in their schemas."""

    plate: str
    arrays: Mapping[str, NDArray[np.float32]]
    index: pd.DataFrame
    controls: pd.DataFrame
    control_wells: pd.DataFrame
    dropped: pd.DataFrame


def write_delta_shard(layout: Layout, shard: DeltaShard, *, made_from: str) -> None:
    """Replace one plate's folder; ``made_from`` is the hash of all that it depends on."""
    with replacing_folder(plate_folder(layout.delta_dir, shard.plate)) as temporary:
        for name in ARRAYS:
            write_npy(np.ascontiguousarray(shard.arrays[name]), temporary / f"{name}.npy")
        for name, schema in _TABLES.items():
            table = getattr(shard, name)[schema.names]
            write_parquet(
                pa.Table.from_pandas(table, schema=schema, preserve_index=False),
                temporary / f"{name}.parquet",
            )
        state = {"made_from": made_from, "sha256": hashes_of(temporary, _shard_files())}
        write_json(state, temporary / _STATE_FILE)


def made_from(layout: Layout, plate: str) -> str | None:
    """The hash of what a plate's shard was made from; None where it is missing or was changed."""
    folder = plate_folder(layout.delta_dir, plate)
    state = read_sealed_json(folder / _STATE_FILE)
    if state is None or state.keys() != {"made_from", "sha256"}:
        return None
    return str(state["made_from"]) if is_as_hashed(folder, state["sha256"]) else None


def read_index(layout: Layout, plate: str) -> pd.DataFrame:
    """The conditions of one plate's shard (``schemas.CONDITIONS``)."""
    return _concatenated(layout, [plate], "index")


def remove_delta_shard(layout: Layout, plate: str) -> None:
    """Delete the shard of a plate that is no more."""
    shutil.rmtree(plate_folder(layout.delta_dir, plate))


def write_delta_genes(layout: Layout, genes: pa.Table) -> None:
    """Write the genes of the shards' columns, in order."""
    write_parquet(genes.select(schemas.GENES.names).cast(schemas.GENES), _genes_path(layout))


def write_all_dropped(layout: Layout) -> pd.DataFrame:
    """Gather the dropped conditions of all plates in one file; returns them."""
    dropped = _concatenated(layout, plates_in(layout.delta_dir), "dropped")
    write_parquet(
        pa.Table.from_pandas(dropped, schema=DROPPED, preserve_index=False), _dropped_path(layout)
    )
    return dropped


def read_dropped(layout: Layout) -> pd.DataFrame:
    """The conditions without a Δ, with their reasons."""
    dropped: pd.DataFrame = pq.read_table(_dropped_path(layout)).to_pandas()
    return dropped


def delta_files(layout: Layout) -> list[Path]:
    """All files of the Δ shards."""
    per_plate = [*_shard_files(), _STATE_FILE]
    folders = [plate_folder(layout.delta_dir, plate) for plate in plates_in(layout.delta_dir)]
    files = [folder / name for folder in folders for name in per_plate]
    return [*files, _genes_path(layout), _dropped_path(layout)]


def read_conditions(layout: Layout) -> pd.DataFrame:
    """The conditions of :func:`read_delta`, without their Δ.

    Raises
    ------
    StaleInputError, ForeignFileError
        If the shards are missing, older than their inputs, or were changed by something else.
    """
    StampStore(layout).require(ASSET)
    return _concatenated(layout, plates_in(layout.delta_dir), "index")


def read_delta(layout: Layout) -> DeltaTable:
    """Δ of all plates as one table, sorted by plate, line, drug, dose; checked against its stamp.

    Memory: 16 bytes per condition and gene (1.8 GB for all of Tahoe-100M at 2,000 genes); with
    one plate the arrays stay on disk, mapped.

    Raises
    ------
    StaleInputError, ForeignFileError
        If the shards are missing, older than their inputs, or were changed by something else.
    """
    stamp = StampStore(layout).require(ASSET)
    plates = plates_in(layout.delta_dir)
    arrays = {name: _joined(layout, plates, name) for name in ARRAYS}
    controls = ControlTable(
        groups=_concatenated(layout, plates, "controls"),
        control_MG=arrays["control"],
        wells=_concatenated(layout, plates, "control_wells"),
        well_WG=arrays["control_well"],
    )
    return DeltaTable(
        conditions=_concatenated(layout, plates, "index"),
        genes=pq.read_table(_genes_path(layout)).to_pandas(),
        delta_NG=arrays["delta"],
        se_NG=arrays["se"],
        half_a_NG=arrays["half_a"],
        half_b_NG=arrays["half_b"],
        controls=controls,
        fingerprint=stamp.fingerprint,
    )


def _joined(layout: Layout, plates: Sequence[str], name: str) -> NDArray[np.float32]:
    """One array of all plates, row after row."""
    parts = [
        np.load(plate_folder(layout.delta_dir, plate) / f"{name}.npy", mmap_mode="r")
        for plate in plates
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _concatenated(layout: Layout, plates: Sequence[str], name: str) -> pd.DataFrame:
    """One table of all plates, row after row."""
    tables = [
        pq.read_table(plate_folder(layout.delta_dir, plate) / f"{name}.parquet") for plate in plates
    ]
    joined: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return joined


def _shard_files() -> list[str]:
    """Names of the files of one shard that hold data."""
    return [*(f"{name}.npy" for name in ARRAYS), *(f"{name}.parquet" for name in _TABLES)]


def _genes_path(layout: Layout) -> Path:
    return layout.delta_dir / "genes.parquet"


def _dropped_path(layout: Layout) -> Path:
    return layout.delta_dir / "dropped.parquet"
