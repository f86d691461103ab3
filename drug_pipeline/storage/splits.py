"""Splits on disk: one Parquet file per split, and ``splits.json`` about all of them.

What belongs here: the file form of a split, and bringing its roles to another row order by key.
What does not: drawing and auditing splits (``expression/``).

Shapes: N = conditions.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, StaleInputError, first_few
from drug_pipeline.domain.tables import Split, condition_keys
from drug_pipeline.storage.files import read_json, replacing_folder, write_json, write_parquet
from drug_pipeline.storage.layout import Layout

METADATA_KEY = b"drug_pipeline.split"

SCHEMA = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.DOSE_UM, pa.float64()),
        (names.CELL_LINE_ID, pa.string()),
        (names.PLATE, pa.string()),
        (names.ROLE, pa.string()),
    ]
)
"""A condition and its role, in the row order of the Δ table."""


def index_path(layout: Layout) -> Path:
    """Where sizes, notes and reasons lie."""
    return layout.splits_dir / "splits.json"


def write_splits(
    layout: Layout,
    conditions: pd.DataFrame,
    splits: Mapping[str, Split],
    *,
    notes: Mapping[str, Sequence[str]],
    skipped: Mapping[str, str],
) -> list[Path]:
    """Write all splits in place of those that are there; returns the files."""
    with replacing_folder(layout.splits_dir) as temporary:
        for name, split in splits.items():
            described = {"name": name, "kind": split.kind, "fingerprint": split.fingerprint}
            table = pa.Table.from_pandas(
                conditions[list(names.CONDITION_KEY)].assign(**{names.ROLE: split.roles_N}),
                schema=SCHEMA,
                preserve_index=False,
            )
            metadata = {METADATA_KEY: json.dumps(described, sort_keys=True)}
            write_parquet(table.replace_schema_metadata(metadata), temporary / f"{name}.parquet")
        about = {name: _about(split, notes.get(name, ())) for name, split in splits.items()}
        document = {"order": list(splits), "splits": about, "skipped": dict(skipped)}
        write_json(document, temporary / "splits.json")
    return [*(layout.splits_dir / f"{name}.parquet" for name in sorted(splits)), index_path(layout)]


def read_splits(layout: Layout, conditions: pd.DataFrame | None = None) -> dict[str, Split]:
    """Splits by name, in the order in which they were drawn up.

    Parameters
    ----------
    conditions
        Table to whose rows the roles are brought, by key; None keeps the row order of the Δ table
        that the splits were made from.

    Raises
    ------
    StaleInputError
        If the splits have not been built.
    AlignmentError
        If ``conditions`` are not those that the splits were made from.
    """
    order = read_splits_index(layout)["order"]
    return {name: _read_split(layout, name, conditions) for name in order}


def read_splits_index(layout: Layout) -> dict[str, Any]:
    """Kind, fingerprint, sizes and notes of each split, and the reason of each skipped one."""
    path = index_path(layout)
    if not path.is_file():
        msg = f"{path} is not there. Materialise splits first."
        raise StaleInputError(msg)
    return dict(read_json(path))


def _about(split: Split, notes: Sequence[str]) -> dict[str, Any]:
    roles = (names.TRAIN, names.VALIDATION, names.TEST, names.UNUSED)
    return {
        "kind": split.kind,
        "fingerprint": split.fingerprint,
        "sizes": {role: int((split.roles_N == role).sum()) for role in roles},
        "notes": list(notes),
    }


def _read_split(layout: Layout, name: str, conditions: pd.DataFrame | None) -> Split:
    table = pq.read_table(layout.splits_dir / f"{name}.parquet")
    described = json.loads(table.schema.metadata[METADATA_KEY])
    stored = table.to_pandas()
    roles_N = stored[names.ROLE].to_numpy(dtype=str)
    if conditions is not None:
        roles_N = roles_N[_rows_by_key(name, stored, conditions)]
    return Split(
        name=described["name"],
        kind=described["kind"],
        roles_N=roles_N,
        fingerprint=described["fingerprint"],
    )


def _rows_by_key(name: str, stored: pd.DataFrame, conditions: pd.DataFrame) -> NDArray[np.int64]:
    """Row of ``stored`` that holds each condition, (N,)."""
    wanted, kept = condition_keys(conditions), condition_keys(stored)
    row_of = {key: row for row, key in enumerate(kept)}
    foreign = sorted(set(wanted) ^ set(kept))
    if foreign or len(wanted) != len(kept):
        msg = (
            f"split {name} and the Δ table have different conditions: {len(kept)} and "
            f"{len(wanted)}, {len(foreign)} in just one of them; first: {first_few(foreign)}. "
            "Materialise splits again."
        )
        raise AlignmentError(msg)
    return np.array([row_of[key] for key in wanted], dtype=np.int64)
