"""One split end to end on a screen of 140 conditions; seconds."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, EmptyResultError, TrainingError
from drug_pipeline.domain.metrics import mse
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear.means import drug_mean
from drug_pipeline.storage.predictions import read_predictions, write_predictions
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_inverse import answerable
from drug_pipeline.training.fit_split import FittedSplit, fit_shared, fit_split
from drug_pipeline.training.network.forward_gallery import COMPARED_BY, ForwardGalleryRanker
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import World, drug_split, pair_split


def longer(tiny: TrainConfig, n_epochs: int = 12) -> TrainConfig:
    loop = replace(tiny.forward.loop, n_epochs=n_epochs, learning_rate=3e-3, evaluate_every=2)
    return replace(
        tiny,
        forward=replace(tiny.forward, loop=loop),
        inverse=replace(tiny.inverse, loop=replace(loop, n_epochs=4)),
    )


@pytest.fixture(scope="module")
def fitted(world, tiny) -> FittedSplit:
    return fit_split(world.table, world.features, drug_split(world), longer(tiny, n_epochs=40))


def test_training_improves_on_the_base_it_starts_from(fitted):
    history = fitted.forward.histories[0]

    assert history[0]["validation_score"] == pytest.approx(1.0)
    assert min(entry["validation_score"] for entry in history) < 0.995


def test_the_shipped_predictor_is_never_worse_on_validation_than_the_best_linear(fitted):
    measured_VG = fitted.data.validation.delta_NG
    predicted = fitted.forward.validation

    shipped = mse(predicted[fitted.forward.shipped_name], measured_VG, axis=None)

    assert shipped <= mse(predicted[fitted.forward.best_linear], measured_VG, axis=None)


def test_what_is_shipped_predicts_what_was_written(fitted):
    again_NG = fitted.forward.shipped.predict(fitted.data.test.asked)

    written_NG = fitted.forward.test[fitted.forward.shipped_name]
    np.testing.assert_allclose(again_NG, written_NG, atol=1e-5)


def test_predictions_cross_to_evaluation_with_every_predictor_and_ranker(fitted, world, tmp_path):
    write_predictions(tmp_path, fitted.predictions(world.table))

    read = read_predictions(tmp_path)

    assert {"zero", "line_mean", "drug_mean", "network", "blend"} <= set(read.predictions)
    assert read.shipped in (read.best_linear, "network", "blend")
    rankings = read.rankings[names.DRUG_TASK]
    assert {"tower", "forward_gallery", "combined"} <= set(rankings.scores)
    assert len(rankings.gallery) == 14
    assert rankings.groups[11] == rankings.groups[12] == "TWIN"
    assert np.isfinite(read.uncertainty_N).all()


def test_two_runs_of_one_seed_give_identical_numbers(world, tiny):
    config = longer(tiny, n_epochs=2)

    first, second = (
        fit_split(world.table, world.features, pair_split(world), config) for _ in range(2)
    )

    assert first.notes == second.notes
    for name, predicted_NG in first.forward.test.items():
        assert np.array_equal(predicted_NG, second.forward.test[name]), name
    for name, scores_QD in first.inverse.test.items():
        assert np.array_equal(scores_QD, second.inverse.test[name], equal_nan=True), name


def with_noise_in_test(world: World, split: Split) -> DeltaTable:
    rows = split.rows("test")
    noise_NG = world.table.delta_NG.copy()
    noise_NG[rows] = np.random.default_rng(5).normal(size=noise_NG[rows].shape)
    return replace(world.table, delta_NG=noise_NG)


@pytest.mark.parametrize("make_split", [pair_split, drug_split], ids=["pair", "drug"])
def test_forward_predictions_do_not_change_by_a_bit_when_test_measurements_become_noise(
    world, tiny, make_split
):
    split, config = make_split(world), longer(tiny, n_epochs=2)

    clean = fit_split(world.table, world.features, split, config)
    noisy = fit_split(with_noise_in_test(world, split), world.features, split, config)

    assert noisy.forward.shipped_name == clean.forward.shipped_name
    for name, predicted_NG in clean.forward.test.items():
        assert np.array_equal(predicted_NG, noisy.forward.test[name]), name


def test_figures_and_progress_reach_the_caller(world, tiny):
    logged: set[str] = set()
    seen: list[str] = []

    fit_split(
        world.table,
        world.features,
        pair_split(world),
        tiny,
        log=lambda figures, step: logged.update(figures),
        progress=lambda done, total, text: seen.append(text),
    )

    assert {"train_loss", "train_mse", "train_rank", "train_align"} <= logged
    assert {"validation_score", "validation_centred_pearson", "validation_mrr"} <= logged
    assert any("forward" in text for text in seen)


def test_a_killed_run_is_taken_up_where_it_stood(world, tiny, tmp_path):
    config, split = longer(tiny, n_epochs=4), pair_split(world)
    whole = fit_split(world.table, world.features, split, config)
    calls = 0

    def kill(figures, step):
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_split(world.table, world.features, split, config, log=kill, resume_dir=tmp_path)
    assert list(tmp_path.glob("forward-0.pt"))
    resumed = fit_split(world.table, world.features, split, config, resume_dir=tmp_path)

    assert np.array_equal(resumed.forward.test["network"], whole.forward.test["network"])
    assert np.array_equal(resumed.inverse.test["tower"], whole.inverse.test["tower"])


@pytest.mark.parametrize("role", ["train", "test"])
def test_a_split_with_an_empty_side_is_refused(world, tiny, role):
    split = pair_split(world)
    roles_N = np.where(split.roles_N == role, "unused", split.roles_N)

    with pytest.raises(EmptyResultError, match=f"the {role} side of split 'pair' is empty"):
        fit_split(world.table, world.features, replace(split, roles_N=roles_N), tiny)


def test_without_validation_conditions_the_network_gets_no_say_and_a_warning_says_so(
    world, tiny, caplog
):
    split = pair_split(world)
    roles_N = np.where(split.roles_N == "validation", "unused", split.roles_N)

    with caplog.at_level(logging.WARNING):
        fitted = fit_split(world.table, world.features, replace(split, roles_N=roles_N), tiny)

    assert "has no validation conditions" in caplog.text
    assert fitted.forward.shipped_name == fitted.forward.best_linear
    assert fitted.forward.alpha == 0.0
    assert fitted.error_model is None
    assert fitted.predictions(world.table).uncertainty_N is None


def test_a_split_of_another_table_is_refused(world, tiny):
    split = replace(pair_split(world), roles_N=np.array(["train", "test"]))

    with pytest.raises(AlignmentError, match="has 2 rows, the Δ table 140"):
        fit_split(world.table, world.features, split, tiny)


def test_a_response_that_is_not_finite_is_refused_and_its_row_named(world, tiny):
    delta_NG = world.table.delta_NG.copy()
    delta_NG[17, 3] = np.nan

    with pytest.raises(
        TrainingError, match="1 of 140 conditions have a Δ that is not finite; rows 17"
    ):
        fit_split(replace(world.table, delta_NG=delta_NG), world.features, pair_split(world), tiny)


def test_constant_responses_can_be_fitted(world, tiny):
    flat = replace(world.table, delta_NG=np.zeros_like(world.table.delta_NG))

    fitted = fit_split(flat, world.features, pair_split(world), tiny)

    assert all(np.isfinite(p).all() for p in fitted.forward.test.values())


def test_a_drug_and_a_line_with_one_condition_can_be_fitted(world, tiny):
    conditions = world.table.conditions
    is_kept = (conditions["drug"] != "drug00") & (conditions["cell_line_id"] != "CVCL_0000")
    is_kept |= (conditions["drug"] == "drug00") & (conditions["cell_line_id"] == "CVCL_0000")
    rows = np.flatnonzero(
        is_kept & ~((conditions["drug"] == "drug00") & (conditions["dose_um"] > 1))
    )
    split = pair_split(world)
    roles_N = split.roles_N[rows]
    roles_N[conditions["drug"].to_numpy()[rows] == "drug00"] = "train"

    fitted = fit_split(
        world.table.take(rows), world.features, replace(split, roles_N=roles_N), tiny
    )

    assert np.isfinite(fitted.forward.test["blend"]).all()


def test_the_final_linear_models_know_validation_and_those_that_choose_do_not(fitted):
    data, name = fitted.data, "drug_mean"
    known = data.known

    final_NG = fitted.forward.linear[name].predict(data.test.asked)
    both = drug_mean().fit(known.record(data.features))
    alone = drug_mean().fit(data.train.record(data.features))

    np.testing.assert_allclose(final_NG, both.predict(data.test.asked), atol=1e-6)
    np.testing.assert_array_equal(fitted.forward.test[name], final_NG)
    np.testing.assert_array_equal(
        fitted.forward.validation[name], alone.predict(data.validation.asked)
    )
    assert len(known) == len(data.train) + len(data.validation)


def test_validation_joins_the_measured_gallery_unless_it_is_of_the_test_plate(world, tiny):
    plate_N = world.table.conditions["plate"].to_numpy()
    parent_N = world.table.conditions["parent_compound"].to_numpy()
    roles_N = np.where(plate_N == "plate1", "train", "test").astype("<U10")
    roles_N[(plate_N == "plate2") & np.isin(parent_N, ["PARENT01", "PARENT05"])] = "validation"
    across = Split(
        name="plate_replicate", kind="plate_replicate", roles_N=roles_N, fingerprint="plates"
    )

    for split, is_joined in ((across, False), (pair_split(world), True)):
        data = prepare(world.table, world.features, split)
        ground = fit_shared(data, tiny)
        known = data.known if is_joined else data.train
        assert len(ground.final_measured["raw_cosine"].state()["drug_R"]) == len(known)
        assert len(ground.measured["raw_cosine"].state()["drug_R"]) == len(data.train)


def test_predicted_responses_are_ranked_in_three_ways_whatever_a_query_s_size(fitted, world):
    predict, split = fitted.forward.shipped.predict, fitted
    queries = split.data.test.queries()
    louder = replace(queries, signature_QG=10 * queries.signature_QG)
    spaces = [split.inverse.measured[name] for name in COMPARED_BY]

    for space, name in zip((None, *spaces), ("forward", "rank", "whitened"), strict=True):
        ranker = ForwardGalleryRanker(
            predict,
            split.encoder,
            parent_of=split.data.parent_of,
            doses_um=(1.0,),
            compared_by=space,
        )
        assert ranker.name == f"{name}_gallery"
        scores_QD = ranker.scores(queries, split.inverse.gallery)
        assert np.abs(scores_QD).max() <= 1 + 1e-5
        np.testing.assert_allclose(
            ranker.scores(louder, split.inverse.gallery), scores_QD, atol=1e-4
        )


def test_queries_whose_drug_training_has_never_seen_choose_for_new_drugs_alone(world):
    new = drug_split(world)
    counts = {}
    for kind in ("pair", "drug"):
        data = prepare(world.table, world.features, replace(new, kind=kind))
        counts[kind] = answerable(data).any(axis=1).sum()
        assert len(data.validation) > 0

    assert counts["pair"] == 0
    assert counts["drug"] == len(data.validation)
