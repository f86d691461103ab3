import numpy as np
import pytest

from drug_pipeline.domain.names import CONTROL_DRUG
from drug_pipeline.synthetic.cells import PLATE_SD, draw_counts_CG, place_cells, shares_WLG
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import make_design
from drug_pipeline.synthetic.genes import make_genes
from drug_pipeline.synthetic.measurement import DISPERSION_SHAPE
from drug_pipeline.synthetic.truth import make_truth

CONFIG = SyntheticConfig.preset("tiny")
DESIGN = make_design(CONFIG)
TRUTH = make_truth(DESIGN, make_genes(DESIGN.compounds, DESIGN.lines, CONFIG), CONFIG)


def vehicle_rates_WLG(plate: str) -> np.ndarray:
    """Log shares of the vehicle wells of a plate, (2, L, G)."""
    cells = place_cells(DESIGN, plate, CONFIG)
    is_vehicle = [DESIGN.wells[position].drug == CONTROL_DRUG for position in cells.wells]
    return np.log(shares_WLG(DESIGN, TRUTH, cells, CONFIG)[is_vehicle])


def test_a_well_artefact_is_shared_by_all_lines_of_the_well():
    first_LG, second_LG = vehicle_rates_WLG("plate1")

    difference_LG = first_LG - second_LG
    difference_LG -= difference_LG.mean(axis=1, keepdims=True)

    assert difference_LG[0].std() > CONFIG.well_sd
    np.testing.assert_allclose(difference_LG, difference_LG[[0]].repeat(5, axis=0), atol=1e-4)


def test_plates_differ_by_the_set_spread_beyond_what_their_wells_differ():
    rates_PWG = np.stack([vehicle_rates_WLG(plate)[:, 0] for plate in DESIGN.plates])

    between_plates = rates_PWG.mean(axis=1).var(axis=0, ddof=1).mean()
    between_wells = rates_PWG.var(axis=1, ddof=1).mean()

    assert np.sqrt(between_plates - between_wells / 2) == pytest.approx(PLATE_SD, rel=0.25)


def test_counts_are_spread_wider_than_poisson_by_the_set_dispersion():
    share, library, n_cells = 0.01, 1_000.0, 100_000
    shares_CG = np.full((n_cells, 1), share, np.float32)

    counts = draw_counts_CG(shares_CG, np.full(n_cells, library), np.random.default_rng(0))

    mean = share * library
    assert counts.mean() == pytest.approx(mean, rel=0.01)
    assert counts.var() == pytest.approx(mean + mean**2 / DISPERSION_SHAPE, rel=0.03)
