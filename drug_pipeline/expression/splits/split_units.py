"""Roles of units by hash: which compounds, lines or pairs are held out, and why.

What belongs here: the hash, its thresholds, and what happens when a side would be empty.
What does not: which column a split draws its units from (see ``splits/named_splits.py``).

A unit's position in [0, 1) depends on the seed, the split's name and the unit alone. The lowest
positions are test, the next validation, the rest training, by fixed thresholds: so other units
can come and go and none moves.

With few units a side can come out empty. No rule that looks only at the units at hand could both
avoid that and never move one: if every set of k units had a test member that stays test in each
larger set, then all but k - 1 of all units would be test. So the thresholds rule, and only where a
side would be empty the nearest unit in hash order is moved into it; this is noted, and stability
under growth then holds only from the first data on that need no such move.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from drug_pipeline.domain import names


@dataclass(frozen=True, kw_only=True)
class UnitDraw:
    """Role of each unit, and what had to be moved because a side would have been empty."""

    roles: dict[str, str]
    notes: tuple[str, ...]

    def of(self, units: "pd.Series[str]") -> "pd.Series[str]":
        """Role of each row, by the unit that it belongs to."""
        return units.map(self.roles)


def hash_position(seed: int, split: str, unit: str) -> float:
    """Position of a unit in [0, 1): the first 8 bytes of SHA-256 of ``seed|split|unit``."""
    digest = hashlib.sha256(f"{seed}|{split}|{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def hash_positions(seed: int, split: str, units: Iterable[str]) -> dict[str, float]:
    """Position in [0, 1) of each distinct unit."""
    return {unit: hash_position(seed, split, unit) for unit in sorted(set(units))}


def draw_roles(
    positions: Mapping[str, float],
    held_out: Mapping[str, float],
    *,
    unit_name: str,
    rest: str = names.TRAIN,
) -> UnitDraw:
    """Role of each unit by its position, no role empty where that can be avoided.

    Parameters
    ----------
    positions
        Position in [0, 1) of each unit.
    held_out
        Share of each held-out role, in the order in which they fill [0, 1): ``{"test": 0.2}`` is
        the units below 0.2. All other units get the role ``rest``.
    unit_name
        What a unit is, for the notes: ``"cell lines"``, ``"parent compounds"``.
    """
    in_order = sorted(positions, key=lambda unit: (positions[unit], unit))
    bounds = np.cumsum(list(held_out.values()))
    all_roles = [*held_out, rest]
    roles = {
        unit: all_roles[int(np.searchsorted(bounds, positions[unit], side="right"))]
        for unit in in_order
    }
    notes = []
    if rest not in roles.values() and len(in_order) > 1:
        notes.append(_move(roles, in_order[-1], rest, unit_name))
    for number, role in enumerate(held_out):
        later = [unit for unit in in_order if all_roles.index(roles[unit]) > number]
        if role not in roles.values() and len(later) > 1:
            notes.append(_move(roles, later[0], role, unit_name))
    return UnitDraw(roles=roles, notes=tuple(notes))


def _move(roles: dict[str, str], unit: str, role: str, unit_name: str) -> str:
    roles[unit] = role
    return (
        f"the hash put none of {len(roles)} {unit_name} into {role}, so {unit} was moved there; "
        f"with more {unit_name} in the data it may move back"
    )
