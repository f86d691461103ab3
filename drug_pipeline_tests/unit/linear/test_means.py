"""Effects from group sums are those of alternating least squares on the rows themselves."""

import numpy as np
import pytest

from drug_pipeline.linear import Conditions, MeasuredConditions
from drug_pipeline.linear.means import (
    ADDITIVE_LEVELS,
    LEVELS,
    fit_effects,
    join_keys,
    predict_effects,
)

N, G = 90, 7


@pytest.fixture
def screen() -> MeasuredConditions:
    rng = np.random.default_rng(3)
    drug_N = rng.integers(0, 9, N).astype(str)
    asked = Conditions(
        drug_N=drug_N,
        parent_N=np.char.add("p", (drug_N.astype(int) // 2).astype(str)),
        dose_um_N=rng.choice([0.05, 0.5, 5.0], N),
        line_N=rng.integers(0, 6, N).astype(str),
        plate_N=np.full(N, "plate1"),
    )
    delta_NG = rng.normal(size=(N, G)) + rng.normal(size=(9, G))[drug_N.astype(int)]
    weight_N = np.where(rng.random(N) < 0.1, 0.0, rng.random(N))
    return MeasuredConditions(
        conditions=asked, delta_NG=delta_NG.astype(np.float32), weight_N=weight_N
    )


def row_by_row(asked, delta_NG, weight_N, levels, n_passes):
    """The same, without group sums: residuals of every row, and one group after the other."""
    mean_G = np.average(delta_NG, axis=0, weights=weight_N)
    residual_NG = delta_NG - mean_G
    effect, shrinkage = {}, {}
    for number in range(n_passes):
        for level in levels:
            keys_N = LEVELS[level](asked)
            if number:
                residual_NG += np.array([effect[level, key] for key in keys_N])
            weights = {key: weight_N[keys_N == key].sum() for key in np.unique(keys_N)}
            means = {
                key: (weight_N[:, None] * residual_NG)[keys_N == key].sum(axis=0)
                / max(weight, 1e-12)
                for key, weight in weights.items()
            }
            if not number:
                used = sum(weight > 0 for weight in weights.values())
                total = (weight_N[:, None] * residual_NG**2).sum()
                between = sum(weights[key] * (means[key] ** 2).sum() for key in weights)
                within = (total - between) / ((weight_N > 0).sum() - used)
                excess = between - used * within
                shrinkage[level] = within * weight_N.sum() / excess if excess > 0 else 1e9
            for key, weight in weights.items():
                effect[level, key] = means[key] * weight / (weight + shrinkage[level])
            residual_NG -= np.array([effect[level, key] for key in keys_N])
    return delta_NG - residual_NG, shrinkage


@pytest.mark.parametrize(
    ("levels", "n_passes"),
    [(ADDITIVE_LEVELS, 8), (("line", "drug"), 3), (("dose",), 1), ((), 1)],
    ids=["additive", "crossed", "one level", "global mean"],
)
def test_group_sums_give_the_effects_of_the_rows(screen, levels, n_passes):
    state = fit_effects(screen, levels=levels, n_passes=n_passes)

    expected_NG, shrinkage = row_by_row(
        screen.conditions, screen.delta_NG, screen.weight_N, levels, n_passes
    )
    predicted_NG = predict_effects(screen.conditions, state, levels=levels)
    np.testing.assert_allclose(predicted_NG, expected_NG, rtol=1e-5, atol=1e-6)
    for level in levels:
        assert float(state[f"{level}_shrinkage"]) == pytest.approx(shrinkage[level], rel=1e-6)


@pytest.mark.parametrize(
    ("dose_um", "expected"), [(1.0, 2.0), (10.0, 4.0), (10.0**0.5, 3.0), (100.0, 4.0), (0.01, 2.0)]
)
def test_a_dose_never_measured_gets_what_its_neighbours_have(dose_um, expected):
    measured = Conditions.unmeasured("a", "x", dose_um)
    state = {
        "mean_G": np.array([1.0]),
        "dose_keys_K": join_keys(np.array([1.0, 10.0])),
        "dose_effect_KG": np.array([[1.0], [3.0]]),
    }

    assert predict_effects(measured, state, levels=("dose",)).item() == pytest.approx(expected)
