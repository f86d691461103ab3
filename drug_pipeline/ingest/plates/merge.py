"""The sums of one plate, added up over workers and with what was there before.

What belongs here: placing rows and adding integers, a few rows at a time. What does not: reducing
cells (``plates/reduce.py``), files (``storage/pseudobulk.py``).

Shapes: W = groups of the plate, G = genes of the panel, 4 = the kinds of sums.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.expression.moments import check_capacity
from drug_pipeline.ingest.plates.reduce import ReducedUnit
from drug_pipeline.ingest.raw.raw_cells import GROUP_KEY
from drug_pipeline.storage.pseudobulk import PlateSums

BLOCK_BYTES: Final = 2**21
"""Sums held at a time while a plate is written: they are read four times, so from the cache."""
_COUNTED: Final = (names.N_CELLS, names.N_CELLS_HALF, names.TOTAL_COUNTS)


@dataclass(frozen=True, kw_only=True)
class MergedPlate:
    """A plate's groups with their cells and counts, and the parts that its sums are made of.

    ``parts`` are arrays (W, G, 4), one per worker; ``old`` the kinds of sums that were there before,
    each (W_old, G), and ``place_of_old`` their rows, ascending.
    """

    well_lines: pd.DataFrame
    parts: list[NDArray[np.int64]]
    old: tuple[NDArray[np.int64], ...]
    place_of_old: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        groups: pd.DataFrame,
        reduced: Sequence[ReducedUnit],
        rows: slice,
        there: PlateSums | None,
    ) -> "MergedPlate":
        """The plate of some rows of the workers' sums, with the sums that are there already.

        Raises
        ------
        RawDataError
            If a group has more cells or counts than exact sums can hold.
        """
        counted: dict[str, NDArray[np.int64]] = {
            names.N_CELLS: np.sum([unit.n_cells_W[rows] for unit in reduced], axis=0),
            names.N_CELLS_HALF: np.sum([unit.n_cells_half_W[rows] for unit in reduced], axis=0),
            names.TOTAL_COUNTS: np.sum([unit.total_counts_W[rows] for unit in reduced], axis=0),
        }
        place_of_old = np.empty(0, dtype=np.int64)
        if there is not None:
            keys = pd.MultiIndex.from_frame(groups[GROUP_KEY])
            old_keys = pd.MultiIndex.from_frame(there.well_lines[GROUP_KEY])
            place_of_old = keys.get_indexer(old_keys).astype(np.int64)
            for column in _COUNTED:
                counted[column][place_of_old] += there.well_lines[column].to_numpy()
        check_capacity(counted[names.N_CELLS], counted[names.TOTAL_COUNTS])
        return cls(
            well_lines=groups.assign(**counted),
            parts=[unit.array()[rows] for unit in reduced],
            old=there.kinds() if there is not None else (),
            place_of_old=place_of_old,
        )

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """The sums (rows, G, 4) of consecutive rows; each is overwritten by the next."""
        n_groups, n_genes, _ = self.parts[0].shape
        n_rows = max(1, BLOCK_BYTES // (32 * n_genes))
        buffer_RG4 = np.empty((min(n_rows, n_groups), n_genes, 4), dtype=np.int64)
        for start in range(0, n_groups, n_rows):
            stop = min(start + n_rows, n_groups)
            if len(self.parts) == 1 and not self.old:
                yield self.parts[0][start:stop]
                continue
            block_RG4 = buffer_RG4[: stop - start]
            np.copyto(block_RG4, self.parts[0][start:stop])
            for part in self.parts[1:]:
                block_RG4 += part[start:stop]
            first, last = np.searchsorted(self.place_of_old, [start, stop])
            rows = self.place_of_old[first:last] - start
            for kind, sums_WG in enumerate(self.old):
                block_RG4[rows, :, kind] += sums_WG[first:last]
            yield block_RG4
