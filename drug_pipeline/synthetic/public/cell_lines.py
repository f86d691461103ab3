"""Public cancer cell lines whose names, organs and driver mutations the generated screen borrows.

``cell_lines.csv`` has the columns of the released table, one row per driver mutation. Its first five
lines hold every trap of the released table: a line without DepMap id, and one of the two that have
almost no cells. The last four never have cells, as half of the released table.
"""

import csv
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

LINE_FILE: Final = Path(__file__).with_name("cell_lines.csv")
RARE_LINES: Final = frozenset({"NCI-H596", "NCI-H2122"})
"""Lines that have almost no cells."""


@dataclass(frozen=True, kw_only=True)
class CellLine:
    """One cell line and the genes with at least one driver mutation.

    Parameters
    ----------
    cellosaurus_id
        The key of the records, such as CVCL_0023.
    """

    name: str
    cellosaurus_id: str
    organ: str
    driver_genes: frozenset[str]

    @property
    def is_rare(self) -> bool:
        """Whether the line has almost no cells."""
        return self.name in RARE_LINES


def _read() -> tuple[CellLine, ...]:
    with LINE_FILE.open(encoding="utf-8", newline="") as file:
        key = itemgetter("cell_name", "Cell_ID_Cellosaur", "Organ")
        return tuple(
            CellLine(
                name=name,
                cellosaurus_id=cellosaurus_id,
                organ=organ,
                driver_genes=frozenset(row["Driver_Gene_Symbol"] for row in rows),
            )
            for (name, cellosaurus_id, organ), rows in groupby(csv.DictReader(file), key)
        )


CELL_LINES: Final = _read()
