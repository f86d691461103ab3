"""Rankers over measured conditions: cosines and the whitened cosine."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from drug_pipeline.domain.errors import CheckpointError, ConfigurationError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import (
    Conditions,
    Features,
    MeasuredConditions,
    Queries,
    measured_rankers,
    restored_ranker,
)
from drug_pipeline.linear.rankers import sda_cosine
from drug_pipeline.linear.rankers.cosine import CentredCosine, RawCosine
from drug_pipeline.linear.rankers.gallery import UNKNOWN_SCORE
from drug_pipeline.linear.rankers.rank_cosine import (
    RankCosine,
    clipped_values,
    is_list,
    normal_scores,
)
from drug_pipeline.linear.rankers.sda_cosine import SdaCosine, shrunk_correlation
from drug_pipeline.linear.rankers.whitening import LdaCosine, space_of, whitening

LINES = ("l1", "l2", "l3")
GALLERY = ["a", "b", "c", "never"]


def embedding(keys: tuple[str, ...]) -> EmbeddingTable:
    return EmbeddingTable(
        key_name="key",
        keys=keys,
        vectors_KF=np.eye(len(keys), dtype=np.float32),
        feature_names=tuple(keys),
        blocks={},
        trained_on="a test",
    )


FEATURES = Features(
    drugs=embedding(("a", "b", "c")),
    cell_lines=embedding(LINES),
    lines=LINES,
    control_LG=np.zeros((3, 4), dtype=np.float32),
)


def measured(drug_N: np.ndarray, line_N: np.ndarray, delta_NG: np.ndarray) -> MeasuredConditions:
    return MeasuredConditions(
        conditions=Conditions.unmeasured(drug_N, line_N, 5.0),
        delta_NG=delta_NG.astype(np.float32),
        weight_N=np.ones(len(drug_N)),
    )


def screen(rng: np.random.Generator, n_genes: int = 12, noise: float = 0.0) -> MeasuredConditions:
    """Three drugs in three lines; a shared line effect far larger than the drugs' own."""
    drugs = np.repeat(["a", "b", "c"], 3)
    lines = np.tile(LINES, 3)
    drug_effect = dict(zip("abc", rng.normal(size=(3, n_genes)), strict=True))
    line_effect = dict(zip(LINES, 5 * rng.normal(size=(3, n_genes)), strict=True))
    delta_NG = np.stack(
        [drug_effect[d] + line_effect[line] for d, line in zip(drugs, lines, strict=True)]
    )
    delta_NG += noise * rng.normal(size=delta_NG.shape)
    return measured(drugs, lines, delta_NG)


def queries(signature_QG: np.ndarray, lines: list[str]) -> Queries:
    return Queries(
        signature_QG=signature_QG.astype(np.float32),
        line_Q=np.asarray(lines),
        plate_Q=np.full(len(lines), ""),
    )


def test_raw_cosine_is_the_best_cosine_over_the_conditions_of_a_drug():
    known = screen(np.random.default_rng(0))
    delta_NG = known.delta_NG
    ranker = RawCosine().fit(known)
    query_G = delta_NG[4]
    cosine_N = delta_NG @ query_G / np.linalg.norm(delta_NG, axis=1) / np.linalg.norm(query_G)

    scores = ranker.scores(queries(query_G[None], ["l2"]), GALLERY)

    expected = [cosine_N[0:3].max(), cosine_N[3:6].max(), cosine_N[6:9].max(), UNKNOWN_SCORE]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5)


def test_centring_takes_out_what_all_drugs_of_a_line_share():
    known = screen(np.random.default_rng(1))
    ranker = CentredCosine().fit(known)

    scores = ranker.scores(queries(known.delta_NG, list(known.conditions.line_N)), ["a", "b", "c"])

    np.testing.assert_allclose(scores[np.arange(9), np.repeat([0, 1, 2], 3)], 1.0, atol=1e-4)
    assert (np.sort(scores, axis=1)[:, 1] < 0.99).all()


def test_a_gene_that_varies_more_counts_no_more_once_scaled():
    known = screen(np.random.default_rng(2))
    loud_NG = known.delta_NG.copy()
    loud_NG[:, 0] *= 100

    def scores(values_NG):
        ranker = CentredCosine(is_scaled=True).fit(known.with_delta(values_NG))
        return ranker.scores(queries(values_NG, list(known.conditions.line_N)), ["a", "b", "c"])

    np.testing.assert_allclose(scores(loud_NG), scores(known.delta_NG), atol=1e-3)


def test_whitening_makes_the_scatter_within_compounds_round():
    rng = np.random.default_rng(3)
    parent_N = np.repeat(["a", "b"], 500)
    scores_NK = rng.normal(size=(1000, 3)) * [1.0, 5.0, 25.0] + (parent_N == "a")[:, None]

    scored = measured(parent_N, np.full(1000, "l1"), scores_NK).with_delta(scores_NK)

    whitening_KK = whitening(scored, shrinkage=0.0)

    white_NK = scores_NK @ whitening_KK
    residual_NK = white_NK - np.where(
        (parent_N == "a")[:, None],
        white_NK[parent_N == "a"].mean(axis=0),
        white_NK[parent_N == "b"].mean(axis=0),
    )
    np.testing.assert_allclose(residual_NK.T @ residual_NK / 1000, np.eye(3), atol=1e-8)


def nuisance_screen(
    rng: np.random.Generator, n_drugs: int = 20, n_lines: int = 6
) -> MeasuredConditions:
    """Drugs that differ in a few quiet genes, under a loud gene programme that is pure noise."""
    drug_N = np.repeat([f"d{number}" for number in range(n_drugs)], n_lines)
    line_N = np.tile([f"l{number}" for number in range(n_lines)], n_drugs)
    quiet_NG = np.repeat(rng.normal(size=(n_drugs, 30)), n_lines, axis=0)
    loud_NG = 6 * rng.normal(size=(len(drug_N), 3)) @ rng.normal(size=(3, 30))
    delta_NG = quiet_NG + loud_NG + 0.3 * rng.normal(size=(len(drug_N), 30))
    return measured(drug_N, line_N, delta_NG)


@pytest.mark.parametrize(
    "whitened",
    [LdaCosine(), LdaCosine(is_nearest=True), SdaCosine()],
    ids=lambda ranker: ranker.name,
)
def test_whitened_cosine_finds_drugs_under_a_loud_shared_programme(whitened):
    known = nuisance_screen(np.random.default_rng(4))
    conditions = known.conditions
    is_query = conditions.line_N == "l5"
    gallery = sorted(set(conditions.drug_N))
    own_Q = np.searchsorted(gallery, conditions.drug_N[is_query])

    def hits(ranker):
        ranker.fit(known.take(~is_query))
        asked = queries(known.delta_NG[is_query], ["l5"] * int(is_query.sum()))
        return (ranker.scores(asked, gallery).argmax(axis=1) == own_Q).mean()

    assert hits(whitened) >= 0.9
    assert hits(CentredCosine()) <= 0.6


def test_correlations_are_shrunk_by_their_sampling_variance():
    rng = np.random.default_rng(6)
    shared_N1 = rng.normal(size=(400, 1))
    apart_NG, alike_NG = rng.normal(size=(400, 8)), rng.normal(size=(400, 8)) + 2 * shared_N1

    def shrunk(values_NG, n):
        scaled_NG = values_NG[:n] / np.sqrt(np.mean(values_NG[:n] ** 2, axis=0))
        return shrunk_correlation(scaled_NG, np.ones(n))

    # Worked by hand for two genes: r, and the variance of the products over n - 1.
    pair_NG = apart_NG[:5, :2] / np.sqrt(np.mean(apart_NG[:5, :2] ** 2, axis=0))
    product_N = pair_NG[:, 0] * pair_NG[:, 1]
    by_hand = min(product_N.var() / 4 / product_N.mean() ** 2, 1.0)
    assert shrunk(apart_NG[:, :2], 5)[1] == pytest.approx(by_hand)
    assert shrunk(apart_NG, 400)[1] > 0.5
    correlation_GG, shrinkage = shrunk(alike_NG, 400)
    assert shrinkage < 0.02 < shrunk(alike_NG, 40)[1]
    np.testing.assert_allclose(np.diag(correlation_GG), 1.0)
    assert correlation_GG[0, 1] == pytest.approx(0.8, abs=0.05)


def test_correlations_are_the_same_added_up_in_parts(monkeypatch):
    values_NG = np.random.default_rng(9).normal(size=(50, 6))
    values_NG /= np.sqrt(np.mean(values_NG**2, axis=0))
    whole_GG, whole = shrunk_correlation(values_NG, np.arange(1.0, 51.0))
    monkeypatch.setattr(sda_cosine, "ROWS_AT_ONCE", 7)

    parts_GG, parts = shrunk_correlation(values_NG, np.arange(1.0, 51.0))

    assert parts == pytest.approx(whole)
    np.testing.assert_allclose(parts_GG, whole_GG)


def test_without_a_compound_measured_twice_or_with_a_gene_that_never_varies_there_are_scores():
    known = screen(np.random.default_rng(8), noise=0.3)
    known.delta_NG[:, 3] = 0.0
    line_N = known.conditions.line_N
    once = line_N == "l1"
    for is_known in (once, np.ones(9, dtype=bool)):
        ranker = SdaCosine().fit(known.take(is_known))
        scores = ranker.scores(queries(known.delta_NG, list(line_N)), ["a", "b", "c"])
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores[once].argmax(axis=1), [0, 1, 2])


def test_every_ranker_comes_back_from_its_arrays_with_the_same_scores():
    known = screen(np.random.default_rng(5), noise=0.5)
    asked = queries(known.delta_NG, list(known.conditions.line_N))
    for ranker in measured_rankers("pair"):
        ranker.fit(known)
        again = restored_ranker(ranker.name, ranker.state(), FEATURES)
        np.testing.assert_array_equal(again.scores(asked, GALLERY), ranker.scores(asked, GALLERY))


@pytest.mark.parametrize("ranker", measured_rankers("pair"), ids=lambda ranker: ranker.name)
def test_scores_are_finite_for_constant_signatures_new_lines_and_one_condition_a_drug(ranker):
    known = screen(np.random.default_rng(6)).take(np.asarray([0, 4, 8]))
    known.delta_NG[0] = 0.0
    ranker.fit(known)

    scores = ranker.scores(queries(np.zeros((1, 12)), ["a new line"]), GALLERY)

    assert np.isfinite(scores).all()
    assert scores[0, 3] == UNKNOWN_SCORE


def test_elsewhere_a_drug_is_found_though_wrong_ones_fill_the_own_line():
    rng = np.random.default_rng(8)
    plain = nuisance_screen(np.random.default_rng(4))
    conditions, delta_NG = plain.conditions, plain.delta_NG
    is_own = conditions.line_N == "l5"
    right_drug = sorted(set(conditions.drug_N))[0]
    is_asked = is_own & (conditions.drug_N == right_drug)
    # The line answers in a way of its own, which its training mean does not take off.
    delta_NG = delta_NG + np.where(is_own[:, None], 4.0 * delta_NG[is_asked].mean(axis=0), 0.0)
    delta_NG[is_own] *= 1.0 + 0.5 * rng.normal(size=(int(is_own.sum()), 1))
    known = plain.with_delta(delta_NG.astype(np.float32)).take(~is_asked)
    asked = queries(delta_NG[is_asked], ["l5"] * int(is_asked.sum()))
    gallery = sorted(set(conditions.drug_N))

    def cosines(ranker):
        ranker.fit(known)
        return ranker.scores(asked, gallery)

    everywhere, elsewhere = (
        cosines(LdaCosine(is_nearest=True)),
        cosines(LdaCosine(is_elsewhere=True)),
    )
    assert (elsewhere[:, 0] == everywhere[:, 0]).all()  # all its profiles are elsewhere
    assert (elsewhere <= everywhere).all()
    assert (elsewhere[:, 1:] < everywhere[:, 1:]).any()


def test_a_drug_of_the_own_line_alone_is_not_known_elsewhere():
    known = screen(np.random.default_rng(6))
    conditions, delta_NG = known.conditions, known.delta_NG
    lonely, line = conditions.drug_N[0], conditions.line_N[0]
    kept = (conditions.drug_N != lonely) | (conditions.line_N == line)
    ranker = LdaCosine(is_elsewhere=True).fit(known.take(kept))

    here, there = ranker.scores(queries(delta_NG[[0, 0]], [line, "a new line"]), [lonely])

    assert here == UNKNOWN_SCORE
    assert there > UNKNOWN_SCORE


def test_a_space_that_is_made_already_gives_the_same_ranker_and_is_not_carried_along():
    known = replace(screen(np.random.default_rng(6), noise=0.5), weight_N=np.arange(1.0, 10.0))
    space = space_of(known)

    for alone, sharing in zip(
        measured_rankers("pair"), measured_rankers("pair", space), strict=True
    ):
        alone.fit(known)
        sharing.fit(known)
        assert len(pickle.dumps(sharing)) == len(pickle.dumps(alone))
        for name, values in alone.state().items():
            np.testing.assert_array_equal(sharing.state()[name], values)


def test_a_space_of_other_conditions_is_refused():
    known = screen(np.random.default_rng(6), noise=0.5)
    space = space_of(known.take(np.arange(6)))

    with pytest.raises(AssertionError, match="a space of other conditions"):
        LdaCosine(space=space).fit(known)


def test_a_ranker_asked_before_it_is_fitted_says_so():
    with pytest.raises(CheckpointError, match="raw_cosine was asked before it was fitted"):
        RawCosine().scores(queries(np.zeros((1, 12)), ["l1"]), GALLERY)


def test_a_ranker_that_is_not_known_is_named():
    with pytest.raises(ConfigurationError, match="no ranker 'magic'; known: raw_cosine"):
        restored_ranker("magic", {}, FEATURES)


def atlas(rng: np.random.Generator, n_genes: int = 60, n_drugs: int = 12) -> MeasuredConditions:
    """Drugs in three lines: a response of each line, one of each drug, and scatter of some genes."""
    drugs = np.repeat([f"d{number:02d}" for number in range(n_drugs)], 3)
    lines = np.tile(LINES, n_drugs)
    effect_DG = np.repeat(rng.normal(size=(n_drugs, n_genes)), 3, axis=0)
    line_LG = np.tile(2.0 * rng.normal(size=(3, n_genes)), (n_drugs, 1))
    scatter_NG = rng.normal(size=(len(drugs), n_genes)) * np.where(
        np.arange(n_genes) < 20, 3.0, 0.3
    )
    return measured(drugs, lines, effect_DG + line_LG + scatter_NG)


def own_ranks(ranker, known: MeasuredConditions, change=lambda signature_QG: signature_QG):
    """Scores of a condition's own drug and of all drugs, the condition asked as it is changed."""
    gallery = sorted(set(known.conditions.drug_N))
    return ranker.scores(queries(change(known.delta_NG), list(known.conditions.line_N)), gallery)


def test_normal_scores_are_quantiles_of_the_mid_ranks():
    scores = normal_scores(np.array([[3.0, 1.0, 1.0, 9.0]]))

    expected = norm.ppf((np.array([3.0, 1.5, 1.5, 4.0]) - 0.5) / 4)
    np.testing.assert_allclose(scores[0], expected, rtol=1e-6)


def test_clipped_values_are_within_three_rms_and_have_mean_zero():
    values_NG = np.zeros((1, 100))
    values_NG[0, :2] = 10.0, -1.0
    rms = np.sqrt(101 / 100)

    clipped = clipped_values(values_NG)

    expected = np.zeros(100)
    expected[:2] = 3.0, -1.0 / rms
    np.testing.assert_allclose(clipped[0], expected - expected.mean(), rtol=1e-5)


def test_a_profile_of_mostly_one_value_is_a_list():
    lists_QG = np.array([[0.0] * 8 + [1.0, -1.0], list(range(10)), [0.0] * 5 + [1, 2, 3, 4, 5]])

    assert is_list(lists_QG).tolist() == [True, False, False]


@pytest.mark.parametrize("factor", [0.1, 1 / np.log(2), 10.0])
@pytest.mark.parametrize("make", [RankCosine, LdaCosine, SdaCosine], ids=["rank", "lda", "sda"])
def test_the_unit_of_a_query_changes_no_score(make, factor):
    known = atlas(np.random.default_rng(3))
    ranker = make().fit(known)

    plain_QD = own_ranks(ranker, known)

    scaled_QD = own_ranks(ranker, known, lambda signature_QG: factor * signature_QG)
    np.testing.assert_allclose(scaled_QD, plain_QD, atol=2e-5)


def test_any_rising_scale_of_a_query_gives_the_same_rank_cosine():
    known = atlas(np.random.default_rng(4))
    ranker = RankCosine().fit(known)

    bent_QD = own_ranks(ranker, known, lambda signature_QG: np.sinh(signature_QG))

    np.testing.assert_allclose(bent_QD, own_ranks(ranker, known), atol=1e-5)


def test_rank_cosine_finds_drugs_where_plain_cosine_drowns_in_scatter():
    rng = np.random.default_rng(5)
    known = atlas(rng)
    is_known_N = np.arange(len(known)) % 3 != 0
    drug_N = known.conditions.drug_N[~is_known_N]
    gallery = sorted(set(known.conditions.drug_N))
    asked = queries(known.delta_NG[~is_known_N], list(known.conditions.line_N[~is_known_N]))

    def found(ranker) -> float:
        best_Q = ranker.fit(known.take(is_known_N)).scores(asked, gallery).argmax(axis=1)
        return float(np.mean(np.asarray(gallery)[best_Q] == drug_N))

    assert found(RankCosine()) > found(RawCosine()) + 0.2


def test_genes_that_a_query_does_not_have_are_left_out_on_both_sides():
    known = atlas(np.random.default_rng(6))
    is_given_G = np.arange(60) % 3 > 0
    missing_NG = np.where(is_given_G, known.delta_NG, np.nan)
    wrong_NG = np.where(is_given_G, known.delta_NG, 50.0)
    ranker = RankCosine().fit(known)

    missing_QD, zero_QD, wrong_QD = (
        own_ranks(ranker, known, lambda _, given=given: given)
        for given in (missing_NG, np.nan_to_num(missing_NG), wrong_NG)
    )

    gallery = np.array(sorted(set(known.conditions.drug_N)))
    right_QD = known.conditions.drug_N[:, None] == gallery
    assert missing_QD[right_QD].min() > 0.9  # its own row, on the genes it has
    assert zero_QD[right_QD].mean() < missing_QD[right_QD].mean() - 0.05
    assert wrong_QD[right_QD].mean() < missing_QD[right_QD].mean() - 0.05


def test_predicted_profiles_are_compared_as_measured_ones_are():
    known = atlas(np.random.default_rng(7))
    ranker = RankCosine().fit(known)
    asked = queries(known.delta_NG[:5], list(known.conditions.line_N[:5]))
    order = np.argsort(known.conditions.drug_N, kind="stable")

    compared_QR = ranker.compare(asked, known.delta_NG[order], known.conditions.line_N[order])

    np.testing.assert_allclose(compared_QR, ranker._cosines(asked, ranker.state()), atol=0.01)


def test_rank_cosine_without_repeated_compounds_still_ranks():
    known = atlas(np.random.default_rng(8)).take(np.arange(0, 36, 3))
    scores_QD = own_ranks(RankCosine().fit(known), known)

    assert np.array_equal(scores_QD.argmax(axis=1), np.arange(12))
