from collections import Counter

import numpy as np
import pytest

from drug_pipeline.domain.names import CONTROL_DRUG
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import DOSES_UM, Design, make_design
from drug_pipeline.synthetic.public.compounds import BRIDGE_DRUG


@pytest.fixture(scope="module", params=["tiny", "demo", "large"])
def design(request) -> Design:
    return make_design(SyntheticConfig.preset(request.param))


def treatments(design: Design, plate: str) -> set[tuple[str, float]]:
    """What a plate tests, without vehicle and bridge well."""
    wells = [design.wells[position] for position in design.wells_of(plate)]
    return {(w.drug, w.dose_um) for w in wells} - {(CONTROL_DRUG, 0.0), (BRIDGE_DRUG, DOSES_UM[0])}


def test_each_plate_has_two_vehicle_wells_and_the_bridge_drug(design):
    for plate in design.plates:
        contents = Counter(design.wells[position].drug for position in design.wells_of(plate))
        assert contents[CONTROL_DRUG] == 2
        assert contents[BRIDGE_DRUG] >= 1


def test_a_panel_lives_on_its_own_three_plates_one_a_dose(design):
    plates = design.plates[:-2]
    for first in range(0, len(plates), 3):
        low, middle, high = (treatments(design, plate) for plate in plates[first : first + 3])
        panel = {drug for drug, _ in high}
        assert {drug for drug, _ in middle} == panel
        assert {drug for drug, _ in low} | {BRIDGE_DRUG} == panel | {BRIDGE_DRUG}
        assert [{dose for _, dose in t} for t in (low, middle, high)] == [{d} for d in DOSES_UM]


def test_each_drug_belongs_to_one_panel(design):
    panels = [{drug for drug, _ in treatments(design, plate)} for plate in design.plates[2:-2:3]]

    assert sum(len(panel) for panel in panels) == len(set.union(*panels)) == len(design.compounds)


def test_the_last_plate_repeats_another_at_the_highest_dose(design):
    repeated = treatments(design, design.plates[-1])

    assert {dose for _, dose in repeated} == {DOSES_UM[-1]}
    assert repeated == treatments(design, "plate6")


def test_the_plate_before_it_mixes_doses_and_panels(design):
    mixed = treatments(design, design.plates[-2])

    assert {dose for _, dose in mixed} == set(DOSES_UM)
    drugs = {drug for drug, _ in mixed}
    panels = [{d for d, _ in treatments(design, plate)} for plate in design.plates[2:-2:3]]
    assert all(drugs & panel for panel in panels)


def test_sample_names_are_unique(design):
    samples = [well.sample for well in design.wells]

    assert len(set(samples)) == len(samples)


def test_expected_cells_sum_to_the_setting_and_have_a_long_tail():
    config = SyntheticConfig.preset("demo")
    design = make_design(config)
    cells_WL = design.expected_cells_WL
    is_rare = np.array([line.is_rare for line in design.lines])

    assert cells_WL.sum() == pytest.approx(config.n_cells)
    assert cells_WL[:, is_rare].mean() < 0.05 * cells_WL[:, ~is_rare].mean()
    common = cells_WL[:, ~is_rare]
    assert np.quantile(common, 0.95) > 4 * np.quantile(common, 0.05)
