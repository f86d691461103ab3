"""The leak audit of a split: what must not be on two sides of it.

What belongs here: the check of a split's roles as they are, however they came about. What does not:
which units a kind holds apart (``domain/split_kinds.py``), drawing (``splits/named_splits.py``).
"""

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
from drug_pipeline.domain.split_kinds import SplitKind, Unit, kind_of
from drug_pipeline.domain.tables import Split
from drug_pipeline.expression.splits.split_draws import unit_table

ROLES: Final = (names.TRAIN, names.VALIDATION, names.TEST)
"""Roles that are sides; ``unused`` is none."""


def audit_split(
    split: Split,
    conditions: pd.DataFrame,
    drugs: pd.DataFrame | None = None,
    cell_lines: pd.DataFrame | None = None,
) -> None:
    """Nothing, where no unit of the split's kind is on two sides.

    Parameters
    ----------
    conditions
        The table that the roles belong to, N rows in the same order.
    drugs, cell_lines
        Tables of ``schemas.DRUGS`` and ``schemas.CELL_LINES``; a split by a column of one of them,
        as ``scaffold`` is, cannot be audited without it.

    Raises
    ------
    LeakError
        If a unit is on two sides, or a control may lie on the other side of a plate split.
    AlignmentError
        If the roles are not those of ``conditions``.
    EmptyResultError
        If the test or the training side is empty.
    MetadataError
        If the table that has a unit is not given.
    ConfigurationError
        If the kind of the split is not known.
    """
    roles_N = _checked_roles(split, conditions)
    kind = kind_of(split.kind)
    units = unit_table(conditions, drugs, cell_lines)
    for unit in kind.apart:
        if unit.name not in units:
            msg = (
                f"auditing a {kind.name} split needs the {unit.table} table, "
                f"which has the {unit.many}"
            )
            raise MetadataError(msg)
    for first, second in _separate_sides(kind):
        for unit in kind.apart:
            _check_disjoint(split, units, roles_N, unit, first, second)
    if kind.is_replicate:
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


def _separate_sides(kind: SplitKind) -> list[tuple[str, str]]:
    """Pairs of roles to compare; test and validation may share a plate (see the plate split)."""
    from_training = [(names.TRAIN, names.TEST), (names.TRAIN, names.VALIDATION)]
    if kind.is_replicate:
        return from_training
    return [*from_training, (names.VALIDATION, names.TEST)]


def _check_disjoint(
    split: Split,
    units: pd.DataFrame,
    roles_N: "pd.Series[str]",
    unit: Unit,
    first: str,
    second: str,
) -> None:
    on_first = set(units.loc[roles_N == first, unit.name])
    is_shared_N = (roles_N == second) & units[unit.name].isin(on_first)
    if not is_shared_N.any():
        return
    shared = sorted(set(units.loc[is_shared_N, unit.name]))
    msg = (
        f"split {split.name}: {len(shared)} {unit.many} are in both {first} and {second} "
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
        "Set delta.fallback_to_other_plates=false, or leave these conditions unused."
    )
    raise LeakError(msg)
