"""A table of the user's own joins the kernels where it carries signal, and stays out as noise."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from drug_pipeline.domain.blocks import DRUG_BLOCKS, KERNEL_BLOCKS
from drug_pipeline.linear import Conditions, Features, TrainingRecord, predictors_for, restored
from drug_pipeline.linear.kernel_ridge.likeness import Mix, line_mix_of
from drug_pipeline.linear.lines import KernelLine
from drug_pipeline.linear.product_kernel import ProductKernelRidge
from drug_pipeline_tests.stored import block_table

N_DRUGS, N_LINES, N_GENES, N_TRAITS = 30, 10, 6, 2
DRUGS = tuple(f"drug{number:02}" for number in range(N_DRUGS))
LINES = tuple(f"line{number:02}" for number in range(N_LINES))
RNG = np.random.default_rng(3)
DRUG_TRAITS = RNG.normal(size=(N_DRUGS, N_TRAITS))
LINE_TRAITS = RNG.normal(size=(N_LINES, N_TRAITS))
NOISE_D, NOISE_L = RNG.normal(size=DRUG_TRAITS.shape), RNG.normal(size=LINE_TRAITS.shape)
READ_ALL = KERNEL_BLOCKS.also(drugs=("own",), cell_lines=("own",))


def features(own_DF: np.ndarray | None = None, own_LF: np.ndarray | None = None) -> Features:
    """Structures and control profiles that say nothing, beside the user's own vectors."""
    rng = np.random.default_rng(5)
    drugs = {
        "morgan": rng.poisson(0.5, (N_DRUGS, 20)),
        "descriptors": rng.normal(size=(N_DRUGS, 3)),
    }
    lines = {"control_pca": rng.normal(size=(N_LINES, 3))}
    return Features(
        drugs=block_table("drug", DRUGS, **drugs, **({} if own_DF is None else {"own": own_DF})),
        cell_lines=block_table(
            "cell_line_id", LINES, **lines, **({} if own_LF is None else {"own": own_LF})
        ),
        lines=LINES,
        control_LG=np.ones((N_LINES, N_GENES), dtype=np.float32),
        kernel_blocks=READ_ALL,
    )


def screen() -> tuple[Conditions, np.ndarray]:
    """Δ that a drug's traits and a line's traits make together, with noise."""
    rng = np.random.default_rng(7)
    drug_N, line_N = (grid.ravel() for grid in np.indices((N_DRUGS, N_LINES)))
    by_drug_DG = DRUG_TRAITS @ rng.normal(size=(N_TRAITS, N_GENES))
    by_line_LDG = np.einsum(
        "lt,dtg->ldg", LINE_TRAITS, rng.normal(size=(N_DRUGS, N_TRAITS, N_GENES))
    )
    delta_NG = by_drug_DG[drug_N] + by_line_LDG[line_N, drug_N]
    asked = Conditions(
        drug_N=np.array(DRUGS)[drug_N],
        parent_N=np.array(DRUGS)[drug_N],
        dose_um_N=np.ones(len(drug_N)),
        line_N=np.array(LINES)[line_N],
        plate_N=np.full(len(drug_N), "plate1"),
    )
    return asked, (delta_NG + 0.5 * rng.normal(size=delta_NG.shape)).astype(np.float32)


ASKED, DELTA_NG = screen()
IS_NEW_DRUG = np.isin(ASKED.drug_N, DRUGS[:8])
IS_NEW_LINE = np.isin(ASKED.line_N, LINES[:3])


def fitted_with(model, is_new_N: np.ndarray, known: Features):
    """The model fitted on what is not new, and its correlation on what is."""
    seen = ~is_new_N
    record = TrainingRecord(
        conditions=ASKED.take(seen),
        delta_NG=DELTA_NG[seen],
        weight_N=np.ones(seen.sum()),
        features=known,
    )
    one = model.fit(record)
    predicted_NG = one.predict(ASKED.take(is_new_N))
    return one, np.corrcoef(predicted_NG.ravel(), DELTA_NG[is_new_N].ravel())[0, 1]


@cache
def correlation_without(make, kind: str) -> float:
    is_new_N = IS_NEW_DRUG if kind == "drug" else IS_NEW_LINE
    return fitted_with(make(kind=kind), is_new_N, features())[1]


def share_of(model, of: str) -> float:
    state = model.state()
    shares = Mix.of(state).drugs if of == "drugs" else line_mix_of(state)
    return shares.get("own", 0.0)


@pytest.mark.parametrize("name", ["own", "added"])
def test_drug_vectors_with_signal_are_chosen_and_make_new_drugs_predictable(name, monkeypatch):
    # a row of the registry is all that a block needs to be read, also one that is not there today
    monkeypatch.setitem(DRUG_BLOCKS, name, DRUG_BLOCKS["own"])
    known = features(own_DF=DRUG_TRAITS)
    renamed = {name if one == "own" else one: at for one, at in known.drugs.blocks.items()}
    known = replace(
        known,
        drugs=replace(known.drugs, blocks=renamed),
        kernel_blocks=KERNEL_BLOCKS.also(drugs=(name,)),
    )

    model, told = fitted_with(ProductKernelRidge(kind="drug"), IS_NEW_DRUG, known)

    assert Mix.of(model.state()).drugs[name] > 0
    assert told > correlation_without(ProductKernelRidge, "drug") + 0.2


def test_an_own_drug_table_of_noise_is_not_chosen_and_changes_no_prediction():
    model, told = fitted_with(
        ProductKernelRidge(kind="drug"), IS_NEW_DRUG, features(own_DF=NOISE_D)
    )
    assert share_of(model, "drugs") == 0
    assert told == pytest.approx(correlation_without(ProductKernelRidge, "drug"), abs=1e-6)


@pytest.mark.parametrize("make", [ProductKernelRidge, KernelLine])
def test_an_own_line_table_with_signal_is_chosen_and_makes_new_lines_predictable(make):
    model, told = fitted_with(make(kind="cell_line"), IS_NEW_LINE, features(own_LF=LINE_TRAITS))
    assert share_of(model, "lines") > 0
    assert told > correlation_without(make, "cell_line") + 0.3


@pytest.mark.parametrize("make", [ProductKernelRidge, KernelLine])
def test_an_own_line_table_of_noise_is_not_chosen_and_changes_no_prediction(make):
    model, told = fitted_with(make(kind="cell_line"), IS_NEW_LINE, features(own_LF=NOISE_L))
    assert share_of(model, "lines") == 0
    assert told == pytest.approx(correlation_without(make, "cell_line"), abs=1e-6)


def test_a_model_with_further_blocks_is_the_same_when_restored_and_settled():
    known = features(own_DF=DRUG_TRAITS, own_LF=LINE_TRAITS)
    for make, kind in ((ProductKernelRidge, "drug"), (KernelLine, "cell_line")):
        model, _ = fitted_with(make(kind=kind), IS_NEW_DRUG | IS_NEW_LINE, known)
        expected_NG = model.predict(ASKED)

        # a bundle knows all blocks, whatever choice they were fitted under
        again = restored(
            model.name, kind, model.state(), replace(known, kernel_blocks=KERNEL_BLOCKS)
        )
        refit, _ = fitted_with(model.with_chosen_settings(), IS_NEW_DRUG | IS_NEW_LINE, known)

        np.testing.assert_array_equal(again.predict(ASKED), expected_NG)
        np.testing.assert_allclose(refit.predict(ASKED), expected_NG, atol=1e-2)


def test_a_drug_that_the_own_table_lacks_is_known_by_its_structure():
    """The structure is the signal here; half of the drugs have no vector of the user's."""
    own_DF = np.where(np.arange(N_DRUGS)[:, None] % 2 == 0, np.nan, DRUG_TRAITS)
    known = features(own_DF=own_DF)
    structures = np.exp(DRUG_TRAITS @ np.random.default_rng(9).normal(size=(N_TRAITS, 20)))
    vectors_DF = known.drugs.vectors_KF.copy()
    vectors_DF[:, :20] = structures
    known = replace(known, drugs=replace(known.drugs, vectors_KF=vectors_DF))
    mixes = [Mix(drugs={"morgan": 0.4, "own": 0.5})]

    model, _ = fitted_with(ProductKernelRidge(kind="drug", mixes=mixes), IS_NEW_DRUG, known)

    assert set(known.drug_blocks["own"].keys) == set(DRUGS[1::2])
    is_lacking_N = IS_NEW_DRUG & np.isin(ASKED.drug_N, DRUGS[::2])
    predicted_NG = model.predict(ASKED.take(is_lacking_N))
    assert np.corrcoef(predicted_NG.ravel(), DELTA_NG[is_lacking_N].ravel())[0, 1] > 0.2


def test_models_named_after_a_block_are_not_offered_where_it_is_not_read():
    own = replace(KERNEL_BLOCKS, drugs=("own",))
    offered = {
        make().name
        for make in predictors_for("drug", replace(features(own_DF=DRUG_TRAITS), kernel_blocks=own))
    }
    assert "product_kernel_ridge" in offered
    assert not offered & {"morgan_ridge", "tanimoto_knn", "tanimoto_kernel_ridge"}
