"""The design of the generated screen: plates, wells, drugs, lines and how many cells each gets.

The real design in small: a panel of drugs lives on its own three plates, one per dose; one plate
mixes drugs and doses of all panels; the last plate repeats a panel's plate at the highest dose; each
plate has two vehicle wells and one well of a bridge drug; all lines share each well.

Shape letters: W = wells, L = cell lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.names import CONTROL_DRUG, is_control
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.public.cell_lines import CELL_LINES, CellLine
from drug_pipeline.synthetic.public.compounds import BRIDGE_DRUG, COMPOUNDS, Compound
from drug_pipeline.synthetic.streams import stream

DOSES_UM = (0.05, 0.5, 5.0)
N_VEHICLE_WELLS = 2
FIRST_SAMPLE = 1495
"""Number of the first well in the released table."""

VEHICLE_YIELD = 2.0
"""Cells of a vehicle well over those of a drug's well; 1.6 in the released data."""
RARE_YIELD = 0.015
"""Cells of a rare line over those of another."""
LINE_SD, PAIR_SD, WELL_SD = 0.4, 0.5, 0.2
"""Spread (natural log) of the cells of lines, pairs and wells: the long tail."""


@dataclass(frozen=True, kw_only=True)
class Well:
    """One well: what was put in, and where."""

    sample: str
    plate: str
    drug: str
    dose_um: float


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything that is decided before a cell is drawn.

    Parameters
    ----------
    compounds, lines
        What is screened; further lines stand in the line table and have no cells.
    plates
        Names in order.
    wells
        In the order of the well table: by plate.
    expected_cells_WL
        Mean number of cells of each line in each well.
    """

    compounds: tuple[Compound, ...]
    lines: tuple[CellLine, ...]
    plates: tuple[str, ...]
    wells: tuple[Well, ...]
    expected_cells_WL: NDArray[np.float64]

    def wells_of(self, plate: str) -> list[int]:
        """Positions of one plate's wells."""
        return [index for index, well in enumerate(self.wells) if well.plate == plate]


Treatment = tuple[str, float]


def _treatments_by_plate(
    compounds: Sequence[Compound], config: SyntheticConfig
) -> list[list[Treatment]]:
    """What is put on each plate, without the vehicle and the bridge."""
    names = [compound.name for compound in compounds]
    panels = [names[number :: config.n_panels] for number in range(config.n_panels)]
    plates = [[(drug, dose) for drug in panel] for panel in panels for dose in DOSES_UM]
    every = [(drug, dose) for drug in names for dose in DOSES_UM]
    chosen = stream(config.seed, "mixed plate").permutation(len(every))[: len(panels[0])]
    mixed = [every[position] for position in sorted(chosen)]
    repeated = plates[3 * min(2, config.n_panels) - 1]
    return [*plates, mixed, list(repeated)]


def make_design(config: SyntheticConfig) -> Design:
    """The design of a whole screen."""
    compounds, lines = COMPOUNDS[: config.n_drugs], CELL_LINES[: config.n_lines]
    wells: list[Well] = []
    plates: list[str] = []
    for number, treatments in enumerate(_treatments_by_plate(compounds, config), start=1):
        plates.append(f"plate{number}")
        vehicle = [(CONTROL_DRUG, 0.0)] * N_VEHICLE_WELLS
        for drug, dose_um in [*treatments, (BRIDGE_DRUG, DOSES_UM[0]), *vehicle]:
            sample = f"smp_{FIRST_SAMPLE + len(wells)}"
            wells.append(Well(sample=sample, plate=plates[-1], drug=drug, dose_um=dose_um))
    return Design(
        compounds=compounds,
        lines=lines,
        plates=tuple(plates),
        wells=tuple(wells),
        expected_cells_WL=_expected_cells_WL(wells, lines, config),
    )


def _expected_cells_WL(
    wells: Sequence[Well], lines: Sequence[CellLine], config: SyntheticConfig
) -> NDArray[np.float64]:
    """Mean cells of each line in each well; long-tailed, in total ``config.n_cells``."""
    rng = stream(config.seed, "cell numbers")
    line_L = np.exp(rng.normal(0.0, LINE_SD, len(lines)))
    line_L *= np.where([line.is_rare for line in lines], RARE_YIELD, 1.0)
    drugs = sorted({well.drug for well in wells})
    pair_DL = np.exp(rng.normal(0.0, PAIR_SD, (len(drugs), len(lines))))
    pair_DL[drugs.index(CONTROL_DRUG)] = VEHICLE_YIELD
    well_W = np.exp(rng.normal(0.0, WELL_SD, len(wells)))
    well_W[[is_control(well.drug) for well in wells]] = 1.0
    yield_WL = well_W[:, None] * pair_DL[[drugs.index(well.drug) for well in wells]] * line_L
    return np.asarray(yield_WL * config.n_cells / yield_WL.sum())
