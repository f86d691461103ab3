import numpy as np
import pytest

from drug_pipeline.domain.names import TARGET_SUM
from drug_pipeline.synthetic.cells import draw_counts_CG
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import make_design
from drug_pipeline.synthetic.genes import make_genes
from drug_pipeline.synthetic.measurement import (
    DISPERSION_SHAPE,
    LIBRARY_SD,
    expected_log1p_cp10k,
    log_softmax,
)
from drug_pipeline.synthetic.truth import make_truth

CONFIG = SyntheticConfig.preset("tiny")
DESIGN = make_design(CONFIG)
GENES = make_genes(DESIGN.compounds, DESIGN.lines, CONFIG)


@pytest.fixture(scope="module")
def truth():
    return make_truth(DESIGN, GENES, CONFIG)


def test_the_truth_is_what_very_many_cells_measure(truth):
    rng = np.random.default_rng(0)
    n_cells = 20_000
    names = [compound.name for compound in DESIGN.compounds]
    drug, dose, line = names.index("Trametinib"), 2, 0
    true_G = truth.delta_DXLG[drug, dose, line]
    means = []
    for change_G in (truth.change_DXLG[drug, dose, line], 0.0):
        share_G = np.exp(log_softmax(truth.base_LG[line] + change_G)).astype(np.float32)
        library_C = CONFIG.median_umi * np.exp(rng.normal(0.0, LIBRARY_SD, n_cells))
        counts_CG = draw_counts_CG(np.tile(share_G, (n_cells, 1)), library_C, rng)
        total_C = counts_CG.sum(axis=1, keepdims=True)
        means.append(np.log1p(TARGET_SUM * counts_CG / total_C).mean(axis=0))

    measured_G = means[0] - means[1]

    assert np.abs(true_G).max() > 1.0
    np.testing.assert_allclose(measured_G, true_G, atol=0.07)
    assert np.mean(measured_G - true_G) == pytest.approx(0.0, abs=0.004)


@pytest.mark.parametrize("share", [2e-4, 2e-3])
def test_the_expected_log_is_the_mean_over_counts_and_library_sizes(share):
    rng = np.random.default_rng(0)
    library_N = 2_000.0 * np.exp(rng.normal(0.0, LIBRARY_SD, 400_000))
    mean_N = share * library_N
    counts_N = rng.negative_binomial(DISPERSION_SHAPE, 1.0 / (1.0 + mean_N / DISPERSION_SHAPE))

    expected = expected_log1p_cp10k(2_000.0)(np.log(share))

    drawn = np.log1p(TARGET_SUM * counts_N / library_N).mean()
    assert expected == pytest.approx(drawn, abs=0.006)


def test_the_expected_log_of_an_absent_gene_is_zero_and_grows_with_its_share():
    expected = expected_log1p_cp10k(2_000.0)

    values = expected(np.log([1e-8, 1e-4, 1e-3, 1e-2]))

    assert values[0] == pytest.approx(0.0, abs=1e-3)
    assert np.all(np.diff(values) > 0)
    assert values[-1] < np.log1p(TARGET_SUM * 1e-2)  # Jensen: noise lowers the mean of a log


def test_the_set_share_of_conditions_has_exactly_no_effect(truth):
    is_null = ~np.any(truth.delta_DXLG != 0.0, axis=-1)

    assert np.mean(is_null) == pytest.approx(CONFIG.null_frac, abs=0.01)


def test_effects_grow_with_dose(truth):
    rms_X = np.sqrt(np.mean(np.square(truth.delta_DXLG), axis=(0, 2, 3)))

    assert rms_X[0] < 0.5 * rms_X[2]
    assert rms_X[0] < rms_X[1] < rms_X[2]


def test_twins_act_alike(truth):
    names = [compound.name for compound in DESIGN.compounds]
    for one, other in [
        ("Trametinib", "Trametinib (DMSO_TF solvate)"),
        ("crizotinib", "Crizotinib (hydrochloride)"),
        ("Doxorubicin (hydrochloride)", "Epirubicin (hydrochloride)"),
    ]:
        np.testing.assert_array_equal(
            truth.delta_DXLG[names.index(one)], truth.delta_DXLG[names.index(other)]
        )


def test_a_drug_and_a_line_do_not_simply_add_up():
    config = SyntheticConfig.preset("demo", n_genes=300)
    design = make_design(config)
    delta_DLG = make_truth(
        design, make_genes(design.compounds, design.lines, config), config
    ).delta_DXLG[:, 2]

    centred = delta_DLG - delta_DLG.mean(axis=0)
    additive = delta_DLG.mean(axis=1, keepdims=True) - delta_DLG.mean(axis=(0, 1))
    interaction_frac = 1.0 - np.sum(np.square(additive)) * len(design.lines) / np.sum(
        np.square(centred)
    )

    assert 0.2 < interaction_frac < 0.6


def test_a_mek_inhibitor_lowers_dusp6_in_every_line_it_acts_on(truth):
    names = [compound.name for compound in DESIGN.compounds]
    dusp6 = GENES.expressed_symbols.index("DUSP6")
    pyridoxine_L = truth.delta_DXLG[names.index("Pyridoxine"), 2, :, dusp6]

    trametinib_L = truth.delta_DXLG[names.index("Trametinib"), 2, :, dusp6]

    assert np.median(trametinib_L) < -0.3
    assert np.abs(pyridoxine_L).max() < 0.2


def test_without_effects_all_truth_is_zero():
    config = SyntheticConfig.preset("tiny", effect_scale=0.0)

    truth = make_truth(DESIGN, GENES, config)

    assert not truth.delta_DXLG.any()
