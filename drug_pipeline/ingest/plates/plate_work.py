"""What the pseudobulk has to do, plate by plate, and which plates fit into memory together.

What belongs here: the comparison of raw files with the states on disk; batches under the memory
limit. What does not: doing it (``plates/pseudobulk.py``, ``plates/reduce.py``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.ingest.plates.reduce import FileToReduce
from drug_pipeline.ingest.raw.raw_cells import GROUP_KEY, CountedFile
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import PlateSources, read_plate_sums, read_sources

BYTES_PER_SUM: Final = 4 * 8
"""Bytes of the state per gene of a (well, line)."""


@dataclass(frozen=True, kw_only=True)
class PlateWork:
    """What is to be done for one plate: add ``files`` to the sums that are there, or to none.

    ``groups`` are the plate's (plate, sample, cell_line_id) after that, W rows, sorted.
    """

    plate: str
    files: tuple[CountedFile, ...]
    sources: PlateSources
    is_addition: bool
    groups: pd.DataFrame

    @property
    def n_cells(self) -> int:
        """Cells to be read."""
        return sum(file.n_cells([self.plate]) for file in self.files)

    def n_bytes(self, n_genes: int) -> int:
        """Size of the plate's sums."""
        return len(self.groups) * n_genes * BYTES_PER_SUM


def plates_of(files: Sequence[CountedFile]) -> list[str]:
    """All plates that some files have cells of, sorted."""
    return sorted(set().union(*(file.plates for file in files)))


def plan_plates(
    layout: Layout, files: Sequence[CountedFile], *, panel: str, code_version: str
) -> list[PlateWork]:
    """The work for each plate whose state is not what these files and this panel make, sorted."""
    works = []
    for plate in plates_of(files):
        its_files = [file for file in files if plate in file.plates]
        contents = Counter(file.content for file in its_files)
        wanted = PlateSources(
            files=dict(sorted(contents.items())), panel=panel, code_version=code_version
        )
        there = read_sources(layout, plate)
        if there != wanted:
            works.append(_work_of(layout, plate, its_files, wanted, there))
    return works


def _work_of(
    layout: Layout,
    plate: str,
    its_files: Sequence[CountedFile],
    wanted: PlateSources,
    there: PlateSources | None,
) -> PlateWork:
    """Add what is new, if nothing of what is there has to go; else make the plate anew."""
    new_files, is_addition = list(its_files), False
    if there is not None and _is_part_of(there, wanted):
        is_addition = True
        missing = wanted.counter() - there.counter()
        new_files = []
        for file in its_files:
            if missing[file.content] > 0:
                missing[file.content] -= 1
                new_files.append(file)
    groups = pd.concat([file.counts[GROUP_KEY] for file in new_files])
    if is_addition:
        groups = pd.concat([groups, read_plate_sums(layout, plate).well_lines[GROUP_KEY]])
    groups = groups[groups[names.PLATE] == plate].drop_duplicates().sort_values(GROUP_KEY)
    return PlateWork(
        plate=plate,
        files=tuple(new_files),
        sources=wanted,
        is_addition=is_addition,
        groups=groups.reset_index(drop=True),
    )


def _is_part_of(there: PlateSources, wanted: PlateSources) -> bool:
    same_kind = (there.panel, there.code_version) == (wanted.panel, wanted.code_version)
    return same_kind and not there.counter() - wanted.counter()


def next_batch(
    works: Sequence[PlateWork], *, n_genes: int, n_workers: int, limit_bytes: int
) -> tuple[list[PlateWork], int]:
    """The first plates whose sums fit into memory together, and how many workers can hold them.

    Each worker holds the sums of all plates of the batch. At least one plate is taken; where it
    leaves no room for all workers, there are fewer of them.

    Raises
    ------
    ConfigurationError
        If the sums of a plate do not fit even once.
    """
    largest = max(works, key=lambda work: len(work.groups))
    if largest.n_bytes(n_genes) > limit_bytes:
        fitting = limit_bytes // (BYTES_PER_SUM * len(largest.groups))
        msg = (
            f"the sums of plate {largest.plate} take {largest.n_bytes(n_genes) / 2**20:,.0f} MB "
            f"({len(largest.groups):,} wells x lines, {n_genes:,} genes, {BYTES_PER_SUM} bytes "
            f"each), but memory_limit_mb is {limit_bytes / 2**20:,.0f}. Raise it, or "
            f"set n_genes so that the panel has at most {fitting:,} genes."
        )
        raise ConfigurationError(msg)
    batch: list[PlateWork] = []
    n_bytes = 0
    for work in works:
        if batch and (n_bytes + work.n_bytes(n_genes)) * n_workers > limit_bytes:
            break
        batch.append(work)
        n_bytes += work.n_bytes(n_genes)
    return batch, max(1, min(n_workers, limit_bytes // max(1, n_bytes)))


def files_of(batch: Sequence[PlateWork]) -> list[FileToReduce]:
    """Each file of a batch once, with the plates that want its cells."""
    plates_of_file: dict[str, list[str]] = {}
    file_of_name: dict[str, CountedFile] = {}
    for work in batch:
        for file in work.files:
            file_of_name[file.name] = file
            plates_of_file.setdefault(file.name, []).append(work.plate)
    return [
        FileToReduce(file=file_of_name[name], plates=tuple(plates))
        for name, plates in sorted(plates_of_file.items())
    ]
