"""What each split holds out: one function a split, from units to roles.

What belongs here: how the rows of one split are drawn, validation in the way of the test.
What does not: the hash (``splits/split_units.py``), the check on what training has seen and the
settings (``splits/named_splits.py``). ``units`` is the table of :func:`unit_table`, N rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    AlignmentError,
    EmptyResultError,
    MetadataError,
    first_few,
)
from drug_pipeline.domain.tables import condition_keys
from drug_pipeline.expression.splits.replicate_plates import (
    conditions_by_plate,
    find_replicate,
    find_second_replicate,
    unplated_keys,
)
from drug_pipeline.expression.splits.split_units import (
    UnitDraw,
    draw_roles,
    hash_positions,
)

UNIT_NAMES = {
    "pair": "pairs of compound and line",
    "line": "cell lines",
    "parent": "parent compounds",
    "dose": "doses of compounds",
}
"""What the units of a column are, for notes and errors."""


@dataclass(frozen=True, kw_only=True)
class RowRoles:
    """Role of each row (N), and what is worth knowing of the draw."""

    roles_N: "pd.Series[str]"
    notes: tuple[str, ...]


def unit_table(conditions: pd.DataFrame, drugs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The units that splits hold out, as text, one row a condition.

    Columns ``parent, line, plate, pair`` (compound, line), ``dose`` (compound, dose),
    ``pair_dose`` (compound, dose, line), ``unplated`` (drug, dose, line), ``is_fallback_control``
    and, where ``drugs`` is given, ``scaffold``; a drug that is not in ``drugs`` is its own.

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
    drug = plain[names.DRUG].astype(str)
    parent, line = plain[names.PARENT_COMPOUND].astype(str), plain[names.CELL_LINE_ID].astype(str)
    dose = parent + "|" + plain[names.DOSE_UM].map("{:.6g}".format)
    units = pd.DataFrame(
        {
            "parent": parent,
            "line": line,
            "plate": plain[names.PLATE].astype(str),
            "pair": parent + "|" + line,
            "dose": dose,
            "pair_dose": dose + "|" + line,
            "unplated": unplated_keys(plain),
            "is_fallback_control": plain[names.IS_FALLBACK_CONTROL].astype(bool),
        }
    )
    if drugs is not None:
        scaffold_of = dict(zip(drugs[names.DRUG], drugs[names.SCAFFOLD], strict=True))
        scaffold = drug.map(scaffold_of)
        units["scaffold"] = scaffold.where(scaffold.notna(), "name:" + drug)
    return units


def draw_by(
    units: pd.DataFrame, column: str, *, seed: int, salt: str, held_out: Mapping[str, float]
) -> RowRoles:
    """Roles by one column of units: ``pair``, ``drug``, ``cell_line`` and ``dose`` splits."""
    draw = _draw_column(units, column, seed=seed, salt=salt, held_out=held_out)
    return RowRoles(roles_N=draw.of(units[column]), notes=draw.notes)


def draw_few_shot(
    units: pd.DataFrame, *, seed: int, held_out: Mapping[str, float], known_frac: float
) -> RowRoles:
    """Roles where some lines keep just a hashed share of their compounds in training."""
    draw = _draw_column(units, "line", seed=seed, salt="few_shot", held_out=held_out)
    positions = hash_positions(seed, "few_shot", units["pair"])
    is_known = units["pair"].map(positions) < known_frac
    return RowRoles(
        roles_N=draw.of(units["line"]).mask(is_known, names.TRAIN),
        notes=(*draw.notes, f"held-out lines keep {known_frac:.0%} of their compounds in training"),
    )


def draw_scaffold(units: pd.DataFrame, *, seed: int, held_out: Mapping[str, float]) -> RowRoles:
    """Roles by scaffold, all scaffolds of one parent compound together.

    Tautomers of one compound can have two scaffolds. Scaffolds that share a compound form a group,
    at the lowest hash position among them: when a new drug joins two groups, training rows may
    become test rows, never the other way round.
    """
    group_of = _scaffold_groups(units)
    positions = hash_positions(seed, "scaffold", units["scaffold"])
    lowest: dict[str, float] = {}
    for scaffold, group in group_of.items():
        lowest[group] = min(lowest.get(group, 1.0), positions[scaffold])
    draw = draw_roles(lowest, held_out, unit_name="scaffolds")
    return RowRoles(roles_N=draw.of(units["scaffold"].map(group_of)), notes=draw.notes)


def draw_both(units: pd.DataFrame, *, seed: int, held_out: Mapping[str, float]) -> RowRoles:
    """Roles where compound and line agree; a row with just one side held out is unused."""
    by_parent = _draw_column(units, "parent", seed=seed, salt="both", held_out=held_out)
    by_line = _draw_column(units, "line", seed=seed, salt="both", held_out=held_out)
    parent_roles, line_roles = by_parent.of(units["parent"]), by_line.of(units["line"])
    is_agreed = parent_roles == line_roles
    notes = (
        *by_parent.notes,
        *by_line.notes,
        f"{int((~is_agreed).sum())} conditions with just one side held out are unused",
    )
    return RowRoles(roles_N=parent_roles.where(is_agreed, names.UNUSED), notes=notes)


def draw_holdout(
    units: pd.DataFrame, lines: Sequence[str], *, name: str, seed: int, validation_frac: float
) -> RowRoles:
    """Roles with the named lines as the test, validation lines hashed from the others.

    Raises
    ------
    EmptyResultError
        If a named line is not in the data.
    """
    missing = sorted(set(lines) - set(units["line"]))
    if missing:
        msg = f"{len(missing)} of {len(set(lines))} lines are not in the data: {first_few(missing)}"
        raise EmptyResultError(msg)
    others = units[~units["line"].isin(lines)]
    held_out = {names.VALIDATION: validation_frac}
    draw = _draw_column(others, "line", seed=seed, salt=name, held_out=held_out)
    roles = draw.roles | dict.fromkeys(lines, names.TEST)
    return RowRoles(roles_N=units["line"].map(roles), notes=draw.notes)


def draw_plate_replicate(
    units: pd.DataFrame,
    *,
    seed: int,
    held_out: Mapping[str, float],
    test_plate: str | None,
    min_shared_frac: float,
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
    is_test = units["plate"] == test.plate
    second = find_second_replicate(by_plate, test, min_shared_frac=min_shared_frac)
    if second is not None:
        roles_N[is_test] = names.TEST
        roles_N[units["plate"] == second.plate] = names.VALIDATION
        notes.append(f"validation plate {second.describe()}")
    else:
        draw = _draw_test_plate(units[is_test], seed=seed, held_out=held_out)
        roles_N[is_test] = draw.of(units.loc[is_test, "parent"])
        notes += [*draw.notes, "validation is a hashed share of the test plate's compounds"]
    is_fallback = units["is_fallback_control"]
    if is_fallback.any():
        roles_N[is_fallback] = names.UNUSED
        notes.append(
            f"{int(is_fallback.sum())} conditions with a control from elsewhere are unused"
        )
    return RowRoles(roles_N=roles_N, notes=tuple(notes))


def _draw_test_plate(
    on_plate: pd.DataFrame, *, seed: int, held_out: Mapping[str, float]
) -> UnitDraw:
    share = held_out[names.VALIDATION] / sum(held_out.values())
    return draw_roles(
        hash_positions(seed, "plate_replicate", on_plate["parent"]),
        {names.VALIDATION: share},
        unit_name="compounds of the test plate",
        rest=names.TEST,
    )


def _draw_column(
    units: pd.DataFrame, column: str, *, seed: int, salt: str, held_out: Mapping[str, float]
) -> UnitDraw:
    positions = hash_positions(seed, salt, units[column])
    if len(positions) < 2:
        msg = f"a split needs at least two {UNIT_NAMES[column]}; there are {len(positions)}"
        raise EmptyResultError(msg)
    return draw_roles(positions, held_out, unit_name=UNIT_NAMES[column])


def _scaffold_groups(units: pd.DataFrame) -> dict[str, str]:
    """Group of each scaffold: its smallest member; groups share no parent compound."""
    group_of = {scaffold: scaffold for scaffold in units["scaffold"]}
    pairs = units[["parent", "scaffold"]].drop_duplicates()
    for _, scaffolds in pairs.groupby("parent")["scaffold"]:
        groups = {group_of[scaffold] for scaffold in scaffolds}
        if len(groups) > 1:
            joined = min(groups)
            group_of = {
                scaffold: joined if group in groups else group
                for scaffold, group in group_of.items()
            }
    return group_of
