"""Roles of the rows of one split: one function per way of drawing, from units to roles.

What belongs here: how the rows of one split are drawn, validation in the way of the test.
What does not: which units a kind of split holds out (``domain/split_kinds.py``), the hash
(``splits/split_units.py``), the check on what training has seen and the settings
(``splits/named_splits.py``). ``units`` is the table of :func:`unit_table`, N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, EmptyResultError, MetadataError, first_few
from drug_pipeline.domain.split_kinds import LINE, PAIR, PARENT, PLATE, TABLE_KEYS, UNITS, Unit
from drug_pipeline.domain.tables import condition_keys
from drug_pipeline.expression.splits.replicate_plates import (
    conditions_by_plate,
    find_replicate,
    find_second_replicate,
    unplated_keys,
)
from drug_pipeline.expression.splits.split_units import UnitDraw, draw_roles, hash_positions


@dataclass(frozen=True, kw_only=True)
class RowRoles:
    """Role of each row (N), and what is worth knowing of the draw."""

    roles_N: "pd.Series[str]"
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UnitSampler:
    """How units are drawn: seed and salt of their hash, and the share of each held-out role."""

    seed: int
    salt: str
    held_out: Mapping[str, float]

    def positions(self, units: "pd.Series[str]") -> dict[str, float]:
        """Position in [0, 1) of each distinct unit."""
        return hash_positions(self.seed, self.salt, units)

    def draw(self, units: pd.DataFrame, unit: Unit) -> UnitDraw:
        """The role of each unit.

        Raises
        ------
        EmptyResultError
            If the table that has the units is not given, or there are fewer than two.
        """
        if unit.name not in units:
            msg = f"a split by {unit.many} needs the {unit.table} table, which has them"
            raise EmptyResultError(msg)
        positions = self.positions(units[unit.name])
        if len(positions) < 2:
            msg = f"a split needs at least two {unit.many}; there are {len(positions)}"
            raise EmptyResultError(msg)
        return draw_roles(positions, self.held_out, unit_name=unit.many)


def unit_table(
    conditions: pd.DataFrame,
    drugs: pd.DataFrame | None = None,
    cell_lines: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The units that splits hold out, as text, one row per condition.

    A column for each of ``split_kinds.UNITS`` whose table is given; a drug or line of which that
    table knows no value is a unit of its own. Beside them ``unplated`` (drug, dose, line) and
    ``is_fallback_control``.

    Raises
    ------
    AlignmentError
        If a condition occurs twice.
    MetadataError
        If a condition has no parent compound.
    """
    keys = pd.Series(condition_keys(conditions), dtype=object)
    repeated = keys[keys.duplicated()]
    if len(repeated):
        msg = f"{len(repeated)} conditions occur more than once; first: {first_few(repeated)}"
        raise AlignmentError(msg)
    orphans = conditions.loc[conditions[names.PARENT_COMPOUND].isna(), names.DRUG]
    if len(orphans):
        msg = (
            f"{len(orphans)} of {len(conditions)} conditions have no parent compound; first: "
            f"{first_few(sorted(set(orphans)))}. Rebuild tahoe_metadata and delta_shards."
        )
        raise MetadataError(msg)
    plain = conditions.reset_index(drop=True)
    text_of = {
        column: plain[column].astype(str)
        for column in (names.DRUG, names.PARENT_COMPOUND, names.CELL_LINE_ID, names.PLATE)
    }
    text_of[names.DOSE_UM] = plain[names.DOSE_UM].map("{:.6g}".format)
    described = {"drugs": drugs, "cell_lines": cell_lines}
    units = pd.DataFrame(
        {
            "unplated": unplated_keys(plain),
            "is_fallback_control": plain[names.IS_FALLBACK_CONTROL].astype(bool),
        }
    )
    for unit in UNITS:
        if unit.table is None:
            units[unit.name] = reduce(
                lambda left, right: left + "|" + right, [text_of[one] for one in unit.columns]
            )
        elif (table := described[unit.table]) is not None:
            units[unit.name] = _described(unit, table, text_of[TABLE_KEYS[unit.table]])
    return units


def _described(unit: Unit, table: pd.DataFrame, key: "pd.Series[str]") -> "pd.Series[str]":
    """What a metadata table says of each row's drug or line, ``name:<key>`` where it says nothing."""
    values = dict(zip(table[key.name], table[unit.columns[0]], strict=True))
    value = key.map(values)
    return value.where(value.notna(), "name:" + key)


def draw_by(units: pd.DataFrame, sampler: UnitSampler, unit: Unit) -> RowRoles:
    """Roles by one unit, such as the compound, the line or both together."""
    draw = sampler.draw(units, unit)
    return RowRoles(roles_N=draw.of(units[unit.name]), notes=draw.notes)


def draw_few_shot(units: pd.DataFrame, sampler: UnitSampler, *, known_frac: float) -> RowRoles:
    """Roles where some lines keep just a hashed share of their compounds in training."""
    draw = sampler.draw(units, LINE)
    positions = sampler.positions(units[PAIR.name])
    is_known = units[PAIR.name].map(positions) < known_frac
    return RowRoles(
        roles_N=draw.of(units[LINE.name]).mask(is_known, names.TRAIN),
        notes=(*draw.notes, f"held-out lines keep {known_frac:.0%} of their compounds in training"),
    )


def draw_linked(units: pd.DataFrame, sampler: UnitSampler, owner: Unit, unit: Unit) -> RowRoles:
    """Roles by a unit of which one owner can have several, all of them together: scaffolds.

    Tautomers of one compound can have two scaffolds. Scaffolds that share a compound form a group,
    at the lowest hash position among them: when a new drug joins two groups, training rows may
    become test rows, never the other way round.
    """
    group_of = _linked_groups(units, owner, unit)
    positions = sampler.positions(units[unit.name])
    lowest: dict[str, float] = {}
    for member, group in group_of.items():
        lowest[group] = min(lowest.get(group, 1.0), positions[member])
    draw = draw_roles(lowest, sampler.held_out, unit_name=unit.many)
    return RowRoles(roles_N=draw.of(units[unit.name].map(group_of)), notes=draw.notes)


def draw_crossed(units: pd.DataFrame, sampler: UnitSampler, first: Unit, second: Unit) -> RowRoles:
    """Roles where two units agree; a row with just one of them held out is unused."""
    by_first = sampler.draw(units, first)
    by_second = sampler.draw(units, second)
    first_roles, second_roles = by_first.of(units[first.name]), by_second.of(units[second.name])
    is_agreed = first_roles == second_roles
    notes = (
        *by_first.notes,
        *by_second.notes,
        f"{int((~is_agreed).sum())} conditions with just one side held out are unused",
    )
    return RowRoles(roles_N=first_roles.where(is_agreed, names.UNUSED), notes=notes)


def draw_holdout(units: pd.DataFrame, sampler: UnitSampler, lines: Sequence[str]) -> RowRoles:
    """Roles with the named lines as the test, validation lines hashed from the others.

    Raises
    ------
    EmptyResultError
        If a named line is not in the data.
    """
    missing = sorted(set(lines) - set(units[LINE.name]))
    if missing:
        msg = f"{len(missing)} of {len(set(lines))} lines are not in the data: {first_few(missing)}"
        raise EmptyResultError(msg)
    others = units[~units[LINE.name].isin(lines)]
    validation = {names.VALIDATION: sampler.held_out[names.VALIDATION]}
    draw = replace(sampler, held_out=validation).draw(others, LINE)
    roles = draw.roles | dict.fromkeys(lines, names.TEST)
    return RowRoles(roles_N=units[LINE.name].map(roles), notes=draw.notes)


def draw_replicate(
    units: pd.DataFrame, sampler: UnitSampler, *, test_plate: str | None, min_shared_frac: float
) -> RowRoles:
    """Roles with a replicate plate as the test, and a second one as validation where there is one.

    Without a second one, validation is a hashed share of the test plate's compounds. Rows whose
    control comes from other plates are unused: their control may lie on the other side.

    Raises
    ------
    EmptyResultError
        If no plate repeats another.
    """
    by_plate = conditions_by_plate(units)
    test = find_replicate(by_plate, min_shared_frac=min_shared_frac, plate=test_plate)
    if test is None:
        which = (
            "no plate" if test_plate is None else f"plate {test_plate!r} is not there or does not"
        )
        msg = f"{which} repeats {min_shared_frac:.0%} of its conditions on one other plate"
        raise EmptyResultError(msg)
    notes = [f"test plate {test.describe()}"]
    roles_N = pd.Series(names.TRAIN, index=units.index, dtype=object)
    is_test = units[PLATE.name] == test.plate
    second = find_second_replicate(by_plate, test, min_shared_frac=min_shared_frac)
    if second is not None:
        roles_N[is_test] = names.TEST
        roles_N[units[PLATE.name] == second.plate] = names.VALIDATION
        notes.append(f"validation plate {second.describe()}")
    else:
        share = sampler.held_out[names.VALIDATION] / sum(sampler.held_out.values())
        draw = draw_roles(
            sampler.positions(units.loc[is_test, PARENT.name]),
            {names.VALIDATION: share},
            unit_name="compounds of the test plate",
            rest=names.TEST,
        )
        roles_N[is_test] = draw.of(units.loc[is_test, PARENT.name])
        notes += [*draw.notes, "validation is a hashed share of the test plate's compounds"]
    is_fallback = units["is_fallback_control"]
    if is_fallback.any():
        roles_N[is_fallback] = names.UNUSED
        notes.append(
            f"{int(is_fallback.sum())} conditions with a control from elsewhere are unused"
        )
    return RowRoles(roles_N=roles_N, notes=tuple(notes))


def _linked_groups(units: pd.DataFrame, owner: Unit, unit: Unit) -> dict[str, str]:
    """Group of each unit: its smallest member; groups share no owner."""
    group_of = {member: member for member in units[unit.name]}
    pairs = units[[owner.name, unit.name]].drop_duplicates()
    for _, members in pairs.groupby(owner.name)[unit.name]:
        groups = {group_of[member] for member in members}
        if len(groups) > 1:
            joined = min(groups)
            group_of = {
                member: joined if group in groups else group for member, group in group_of.items()
            }
    return group_of
