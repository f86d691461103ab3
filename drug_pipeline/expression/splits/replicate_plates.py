"""Plates that repeat another plate, found from the conditions.

A condition without its plate, (drug, dose, cell line), measured on two plates is a replicate.
Conditions on at least half of the plates (bridge wells) say nothing about who repeats whom and are
left out of the counts.
"""

import re
from dataclasses import dataclass

import pandas as pd

from drug_pipeline.domain import names

BRIDGE_PLATE_SHARE = 0.5
"""A condition on at least this share of the plates is a bridge (Tahoe: Adagrasib 0.05 µM on 14)."""


@dataclass(frozen=True, kw_only=True)
class ReplicatePlate:
    """A plate, the plates that repeat its conditions, and how much of it they repeat."""

    plate: str
    partners: tuple[str, ...]
    n_shared: int
    shared_frac: float

    def describe(self) -> str:
        """The finding in words, for notes."""
        return (
            f"{self.plate}: {self.n_shared} of its conditions ({self.shared_frac:.0%}) are also "
            f"on {', '.join(self.partners)}"
        )


def plate_order(plate: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts ``plate9`` before ``plate14``."""
    parts = re.findall(r"\d+|\D+", plate)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def unplated_keys(conditions: pd.DataFrame) -> "pd.Series[str]":
    """One text key per condition without its plate: ``drug|dose|line``."""
    dose = conditions[names.DOSE_UM].map("{:.6g}".format)
    line = conditions[names.CELL_LINE_ID].astype(str)
    return conditions[names.DRUG].astype(str) + "|" + dose + "|" + line


def conditions_by_plate(units: pd.DataFrame) -> dict[str, set[str]]:
    """Keys of each plate's conditions, bridge conditions left out; columns ``unplated, plate``."""
    distinct = units[["unplated", "plate"]].drop_duplicates()
    n_plates = distinct["plate"].nunique()
    n_plates_of_key = distinct.groupby("unplated")["plate"].transform("size")
    is_bridge = (n_plates_of_key > 2) & (n_plates_of_key >= BRIDGE_PLATE_SHARE * n_plates)
    grouped = distinct[~is_bridge].groupby("plate")["unplated"]
    return {str(plate): set(keys) for plate, keys in grouped}


def find_replicate(
    by_plate: dict[str, set[str]], *, min_shared_frac: float, plate: str | None = None
) -> ReplicatePlate | None:
    """The plate that repeats one other plate most, or the named one with its partner; or None.

    Among plates of which one other plate repeats at least ``min_shared_frac``, the one with the
    most repeated conditions; then the larger share; then the later plate in natural order, as the
    replicate is made after the original.
    """
    candidates = [one for one in by_plate if plate in (None, one)]
    found = [
        _replicate(one, (other,), by_plate)
        for one in candidates
        for other in by_plate
        if other != one
    ]
    return _best(found, min_shared_frac)


def find_second_replicate(
    by_plate: dict[str, set[str]], first: ReplicatePlate, *, min_shared_frac: float
) -> ReplicatePlate | None:
    """A further plate repeated by the rest taken together, neither the first nor its partners."""
    rest = {plate for plate in by_plate if plate != first.plate}
    candidates = sorted(rest - set(first.partners))
    found = []
    for plate in candidates:
        others = [other for other in rest - {plate} if by_plate[other] & by_plate[plate]]
        found.append(_replicate(plate, tuple(sorted(others, key=plate_order)), by_plate))
    return _best(found, min_shared_frac)


def _replicate(
    plate: str, partners: tuple[str, ...], by_plate: dict[str, set[str]]
) -> ReplicatePlate:
    on_partners: set[str] = set().union(*(by_plate[partner] for partner in partners))
    n_shared = len(by_plate[plate] & on_partners)
    return ReplicatePlate(
        plate=plate,
        partners=partners,
        n_shared=n_shared,
        shared_frac=n_shared / len(by_plate[plate]),
    )


def _best(found: list[ReplicatePlate], min_shared_frac: float) -> ReplicatePlate | None:
    enough = [one for one in found if one.n_shared and one.shared_frac >= min_shared_frac]
    return max(
        enough,
        key=lambda one: (one.n_shared, one.shared_frac, plate_order(one.plate), one.partners),
        default=None,
    )
