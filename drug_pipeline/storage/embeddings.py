"""Vectors on disk: the key column first, then one fixed-size list per row.

What belongs here: the Parquet form of an embedding, the lists of what was left out, the arrays of
the cell-line encoder, and reading a user's own table. What does not: making vectors.

Shapes: K = keys, F = features.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    ForeignFileError,
    StaleInputError,
    first_few,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.storage.files import (
    read_json,
    replacing_folder,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_npy,
    write_parquet,
)
from drug_pipeline.storage.layout import Layout

Which = Literal["drugs", "cell_lines"]
"""Which embedding: of the drugs, or of the cell lines."""

VECTOR = "vector"
METADATA_KEY = b"drug_pipeline.embedding"


def embedding_path(layout: Layout, which: Which) -> Path:
    """Where an embedding lies."""
    return layout.embeddings_dir / f"{which}.parquet"


def left_out_path(layout: Layout, which: Which) -> Path:
    """Where the list of keys without a vector lies."""
    return layout.embeddings_dir / f"{which}_left_out.json"


def write_embeddings(
    layout: Layout, which: Which, table: EmbeddingTable, left_out: Mapping[str, str]
) -> list[Path]:
    """Write an embedding and the keys left out of it with their reasons; returns the files."""
    description = {
        "feature_names": table.feature_names,
        "blocks": table.blocks,
        "trained_on": table.trained_on,
    }
    n_features = len(table.feature_names)
    flat = pa.array(np.ascontiguousarray(table.vectors_KF, dtype=np.float32).ravel())
    columns = [
        pa.array(table.keys, pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, n_features),
    ]
    schema = pa.schema(
        [(table.key_name, pa.string()), (VECTOR, pa.list_(pa.float32(), n_features))],
        metadata={METADATA_KEY: json.dumps(description, sort_keys=True)},
    )
    files = [embedding_path(layout, which), left_out_path(layout, which)]
    write_parquet(pa.Table.from_arrays(columns, schema=schema), files[0])
    write_json(dict(left_out), files[1])
    return files


def read_embeddings(layout: Layout, which: Which) -> EmbeddingTable:
    """An embedding with its keys, in the order of the metadata table that it was made from.

    Raises
    ------
    StaleInputError
        If it has not been built.
    ForeignFileError
        If the file is not one that this pipeline wrote.
    AlignmentError
        If a key occurs twice.
    """
    path = embedding_path(layout, which)
    asset = "drug_embeddings" if which == "drugs" else "cell_line_embeddings"
    if not path.is_file():
        msg = f"{path} is not there. Materialise {asset} first."
        raise StaleInputError(msg)
    stored = pq.read_table(path)
    raw_description = (stored.schema.metadata or {}).get(METADATA_KEY)
    if raw_description is None:
        msg = f"{path} does not say what its vectors are. Materialise {asset} again."
        raise ForeignFileError(msg)
    description = json.loads(raw_description)
    n_features = len(description["feature_names"])
    flat = stored[VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return EmbeddingTable(
        key_name=stored.column_names[0],
        keys=tuple(stored.column(0).to_pylist()),
        vectors_KF=flat.reshape(len(stored), n_features).astype(np.float32, copy=True),
        feature_names=tuple(description["feature_names"]),
        blocks={name: (start, stop) for name, (start, stop) in description["blocks"].items()},
        trained_on=description["trained_on"],
    )


def read_left_out(layout: Layout, which: Which) -> dict[str, str]:
    """Keys that have no vector, each with its reason."""
    return dict(read_json(left_out_path(layout, which)))


def encoder_dir(layout: Layout) -> Path:
    """Where the arrays lie that give a new cell line its vector."""
    return layout.embeddings_dir / "cell_line_encoder"


def write_encoder(layout: Layout, state: Mapping[str, NDArray[Any]]) -> list[Path]:
    """Write the arrays of the cell-line encoder, one file each; returns the files."""
    folder = encoder_dir(layout)
    with replacing_folder(folder) as temporary:
        for name, array in state.items():
            write_npy(array, temporary / f"{name}.npy")
    return [folder / f"{name}.npy" for name in sorted(state)]


def read_own_vectors(path: Path, key_names: Sequence[str]) -> EmbeddingTable:
    """A user's own vectors: a Parquet, CSV or NPZ file with a key column and numbers.

    The key is the first of ``key_names`` that the file has; the others of them are passed over.
    Each other column is a number or, in Parquet, a list of numbers of one length; each other array
    of an NPZ has a row per key.

    Raises
    ------
    ConfigurationError
        If the file or a key column is not there, or a column holds no numbers.
    AlignmentError
        If a key is missing or occurs twice.
    """
    if not path.is_file():
        msg = f"own vectors {path} are not there. Give the path of a .parquet, .csv or .npz file."
        raise ConfigurationError(msg)
    stored = _own_columns(path)
    key = next((name for name in key_names if name in stored.column_names), None)
    if key is None:
        msg = (
            f"own vectors {path.name} have no column {' or '.join(map(repr, key_names))}; there "
            f"are {first_few(stored.column_names)}. Name the column of keys so."
        )
        raise ConfigurationError(msg)
    keys = stored[key].cast(pa.string()).to_pylist()
    if None in keys:
        msg = f"own vectors {path.name}: {keys.count(None)} rows have no {key}. Remove these rows."
        raise AlignmentError(msg)
    others = [name for name in key_names if name in stored.column_names]
    features, vectors = _number_columns(stored.drop_columns(others), path)
    return EmbeddingTable(
        key_name=key,
        keys=tuple(keys),
        vectors_KF=np.column_stack(vectors).astype(np.float32),
        feature_names=tuple(features),
        blocks={"own": (0, len(features))},
        trained_on=f"the user's own table {path.name}",
    )


def _own_columns(path: Path) -> pa.Table:
    if path.suffix == ".csv":
        return pa_csv.read_csv(path)
    if path.suffix != ".npz":
        return pq.read_table(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    except ValueError as error:
        msg = f"own vectors {path.name} cannot be read: {error} Store keys as text, not as objects."
        raise ConfigurationError(msg) from error
    lengths = {name: len(np.atleast_1d(array)) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        msg = f"own vectors {path.name}: arrays have {lengths} rows. Give each one a row per key."
        raise ConfigurationError(msg)
    return pa.table(
        {
            name: pa.array(array if array.ndim == 1 else list(array.reshape(len(array), -1)))
            for name, array in columns.items()
        }
    )


def _number_columns(table: pa.Table, path: Path) -> tuple[list[str], list[NDArray[np.float64]]]:
    """Feature names and columns of all columns of numbers and of lists of numbers."""
    features: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        width = _list_width(column, name, path) if is_list else 1
        numbers = column.flatten() if is_list else column
        if not _is_number(numbers.type):
            msg = f"own vectors {path.name}: column {name!r} holds {numbers.type}, not numbers"
            raise ConfigurationError(msg)
        features += [f"{name}_{number}" for number in range(width)] if is_list else [name]
        flat = numbers.cast(pa.float64()).to_numpy(zero_copy_only=False)  # null becomes NaN
        columns.append(flat.reshape(len(column), width))
    if not columns:
        msg = f"own vectors {path.name} have no column beside the key"
        raise ConfigurationError(msg)
    return features, columns


def _list_width(column: pa.Array, name: str, path: Path) -> int:
    lengths = {0 if item is None else len(item) for item in column.to_pylist()}
    if len(lengths) > 1:
        msg = (
            f"own vectors {path.name}: column {name!r} has vectors of {min(lengths)} to "
            f"{max(lengths)} numbers. Give each key a vector of the same length."
        )
        raise ConfigurationError(msg)
    return max(lengths, default=0)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def fingerprint_of(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder with their names."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return sha256_of_json(
            {one.relative_to(path).as_posix(): sha256_of_file(one) for one in files}
        )
    return sha256_of_file(path)
