"""The asset ``pseudobulk``: exact sums per well, cell line and gene, plate by plate.

What belongs here: running what is to be done, and writing the plates.
What does not: what is new (``plates/plate_work.py``), a worker's part (``plates/reduce.py``), adding up the
workers' parts (``plates/merge.py``), the sums themselves (``expression/pseudobulk.py``), where workers
run (``workers/backends.py``).

A plate's state names the contents it was made from. New contents are added to it; a plate that
lost or changed one is made anew; the sums are integers, so that all ways give the same bytes.
Peak memory: the sums of the plates in work, once for all workers that are threads and once per worker
otherwise (``memory_limit_mb`` together), and about 0.4 GB per worker.
"""

import logging
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, MetadataError, first_few
from drug_pipeline.domain.progress import Progress
from drug_pipeline.ingest.plates.merge import MergedPlate
from drug_pipeline.ingest.plates.plate_work import (
    PlateWork,
    files_of,
    next_batch,
    plan_plates,
    plates_of,
)
from drug_pipeline.ingest.plates.reduce import (
    ReducedUnit,
    ReduceUnit,
    gathered,
    reduce_unit,
    split_into_units,
)
from drug_pipeline.ingest.raw.inventory import quarantine_content
from drug_pipeline.ingest.raw.raw_cells import CountedFile, counted_files
from drug_pipeline.ingest.workers.backend_config import MAX_THREADS, BackendConfig, BackendKind
from drug_pipeline.ingest.workers.backends import run_units
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import remove_leftovers, sha256_of_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import (
    plate_files,
    plate_hashes,
    plates_in,
    read_plate_sums,
    relabel_wells,
    remove_plate,
    write_plate_sums,
)
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder

logger = logging.getLogger(__name__)

ASSET: Final = "pseudobulk"
CODE_VERSION: Final = "1"
"""Raise it when the kernel's numbers change: every plate is then made anew."""
SECONDS_PER_CELL: Final = 6e-5
"""Of one core, on files of the real shape; for the estimate in the log."""


@dataclass(frozen=True, kw_only=True)
class PseudobulkConfig:
    """How the sums are computed; nothing here changes a byte of them.

    Parameters
    ----------
    workers
        Files read at a time.
    backend, ray_address, max_retries
        See ``BackendConfig``.
    memory_limit_mb
        For the sums that all workers of this machine hold at once; with Ray, for each worker. A
        plate of Tahoe-100M (4,800 wells x lines) takes 32 bytes per gene: 0.3 GB at 2,000 genes,
        1.5 GB at 10,000.
    files_per_unit
        Files after which a worker hands in its sums; what is lost when a worker dies.
    min_cells_per_worker
        Cells below which a further local worker costs more to start than it saves.
    """

    workers: int = 1
    backend: BackendKind = "local"
    ray_address: str | None = None
    max_retries: int = 3
    memory_limit_mb: int = 4_096
    files_per_unit: int = 64
    min_cells_per_worker: int = 50_000

    def __post_init__(self) -> None:
        for name in ("memory_limit_mb", "files_per_unit", "min_cells_per_worker"):
            if getattr(self, name) < 1:
                msg = f"{name} is {getattr(self, name)}; it must be at least 1."
                raise ConfigurationError(msg)
        self.backend_config(self.workers)

    def backend_config(self, workers: int) -> BackendConfig:
        """Where the units run, with so many workers."""
        return BackendConfig(
            kind=self.backend,
            workers=workers,
            address=self.ray_address,
            max_retries=self.max_retries,
        )


@dataclass(kw_only=True)
class _Tally:
    """What a build has done, for people."""

    n_cells_read: int = 0
    n_plates_added_to: int = 0
    n_plates_made: int = 0
    n_plates_removed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    seconds_of_file: dict[str, float] = field(default_factory=dict)


def build_pseudobulk(
    layout: Layout, raw_dir: RawDir, config: PseudobulkConfig, progress: Progress | None = None
) -> BuildResult:
    """Bring the sums of every plate up to date with the raw files and the panel.

    Raises
    ------
    ConfigurationError
        If the memory limit is below the sums of one plate.
    """
    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=["raw_tahoe", "tahoe_metadata", "gene_panel"],
        config={},
        build=lambda: _Build(layout, RawFolder(raw_dir), config, progress).run(),
    )


class _Build:
    """One build: plan, reduce a batch of plates, write them, until nothing is left to do."""

    def __init__(
        self, layout: Layout, folder: RawFolder, config: PseudobulkConfig, progress: Progress | None
    ) -> None:
        self.layout = layout
        self.folder = folder
        self.config = config
        self.progress = progress
        self.panel_tokens = _tokens(layout.gene_panel)
        self.known_tokens = _tokens(layout.metadata_dir / "genes.parquet")
        self.wells = pq.read_table(layout.metadata_dir / "wells.parquet").to_pandas()
        self.tally = _Tally()
        self.n_cells_to_read = 0

    def run(self) -> BuildOutput:
        """Do what is new."""
        remove_leftovers(self.layout.pseudobulk_dir)
        files = counted_files(self.layout, self.folder)
        works = self._plan(files)
        self._announce(works)
        while works:
            batch, backend = self._next_batch(works)
            refused = self._reduce_and_write(batch, backend)
            if refused:  # plates that were written before may have them too
                files = [file for file in files if file.name not in refused]
                works = self._plan(files)
            else:
                works = works[len(batch) :]
        self._relabel_wells()
        plates = plates_in(self.layout.pseudobulk_dir)
        return BuildOutput(
            files=[path for plate in plates for path in plate_files(self.layout, plate)],
            hashes={
                path: sha256
                for plate in plates  # each was compared with its hashes, or written, in this run
                for path, sha256 in plate_hashes(self.layout, plate).items()
            },
            summary=self._summary(plates),
            timings=self.tally.seconds_of_file,
        )

    def _plan(self, files: Sequence[CountedFile]) -> list[PlateWork]:
        """What is left to do; plates that no file has cells of any more go at once."""
        for plate in set(plates_in(self.layout.pseudobulk_dir)) - set(plates_of(files)):
            remove_plate(self.layout, plate)
            self.tally.n_plates_removed += 1
        panel = sha256_of_json(self.panel_tokens.tolist())
        return plan_plates(self.layout, files, panel=panel, code_version=CODE_VERSION)

    def _next_batch(self, works: Sequence[PlateWork]) -> tuple[list[PlateWork], BackendConfig]:
        """The plates to do together, and where."""
        backend = self.config.backend_config(self.config.workers)
        batch, n_workers = next_batch(
            works,
            n_genes=len(self.panel_tokens),
            n_workers=backend.workers if backend.uses_processes else 1,
            limit_bytes=self.config.memory_limit_mb * 2**20,
        )
        if backend.kind == "ray":
            return batch, backend
        n_cells = sum(work.n_cells for work in batch)
        n_worth_it = -(-n_cells // self.config.min_cells_per_worker)
        n_possible = n_workers if backend.uses_processes else backend.workers
        return batch, self.config.backend_config(max(1, min(n_possible, n_worth_it)))

    def _announce(self, works: Sequence[PlateWork]) -> None:
        """Say what will be read before it is read, and about how long it takes."""
        self.n_cells_to_read = sum(work.n_cells for work in works)
        n_anew = sum(not work.is_addition for work in works)
        seconds = self.n_cells_to_read * SECONDS_PER_CELL / self.config.workers
        logger.info(
            "pseudobulk: %d plates to make, %d to add to; %d files, %d cells, about %.0f s",
            n_anew,
            len(works) - n_anew,
            len(files_of(works)),
            self.n_cells_to_read,
            seconds,
        )

    def _reduce_and_write(self, batch: Sequence[PlateWork], backend: BackendConfig) -> set[str]:
        """Reduce a batch's files and write its plates; or nothing, and the names of bad files."""
        spill_dir = None
        if backend.uses_processes:
            spill_dir = self.layout.pseudobulk_dir / f".{uuid.uuid4().hex}.tmp"
            spill_dir.mkdir(parents=True)
        try:
            units = self._units(batch, backend, spill_dir)
            results = run_units(reduce_unit, units, backend, self._tick)
            reduced = gathered(result for _, result in results)
            refused = {name: error for unit in reduced for name, error in unit.refused.items()}
            if not refused:
                self._write(batch, reduced, n_threads=min(backend.workers, MAX_THREADS))
        finally:
            if spill_dir is not None:
                shutil.rmtree(spill_dir)
        for unit in reduced:
            self.tally.seconds_of_file |= unit.seconds_of_file
        hashes = {part.file.name: part.file.sha256 for part in files_of(batch)}
        for name, error in refused.items():
            logger.warning("%s is left out: %s", name, error)
            quarantine_content(self.layout, hashes[name], error)
            self.tally.refused[name] = str(error)
        return set(refused)

    def _units(
        self, batch: Sequence[PlateWork], backend: BackendConfig, spill_dir: Path | None
    ) -> list[ReduceUnit]:
        files = files_of(batch)
        n_units = max(backend.workers, -(-len(files) // self.config.files_per_unit))
        groups = pd.concat([work.groups for work in batch], ignore_index=True)
        sums = None
        if backend.uses_threads:
            from drug_pipeline.expression.sums import Sums

            sums = Sums(len(groups), len(self.panel_tokens))
        return [
            ReduceUnit(
                folder=self.folder,
                files=part,
                groups=groups,
                panel_tokens=self.panel_tokens,
                known_tokens=self.known_tokens,
                spill_dir=spill_dir,
                sums=sums,
            )
            for part in split_into_units(files, n_units=n_units)
        ]

    def _write(
        self, batch: Sequence[PlateWork], reduced: Sequence[ReducedUnit], *, n_threads: int
    ) -> None:
        """Merge the workers' sums and write each plate of a batch."""
        start = 0
        for work in batch:
            rows = slice(start, start + len(work.groups))
            start = rows.stop
            there = read_plate_sums(self.layout, work.plate) if work.is_addition else None
            merged = MergedPlate.of(work.groups, reduced, rows, there)
            write_plate_sums(
                self.layout,
                work.plate,
                well_lines=self._labelled(merged.well_lines),
                n_genes=len(self.panel_tokens),
                blocks=merged.blocks(),
                sources=work.sources,
                n_threads=n_threads,
            )
            self.tally.n_plates_added_to += work.is_addition
            self.tally.n_plates_made += not work.is_addition

    def _labelled(self, well_lines: pd.DataFrame) -> pd.DataFrame:
        """Groups with the drug and dose of their well.

        Raises
        ------
        MetadataError
            If a well has no metadata.
        """
        wells = self.wells.set_index(names.SAMPLE)
        missing = sorted(set(well_lines[names.SAMPLE]) - set(wells.index))
        if missing:
            msg = (
                f"{len(missing)} wells have cells but no metadata; first: {first_few(missing)}. "
                "Materialise tahoe_metadata and raw_tahoe again."
            )
            raise MetadataError(msg)
        labels = {
            column: well_lines[names.SAMPLE].map(wells[column])
            for column in (names.DRUG, names.DOSE_UM)
        }
        return well_lines.assign(**labels)

    def _relabel_wells(self) -> None:
        """Bring drug and dose up to date where the metadata have changed since."""
        for plate in plates_in(self.layout.pseudobulk_dir):
            there = read_plate_sums(self.layout, plate).well_lines
            labelled = self._labelled(there)[list(there.columns)]
            if not labelled.equals(there):
                relabel_wells(self.layout, plate, labelled)

    def _tick(self, n_cells: int) -> None:
        self.tally.n_cells_read += n_cells
        if self.progress is not None:
            done = min(self.tally.n_cells_read, self.n_cells_to_read)
            self.progress(done, self.n_cells_to_read, "cells")

    def _summary(self, plates: Sequence[str]) -> dict[str, Any]:
        tables = [read_plate_sums(self.layout, plate).well_lines for plate in plates]
        return {
            "n_plates": len(plates),
            "n_well_lines": sum(len(table) for table in tables),
            "n_cells": int(sum(table[names.N_CELLS].sum() for table in tables)),
            "n_genes": len(self.panel_tokens),
            "n_cells_read": self.tally.n_cells_read,
            "n_plates_made": self.tally.n_plates_made,
            "n_plates_added_to": self.tally.n_plates_added_to,
            "n_plates_removed": self.tally.n_plates_removed,
            "refused_files": self.tally.refused,
        }


def _tokens(path: Path) -> NDArray[np.int64]:
    tokens: NDArray[np.int64] = pq.read_table(path, columns=[names.TOKEN_ID]).column(0).to_numpy()
    return tokens
