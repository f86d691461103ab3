"""What holds for generated screens of any size and seed."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drug_pipeline.domain.names import CONTROL_DRUG
from drug_pipeline.synthetic.cells import entry_lists, place_cells
from drug_pipeline.synthetic.config import MAX_DRUGS, MAX_LINES, N_TRAP_DRUGS, SyntheticConfig
from drug_pipeline.synthetic.design import make_design

COUNTS = arrays(
    np.int64,
    st.tuples(st.integers(1, 30), st.integers(1, 12)),
    elements=st.integers(0, 5),
)
CONFIGS = st.builds(
    SyntheticConfig,
    seed=st.integers(0, 2**32 - 1),
    n_cells=st.integers(1, 3_000),
    n_drugs=st.integers(N_TRAP_DRUGS, MAX_DRUGS),
    n_lines=st.integers(5, MAX_LINES),
    n_panels=st.integers(1, 6),
)


@given(counts_CG=COUNTS, seed=st.integers(0, 100))
def test_adding_up_the_entries_of_a_cell_gives_its_counts(counts_CG, seed):
    tokens_G = 3 + 2 * np.arange(counts_CG.shape[1])

    tokens, values = entry_lists(counts_CG, tokens_G, np.random.default_rng(seed))

    for row, (cell_tokens, cell_values) in enumerate(
        zip(tokens.to_pylist(), values.to_pylist(), strict=True)
    ):
        assert (cell_tokens[0], cell_values[0]) == (1, -2.0)
        assert min(cell_values[1:], default=1) >= 1
        assert cell_tokens == sorted(cell_tokens)
        dense_G = np.zeros(counts_CG.shape[1])
        np.add.at(dense_G, (np.array(cell_tokens[1:], int) - 3) // 2, cell_values[1:])
        np.testing.assert_array_equal(dense_G, counts_CG[row])


@settings(max_examples=25, deadline=None)
@given(config=CONFIGS)
def test_every_drug_is_tested_at_every_dose_and_every_plate_has_its_controls(config):
    design = make_design(config)
    tested = {(well.drug, well.dose_um) for well in design.wells} - {(CONTROL_DRUG, 0.0)}
    controls = Counter(well.plate for well in design.wells if well.drug == CONTROL_DRUG)

    assert len(tested) == 3 * config.n_drugs
    assert set(controls.values()) == {2}
    assert len(controls) == len(design.plates) == 3 * config.n_panels + 2


@settings(max_examples=25, deadline=None)
@given(config=CONFIGS)
def test_barcodes_are_unique_over_all_plates(config):
    design = make_design(config)

    plates = [place_cells(design, plate, config) for plate in design.plates]

    barcodes = [barcode for cells in plates for barcode in cells.barcodes]
    assert len(set(barcodes)) == len(barcodes)
