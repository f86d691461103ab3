import numpy as np
import pytest

from drug_pipeline.evaluation.ablation.gene_neighbours import (
    agreement,
    correlation,
    enrichment,
    likeness,
    main_components,
)
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig

CONFIG = BootstrapConfig(n_resamples=200)
N_SETS, PER_SET = 6, 20
SYMBOLS = [f"G{number}" for number in range(N_SETS * PER_SET)]
SETS = {
    f"set {number}": SYMBOLS[number * PER_SET : (number + 1) * PER_SET] for number in range(N_SETS)
}


@pytest.fixture
def clustered() -> np.ndarray:
    """Vectors of six sets of genes, each around a direction of its own."""
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(N_SETS), PER_SET, axis=0)
    return (centres + 0.05 * rng.normal(size=centres.shape)).astype(np.float32)


def test_neighbours_within_sets_are_enriched_by_the_inverse_of_chance(clustered):
    found = enrichment(clustered, SYMBOLS, SETS, CONFIG)

    assert found.ratio == pytest.approx((N_SETS * PER_SET - 1) / (PER_SET - 1), rel=0.02)
    assert found.low > 6
    assert found.p == pytest.approx(1 / 1001)
    assert (found.n_genes, found.n_sets) == (120, 6)


def test_random_vectors_are_not_enriched():
    vectors = np.random.default_rng(1).normal(size=(120, 16)).astype(np.float32)

    found = enrichment(vectors, SYMBOLS, SETS, CONFIG)

    assert found.low < 1 < found.high
    assert found.p > 0.05


def test_genes_in_no_set_take_no_part(clustered):
    rng = np.random.default_rng(2)
    with_others = np.vstack([clustered, rng.normal(size=(200, N_SETS))]).astype(np.float32)
    symbols = [*SYMBOLS, *(f"other{number}" for number in range(200))]

    assert enrichment(with_others, symbols, SETS, CONFIG) == enrichment(
        clustered, SYMBOLS, SETS, CONFIG
    )


def test_with_too_few_genes_in_sets_nothing_is_said(clustered):
    few = {"one": SYMBOLS[:PER_SET]}

    assert enrichment(clustered, SYMBOLS, few, CONFIG) is None
    assert enrichment(clustered, SYMBOLS, {}, CONFIG) is None


def test_vectors_agree_fully_with_their_own_likeness_and_not_with_another(clustered):
    other = np.random.default_rng(3).normal(size=(120, 16)).astype(np.float32)

    assert agreement(clustered, likeness(clustered), CONFIG).value == pytest.approx(1.0)
    assert abs(agreement(other, likeness(clustered), CONFIG).value) < 0.05
    assert agreement(clustered, None, CONFIG) is None


def test_correlation_over_profiles_is_that_of_numpy_and_wants_five():
    profiles = np.random.default_rng(4).normal(size=(9, 7)).astype(np.float32)

    np.testing.assert_allclose(correlation(profiles), np.corrcoef(profiles.T), atol=1e-6)
    assert correlation(profiles[:4]) is None


def test_main_components_reproduce_the_covariance():
    delta = np.random.default_rng(5).normal(size=(40, 8)).astype(np.float32)

    loadings = main_components(delta, 8).astype(np.float64)

    centred = delta - delta.mean(axis=0)
    np.testing.assert_allclose(loadings @ loadings.T, centred.T @ centred, rtol=1e-3, atol=1e-3)
