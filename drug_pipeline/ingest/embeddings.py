"""Assets ``drug_embeddings`` and ``cell_line_embeddings``: vectors by key, written and stamped.

What belongs here: reading inputs, calling the science, writing. What does not: how a vector is
made (``embeddings/``), its file form (``storage/embeddings.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import first_few
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.alignment import check_alignment
from drug_pipeline.embeddings.cell_lines import OWN_KEYS as LINE_KEYS
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig, cell_line_vectors
from drug_pipeline.embeddings.smiles import OWN_KEYS as DRUG_KEYS
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig, drug_vectors
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.embeddings import (
    Which,
    fingerprint_of,
    read_embeddings,
    read_left_out,
    read_own_vectors,
    write_embeddings,
    write_encoder,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta

CODE_VERSION: Final = "1"


def build_drug_embeddings(layout: Layout, config: DrugEmbeddingConfig) -> BuildResult:
    """Write ``embeddings/drugs.parquet`` and the list of drugs left out.

    Raises
    ------
    ConfigurationError
        If the encoder or the own table that the settings name cannot be used.
    AlignmentError, MetadataError
        If the vectors do not fit the drug table.
    """

    def build() -> BuildOutput:
        drugs = read_metadata_table(layout, "drugs")
        own = _own_table(config.own_path, config.own_key, DRUG_KEYS)
        table, left_out = drug_vectors(drugs, config, own)
        files = write_embeddings(layout, "drugs", table, left_out)
        check_stored_alignment(layout, "drugs")
        return BuildOutput(files=files, summary=_summary(table, left_out))

    return build_once(
        layout,
        "drug_embeddings",
        code_version=CODE_VERSION,
        upstream=["tahoe_metadata"],
        extra_inputs=_given_inputs(config.own_path, config.encoder_path),
        config=asdict(config),
        build=build,
    )


def build_cell_line_embeddings(layout: Layout, config: CellLineEmbeddingConfig) -> BuildResult:
    """Write ``embeddings/cell_lines.parquet``, the lines left out, and the encoder of new lines.

    Raises
    ------
    ConfigurationError
        If the own table that the settings name cannot be used.
    AlignmentError, MetadataError
        If the vectors do not fit the table of cell lines.
    """

    def build() -> BuildOutput:
        cell_lines = read_metadata_table(layout, "cell_lines")
        delta = read_delta(layout)
        own = _own_table(config.own_path, config.own_key, LINE_KEYS)
        token_ids_G = delta.genes[names.TOKEN_ID].to_numpy(dtype=np.int64)
        table, left_out, encoder = cell_line_vectors(
            delta.controls, token_ids_G, cell_lines, config, own
        )
        files = write_embeddings(layout, "cell_lines", table, left_out)
        files += write_encoder(layout, encoder.state())
        check_stored_alignment(layout, "cell_lines")
        return BuildOutput(files=files, summary=_summary(table, left_out))

    return build_once(
        layout,
        "cell_line_embeddings",
        code_version=CODE_VERSION,
        upstream=["delta_shards", "tahoe_metadata"],
        extra_inputs=_given_inputs(config.own_path),
        config=asdict(config),
        build=build,
    )


def check_stored_alignment(layout: Layout, which: Which) -> int:
    """Number of keys of a stored embedding that has each key of the metadata, in its order.

    Keys that the embedding lists as left out need not be there.

    Raises
    ------
    AlignmentError
        If a key is missing, extra, duplicated or out of order.
    """
    table = read_embeddings(layout, which)
    left_out = read_left_out(layout, which)
    keys = read_metadata_table(layout, which)[table.key_name].tolist()
    check_alignment(table, [key for key in keys if key not in left_out])
    return len(table.keys)


def read_metadata_table(layout: Layout, which: Which) -> pd.DataFrame:
    """The cleaned drug or cell-line table; whole numbers stay whole where some are null."""
    table = pq.read_table(layout.metadata_dir / f"{which}.parquet")
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return frame


def _own_table(
    path: str | None, key: str | None, key_names: Sequence[str]
) -> EmbeddingTable | None:
    if path is None:
        return None
    return read_own_vectors(Path(path), key_names if key is None else [key])


def _given_inputs(*paths: str | None) -> dict[str, str]:
    """Fingerprints of what the user gave beside the raw data; a missing one is refused on reading."""
    given = [Path(path) for path in paths if path is not None]
    return {str(path): fingerprint_of(path) for path in given if path.exists()}


def _summary(table: EmbeddingTable, left_out: Mapping[str, str]) -> dict[str, Any]:
    reasons: Sequence[str] = sorted(set(left_out.values()))
    known = {name: set(table.block(name).keys) for name in table.blocks}
    without = {name: [key for key in table.keys if key not in known[name]] for name in known}
    return {
        "n_keys": len(table.keys),
        "n_features": len(table.feature_names),
        "blocks": {name: stop - start for name, (start, stop) in table.blocks.items()},
        "trained_on": table.trained_on,
        "n_left_out": len(left_out),
        "left_out": {
            reason: first_few(key for key, why in left_out.items() if why == reason)
            for reason in reasons
        },
        "notes": {
            f"no vector in block {name}, known by others": keys
            for name, keys in without.items()
            if keys
        },
    }
