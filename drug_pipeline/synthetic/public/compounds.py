"""Public drugs whose names and structures the generated screen borrows.

Names, targets, structures (without stereo, as PubChem's connectivity SMILES) and identifiers in
``compounds.csv`` are public facts; every measured number of the generated screen is invented. The
first sixteen rows hold every trap of the released drug table, so that the smallest screen has them
all.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Compound:
    """One drug as the tables list it, with the mechanism that its true effect follows.

    Parameters
    ----------
    name
        As in the records: no trailing blank.
    mechanism
        Row of ``mechanisms.MECHANISMS``; hidden from the pipeline.
    moa_fine
        The listed class: "unclear" for about half of the drugs, whatever is known.
    moa_broad
        "inhibitor/antagonist", "activator/agonist" or "unclear".
    targets
        Gene symbols, possibly none.
    pubchem_cid, smiles
        None for the two drugs without a structure.
    is_approved
        Whether a regulator has approved it for people.
    """

    name: str
    mechanism: str
    moa_fine: str
    moa_broad: str
    targets: tuple[str, ...]
    pubchem_cid: int | None
    smiles: str | None
    is_approved: bool


BRIDGE_DRUG = "Adagrasib"
"""At 0.05 µM on every plate."""
BLANK_AFTER_NAME = frozenset({"Erdafitinib", "Selinexor"})
"""Drugs whose name carries a trailing blank in the well table, and nowhere else."""

BLANKS_AROUND_SMILES = frozenset({"Trametinib (DMSO_TF solvate)"})
"""Drugs whose SMILES stands between blanks in every released table."""


def _read() -> tuple[Compound, ...]:
    with Path(__file__).with_name("compounds.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Compound(
                name=row["name"],
                mechanism=row["mechanism"],
                moa_fine=row["moa_fine"],
                moa_broad=row["moa_broad"],
                targets=tuple(row["targets"].split()),
                pubchem_cid=int(row["pubchem_cid"]) if row["pubchem_cid"] else None,
                smiles=row["smiles"] or None,
                is_approved=row["is_approved"] == "yes",
            )
            for row in csv.DictReader(file)
        )


COMPOUNDS: Final = _read()
