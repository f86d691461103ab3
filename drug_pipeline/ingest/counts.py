"""Assets of the count tables and of the filtered pairs, both in ``warehouse.duckdb``.

What belongs here: partial counts of new files, the merge, the filter, stamps. What does not: the
counting and the SQL (``expression/counts.py``), which pairs are kept (``expression/pairs.py``).

A file's partial counts are kept by content hash under ``manifest/counts/``; the tables are sums
over the files that are fit now, so that a file added or removed costs that file alone.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.progress import Progress
from drug_pipeline.expression.counts import COUNT_TABLES, merge_counts
from drug_pipeline.expression.pairs import IS_KEPT, PairFilterConfig, count_reasons, filter_pairs
from drug_pipeline.ingest.raw.inspection import count_file
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.counts_db import (
    DuckDBConfig,
    content_hashes,
    in_memory,
    read_table,
    remove_if_damaged,
    write_tables,
)
from drug_pipeline.storage.files import is_sealed, seal, sha256_of_json, write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import OkFile, ok_files
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder
from drug_pipeline.storage.stamps import StampStore

CODE_VERSION: Final = "1"
PAIRS_TABLE: Final = "filtered_pairs"


def build_counts(
    layout: Layout,
    raw_dir: RawDir,
    config: DuckDBConfig | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Count the cells of each drug, cell line, pair and condition; only new files are read.

    Raises
    ------
    StaleInputError
        If a raw file is not the one of the inventory.
    RawDataError
        If one vanishes or changes while it is read.
    """
    config = config or DuckDBConfig()
    remove_if_damaged(layout)
    _forget_unless_intact(layout, "counts", list(COUNT_TABLES))
    return build_once(
        layout,
        "counts",
        code_version=CODE_VERSION,
        upstream=["raw_tahoe", "tahoe_metadata"],
        config={},
        build=lambda: _count(layout, RawFolder(raw_dir), config, progress),
    )


def build_filtered_pairs(layout: Layout, config: PairFilterConfig | None = None) -> BuildResult:
    """Keep or drop each pair, with the reason, in the table ``filtered_pairs``.

    Raises
    ------
    EmptyResultError
        If no pair is kept.
    """
    config = config or PairFilterConfig()
    _forget_unless_intact(layout, "filtered_pairs", [PAIRS_TABLE])
    return build_once(
        layout,
        "filtered_pairs",
        code_version=CODE_VERSION,
        upstream=["counts"],
        config=asdict(config),
        build=lambda: _filter(layout, config),
    )


def _count(
    layout: Layout, folder: RawFolder, config: DuckDBConfig, progress: Progress | None
) -> BuildOutput:
    files = ok_files(layout, folder)
    new = [file for file in files if not is_sealed(partial_counts_path(layout, file.sha256))]
    with ThreadPoolExecutor(max_workers=config.threads) as pool:
        done = pool.map(lambda file: write_partial_counts(layout, folder, file), new)
        for number, file in enumerate(done, start=1):
            if progress is not None:
                progress(number, len(new), f"{file.raw.name}: {file.n_rows} cells counted")
    wells = pq.read_table(layout.metadata_dir / "wells.parquet")
    partials = (pq.read_table(partial_counts_path(layout, file.sha256)) for file in files)
    with in_memory(layout, config) as connection:
        tables = merge_counts(connection, partials, wells)
    contents = write_tables(layout, tables)
    n_cells = sum(tables["counts_per_cell_line"].column(names.N_CELLS).to_pylist())
    return BuildOutput(
        files=[],
        contents=contents,
        summary={
            "n_cells": n_cells,
            "n_files": len(files),
            "n_new_files": len(new),
            "n_drugs": tables["counts_per_drug"].num_rows,
            "n_cell_lines": tables["counts_per_cell_line"].num_rows,
            "n_pairs": tables["counts_per_pair"].num_rows,
            "n_conditions": tables["counts_per_condition"].num_rows,
        },
    )


def write_partial_counts(layout: Layout, folder: RawFolder, file: OkFile) -> OkFile:
    """Keep the counts of one file under the hash of its content; returns the file."""
    path = partial_counts_path(layout, file.sha256)
    write_parquet(count_file(folder, file.raw), path)
    seal(path)
    return file


def _filter(layout: Layout, config: PairFilterConfig) -> BuildOutput:
    pairs = filter_pairs(
        read_table(layout, "counts_per_pair"), read_table(layout, "counts_per_condition"), config
    )
    table = pa.Table.from_pandas(pairs, schema=schemas.PAIRS, preserve_index=False)
    contents = write_tables(layout, {PAIRS_TABLE: table.replace_schema_metadata(None)})
    kept = pairs[pairs[IS_KEPT]]
    return BuildOutput(
        files=[],
        contents=contents,
        summary={
            "n_pairs": len(pairs),
            "n_kept": len(kept),
            "n_cells_kept": int(kept[names.N_CELLS].sum()),
            "n_drugs_kept": int(kept[names.DRUG].nunique()),
            "n_cell_lines_kept": int(kept[names.CELL_LINE_ID].nunique()),
            "dropped": count_reasons(pairs),
        },
    )


def _forget_unless_intact(layout: Layout, asset: str, tables: list[str]) -> None:
    """Drop the stamp of tables that are gone or altered: stamps watch files, not tables."""
    stamps = StampStore(layout)
    stamp = stamps.read(asset)
    if stamp is None:
        return
    if sha256_of_json(content_hashes(layout, tables)) != stamp.fingerprint:
        stamps.path(asset).unlink()


def partial_counts_path(layout: Layout, sha256: str) -> Path:
    """Where the counts of a content are kept."""
    return layout.count_partials_dir / f"{sha256}.parquet"
