"""One worker's part of the pseudobulk: some files in, the integer sums of their cells out.

What belongs here: what a worker is given, what it does, what it hands back.
What does not: what is to be done (``plates/pseudobulk.py``), where workers run (``workers/backends.py``).

Shapes: W = groups (plate, well, line) of the unit, G = genes of the panel.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, RawDataError
from drug_pipeline.ingest.raw.raw_cells import CountedFile, read_cells
from drug_pipeline.ingest.workers.backend_config import Tick
from drug_pipeline.storage.files import write_npy
from drug_pipeline.storage.raw.raw_files import RawFolder

if TYPE_CHECKING:
    from drug_pipeline.expression.pseudobulk import Accumulator, GroupIndex
    from drug_pipeline.expression.sums import Sums


@dataclass(frozen=True, kw_only=True)
class FileToReduce:
    """A raw file and the plates whose cells are wanted of it."""

    file: CountedFile
    plates: tuple[str, ...]

    @property
    def n_cells(self) -> int:
        """Cells wanted."""
        return self.file.n_cells(self.plates)


@dataclass(frozen=True, kw_only=True)
class ReduceUnit:
    """Files for one worker, and the groups that their cells are added to.

    ``groups`` has columns ``plate, sample, cell_line_id`` (W rows). The sums are written into
    ``spill_dir`` where that is given, and handed back in memory where not. Workers that are
    threads of one process add to the same ``sums``.
    """

    folder: RawFolder
    files: tuple[FileToReduce, ...]
    groups: pd.DataFrame
    panel_tokens: NDArray[np.int64]
    known_tokens: NDArray[np.int64]
    spill_dir: Path | None
    sums: "Sums | None" = None


@dataclass(frozen=True, kw_only=True)
class ReducedUnit:
    """One worker's sums, as an array or the path of one; worth nothing if a file was refused.

    ``refused`` and ``seconds_of_file`` are by the file's name.
    """

    sums_WG4: NDArray[np.int64] | Path
    n_cells_W: NDArray[np.int64]
    n_cells_half_W: NDArray[np.int64]
    total_counts_W: NDArray[np.int64]
    refused: dict[str, BadCellError]
    seconds_of_file: dict[str, float]

    def array(self) -> NDArray[np.int64]:
        """The sums, mapped into memory where they lie on disk."""
        if isinstance(self.sums_WG4, Path):
            mapped: NDArray[np.int64] = np.load(self.sums_WG4, mmap_mode="r")
            return mapped
        return self.sums_WG4


def reduce_unit(unit: ReduceUnit, tick: Tick) -> ReducedUnit:
    """The sums of a unit's files; a worker runs this."""
    from drug_pipeline.expression import pseudobulk as science

    index = science.GroupIndex(unit.groups)
    columns = science.GeneColumns.from_tokens(unit.panel_tokens, unit.known_tokens)
    accumulator = science.Accumulator(len(index), columns, sums=unit.sums)
    refused: dict[str, BadCellError] = {}
    seconds_of_file: dict[str, float] = {}
    with unit.folder.fetching_ahead([part.file.raw for part in unit.files]):
        for part in unit.files:
            start = time.perf_counter()
            try:
                _reduce_file(unit.folder, part, index, accumulator, tick)
            except BadCellError as error:
                refused[part.file.name] = error
            seconds_of_file[part.file.name] = time.perf_counter() - start
    sums = accumulator.result()
    where: NDArray[np.int64] | Path = sums.sums_WG4
    if unit.spill_dir is not None:
        where = unit.spill_dir / f"{uuid.uuid4().hex}.npy"
        write_npy(sums.sums_WG4, where)
    return ReducedUnit(
        sums_WG4=where,
        n_cells_W=sums.n_cells_W,
        n_cells_half_W=sums.n_cells_half_W,
        total_counts_W=sums.total_counts_W,
        refused=refused,
        seconds_of_file=seconds_of_file,
    )


def gathered(units: Iterable[ReducedUnit]) -> list[ReducedUnit]:
    """The sums of some units, those in memory added up into one as they come in."""
    on_disk: list[ReducedUnit] = []
    total: ReducedUnit | None = None
    for unit in units:
        if isinstance(unit.sums_WG4, Path):
            on_disk.append(unit)
        else:
            total = unit if total is None else _added(total, unit)
    return on_disk if total is None else [*on_disk, total]


def _added(total: ReducedUnit, unit: ReducedUnit) -> ReducedUnit:
    sums_WG4 = total.array()
    if unit.sums_WG4 is sums_WG4:
        pass  # threads have added to the same array
    elif sums_WG4.flags.writeable:
        sums_WG4 += unit.array()
    else:  # the first one, as Ray hands it over
        sums_WG4 = sums_WG4 + unit.array()
    return ReducedUnit(
        sums_WG4=sums_WG4,
        n_cells_W=total.n_cells_W + unit.n_cells_W,
        n_cells_half_W=total.n_cells_half_W + unit.n_cells_half_W,
        total_counts_W=total.total_counts_W + unit.total_counts_W,
        refused=total.refused | unit.refused,
        seconds_of_file=total.seconds_of_file | unit.seconds_of_file,
    )


def _reduce_file(
    folder: RawFolder,
    part: FileToReduce,
    index: "GroupIndex",
    accumulator: "Accumulator",
    tick: Tick,
) -> None:
    """Add one file's cells.

    Raises
    ------
    BadCellError
        If a record is bad.
    RawDataError
        If the cells are not those that were counted, or the file cannot be read.
    """
    from drug_pipeline.expression import pseudobulk as science

    n_cells_W = np.zeros(len(index), dtype=np.int64)
    some = None if part.file.plates.issubset(part.plates) else part.plates
    batches = read_cells(folder, part.file.raw, columns=science.COLUMNS, plates=some)
    for first_row, cells in batches:
        group_C = index.of_cells(
            cells, plates=part.plates, first_row=first_row, left_out=part.file.left_out
        )
        accumulator.add(cells, group_C, first_row=first_row)
        taken = group_C[group_C >= 0]
        n_cells_W += np.bincount(taken, minlength=len(index))
        tick(len(taken))
    counts = part.file.counts
    counts = counts[counts[names.PLATE].isin(part.plates)]
    counted_W = np.zeros(len(index), dtype=np.int64)
    counted_W[index.numbers(counts)] = counts[names.N_CELLS]
    if not np.array_equal(n_cells_W, counted_W):
        msg = (
            f"raw file {part.file.name} has {n_cells_W.sum():,} cells where "
            f"{counted_W.sum():,} were counted. Materialise raw_tahoe again."
        )
        raise RawDataError(msg)


def split_into_units(files: list[FileToReduce], *, n_units: int) -> list[tuple[FileToReduce, ...]]:
    """Files dealt out so that each unit has about as many cells; largest first."""
    loads = [0] * n_units
    parts: list[list[FileToReduce]] = [[] for _ in range(n_units)]
    for part in sorted(files, key=lambda item: (-item.n_cells, item.file.name)):
        lightest = loads.index(min(loads))
        loads[lightest] += part.n_cells
        parts[lightest].append(part)
    return [tuple(sorted(unit, key=lambda item: item.file.name)) for unit in parts if unit]
