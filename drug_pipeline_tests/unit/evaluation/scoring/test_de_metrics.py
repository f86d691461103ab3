"""Metrics over the genes that change, by hand and by one-line references."""

import numpy as np
import pytest
from scipy import stats

from drug_pipeline.evaluation.scoring import de_metrics


def test_overlap_and_direction_by_hand() -> None:
    measured = np.array([[5.0, -4.0, 3.0, 0.1, 0.0]])
    predicted = np.array([[2.0, 3.0, 0.0, -1.0, 0.0]])

    # top 2 measured: genes 0, 1; top 2 predicted: genes 1, 0
    assert de_metrics.overlap_at(predicted, measured, 2)[0] == pytest.approx(1.0)
    # top 3 measured: 0, 1, 2; top 3 predicted: 1, 0, 3
    assert de_metrics.overlap_at(predicted, measured, 3)[0] == pytest.approx(2 / 3)
    # signs of genes 0, 1, 2: right, wrong, silent
    assert de_metrics.direction_at(predicted, measured, 3)[0] == pytest.approx((1 + 0 + 0.5) / 3)


def test_genes_tied_at_the_edge_share_the_places_left() -> None:
    measured = np.array([[4.0, 3.0, 2.0, 1.0]])

    assert de_metrics.overlap_at(np.zeros((1, 4)), measured, 2)[0] == pytest.approx(2 / 4)
    assert de_metrics.overlap_at(np.array([[9.0, 1, 1, 1]]), measured, 2)[0] == pytest.approx(2 / 3)
    assert de_metrics.direction_at(np.zeros((1, 4)), measured, 2)[0] == pytest.approx(0.5)


def test_k_beyond_the_genes_means_all_genes_and_k_below_one_is_refused() -> None:
    measured = np.array([[4.0, 3.0]])

    assert de_metrics.overlap_at(-measured, measured, 99)[0] == 1.0
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        de_metrics.overlap_at(measured, measured, 0)


def test_genes_are_called_by_a_z_test_at_5_percent_false_discoveries() -> None:
    rng = np.random.default_rng(0)
    delta, se = rng.normal(size=(4, 60)), rng.uniform(0.1, 1.0, size=(4, 60))
    se[0, :5], se[1, 7], se[2] = 0.0, np.nan, np.nan  # never seen to vary, one cell, no test at all

    called = de_metrics.called_de(delta, se)

    for row in (0, 1, 3):
        is_tested = np.isfinite(se[row]) & (se[row] > 0)
        p = np.ones(60)
        p[is_tested] = 2 * stats.norm.sf(np.abs(delta[row, is_tested]) / se[row, is_tested])
        expected = stats.false_discovery_control(p) < 0.05
        np.testing.assert_array_equal(called[row], expected)
        assert 0 < expected.sum() < 60
    assert np.isnan(called[2]).all()


def test_jaccard_and_sign_fidelity_by_hand() -> None:
    measured = np.array([[3.0, -3.0, 2.0, 0.1, 0.0, 0.0]] * 3)
    predicted = np.array([[3.0, 3.0, 0.0, -3.0, 2.0, 0.0], [0.0] * 6, [0.0] * 6])
    measured_called = np.array([[1.0, 1, 1, 0, 0, 0], [1.0, 1, 1, 0, 0, 0], [0.0] * 6])
    predicted_called = np.array([[1.0, 1, 0, 1, 1, 0], [0.0] * 6, [0.0] * 6])

    jaccard = de_metrics.de_jaccard(predicted_called, measured_called)
    fidelity = de_metrics.sign_fidelity(predicted, measured, predicted_called, measured_called)

    # both call genes 0, 1; either 0 to 4. Silence: 0 where there is something, 1 where nothing is
    np.testing.assert_allclose(jaccard, [2 / 5, 0.0, 1.0])
    # of genes 0, 1, 3 (4 has no measured sign) the first alone is right; three are called measured
    np.testing.assert_allclose(fidelity, [1 / 3, 0.0, np.nan])


def test_calling_more_genes_than_there_are_costs_sign_fidelity() -> None:
    measured = np.array([[1.0, 1.0, 1.0, 1.0]])
    called, all_called = np.array([[1.0, 0, 0, 0]]), np.ones((1, 4))

    over = de_metrics.sign_fidelity(np.array([[1.0, 1, -1, -1]]), measured, all_called, called)

    assert over[0] == 2 / 4


def test_lfc_nmae_by_hand_in_any_base_and_with_too_few_genes() -> None:
    measured = np.tile(np.array([[2.0, -2.0]]), (1, 6))
    predicted = np.tile(np.array([[1.0, 2.0]]), (1, 6))
    called = np.array([[1.0] * 10 + [0.0] * 2])

    # |1 - 2| and |2 + 2| in turn: mean 2.5, over a mean size of 2
    assert de_metrics.lfc_nmae(predicted, measured, called)[0] == pytest.approx(2.5 / 2)
    in_log2 = de_metrics.lfc_nmae(predicted / np.log(2), measured / np.log(2), called)
    assert in_log2[0] == pytest.approx(2.5 / 2)
    assert de_metrics.lfc_nmae(0 * measured, measured, called)[0] == 1.0
    called[0, 0] = 0.0
    assert np.isnan(de_metrics.lfc_nmae(predicted, measured, called)).all()


def test_a_condition_whose_genes_cannot_be_tested_has_no_de_metric() -> None:
    delta, se = np.ones((1, 12)), np.full((1, 12), np.nan)
    called = de_metrics.called_de(delta, se)

    for value in (
        de_metrics.de_jaccard(called, called),
        de_metrics.sign_fidelity(delta, delta, called, called),
        de_metrics.lfc_nmae(delta, delta, called),
    ):
        assert np.isnan(value).all()
