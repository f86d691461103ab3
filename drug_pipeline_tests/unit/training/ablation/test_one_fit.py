from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.linear import Conditions
from drug_pipeline.training.ablation.config import ALL_VARIANTS, NETWORK_VARIANTS, AblationConfig
from drug_pipeline.training.ablation.one_fit import subsampled, with_noise_in_test
from drug_pipeline.training.ablation.shared_fits_file import read_shared_fits, write_shared_fits
from drug_pipeline.training.ablation.variants import VARIANTS
from drug_pipeline.training.fit_split import fit_prepared, fit_shared
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import drug_split, pair_split


def test_every_variant_that_may_be_configured_is_there_and_the_other_way_round():
    assert set(ALL_VARIANTS) == set(VARIANTS)
    assert {name for name in ALL_VARIANTS if VARIANTS[name].shares == "as_configured"} == {
        "as_configured",
        *NETWORK_VARIANTS,
    }
    assert all(VARIANTS[name].shares == name for name in names.INPUT_VARIANTS)


@pytest.mark.parametrize("preset", ["demo", "full"])
def test_the_report_asks_of_each_token_and_loss_what_it_is_worth(preset):
    asked = {"no_drug", "shuffled_drug", "no_cell", "shuffled_cell", "no_rank_loss"}
    asked |= {"no_align_loss", "no_warmup", "no_gene_tokens", "no_skip", "random_gene_embeddings"}

    config = AblationConfig.preset(preset)

    assert asked | {"no_cell_token", "permuted_targets"} <= set(config.variants["pair"])
    assert "shuffled_drug" in config.variants["drug"]


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        ({"pair": ("no_skip",)}, "as_configured among them"),
        ({"pair": ("as_configured", "no_lunch")}, "got as_configured, no_lunch"),
        ({}, "at least one split"),
    ],
)
def test_variants_that_cannot_be_compared_are_refused(variants, reason):
    with pytest.raises(ConfigurationError, match=reason):
        AblationConfig(variants=variants)


def test_a_thinned_split_keeps_so_many_of_each_side_and_moves_none_across(world):
    split = pair_split(world)

    few = subsampled(split, max_train=20, max_test=7)

    assert (len(few.rows("train")), len(few.rows("test"))) == (20, 7)
    assert set(few.rows("train")) < set(split.rows("train"))
    assert set(few.rows("test")) < set(split.rows("test"))
    assert np.array_equal(few.rows("validation"), split.rows("validation"))
    whole = subsampled(split, max_train=None, max_test=10**6)
    assert np.array_equal(whole.roles_N, split.roles_N)


def test_noise_takes_the_place_of_what_was_measured_on_the_test_side_alone(world):
    split = pair_split(world)
    test = split.roles_N == "test"

    noisy = with_noise_in_test(world.table, split)

    for name in ("delta_NG", "se_NG", "half_a_NG", "half_b_NG"):
        before, after = getattr(world.table, name), getattr(noisy, name)
        assert np.array_equal(before[~test], after[~test])
        assert not np.isclose(before[test], after[test]).any()
    assert noisy.conditions["drug"].equals(world.table.conditions["drug"])
    assert noisy.controls is world.table.controls


def test_permuted_targets_keep_each_measurement_whole_and_leave_the_test_side(world):
    data = prepare(world.table, world.features, pair_split(world))

    dealt = VARIANTS["permuted_targets"].change_data(data, 0)

    assert np.array_equal(dealt.train.asked.drug_N, data.train.asked.drug_N)
    assert not np.array_equal(dealt.train.delta_NG, data.train.delta_NG)
    rows_N = dealt.train.rows_N
    assert np.array_equal(dealt.train.delta_NG, world.table.delta_NG[rows_N])
    assert sorted(rows_N) == sorted(data.train.rows_N)
    assert np.array_equal(dealt.test.delta_NG, data.test.delta_NG)


def test_a_model_told_of_no_drug_can_be_fitted(world, tiny):
    told = VARIANTS["no_drug"].change_conditions(Conditions.from_frame(world.table.conditions), 0)
    data = prepare(world.table, world.features, pair_split(world), told)

    fitted = fit_prepared(data, replace(tiny, linear=("additive",)))

    assert all(np.isfinite(made).all() for made in fitted.forward.test.values())


def parts_of(one: object) -> dict[str, np.ndarray]:
    """All arrays below an object of fitted parts, each under its path."""
    if isinstance(one, np.ndarray):
        return {"": one}
    if hasattr(one, "state"):
        one = one.state()
    elif not isinstance(one, dict) and hasattr(one, "__dict__"):
        one = vars(one)
    if not isinstance(one, dict):
        return {"": np.array(one)}
    return {
        f"{name}.{path}": a for name, below in one.items() for path, a in parts_of(below).items()
    }


@pytest.mark.parametrize("split_of", [pair_split, drug_split])
def test_groundwork_that_is_shared_is_the_one_that_was_laid(split_of, world, tiny, tmp_path):
    data = prepare(world.table, world.features, split_of(world))
    ground = fit_shared(data, tiny)

    write_shared_fits(tmp_path / "ground.npz", ground)
    again = read_shared_fits(tmp_path / "ground.npz", data)

    laid, read = parts_of(ground), parts_of(again)
    assert set(laid) == set(read)
    assert list(again.linear.test) == list(ground.linear.test)  # the first of equals ships
    for path, array in laid.items():
        np.testing.assert_array_equal(read[path], array, err_msg=path)
    assert (ground.linear.held_out is None) == (split_of is pair_split)
