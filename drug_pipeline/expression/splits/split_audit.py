"""The leak audit of a split: what must not be on two sides of it.

What belongs here: the rule of each kind of split, checked on the roles as they are, however they
came about. What does not: drawing splits (``splits/named_splits.py``).
"""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    AlignmentError,
    EmptyResultError,
    LeakError,
    MetadataError,
    first_few,
)
from drug_pipeline.domain.tables import Split
from drug_pipeline.expression.splits.split_draws import unit_table

ON_ONE_SIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "pair": ("pair",),
    "few_shot": ("pair",),
    "cell_line": ("line",),
    "drug": ("parent",),
    "scaffold": ("parent", "scaffold"),
    "both": ("parent", "line"),
    "dose": ("dose",),
    "plate_replicate": ("plate",),
}
"""By kind of split: columns of ``unit_table`` whose values may be on one side only.

A well holds one drug at one dose on one plate, so a rule on compounds is one on wells too.
"""

UNIT_NAMES: Final[Mapping[str, str]] = {
    "pair": "pairs (compound, line)",
    "line": "cell lines",
    "parent": "parent compounds",
    "scaffold": "scaffolds",
    "dose": "doses of a compound",
    "plate": "plates",
}

ROLES: Final = (names.TRAIN, names.VALIDATION, names.TEST)
"""Roles that are sides; ``unused`` is none."""


def audit_split(split: Split, conditions: pd.DataFrame, drugs: pd.DataFrame | None = None) -> None:
    """Nothing, where no unit of the split's kind is on two sides.

    Parameters
    ----------
    conditions
        The table that the roles belong to, N rows in the same order.
    drugs
        Table of ``schemas.DRUGS``; a ``scaffold`` split cannot be audited without it.

    Raises
    ------
    LeakError
        If a unit is on two sides, or a control may lie on the other side of a plate split.
    AlignmentError
        If the roles are not those of ``conditions``.
    EmptyResultError
        If the test or the training side is empty.
    """
    roles_N = _checked_roles(split, conditions)
    if split.kind == "scaffold" and drugs is None:
        msg = "auditing a scaffold split needs the drugs table, which has the scaffolds"
        raise MetadataError(msg)
    units = unit_table(conditions, drugs)
    for first, second in _separate_sides(split.kind):
        for column in ON_ONE_SIDE[split.kind]:
            _check_disjoint(split, units, roles_N, column, first, second)
    if split.kind == "plate_replicate":
        _check_own_controls(split, units, roles_N, conditions)


def _checked_roles(split: Split, conditions: pd.DataFrame) -> "pd.Series[str]":
    if len(split.roles_N) != len(conditions):
        msg = (
            f"split {split.name} has {len(split.roles_N)} roles for {len(conditions)} conditions. "
            "Rebuild the splits."
        )
        raise AlignmentError(msg)
    roles_N = pd.Series(split.roles_N, dtype=object)
    unknown = sorted(set(roles_N) - {*ROLES, names.UNUSED})
    if unknown:
        msg = f"split {split.name} has unknown roles: {first_few(unknown)}"
        raise AlignmentError(msg)
    for role in (names.TRAIN, names.TEST):
        if not (roles_N == role).any():
            msg = f"split {split.name} has no {role} condition. Rebuild it, or leave it out."
            raise EmptyResultError(msg)
    return roles_N


def _separate_sides(kind: str) -> list[tuple[str, str]]:
    """Pairs of roles to compare; test and validation may share a plate (see the plate split)."""
    from_training = [(names.TRAIN, names.TEST), (names.TRAIN, names.VALIDATION)]
    if kind == "plate_replicate":
        return from_training
    return [*from_training, (names.VALIDATION, names.TEST)]


def _check_disjoint(
    split: Split,
    units: pd.DataFrame,
    roles_N: "pd.Series[str]",
    column: str,
    first: str,
    second: str,
) -> None:
    on_first = set(units.loc[roles_N == first, column])
    is_shared_N = (roles_N == second) & units[column].isin(on_first)
    if not is_shared_N.any():
        return
    shared = sorted(set(units.loc[is_shared_N, column]))
    msg = (
        f"split {split.name}: {len(shared)} {UNIT_NAMES[column]} are in both {first} and {second} "
        f"({int(is_shared_N.sum())} of {int((roles_N == second).sum())} {second} conditions); "
        f"first: {first_few(shared)}. Scores on it would be memory: rebuild the splits, and check "
        "that parent compounds come from the same metadata."
    )
    raise LeakError(msg)


def _check_own_controls(
    split: Split, units: pd.DataFrame, roles_N: "pd.Series[str]", conditions: pd.DataFrame
) -> None:
    is_borrowed_N = units["is_fallback_control"] & roles_N.isin(ROLES)
    if not is_borrowed_N.any():
        return
    plates = sorted(set(conditions[names.PLATE].to_numpy()[is_borrowed_N.to_numpy()]))
    msg = (
        f"split {split.name}: {int(is_borrowed_N.sum())} conditions are compared with controls of "
        f"other plates, which may lie on the other side; first plates: {first_few(plates)}. "
        "Turn fallback_to_other_plates off, or leave these conditions unused."
    )
    raise LeakError(msg)
