"""The asset ``gene_panel``: genes chosen on control cells, from sums kept per raw file.

What belongs here: which files are looked at, their partial sums, when the panel is kept.
What does not: the choice (``expression/genes.py``).

A file's control sums are kept by its content under ``manifest/panel/``: each content is read
once. Peak memory: 2 MB per file, and one row group.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import BadCellError, EmptyResultError, StaleInputError
from drug_pipeline.domain.progress import Progress
from drug_pipeline.expression.genes import (
    DETECTED_FRAC,
    IS_TARGET,
    MEAN_LOG1P,
    VARIANCE,
    ControlGeneStats,
    PanelConfig,
    choose_panel,
)
from drug_pipeline.expression.moments import nonzero_cells_of
from drug_pipeline.ingest.raw.inventory import quarantine_content
from drug_pipeline.ingest.raw.raw_cells import CountedFile, counted_files, read_cells
from drug_pipeline.ingest.workers.backend_config import BackendConfig, Tick
from drug_pipeline.ingest.workers.backends import run_units
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import (
    is_as_hashed,
    is_sealed,
    read_sealed_json,
    seal,
    sha256_of_json,
    write_parquet,
    write_sealed_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder
from drug_pipeline.storage.stamps import Stamp, StampStore

logger = logging.getLogger(__name__)

ASSET: Final = "gene_panel"
CODE_VERSION: Final = "2"
SUMS_VERSION: Final = "1"
"""Raised when the same file would give other sums, which are then made again."""

PANEL: Final = pa.schema(
    [
        *schemas.GENES,
        (MEAN_LOG1P, pa.float64()),  # natural log, over control cells
        (VARIANCE, pa.float64()),
        (DETECTED_FRAC, pa.float64()),
        (IS_TARGET, pa.bool_()),
    ]
)
"""The panel, in the order of all arrays over genes."""
_PARTIAL: Final = pa.schema(
    [
        (names.TOKEN_ID, pa.int64()),
        ("sum_x", pa.int64()),
        ("sum_x2", pa.int64()),
        ("nnz", pa.int64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class StatsUnit:
    """One file for a worker: its control cells are to be summed per gene."""

    folder: RawFolder
    file: CountedFile
    control_samples: frozenset[str]
    known_tokens: NDArray[np.int64]


def build_gene_panel(
    layout: Layout,
    raw_dir: RawDir,
    config: PanelConfig,
    progress: Progress | None = None,
    *,
    backend: BackendConfig | None = None,
) -> BuildResult:
    """Choose the panel's genes on control cells, unless it stands or is frozen.

    Raises
    ------
    EmptyResultError
        If there are no control cells, or they have no gene in common use.
    """
    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=["raw_tahoe", "tahoe_metadata"],
        config=asdict(config),
        build=lambda: _build(
            layout, RawFolder(raw_dir), config, progress, backend or BackendConfig()
        ),
    )


def _build(
    layout: Layout,
    folder: RawFolder,
    config: PanelConfig,
    progress: Progress | None,
    backend: BackendConfig,
) -> BuildOutput:
    before = StampStore(layout).read(ASSET)
    has_panel = before is not None and _is_as_stamped(layout, before)
    is_kept = config.policy == "frozen" and has_panel
    if is_kept and before is not None and before.config == asdict(config):
        return BuildOutput(files=[layout.gene_panel], summary=before.summary)
    genes = pq.read_table(layout.metadata_dir / "genes.parquet").to_pandas()
    stats, used = _control_stats(layout, folder, genes, config, progress, backend)
    panel = choose_panel(stats, genes, _targets(layout), config)
    table = pa.Table.from_pandas(panel, schema=PANEL, preserve_index=False)
    is_same = has_panel and pq.read_table(layout.gene_panel).column(0).equals(table.column(0))
    if before is not None and not is_same:
        logger.warning("the gene panel has changed: every plate's sums will be made anew")
    write_sealed_json(used, _chosen_from(layout))
    write_parquet(table, layout.gene_panel)
    return BuildOutput(
        files=[layout.gene_panel],
        summary={
            "n_genes": len(panel),
            "n_targets": int(panel[IS_TARGET].sum()),
            "n_control_cells": stats.n_cells,
            "n_files": len(used["sha256"]),
            "median_detected_frac": float(panel[DETECTED_FRAC].median()),
        },
    )


def _is_as_stamped(layout: Layout, stamp: Stamp) -> bool:
    """Whether the panel is there and is the one that was written; a damaged one is chosen anew."""
    hashes = {name: output["sha256"] for name, output in stamp.outputs.items()}
    return is_as_hashed(layout.root, hashes)


def _targets(layout: Layout) -> set[str]:
    drugs = pq.read_table(layout.metadata_dir / "drugs.parquet", columns=[names.TARGETS])
    return {symbol for symbols in drugs.column(0).to_pylist() for symbol in symbols or ()}


def _control_stats(
    layout: Layout,
    folder: RawFolder,
    genes: pd.DataFrame,
    config: PanelConfig,
    progress: Progress | None,
    backend: BackendConfig,
) -> tuple[ControlGeneStats, dict[str, Any]]:
    """Sums over the control cells of the files looked at, and by what they are found again.

    A file that turns out to be bad is quarantined, and the choice of files made again.
    """
    wells = pq.read_table(layout.metadata_dir / "wells.parquet").to_pandas()
    controls = frozenset(wells.loc[wells[names.IS_CONTROL], names.SAMPLE])
    tokens_hash = sha256_of_json([SUMS_VERSION, genes[names.TOKEN_ID].tolist(), sorted(controls)])[
        :16
    ]
    files = counted_files(layout, folder)
    while True:
        chosen = _files_to_look_at(files, controls, config.max_files_per_plate)
        missing = [
            file for file in chosen if not is_sealed(_path(layout, file.sha256, tokens_hash))
        ]
        units = [
            StatsUnit(
                folder=folder,
                file=file,
                control_samples=controls,
                known_tokens=genes[names.TOKEN_ID].to_numpy(),
            )
            for file in missing
        ]
        bad = _sum_files(layout, units, tokens_hash, progress, backend)
        if not bad:
            break
        files = [file for file in files if file.name not in bad]
    used = {"tokens": tokens_hash, "sha256": [file.sha256 for file in chosen]}
    if not chosen:
        msg = f"no raw file has cells of the vehicle {names.CONTROL_DRUG!r}; the panel needs them."
        raise EmptyResultError(msg)
    return _merged(layout, genes, used), used


def _merged(layout: Layout, genes: pd.DataFrame, used: dict[str, Any]) -> ControlGeneStats:
    size = int(genes[names.TOKEN_ID].max()) + 1
    paths = [_path(layout, sha256, used["tokens"]) for sha256 in used["sha256"]]
    return ControlGeneStats.merged([_read_partial(path, size) for path in paths])


def rechosen_panel(layout: Layout, config: PanelConfig) -> pd.DataFrame:
    """The panel that vehicle cells choose, from the sums of the files it was chosen on.

    No raw file is read: whoever holds another panel in hand sees whether it is this one.

    Raises
    ------
    StaleInputError
        If it was not kept on which files the panel was chosen.
    """
    path = _chosen_from(layout)
    used = read_sealed_json(path)
    if used is None:
        msg = (
            f"on which files the panel was chosen was not kept: {path} is missing or damaged, as "
            "where a panel was frozen before this was written down. Choose it once more with "
            "DRUG_PIPELINE_PANEL_POLICY=follow (drug-pipeline run), then freeze it again; where genes "
            "change, every plate's sums are made anew."
        )
        raise StaleInputError(msg)
    damaged = [x for x in used["sha256"] if not is_sealed(_path(layout, x, used["tokens"]))]
    if damaged:
        msg = (
            f"the sums of {len(damaged)} of {len(used['sha256'])} files that the panel was chosen "
            f"on are missing or damaged; first: {damaged[0]}. Materialise gene_panel again."
        )
        raise StaleInputError(msg)
    genes = pq.read_table(layout.metadata_dir / "genes.parquet").to_pandas()
    return choose_panel(_merged(layout, genes, used), genes, _targets(layout), config)


def _files_to_look_at(
    files: Sequence[CountedFile], controls: frozenset[str], max_files_per_plate: int | None
) -> list[CountedFile]:
    """For each plate its files with control cells, those of smallest hash first; sorted by hash."""
    chosen: dict[str, CountedFile] = {}
    n_of_plate: dict[str, int] = {}
    for file in sorted(files, key=lambda item: item.sha256):
        has_controls = file.counts[names.SAMPLE].isin(controls)
        for plate in sorted(set(file.counts.loc[has_controls, names.PLATE])):
            n_of_plate[plate] = n_of_plate.get(plate, 0) + 1
            if max_files_per_plate is None or n_of_plate[plate] <= max_files_per_plate:
                chosen[file.sha256] = file
    return list(chosen.values())


def _sum_files(
    layout: Layout,
    units: Sequence[StatsUnit],
    tokens_hash: str,
    progress: Progress | None,
    backend: BackendConfig,
) -> set[str]:
    """Write the partial sums of some files; returns the names of those that are bad."""
    total = sum(unit.file.n_cells(unit.file.plates) for unit in units)
    done = 0

    def tick(n_cells: int) -> None:
        nonlocal done
        done = min(done + n_cells, total)
        if progress is not None:
            progress(done, total, "cells")

    bad = set()
    for number, result in run_units(control_stats_of_file, units, backend, tick):
        file = units[number].file
        if isinstance(result, BadCellError):
            logger.warning("%s is left out: %s", file.name, result)
            quarantine_content(layout, file.sha256, result)
            bad.add(file.name)
        else:
            path = _path(layout, file.sha256, tokens_hash)
            write_parquet(result, path)
            seal(path)
    return bad


def control_stats_of_file(unit: StatsUnit, tick: Tick) -> pa.Table | BadCellError:
    """Control sums of one file per token that occurs (``_PARTIAL``), or why it is bad."""
    from drug_pipeline.expression import pseudobulk as science

    tokens = np.sort(unit.known_tokens)
    columns = science.GeneColumns.from_tokens(tokens, tokens)
    accumulator = science.Accumulator(1, columns)
    try:
        for first_row, cells in read_cells(
            unit.folder, unit.file.raw, columns=science.COLUMNS, plates=None
        ):
            group_C = science.single_group(cells, unit.control_samples, first_row=first_row)
            accumulator.add(cells, group_C, first_row=first_row)
            tick(cells.num_rows)
    except BadCellError as error:
        return error
    sums = accumulator.result()
    sum_x_T, sum_x2_T, counts_nnz_T, _ = sums.sums_WG4[0].T
    seen = np.flatnonzero(counts_nnz_T)
    table = pa.table(
        {
            names.TOKEN_ID: tokens[seen],
            "sum_x": sum_x_T[seen],
            "sum_x2": sum_x2_T[seen],
            "nnz": nonzero_cells_of(counts_nnz_T[seen]),
        },
        schema=_PARTIAL,
    )
    return table.replace_schema_metadata({"n_cells": str(int(sums.n_cells_W[0]))})


def _read_partial(path: Path, size: int) -> ControlGeneStats:
    table = pq.read_table(path)
    token_S = table.column(names.TOKEN_ID).to_numpy()

    def of(column: str) -> NDArray[np.int64]:
        values_T = np.zeros(size, dtype=np.int64)
        values_T[token_S] = table.column(column).to_numpy()
        return values_T

    return ControlGeneStats(
        n_cells=int(table.schema.metadata[b"n_cells"]),
        sum_x_T=of("sum_x"),
        sum_x2_T=of("sum_x2"),
        nnz_T=of("nnz"),
    )


def _path(layout: Layout, sha256: str, tokens_hash: str) -> Path:
    return layout.manifest_dir / "panel" / tokens_hash / f"{sha256}.parquet"


def _chosen_from(layout: Layout) -> Path:
    """Where the contents stand whose vehicle cells chose the panel."""
    return layout.manifest_dir / "panel" / "chosen_from.json"
