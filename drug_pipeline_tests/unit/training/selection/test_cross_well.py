import numpy as np
import pytest

from drug_pipeline.domain.metrics import mse
from drug_pipeline.training.selection.blending import mix
from drug_pipeline.training.selection.cross_well import (
    cross_well_cosine,
    cross_well_weights,
    guarded,
    other_wells,
)


def screen(
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Two wells a pair: the effect is the same, the artefact of each well is its own."""
    rng = np.random.default_rng(seed)
    drug_N = np.repeat([f"d{number}" for number in range(60)], 2)
    effect_NG = np.repeat(rng.normal(size=(60, 30)), 2, axis=0)
    artefact_NG = rng.normal(size=(120, 30))
    measured_NG = effect_NG + artefact_NG + 0.3 * rng.normal(size=(120, 30))
    predicted = {
        "biology": effect_NG + 0.5 * rng.normal(size=(120, 30)),
        "well": 0.5 * effect_NG + artefact_NG,
    }
    return predicted, measured_NG, other_wells(drug_N, np.full(120, "line"))


def test_other_wells_are_rows_of_the_same_drug_and_line():
    left, right = other_wells(np.array(["a", "a", "b", "a"]), np.array(["x", "x", "x", "y"]))

    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_without_a_second_well_there_are_no_pairs():
    left, right = other_wells(np.array(["a", "b"]), np.array(["x", "x"]))

    assert len(left) == len(right) == 0


def test_a_model_of_the_artefact_wins_on_its_own_wells_and_loses_on_others():
    predicted, measured_NG, wells = screen()

    assert mse(predicted["well"], measured_NG, axis=None) < mse(
        predicted["biology"], measured_NG, axis=None
    )
    across = {n: cross_well_cosine(p, measured_NG, wells) for n, p in predicted.items()}
    assert across["biology"] > across["well"]


def test_cross_well_weights_leave_the_artefact_out():
    predicted, measured_NG, wells = screen()

    weights = cross_well_weights(predicted, measured_NG, wells)

    assert weights["biology"] > 5 * weights.get("well", 0.0)


def test_predictions_of_nothing_get_no_weight():
    _, measured_NG, wells = screen()

    assert cross_well_weights({"zero": np.zeros_like(measured_NG)}, measured_NG, wells) == {}
    assert cross_well_cosine(np.zeros_like(measured_NG), measured_NG, wells) == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_the_guarded_mixture_is_never_worse_on_validation_than_the_best_predictor(seed):
    predicted, measured_NG, wells = screen(seed)
    wanted = cross_well_weights(predicted, measured_NG, wells)

    weights = guarded(predicted, measured_NG, safe={"well": 1.0}, wanted=wanted, best="well")

    assert mse(mix(predicted, weights), measured_NG, axis=None) <= mse(
        predicted["well"], measured_NG, axis=None
    )
    assert weights["biology"] > 0.0
