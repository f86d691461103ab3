"""The loss of the forward mode, and the base that its network corrects."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drug_pipeline.linear import evidence_weight
from drug_pipeline.training.fit_split import fit_shared, fit_split
from drug_pipeline.training.network.loop import copy_weights, start_state, train_step
from drug_pipeline.training.network.tasks import rank_ramp
from drug_pipeline.training.selection.cross_fitting import few_shot_folds, out_of_fold
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import drug_split, pair_split, task_of


@pytest.mark.parametrize(
    ("progress", "warmup_frac", "share"),
    [(0.0, 0.1, 0.0), (0.05, 0.1, 0.5), (0.1, 0.1, 1.0), (0.9, 0.1, 1.0), (0.0, 0.0, 1.0)],
)
def test_the_ranking_loss_warms_up_from_nothing_over_the_share_that_is_set(
    progress, warmup_frac, share
):
    assert rank_ramp(progress, warmup_frac) == pytest.approx(share)


@pytest.mark.parametrize(("progress", "in_force"), [(0.0, 0.0), (0.25, 0.5), (0.8, 1.0)])
def test_the_loss_is_the_weighted_sum_of_its_terms(world, tiny, progress, in_force):
    task, model = task_of(
        world, tiny, lambda_mse=2.0, lambda_rank=3.0, lambda_align=0.7, rank_warmup_frac=0.5
    )
    batch = next(task.batches(0))

    terms = {name: float(term.detach()) for name, term in task.loss(model, batch, progress).items()}

    expected = 2.0 * terms["mse"] + 3.0 * in_force * terms.get("rank", 0.0) + 0.7 * terms["align"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    assert ("rank" in terms) == (in_force > 0)


def test_a_condition_counts_in_the_loss_by_its_evidence(world, tiny):
    weight_N = np.ones(len(prepare(world.table, world.features, pair_split(world)).train))
    weight_N[::2] = 0.0
    task, model = task_of(world, tiny, weight_N=weight_N, lambda_rank=0.0, lambda_align=0.0)
    rows = np.arange(len(weight_N))
    batch = task.train.collate(rows)
    changed_BG = batch.delta_BG.clone()
    changed_BG[::2] += 50.0

    before, after = (
        float(task.loss(model, (one, None), 0.5)["mse"].detach())
        for one in (batch, replace(batch, delta_BG=changed_BG))
    )

    assert before == after


@pytest.mark.parametrize("is_learned", [True, False])
def test_gene_embeddings_left_random_stay_as_they_were_while_the_rest_learns(
    world, tiny, is_learned
):
    shape = replace(tiny.model, is_gene_embedding_learned=is_learned)
    task, model = task_of(world, replace(tiny, model=shape))
    before = copy_weights(model)
    state = start_state(model, task.config.loop)

    for batch in task.batches(0):
        train_step(state, batch, task, task.config.loop, total_steps=10, is_bf16=False)

    moved = {name for name, now in model.state_dict().items() if not torch.equal(now, before[name])}
    assert ("gene_embedding.weight" in moved) == is_learned
    assert {"value.weight", "head.weight", "skip.weight", "cls"} <= moved
    is_kept = torch.equal(state.averaged["gene_embedding.weight"], before["gene_embedding.weight"])
    assert is_kept != is_learned


def test_conditions_of_more_cells_have_more_evidence(world):
    conditions = world.table.conditions.copy()
    conditions.loc[::3, "n_cells"] = 3
    part = prepare(
        replace(world.table, conditions=conditions), world.features, pair_split(world)
    ).train

    np.testing.assert_allclose(part.weight_N, evidence_weight(part.n_cells_N))
    assert part.weight_N[part.n_cells_N == 3].max() < part.weight_N[part.n_cells_N == 30].min()


def shared_fits_of(world, tiny, split):
    data = prepare(world.table, world.features, split)
    return data, fit_shared(data, tiny).linear


def test_where_the_drug_is_new_the_network_corrects_the_line_mean_as_it_was_fitted(world, tiny):
    data, linear = shared_fits_of(world, tiny, drug_split(world))

    assert linear.base == "line_mean"
    in_sample_NG = linear.linear["line_mean"].predict(data.train.asked)
    np.testing.assert_array_equal(linear.base_train_NG, in_sample_NG)


def test_for_pairs_the_network_corrects_a_base_that_did_not_know_the_pair(world, tiny):
    data, linear = shared_fits_of(world, tiny, pair_split(world))

    in_sample_NG = linear.linear[linear.base].predict(data.train.asked)
    own_error = np.square(linear.base_train_NG - data.train.delta_NG).mean()
    assert linear.base in linear.linear
    assert own_error > 1.2 * np.square(in_sample_NG - data.train.delta_NG).mean()


def test_for_few_shot_lines_the_base_hides_seventy_per_cent_of_a_line_s_drugs(world, tiny):
    data, linear = shared_fits_of(world, tiny, pair_split(world, kind="few_shot"))
    assert tiny.forward.hidden_frac == 0.7
    masks = few_shot_folds(
        data.train.asked, n_folds=tiny.forward.n_folds, hidden_frac=0.7, seed=tiny.seed
    )

    expected_NG, has_one_N = out_of_fold(
        linear.linear[linear.base].with_chosen_settings,
        data.train.record(data.features),
        masks,
    )

    np.testing.assert_allclose(linear.base_train_NG[has_one_N], expected_NG[has_one_N], atol=1e-6)
    np.testing.assert_array_equal(linear.weight_N > 0, has_one_N)


def test_another_seed_gives_another_network_on_the_same_base(world, tiny):
    first, second = (
        fit_split(world.table, world.features, pair_split(world), replace(tiny, seed=seed))
        for seed in (0, 1)
    )

    assert not np.array_equal(first.forward.test["network"], second.forward.test["network"])
    assert np.array_equal(first.forward.test["additive"], second.forward.test["additive"])


def test_several_members_are_asked_as_one(world, tiny):
    fitted = fit_split(world.table, world.features, pair_split(world), replace(tiny, n_members=2))

    asked = fitted.data.test.asked
    each_NG = fitted.forward.network.residuals(asked)
    assert len(each_NG) == 2
    assert not np.array_equal(each_NG[0], each_NG[1])
    np.testing.assert_allclose(fitted.forward.network.predict(asked), each_NG.mean(axis=0))
