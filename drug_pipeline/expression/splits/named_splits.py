"""Named splits of the conditions: which are trained on, which choose settings, which judge.

What belongs here: the settings, drawing all splits, and the check on what training has seen. What
does not: what each kind holds out and takes as seen (``domain/split_kinds.py``), how each is drawn
(``splits/split_draws.py``), the hash (``splits/split_units.py``), replicate plates
(``splits/replicate_plates.py``), the audit (``splits/split_audit.py``), files (``storage/splits.py``).

A held-out condition of which training lacks what its kind takes as seen asks another question than
the split does; it is ``unused`` and counted in the notes. So are, in ``both``, conditions of which
just one side is held out. A condition never moves from test to training when data grow, as long
as no note says that a side would have been empty (see ``splits/split_units.py``), and except for
``plate_replicate``, whose plate is found anew unless ``replicate_plate`` names it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError, first_few
from drug_pipeline.domain.split_kinds import SPLIT_NAMES, SplitKind, kind_of
from drug_pipeline.domain.tables import Split, condition_keys
from drug_pipeline.expression.splits.split_draws import (
    RowRoles,
    UnitSampler,
    draw_by,
    draw_crossed,
    draw_few_shot,
    draw_holdout,
    draw_linked,
    draw_replicate,
    unit_table,
)

TAHOE_5_HOLDOUT: Final = ("CVCL_0334", "CVCL_0480", "CVCL_1097", "CVCL_1098", "CVCL_1285")
"""Lines held out in Tahoe's published split; pass as ``{"tahoe_5_holdout": TAHOE_5_HOLDOUT}``."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """What is drawn, and how much of it is held out.

    Parameters
    ----------
    seed
        Part of each hash; another seed gives another draw.
    names
        Which of ``split_kinds.SPLIT_NAMES`` to draw.
    test_frac, validation_frac
        Shares of units held out; 0.2 leaves some 70 compounds of Tahoe's 353 for test.
    few_shot_known_frac
        Share of compounds that a few-shot line keeps in training; 0.3 is like Tahoe's own split.
    min_replicate_frac
        Share of a plate's conditions that another plate repeats before it counts as a replicate.
    replicate_plate
        Test plate of ``plate_replicate``; None finds it. Name it to keep it when plates are added.
    holdout_lines
        Further splits of kind ``cell_line`` by name, each with the lines that are its test.
    """

    seed: int = 0
    names: tuple[str, ...] = SPLIT_NAMES
    test_frac: float = 0.2
    validation_frac: float = 0.1
    few_shot_known_frac: float = 0.3
    min_replicate_frac: float = 0.5
    replicate_plate: str | None = None
    holdout_lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed < 0:
            msg = f"seed must not be negative, got {self.seed}"
            raise ConfigurationError(msg)
        unknown = sorted(set(self.names) - set(SPLIT_NAMES))
        if unknown:
            msg = f"unknown splits {first_few(unknown)}; known: {', '.join(SPLIT_NAMES)}"
            raise ConfigurationError(msg)
        for name in ("test_frac", "validation_frac", "few_shot_known_frac", "min_replicate_frac"):
            if not 0.0 < getattr(self, name) < 1.0:
                msg = f"{name} is {getattr(self, name)}; it is a share between 0 and 1"
                raise ConfigurationError(msg)
        if self.test_frac + self.validation_frac >= 1.0:
            msg = (
                f"test_frac {self.test_frac} and validation_frac {self.validation_frac} leave "
                "nothing to train on; their sum must stay below 1"
            )
            raise ConfigurationError(msg)
        clashing = sorted(set(self.holdout_lines) & set(SPLIT_NAMES))
        if clashing:
            msg = f"holdout_lines uses the names {first_few(clashing)}, which are taken"
            raise ConfigurationError(msg)

    @property
    def held_out(self) -> dict[str, float]:
        """Share of each held-out role, in hash order."""
        return {names.TEST: self.test_frac, names.VALIDATION: self.validation_frac}


@dataclass(frozen=True, kw_only=True)
class DrawnSplits:
    """Splits by name, with what is worth knowing of each, and why others could not be drawn."""

    splits: dict[str, Split]
    notes: dict[str, tuple[str, ...]]
    skipped: dict[str, str]


def draw_splits(
    conditions: pd.DataFrame,
    drugs: pd.DataFrame,
    config: SplitConfig,
    cell_lines: pd.DataFrame | None = None,
) -> DrawnSplits:
    """Every split that can be drawn, and the reason for each that cannot.

    Parameters
    ----------
    conditions
        Table of ``schemas.CONDITIONS``, N rows; roles come in its row order.
    drugs
        Table of ``schemas.DRUGS``, for the scaffolds.
    cell_lines
        Table of ``schemas.CELL_LINES``; a split by a column of it is skipped without it.
    """
    units = unit_table(conditions, drugs, cell_lines)
    splits, notes, skipped = {}, {}, {}
    for name in (*config.names, *sorted(config.holdout_lines)):
        kind = name if name in SPLIT_NAMES else "cell_line"
        try:
            drawn = _only_askable(_draw(name, units, config), kind_of(kind), units)
        except EmptyResultError as reason:
            skipped[name] = str(reason)
            continue
        roles_N = drawn.roles_N.to_numpy(dtype=str)
        fingerprint = _fingerprint(name, kind, conditions, roles_N)
        splits[name] = Split(name=name, kind=kind, roles_N=roles_N, fingerprint=fingerprint)
        notes[name] = drawn.notes
    return DrawnSplits(splits=splits, notes=notes, skipped=skipped)


def _draw(name: str, units: pd.DataFrame, config: SplitConfig) -> RowRoles:
    sampler = UnitSampler(seed=config.seed, salt=name, held_out=config.held_out)
    if name in config.holdout_lines:
        return draw_holdout(units, sampler, config.holdout_lines[name])
    kind = kind_of(name)
    match kind.draw:
        case "unit":
            return draw_by(units, sampler, kind.apart[0])
        case "most_of_lines":
            return draw_few_shot(units, sampler, known_frac=config.few_shot_known_frac)
        case "linked":
            return draw_linked(units, sampler, *kind.apart)
        case "crossed":
            return draw_crossed(units, sampler, *kind.apart)
        case "replicate":
            return draw_replicate(
                units,
                sampler,
                test_plate=config.replicate_plate,
                min_shared_frac=config.min_replicate_frac,
            )


def _only_askable(drawn: RowRoles, kind: SplitKind, units: pd.DataFrame) -> RowRoles:
    """The roles with held-out rows set to unused where training lacks what the kind takes as seen.

    Raises
    ------
    EmptyResultError
        If no test or no training row is left.
    """
    roles_N, notes = drawn.roles_N.copy(), list(drawn.notes)
    is_train_N = roles_N == names.TRAIN
    is_held_out_N = roles_N.isin([names.TEST, names.VALIDATION])
    is_unseen_N = pd.Series(data=False, index=units.index)
    for unit in kind.seen:
        is_unseen_N |= is_held_out_N & ~units[unit.name].isin(units.loc[is_train_N, unit.name])
    if is_unseen_N.any():
        roles_N[is_unseen_N] = names.UNUSED
        seen = " or ".join(unit.one for unit in kind.seen)
        notes.append(f"{is_unseen_N.sum()} held-out conditions whose {seen} training lacks: unused")
    for role in (names.TRAIN, names.TEST):
        if not (roles_N == role).any():
            msg = "; ".join([f"no {role} condition is left", *notes])
            raise EmptyResultError(msg)
    if not (roles_N == names.VALIDATION).any():
        notes.append("no validation condition: there are too few units for a third side")
    return RowRoles(roles_N=roles_N, notes=tuple(notes))


def _fingerprint(name: str, kind: str, conditions: pd.DataFrame, roles_N: NDArray[np.str_]) -> str:
    """SHA-256 of the roles by condition key, independent of row order."""
    lines = sorted(
        f"{key}={role}" for key, role in zip(condition_keys(conditions), roles_N, strict=True)
    )
    return hashlib.sha256("\n".join([name, kind, *lines]).encode()).hexdigest()
