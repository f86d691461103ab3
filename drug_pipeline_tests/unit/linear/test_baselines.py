"""Each linear model says what its name says: worked numbers, references, planted structure."""

from dataclasses import replace

import numpy as np
import pytest
from rdkit import DataStructs
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression

from drug_pipeline.domain.blocks import DRUG_BLOCKS
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions, Features, TrainingRecord, predictors_for
from drug_pipeline.linear.chemistry import TanimotoKernelRidge, TanimotoNeighbours, treatment_kernel
from drug_pipeline.linear.dose import between_doses
from drug_pipeline.linear.kernel_ridge.kernels import block_likeness, tanimoto
from drug_pipeline.linear.lines import dual_weights
from drug_pipeline.linear.means import Zero, additive, drug_mean, global_mean, line_mean
from drug_pipeline.linear.panel import ridge_paths
from drug_pipeline.linear.tuning.grid import Grid

N_DRUGS, N_LINES, N_GENES = 24, 8, 16
DRUGS = np.array([f"drug{number:02}" for number in range(N_DRUGS)])
LINES = np.array([f"line{number}" for number in range(N_LINES)])
RNG = np.random.default_rng(5)
GROUP_D = np.arange(N_DRUGS) % 4
"""Four chemical series: what a drug does follows its series, and its series shows in its bits."""
SERIES_BITS = RNG.poisson(2.0, (4, 30))
MORGAN_DF = (SERIES_BITS[GROUP_D] + RNG.poisson(0.1, (N_DRUGS, 30))).astype(np.float32)
PLACE_L2 = RNG.normal(size=(N_LINES, 2))


ALL = Conditions.unmeasured(np.repeat(DRUGS, N_LINES), np.tile(LINES, N_DRUGS), 5.0)
DRUG_N, LINE_N = np.repeat(np.arange(N_DRUGS), N_LINES), np.tile(np.arange(N_LINES), N_DRUGS)


def features(control_LG: np.ndarray | None = None) -> Features:
    flat_LG = np.ones((N_LINES, N_GENES), dtype=np.float32)
    return Features(
        drugs=EmbeddingTable(
            key_name="drug",
            keys=tuple(DRUGS),
            vectors_KF=np.hstack([MORGAN_DF, MORGAN_DF[:, :2]]),
            feature_names=tuple(f"f{number}" for number in range(32)),
            blocks={"morgan": (0, 30), "descriptors": (30, 32)},
            trained_on="nothing",
        ),
        cell_lines=EmbeddingTable(
            key_name="cell_line_id",
            keys=tuple(LINES),
            vectors_KF=PLACE_L2.astype(np.float32),
            feature_names=("pc0", "pc1"),
            blocks={"control_pca": (0, 2)},
            trained_on="controls",
        ),
        lines=tuple(LINES),
        control_LG=(flat_LG if control_LG is None else control_LG).astype(np.float32),
    )


def record_of(conditions, delta_NG, weight_N, known=None) -> TrainingRecord:
    return TrainingRecord(
        conditions=conditions,
        delta_NG=delta_NG.astype(np.float32),
        weight_N=weight_N,
        features=known or features(),
    )


def fitted(predictor, kept_N, delta_NG, known=None):
    return predictor.fit(record_of(ALL, delta_NG, np.ones(len(ALL)), known).take(kept_N))


def rms_error(predictor, kept_N, delta_NG, known=None) -> float:
    predicted_NG = fitted(predictor, kept_N, delta_NG, known).predict(ALL)
    return float(np.sqrt(np.mean((predicted_NG - delta_NG)[~kept_N] ** 2)))


def named(kind: str, name: str):
    return next(make() for make in predictors_for(kind) if make().name == name)


EVERYTHING = np.ones(len(ALL), dtype=bool)
LINE_EFFECT, DRUG_EFFECT = RNG.normal(size=(N_LINES, N_GENES)), RNG.normal(size=(N_DRUGS, N_GENES))


def test_zero_says_nothing_and_the_global_mean_is_the_mean_by_evidence():
    delta_NG = RNG.normal(size=(len(ALL), N_GENES)).astype(np.float32)
    weight_N = RNG.uniform(0.1, 2.0, len(ALL))

    record = record_of(ALL, delta_NG, weight_N)

    nothing_NG = Zero().fit(record).predict(ALL.take(np.arange(3)))
    mean_NG = global_mean().fit(record).predict(ALL)

    np.testing.assert_array_equal(nothing_NG, np.zeros((3, N_GENES)))
    expected_G = np.average(delta_NG, axis=0, weights=weight_N)
    np.testing.assert_allclose(mean_NG, np.tile(expected_G, (len(ALL), 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "effect_NG"),
    [(line_mean, LINE_EFFECT[LINE_N]), (drug_mean, DRUG_EFFECT[DRUG_N])],
    ids=["line", "drug"],
)
def test_without_noise_the_mean_of_a_line_or_drug_is_its_effect(mean, effect_NG):
    predicted_NG = fitted(mean(), EVERYTHING, effect_NG).predict(ALL)

    np.testing.assert_allclose(predicted_NG, effect_NG, atol=1e-5)


def test_a_line_or_drug_never_seen_gets_the_wider_mean():
    kept_N = (LINE_N > 0) & (DRUG_N > 0)
    overall_G = DRUG_EFFECT[1:].mean(axis=0)

    new_drug_NG = fitted(drug_mean(), kept_N, DRUG_EFFECT[DRUG_N]).predict(ALL)[DRUG_N == 0]
    shifted_NG = LINE_EFFECT[LINE_N]
    new_line_NG = fitted(line_mean(), kept_N, shifted_NG).predict(ALL)[LINE_N == 0]

    np.testing.assert_allclose(new_drug_NG, np.tile(overall_G, (N_LINES, 1)), atol=1e-5)
    np.testing.assert_allclose(
        new_line_NG, np.tile(LINE_EFFECT[1:].mean(axis=0), (N_DRUGS, 1)), atol=1e-4
    )


def test_the_additive_model_is_that_of_least_squares_but_for_a_little_shrinkage():
    delta_NG = LINE_EFFECT[LINE_N] + DRUG_EFFECT[DRUG_N]
    kept_N = np.random.default_rng(1).random(len(ALL)) < 0.8
    dummies_NF = np.hstack([np.eye(N_DRUGS)[DRUG_N], np.eye(N_LINES)[LINE_N]])
    reference = LinearRegression().fit(dummies_NF[kept_N], delta_NG[kept_N])

    predicted_NG = fitted(additive(), kept_N, delta_NG).predict(ALL)

    expected_NG = reference.predict(dummies_NF)
    off = np.square(predicted_NG - expected_NG).mean() / np.square(expected_NG).mean()
    assert off < 0.005
    assert rms_error(additive(), kept_N, delta_NG) < 0.1 * rms_error(drug_mean(), kept_N, delta_NG)


# What a series of drugs does in a line: product of what the series does and how the line takes it.
SERIES_LG = np.einsum(
    "sg,ls->slg", RNG.normal(size=(4, N_GENES)), np.cos(PLACE_L2 @ RNG.normal(size=(2, 4)))
)
PLANTED_NG = SERIES_LG[GROUP_D[DRUG_N], LINE_N] + 0.05 * RNG.normal(size=(len(ALL), N_GENES))
HIDDEN = {
    "pair": np.random.default_rng(2).random(len(ALL)) < 0.75,
    "cell_line": LINE_N >= 2,
    "drug": DRUG_N >= 5,
}
"""Rows that are trained on, by kind of split."""


@pytest.mark.parametrize(
    ("kind", "name", "floor", "at_most"),
    [
        ("pair", "additive_svd", "additive", 0.95),
        ("pair", "panel_ridge", "additive", 0.8),
        ("pair", "line_ridge", "additive", 0.6),
        ("pair", "pair_ridge", "additive", 0.7),
        ("pair", "product_kernel_ridge", "additive", 0.6),
        ("pair", "pair_average", "additive", 0.6),
        ("cell_line", "kernel_line", "drug_mean", 0.9),
        ("cell_line", "product_kernel_ridge", "drug_mean", 0.95),
        ("cell_line", "line_average", "drug_mean", 0.9),
        ("drug", "morgan_ridge", "line_mean", 0.9),
        ("drug", "tanimoto_kernel_ridge", "line_mean", 0.9),
        ("drug", "tanimoto_knn", "line_mean", 0.9),
        ("drug", "product_kernel_ridge", "line_mean", 0.6),
    ],
)
def test_a_model_finds_what_simpler_ones_cannot(kind, name, floor, at_most):
    kept_N = HIDDEN[kind]

    reached = rms_error(named(kind, name), kept_N, PLANTED_NG)

    assert reached < at_most * rms_error(named(kind, floor), kept_N, PLANTED_NG)


def test_a_gene_whose_response_follows_its_expression_is_predicted_in_a_new_line():
    control_LG = RNG.uniform(0.5, 3.0, (N_LINES, N_GENES))
    delta_NG = (control_LG - control_LG.mean(axis=0))[LINE_N] * (1 + DRUG_N[:, None] / N_DRUGS)
    kept_N = HIDDEN["cell_line"]

    by_gene = rms_error(named("cell_line", "gene_line"), kept_N, delta_NG, features(control_LG))

    assert by_gene < 0.3 * rms_error(drug_mean(), kept_N, delta_NG, features(control_LG))


def test_more_noise_makes_a_model_choose_more_shrinkage():
    kept_N = HIDDEN["pair"]
    noisy_NG = PLANTED_NG + 4.0 * RNG.normal(size=PLANTED_NG.shape)

    def chosen(name: str, delta_NG: np.ndarray) -> float:
        predictor = named("pair", name)
        state = fitted(predictor, kept_N, delta_NG).state()
        return predictor.candidates[int(state["chosen"])]

    for name in ("panel_ridge", "line_ridge", "additive_svd", "tanimoto_kernel_ridge"):
        assert chosen(name, noisy_NG) > chosen(name, PLANTED_NG), name


def test_ridge_paths_are_the_dual_weights_of_kernel_ridge():
    gram_MM = np.cov(RNG.normal(size=(6, 40)))
    target_MK = RNG.normal(size=(6, 3))
    scale = np.trace(gram_MM) / 6

    several = ridge_paths(gram_MM, target_MK, [0.1, 2.0])
    (one,) = ridge_paths(gram_MM, target_MK, [2.0])

    for strength, weights_MK in zip((0.1, 2.0, 2.0), (*several, one), strict=True):
        reference = KernelRidge(alpha=strength * scale, kernel="precomputed")
        expected_MK = reference.fit(gram_MM, target_MK).dual_coef_
        np.testing.assert_allclose(weights_MK, expected_MK, atol=1e-8)


def test_kernel_ridge_over_lines_is_scikit_learn_s_for_each_pattern_of_missing_lines():
    kernel_LL = np.exp(-np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0))))
    values_TLK = RNG.normal(size=(2, 4, 3))
    is_measured_TL = np.array([[True, True, True, True], [True, False, True, False]])
    treatment_C, line_C = np.nonzero(is_measured_TL)
    grid = Grid(
        treatments_T=np.array(["a|5", "b|5"]),
        drug_T=np.array(["a", "b"]),
        dose_um_T=np.full(2, 5.0),
        lines_L=np.arange(4).astype(str),
        treatment_C=treatment_C,
        line_C=line_C,
        weight_C=np.ones(len(line_C)),
        values_CG=values_TLK[is_measured_TL],
    )

    dual_TLK = dual_weights(grid, kernel_LL, ridge=0.7)

    for treatment, own_L in enumerate(is_measured_TL):
        own = np.flatnonzero(own_L)
        reference = KernelRidge(alpha=0.7, kernel="precomputed")
        reference.fit(kernel_LL[np.ix_(own, own)], values_TLK[treatment, own])
        np.testing.assert_allclose(dual_TLK[treatment, own], reference.dual_coef_, atol=1e-8)
        assert not dual_TLK[treatment, ~own_L].any()


def test_kernel_ridge_on_fingerprints_is_scikit_learn_s():
    model = TanimotoKernelRidge(kind="drug")
    model.candidates = (1.0,)

    state = fitted(model, HIDDEN["drug"], PLANTED_NG).state()

    drug_T, dose_T = state["drug_T"], state["dose_um_T"]
    kernel_TT = treatment_kernel(features(), drug_T, dose_T, drug_T, dose_T)
    reference = KernelRidge(alpha=1.0, kernel="precomputed").fit(kernel_TT, state["effect_TK"])
    np.testing.assert_allclose(state["dual_TK"], reference.dual_coef_, atol=1e-8)


def test_neighbours_are_weighted_by_similarity_and_shrunk_by_one():
    model = TanimotoNeighbours(kind="drug")
    model.candidates = (2.0,)
    state = fitted(model, HIDDEN["drug"], PLANTED_NG).state()
    similar_AT = np.array([[0.5, 0.1, 0.9] + [0.0] * (len(state["drug_T"]) - 3)])

    effect_AK = model._effect(similar_AT, state)

    nearest = 0.9 * state["effect_TK"][2] + 0.5 * state["effect_TK"][0]
    np.testing.assert_allclose(effect_AK[0], nearest / (0.9 + 0.5 + 1.0))


def test_tanimoto_of_counts_is_rdkit_s_and_a_drug_is_like_itself():
    vectors = []
    for row_F in MORGAN_DF[:6].astype(int):
        vector = DataStructs.UIntSparseIntVect(30)
        for bit, count in enumerate(row_F.tolist()):
            vector[bit] = count
        vectors.append(vector)

    similar_AB = tanimoto(MORGAN_DF[:6].astype(float), MORGAN_DF[:6].astype(float))

    expected = [[DataStructs.TanimotoSimilarity(a, b) for b in vectors] for a in vectors]
    np.testing.assert_allclose(similar_AB, expected, atol=1e-12)
    assert tanimoto(np.zeros((1, 3)), np.zeros((1, 3))) == 0.0
    no_structure = np.array(["a drug without structure"])
    morgan = features().drug_blocks["morgan"]
    assert block_likeness(DRUG_BLOCKS["morgan"], morgan, no_structure, no_structure) == 1.0


def test_between_doses_the_answer_is_part_interpolation_and_part_mean():
    scores_SK, weight_S = np.array([[0.0], [2.0], [6.0]]), np.array([1.0, 1.0, 2.0])
    dose_S = np.array([0.1, 1.0, 10.0])

    def at(dose_um: float, share: float) -> float:
        return float(between_doses(scores_SK, dose_S, weight_S, dose_um, share)[0])

    assert at(np.sqrt(10.0), 1.0) == pytest.approx(4.0)  # half way in log dose
    assert at(100.0, 1.0) == pytest.approx(6.0)  # the nearest beyond the last
    assert at(1.0, 0.0) == pytest.approx(3.5)  # (0 + 2 + 2 x 6) / 4
    assert at(1.0, 0.5) == pytest.approx((2.0 + 3.5) / 2)


def test_an_average_is_the_mean_of_its_members():
    kept_N = HIDDEN["pair"]

    parts = [fitted(named("pair", n), kept_N, PLANTED_NG) for n in ("panel_ridge", "line_ridge")]
    both_NG = fitted(named("pair", "pair_ridge"), kept_N, PLANTED_NG).predict(ALL)

    expected_NG = (parts[0].predict(ALL) + parts[1].predict(ALL)) / 2
    np.testing.assert_allclose(both_NG, expected_NG, atol=1e-5)


def test_a_well_seen_twice_counts_by_its_evidence():
    twice = Conditions.unmeasured(["drug00", "drug00"], "line0", 5.0)
    twice = replace(twice, plate_N=np.array(["plate1", "plate2"]))
    delta_NG = np.array([[0.0], [4.0]], dtype=np.float32)

    mean = global_mean().fit(record_of(twice, delta_NG, np.array([3.0, 1.0])))

    assert mean.predict(twice)[0, 0] == pytest.approx(1.0)
