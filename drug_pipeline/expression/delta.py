"""What Δ is: a condition's mean minus that of the vehicle, same line, same plate.

What belongs here: conditions and controls from the sums of wells, Δ, its standard error, halves.
What does not: how the sums are made (``pseudobulk.py``), files (``storage/shards.py``).

Δ = mean(x of the condition's cells) - mean(x of the control's cells), x = log1p_cp10k, a
difference of natural logs. Wells of one condition are pooled cell by cell.

Shapes: W = (well, line) groups of a plate, N = conditions, M = lines with a control, V = control
(well, line) groups, G = genes of the panel.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.expression.moments import check_capacity, mean_of_sums, variance_of_sums

PAIR_NOT_KEPT: Final = "pair not kept"
TOO_FEW_CELLS: Final = "fewer cells than min_cells_per_condition"
TOO_FEW_CONTROL_CELLS: Final = "fewer control cells than min_control_cells"
DROPPED_COLUMNS: Final = [*names.CONDITION_KEY, names.REASON, "n"]
CONTROL_COLUMNS: Final = [names.CELL_LINE_ID, names.PLATE, names.N_CELLS]
CONTROL_WELL_COLUMNS: Final = [names.SAMPLE, *CONTROL_COLUMNS]
CONDITION_COLUMNS: Final = [
    name for name in schemas.CONDITIONS.names if name != names.PARENT_COMPOUND
]
ARRAY_NAMES: Final = ("delta_NG", "se_NG", "half_a_NG", "half_b_NG")
_KEY_ON_PLATE: Final = [names.CELL_LINE_ID, names.DRUG, names.DOSE_UM]


@dataclass(frozen=True, kw_only=True)
class DeltaConfig:
    """Which conditions get a Δ.

    Parameters
    ----------
    min_control_cells
        Vehicle cells of the line on the plate below which its conditions get none. With 100 the
        control adds at most a tenth of a cell's spread to the error.
    min_cells_per_condition
        The same for the condition's own cells.
    fallback_to_other_plates
        Whether a line whose control on the plate is too small borrows that of all other plates
        together. Off, because plates differ: a borrowed control puts that into Δ. Marked in the
        index.
    """

    min_control_cells: int = 100
    min_cells_per_condition: int = 1
    fallback_to_other_plates: bool = False

    def __post_init__(self) -> None:
        for name in ("min_control_cells", "min_cells_per_condition"):
            if getattr(self, name) < 1:
                msg = f"{name} is {getattr(self, name)}; at least one cell is needed."
                raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Integer sums of some cells, and how many there are; adds up without loss."""

    n_cells: int
    sum_x_G: NDArray[np.int64]
    sum_x2_G: NDArray[np.int64]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            n_cells=self.n_cells + other.n_cells,
            sum_x_G=self.sum_x_G + other.sum_x_G,
            sum_x2_G=self.sum_x2_G + other.sum_x2_G,
        )

    def mean(self) -> NDArray[np.float64]:
        """Mean of x per gene."""
        return mean_of_sums(self.sum_x_G, self.n_cells)

    def squared_error(self) -> NDArray[np.float64]:
        """Squared standard error of the mean per gene; NaN with fewer than two cells."""
        return variance_of_sums(self.sum_x_G, self.sum_x2_G, self.n_cells) / self.n_cells


@dataclass(frozen=True, kw_only=True)
class WellSums:
    """Sums of one plate per well and line; ``well_lines`` follows ``schemas.WELL_LINES``."""

    plate: str
    well_lines: pd.DataFrame
    sum_x_WG: NDArray[np.int64]
    sum_x2_WG: NDArray[np.int64]
    half_sum_x_WG: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PlateDelta:
    """Δ of one plate's conditions, its controls, and what was left out.

    ``conditions`` follows ``schemas.CONDITIONS`` but for the parent compound (N rows, sorted by
    line, drug, dose); ``controls`` has ``CONTROL_COLUMNS`` (M rows), ``control_wells``
    ``CONTROL_WELL_COLUMNS`` (V rows), ``dropped`` ``DROPPED_COLUMNS``. Arrays are float32:
    differences of natural logs, for controls natural logs. A half without cells is NaN.
    """

    conditions: pd.DataFrame
    delta_NG: NDArray[np.float32]
    se_NG: NDArray[np.float32]
    half_a_NG: NDArray[np.float32]
    half_b_NG: NDArray[np.float32]
    controls: pd.DataFrame
    control_MG: NDArray[np.float32]
    control_wells: pd.DataFrame
    control_well_VG: NDArray[np.float32]
    dropped: pd.DataFrame


def control_sums(sums: WellSums) -> dict[str, Sums]:
    """The vehicle cells of each line of a plate, its vehicle wells together, by line."""
    well_lines = sums.well_lines
    is_control = (well_lines[names.DRUG] == names.CONTROL_DRUG).to_numpy()
    line_W = well_lines[names.CELL_LINE_ID].to_numpy()
    n_cells_W = well_lines[names.N_CELLS].to_numpy()
    controls = {}
    for line in sorted(set(line_W[is_control])):
        rows = np.flatnonzero(is_control & (line_W == line))
        controls[str(line)] = Sums(
            n_cells=int(n_cells_W[rows].sum()),
            sum_x_G=sums.sum_x_WG[rows].sum(axis=0),
            sum_x2_G=sums.sum_x2_WG[rows].sum(axis=0),
        )
    return controls


def delta_of_plate(
    sums: WellSums,
    *,
    kept_pairs: Collection[tuple[str, str]],
    config: DeltaConfig,
    elsewhere: Mapping[str, Sums] | None = None,
) -> PlateDelta:
    """Δ of every condition of a plate whose pair is kept and whose control is large enough.

    Parameters
    ----------
    kept_pairs
        ``(drug, cell line)``.
    elsewhere
        Vehicle cells of each line on all other plates, for ``fallback_to_other_plates``.
    """
    own = control_sums(sums)
    usable = {line: part for line, part in own.items() if part.n_cells >= config.min_control_cells}
    borrowed: dict[str, Sums] = {}
    if config.fallback_to_other_plates:
        borrowed = {
            line: part
            for line, part in (elsewhere or {}).items()
            if line not in usable and part.n_cells >= config.min_control_cells
        }
    control_of_line = usable | borrowed
    asked = _conditions(sums.well_lines)
    asked[names.REASON] = _reasons(asked, kept_pairs, control_of_line, config)
    is_kept = asked[names.REASON] == ""
    conditions = asked[is_kept].reset_index(drop=True)
    lines = conditions[names.CELL_LINE_ID]
    conditions[names.N_CONTROL_CELLS] = np.array(
        [control_of_line[line].n_cells for line in lines], dtype=np.int64
    )
    conditions[names.IS_FALLBACK_CONTROL] = lines.isin(borrowed)
    arrays = _delta_arrays(sums, conditions, control_of_line)
    controls, control_MG = _control_table(sums.plate, control_of_line, sums.sum_x_WG.shape[1])
    control_wells, control_well_VG = _control_well_table(sums, usable)
    return PlateDelta(
        conditions=conditions[CONDITION_COLUMNS],
        **arrays,
        controls=controls,
        control_MG=control_MG,
        control_wells=control_wells,
        control_well_VG=control_well_VG,
        dropped=_dropped(asked[~is_kept], own),
    )


def _conditions(well_lines: pd.DataFrame) -> pd.DataFrame:
    """Conditions of a plate with their cells, counts and well rows, sorted by line, drug, dose."""
    treated = well_lines[well_lines[names.DRUG] != names.CONTROL_DRUG]
    grouped = treated.assign(rows=treated.index).groupby(_KEY_ON_PLATE, sort=True, as_index=False)
    return grouped.agg(
        **{
            names.PLATE: (names.PLATE, "first"),
            names.N_CELLS: (names.N_CELLS, "sum"),
            names.N_CELLS_HALF: (names.N_CELLS_HALF, "sum"),
            names.TOTAL_COUNTS: (names.TOTAL_COUNTS, "sum"),
            "rows": ("rows", list),
        }
    )


def _reasons(
    asked: pd.DataFrame,
    kept_pairs: Collection[tuple[str, str]],
    control_of_line: Mapping[str, Sums],
    config: DeltaConfig,
) -> list[str]:
    """Why each condition gets no Δ; empty where it does."""
    reasons = []
    for drug, line, n_cells in zip(
        asked[names.DRUG], asked[names.CELL_LINE_ID], asked[names.N_CELLS], strict=True
    ):
        if (drug, line) not in kept_pairs:
            reasons.append(PAIR_NOT_KEPT)
        elif n_cells < config.min_cells_per_condition:
            reasons.append(TOO_FEW_CELLS)
        elif line not in control_of_line:
            reasons.append(TOO_FEW_CONTROL_CELLS)
        else:
            reasons.append("")
    return reasons


def _delta_arrays(
    sums: WellSums, conditions: pd.DataFrame, control_of_line: Mapping[str, Sums]
) -> dict[str, NDArray[np.float32]]:
    """Δ, its standard error and both halves, one line at a time."""
    shape = (len(conditions), sums.sum_x_WG.shape[1])
    arrays = {name: np.empty(shape, np.float32) for name in ARRAY_NAMES}
    check_capacity(conditions[names.N_CELLS].to_numpy(), conditions[names.TOTAL_COUNTS].to_numpy())
    for line, of_line in conditions.groupby(names.CELL_LINE_ID, sort=True):
        control = control_of_line[str(line)]
        control_G, control_error_G = control.mean(), control.squared_error()
        rows = np.concatenate(of_line["rows"].to_list())
        n_wells = of_line["rows"].map(len).to_numpy()
        starts = np.concatenate([[0], np.cumsum(n_wells)[:-1]])
        x_KG, x2_KG, half_KG = (
            np.add.reduceat(array[rows], starts, axis=0)
            for array in (sums.sum_x_WG, sums.sum_x2_WG, sums.half_sum_x_WG)
        )
        n_K1 = of_line[names.N_CELLS].to_numpy()[:, np.newaxis]
        n_half_K1 = of_line[names.N_CELLS_HALF].to_numpy()[:, np.newaxis]
        error_KG = variance_of_sums(x_KG, x2_KG, n_K1) / n_K1 + control_error_G
        place = of_line.index
        arrays["delta_NG"][place] = mean_of_sums(x_KG, n_K1) - control_G
        arrays["se_NG"][place] = np.sqrt(error_KG)
        arrays["half_a_NG"][place] = mean_of_sums(half_KG, n_half_K1) - control_G
        arrays["half_b_NG"][place] = mean_of_sums(x_KG - half_KG, n_K1 - n_half_K1) - control_G
    return arrays


def _control_table(
    plate: str, control_of_line: Mapping[str, Sums], n_genes: int
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    lines = sorted(control_of_line)
    table = pd.DataFrame(
        {
            names.CELL_LINE_ID: pd.Series(lines, dtype=object),
            names.PLATE: pd.Series([plate] * len(lines), dtype=object),
            names.N_CELLS: np.array([control_of_line[line].n_cells for line in lines], np.int64),
        }
    )
    means_MG = np.empty((len(lines), n_genes), dtype=np.float32)
    for row, line in enumerate(lines):
        means_MG[row] = control_of_line[line].mean()
    return table, means_MG


def _control_well_table(
    sums: WellSums, usable: Mapping[str, Sums]
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Each vehicle well alone, for the lines whose control on this plate is large enough."""
    well_lines = sums.well_lines
    is_control = well_lines[names.DRUG] == names.CONTROL_DRUG
    table = well_lines[is_control & well_lines[names.CELL_LINE_ID].isin(usable)]
    table = table.sort_values([names.CELL_LINE_ID, names.SAMPLE])
    rows = table.index.to_numpy()
    n_V1 = table[names.N_CELLS].to_numpy()[:, np.newaxis]
    means_VG = mean_of_sums(sums.sum_x_WG[rows], n_V1).astype(np.float32)
    return table[CONTROL_WELL_COLUMNS].reset_index(drop=True), means_VG


def _dropped(left_out: pd.DataFrame, own: Mapping[str, Sums]) -> pd.DataFrame:
    """The conditions left out, with the number of cells that was too small."""
    is_control_matter = left_out[names.REASON] == TOO_FEW_CONTROL_CELLS
    n_control = left_out[names.CELL_LINE_ID].map(
        lambda line: own[line].n_cells if line in own else 0
    )
    dropped = left_out.copy()
    dropped["n"] = dropped[names.N_CELLS].where(~is_control_matter, n_control).astype(np.int64)
    return dropped[DROPPED_COLUMNS].reset_index(drop=True)
