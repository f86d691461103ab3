"""From a well's true expression to its cells' records, one row group at a time.

Shape letters: W = wells of one plate, L = cell lines, G = expressed genes, C = cells of a row group,
N = entries of all their records.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.names import MARKER_TOKEN, MARKER_VALUE, is_control
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import DOSES_UM, Design
from drug_pipeline.synthetic.genes import GeneTable
from drug_pipeline.synthetic.measurement import DISPERSION_SHAPE, LIBRARY_SD, log_softmax
from drug_pipeline.synthetic.metadata import drug_columns
from drug_pipeline.synthetic.streams import stream
from drug_pipeline.synthetic.truth import Truth

ROW_GROUP_CELLS = 1_000
DUPLICATE_FRAC = 0.01
"""Share of the cells in which one gene's count is split over two entries."""
PLATE_SD = 0.15
"""Spread of a plate's artefact on a gene's log rate, shared by all its wells."""
N_WELL_FACTORS = 3
DEPTH_SD = 0.05
"""Spread (natural log) of the median library size between wells of a plate."""
N_SUBLIBRARIES = 8


@dataclass(frozen=True, kw_only=True)
class PlateCells:
    """The cells of one plate in file order: where each comes from, not yet its counts.

    Parameters
    ----------
    plate
        Name of the plate.
    wells
        Positions of its wells in the design.
    well_C, line_C
        Position of each cell's well within ``wells``, and of its line.
    barcodes
        Unique keys of the cells.
    """

    plate: str
    wells: list[int]
    well_C: NDArray[np.int64]
    line_C: NDArray[np.int64]
    barcodes: tuple[str, ...]


def place_cells(design: Design, plate: str, config: SyntheticConfig) -> PlateCells:
    """The cells of one plate, wells and lines interleaved; the same whatever other plates are drawn."""
    rng = stream(config.seed, "cells", plate)
    wells = design.wells_of(plate)
    n_cells_WL = rng.poisson(design.expected_cells_WL[wells])
    origin_C = np.repeat(np.arange(n_cells_WL.size), n_cells_WL.ravel())
    rng.shuffle(origin_C)
    well_C, line_C = np.divmod(origin_C, len(design.lines))
    return PlateCells(
        plate=plate,
        wells=wells,
        well_C=well_C,
        line_C=line_C,
        barcodes=_barcodes(design.plates.index(plate), len(origin_C)),
    )


def _barcodes(plate_number: int, n_cells: int) -> tuple[str, ...]:
    """Keys such as ``01_002_003-lib_1004``, unique over all plates: each has its own sublibraries."""
    first_library = 1_000 + plate_number * N_SUBLIBRARIES
    barcodes = []
    for number in range(n_cells):
        rest, library = divmod(number, N_SUBLIBRARIES)
        rest, first = divmod(rest, 96)
        third, second = divmod(rest, 96)
        barcodes.append(
            f"{first + 1:02d}_{second + 1:03d}_{third + 1:03d}-lib_{first_library + library}"
        )
    return tuple(barcodes)


def shares_WLG(
    design: Design, truth: Truth, cells: PlateCells, config: SyntheticConfig
) -> NDArray[np.float32]:
    """Expression shares of each well and line of a plate, (W, L, G), each summing to 1.

    The well and plate artefacts are the same for all lines of a well.
    """
    rng = stream(config.seed, "artefacts", cells.plate)
    n_wells, n_genes = len(cells.wells), truth.base_LG.shape[1]
    plate_G = rng.normal(0.0, PLATE_SD, n_genes)
    factor_FG = rng.normal(0.0, 1.0, (N_WELL_FACTORS, n_genes)) / np.sqrt(N_WELL_FACTORS)
    shared_WG = rng.normal(0.0, 1.0, (n_wells, N_WELL_FACTORS)) @ factor_FG
    own_WG = rng.normal(0.0, 1.0, (n_wells, n_genes))
    artefact_WG = plate_G + config.well_sd * (shared_WG + own_WG) / np.sqrt(2.0)
    drug_row = {compound.name: row for row, compound in enumerate(design.compounds)}
    shares = np.empty((n_wells, len(design.lines), n_genes), np.float32)
    for row, position in enumerate(cells.wells):
        well = design.wells[position]
        log_rate_LG = truth.base_LG + artefact_WG[row]
        if not is_control(well.drug):
            dose = DOSES_UM.index(well.dose_um)
            log_rate_LG = log_rate_LG + truth.change_DXLG[drug_row[well.drug], dose]
        shares[row] = np.exp(log_softmax(log_rate_LG))
    return shares


def well_depths(plate: str, n_wells: int, config: SyntheticConfig) -> NDArray[np.float64]:
    """Median library size of each well of a plate, (W,), in UMI."""
    rng = stream(config.seed, "depth", plate)
    return np.asarray(config.median_umi * np.exp(rng.normal(0.0, DEPTH_SD, n_wells)))


def row_groups(
    design: Design,
    cells: PlateCells,
    shares: NDArray[np.float32],
    genes: GeneTable,
    config: SyntheticConfig,
    *,
    file_number: int,
) -> Iterator[pa.Table]:
    """The records of one of a plate's files in the released layout, 1,000 cells per table.

    Parameters
    ----------
    shares
        Expression shares of the plate, (W, L, G), as ``shares_WLG`` gives them.
    file_number
        Which of the plate's files, from 0; files share nothing but the plate's artefacts.
    """
    rng = stream(config.seed, "counts", cells.plate, str(file_number))
    depth_W = well_depths(cells.plate, len(cells.wells), config)
    bounds = np.linspace(0, len(cells.well_C), config.files_per_plate + 1).astype(int)
    first, last = bounds[file_number : file_number + 2]
    known_of = drug_columns(design.compounds)
    for start in range(first, last, ROW_GROUP_CELLS):
        group = slice(start, min(start + ROW_GROUP_CELLS, last))
        well_C, line_C = cells.well_C[group], cells.line_C[group]
        library_C = depth_W[well_C] * np.exp(rng.normal(0.0, LIBRARY_SD, len(well_C)))
        counts_CG = draw_counts_CG(shares[well_C, line_C], library_C, rng)
        gene_lists, value_lists = entry_lists(counts_CG, genes.expressed_tokens, rng)
        wells = [design.wells[cells.wells[well]] for well in well_C]
        moa, smiles, cid = zip(*(known_of[well.drug] for well in wells), strict=True)
        columns = {
            names.GENES: gene_lists,
            names.EXPRESSIONS: value_lists,
            names.DRUG: [well.drug for well in wells],
            names.SAMPLE: [well.sample for well in wells],
            names.BARCODE: cells.barcodes[group],
            names.CELL_LINE_ID: [design.lines[line].cellosaurus_id for line in line_C],
            names.RAW_MOA_FINE: moa,
            names.CANONICAL_SMILES: smiles,
            names.PUBCHEM_CID: cid,
            names.PLATE: [cells.plate] * len(wells),
        }
        yield pa.table(columns, schema=schemas.RAW_CELL)


def draw_counts_CG(
    shares_CG: NDArray[np.float32], library_C: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Negative binomial counts, (C, G): Poisson around gamma-distributed means."""
    mean_CG = rng.standard_gamma(DISPERSION_SHAPE, shares_CG.shape, dtype=np.float32)
    mean_CG *= shares_CG
    mean_CG *= (library_C / DISPERSION_SHAPE).astype(np.float32)[:, None]
    return rng.poisson(mean_CG)


def entry_lists(
    counts_CG: NDArray[np.int64], tokens_G: NDArray[np.int64], rng: np.random.Generator
) -> tuple[pa.ListArray, pa.ListArray]:
    """The list columns of a row group: marker first, then non-zero genes by ascending token.

    In a few cells one gene with two or more counts is written as two entries.
    """
    n_cells = len(counts_CG)
    is_entry = np.concatenate([np.ones((n_cells, 1), bool), counts_CG > 0], axis=1)
    with_marker = np.concatenate(
        [np.full((n_cells, 1), MARKER_VALUE), counts_CG], axis=1, dtype=np.float32
    )
    cell_N, column_N = np.nonzero(is_entry)
    value_N = with_marker[cell_N, column_N]
    token_N = np.concatenate([[MARKER_TOKEN], tokens_G])[column_N]

    has_duplicate_C = rng.random(n_cells) < DUPLICATE_FRAC
    candidates = np.flatnonzero(has_duplicate_C[cell_N] & (value_N >= 2.0))
    _, first_of_cell = np.unique(cell_N[candidates], return_index=True)
    split = candidates[first_of_cell]
    value_N[split] -= 1.0
    value_N = np.insert(value_N, split, 1.0)
    token_N = np.insert(token_N, split, token_N[split])

    lengths_C = is_entry.sum(axis=1) + np.bincount(cell_N[split], minlength=n_cells)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths_C)]), pa.int32())
    return (
        pa.ListArray.from_arrays(offsets, pa.array(token_N, pa.int64())),
        pa.ListArray.from_arrays(offsets, pa.array(value_N, pa.float32())),
    )
