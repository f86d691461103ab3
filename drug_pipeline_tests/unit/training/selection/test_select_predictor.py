"""What ships: the best linear model, unless another one is better beyond chance."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.metrics import mse
from drug_pipeline.linear import Conditions
from drug_pipeline.training.selection.select_predictor import choose, preferred_linear
from drug_pipeline.training.split_data import Part

N_PARENTS, N_EACH, N_GENES = 30, 4, 20


def validation_part(seed: int = 0) -> tuple[Part, np.ndarray]:
    """Conditions of 30 compounds in four lines at one dose, and the effect behind them."""
    rng = np.random.default_rng(seed)
    drug_N = np.repeat([f"d{number:02d}" for number in range(N_PARENTS)], N_EACH)
    n = len(drug_N)
    effect_NG = rng.normal(size=(n, N_GENES)).astype(np.float32)
    asked = Conditions.unmeasured(drug_N, ["a", "b", "c", "d"] * N_PARENTS, 1.0)
    noise_NG = 0.5 * rng.normal(size=(n, N_GENES)).astype(np.float32)
    part = Part(
        rows_N=np.arange(n),
        asked=asked,
        parent_N=drug_N,
        delta_NG=effect_NG + noise_NG,
        weight_N=np.ones(n),
        noise_N=np.ones(n),
        evidence_N=np.ones(n),
        n_cells_N=np.full(n, 20.0),
    )
    return part, effect_NG


def test_a_network_that_is_better_in_every_compound_ships():
    part, effect_NG = validation_part()
    predicted = {"line": 0.5 * effect_NG, "network": 0.9 * effect_NG}

    shipped = choose(predicted, part, "line", "pair").shipped

    assert shipped in ("network", "blend")


@pytest.mark.parametrize("seed", range(5))
def test_members_of_noise_do_not_make_a_blend_ship_though_their_weights_fit_validation(seed):
    part, effect_NG = validation_part(seed)
    rng = np.random.default_rng(100 + seed)
    noises = {
        f"noise{number}": 0.2 * rng.normal(size=effect_NG.shape).astype(np.float32)
        for number in range(12)
    }
    predicted = {"line": effect_NG, **noises, "network": effect_NG}

    choice = choose(predicted, part, "line", "pair")

    blended_NG = sum(weight * predicted[name] for name, weight in choice.mixtures["blend"].items())
    assert mse(blended_NG, part.delta_NG, axis=None) <= mse(
        effect_NG, part.delta_NG, axis=None
    )  # in sample it looks good
    assert choice.shipped == "line"


def test_without_three_held_out_lines_the_best_linear_model_ships_for_new_lines():
    part, effect_NG = validation_part()
    in_two_lines = np.isin(part.asked.line_N, ["a", "b"])
    two = part.take(in_two_lines)
    predicted = {"line": 0.5 * effect_NG[in_two_lines], "network": 0.9 * effect_NG[in_two_lines]}

    assert choose(predicted, two, "line", "cell_line").shipped == "line"
    assert choose(predicted, two, "line", "pair").shipped != "line"


def test_without_three_held_out_doses_the_best_linear_model_ships_for_a_new_dose():
    part, effect_NG = validation_part()
    predicted = {"interpolation": 0.5 * effect_NG, "network": 0.9 * effect_NG}
    at_four = np.tile([0.05, 0.5, 5.0, 50.0], N_PARENTS)
    several = replace(part, asked=replace(part.asked, dose_um_N=at_four))

    assert choose(predicted, part, "interpolation", "dose").shipped == "interpolation"
    assert choose(predicted, several, "interpolation", "dose").shipped != "interpolation"


def two_wells(seed: int = 0) -> tuple[Part, np.ndarray, np.ndarray]:
    """Conditions of 60 compounds in one line at two doses, their effect, and each well's artefact."""
    rng = np.random.default_rng(seed)
    drug_N = np.repeat([f"d{number:02d}" for number in range(60)], 2)
    n = len(drug_N)
    effect_NG = np.repeat(rng.normal(size=(60, N_GENES)), 2, axis=0).astype(np.float32)
    artefact_NG = rng.normal(size=(n, N_GENES)).astype(np.float32)
    artefact_NG *= np.sqrt(np.mean(effect_NG**2) / np.mean(artefact_NG**2))
    asked = Conditions(
        drug_N=drug_N,
        parent_N=drug_N,
        dose_um_N=np.tile([0.5, 5.0], 60),
        line_N=np.full(n, "a"),
        plate_N=np.tile(["plate1", "plate2"], 60),
    )
    ones_N = np.ones(n)
    part = Part(
        rows_N=np.arange(n),
        asked=asked,
        parent_N=drug_N,
        delta_NG=effect_NG + artefact_NG,
        weight_N=ones_N,
        noise_N=ones_N,
        evidence_N=ones_N,
        n_cells_N=20 * ones_N,
    )
    return part, effect_NG, artefact_NG


def test_of_linear_models_of_like_error_the_one_that_fits_other_wells_is_preferred():
    part, effect_NG, artefact_NG = two_wells()
    noise_NG = 0.01 * np.random.default_rng(1).normal(size=effect_NG.shape)
    predicted = {
        "mean": np.zeros_like(effect_NG),
        "well": (artefact_NG + noise_NG).astype(np.float32),
        "biology": effect_NG,
    }

    assert preferred_linear(predicted, part, "pair") == "biology"


def test_a_linear_model_that_is_clearly_worse_is_not_preferred_for_fitting_other_wells():
    part, effect_NG, _ = two_wells()
    predicted = {"own wells": (0.5 * part.delta_NG), "too small": 0.1 * effect_NG}

    assert preferred_linear(predicted, part, "pair") == "own wells"


def test_for_drugs_never_measured_the_lowest_error_alone_decides():
    part, effect_NG = validation_part()
    noise_NG = np.random.default_rng(9).normal(size=effect_NG.shape).astype(np.float32)
    predicted = {"lowest": effect_NG, "near": effect_NG + np.float32(0.02) * noise_NG}

    assert mse(predicted["near"], part.delta_NG, axis=None) > mse(
        predicted["lowest"], part.delta_NG, axis=None
    )
    assert preferred_linear(predicted, part, "drug") == "lowest"


def test_a_few_strong_conditions_do_not_decide_which_linear_model_is_best():
    part, _ = validation_part()
    strong_N1 = np.where(np.arange(len(part)) < 3, 30.0, 1.0)[:, None].astype(np.float32)
    part = replace(part, delta_NG=part.delta_NG * strong_N1)
    is_strong_N1 = strong_N1 > 1
    predicted = {
        "right in most": np.where(is_strong_N1, np.float32(0.8), np.float32(1.0)) * part.delta_NG,
        "right in few": np.where(is_strong_N1, np.float32(1.0), np.float32(0.3)) * part.delta_NG,
    }

    assert mse(predicted["right in few"], part.delta_NG, axis=None) < mse(
        predicted["right in most"], part.delta_NG, axis=None
    )
    for kind in ("pair", "drug"):
        assert preferred_linear(predicted, part, kind) == "right in most"
