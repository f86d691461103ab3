"""How each mechanism acts in the generated screen: pathway, strength, sensitive lines, marker genes.

The marker genes of ``mechanisms.csv`` give the generated responses the signs that a biologist expects
(DUSP6 falls under MEK inhibitors); their sizes are invented.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """What drugs of one mechanism share.

    Parameters
    ----------
    pathway
        Mechanisms of one pathway have half of their effect in common.
    strength
        Factor on the effect; 0.1 for drugs that do next to nothing.
    stress
        Weight on the stress axis that all drugs share.
    sensitising_drivers
        Driver mutations that make a line respond more.
    down, up
        Marker genes.
    """

    pathway: str
    strength: float
    stress: float
    sensitising_drivers: frozenset[str]
    down: tuple[str, ...]
    up: tuple[str, ...]


STRESS_GENES = ("ATF3", "DDIT3", "HSPA1A", "DNAJB1", "HMOX1", "TRIB3", "PPP1R15A", "SESN2")
"""Named genes that rise on the shared stress axis."""


def _read() -> dict[str, Mechanism]:
    with Path(__file__).with_name("mechanisms.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: Mechanism(
                pathway=row["pathway"],
                strength=float(row["strength"]),
                stress=float(row["stress"]),
                sensitising_drivers=frozenset(row["sensitising_drivers"].split()),
                down=tuple(row["down"].split()),
                up=tuple(row["up"].split()),
            )
            for row in csv.DictReader(file)
        }


MECHANISMS: Final = _read()
