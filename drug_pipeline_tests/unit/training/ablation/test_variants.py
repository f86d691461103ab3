from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.linear import Conditions
from drug_pipeline.training.ablation.variants import VARIANTS
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import pair_split


@pytest.mark.parametrize("name", list(VARIANTS))
def test_each_variant_changes_one_thing_of_settings_or_conditions(name, world, tiny):
    conditions = Conditions.from_frame(world.table.conditions)
    variant = VARIANTS[name]

    told = variant.change_conditions(conditions, 0)

    columns = ("drug_N", "line_N", "plate_N", "dose_um_N")
    data = prepare(world.table, world.features, pair_split(world), told)
    is_dealt_anew = variant.change_data(data, 0) is not data
    same = {c: np.array_equal(getattr(told, c), getattr(conditions, c)) for c in columns}
    n_changed = list(same.values()).count(False) + (variant.config(tiny) != tiny) + is_dealt_anew
    assert n_changed == (0 if name == "as_configured" else 1)
    assert same["dose_um_N"]
    assert same["plate_N"]


@pytest.mark.parametrize(
    ("name", "part", "setting", "value"),
    [
        ("no_cell_token", "model", "has_cell_token", False),
        ("no_rank_loss", "forward", "lambda_rank", 0.0),
        ("full_rank_loss", "forward", "lambda_rank", 1.0),
        ("no_align_loss", "forward", "lambda_align", 0.0),
        ("no_warmup", "forward", "rank_warmup_frac", 0.0),
        ("no_gene_tokens", "model", "n_gene_tokens", 0),
        ("no_skip", "model", "has_skip", False),
        ("random_gene_embeddings", "model", "is_gene_embedding_learned", False),
    ],
)
def test_a_variant_changes_the_setting_that_it_is_called_after(name, part, setting, value, tiny):
    changed = replace(getattr(tiny, part), **{setting: value})

    assert VARIANTS[name].config(tiny) == replace(tiny, **{part: changed})


@pytest.mark.parametrize(
    ("name", "column", "is_left_out"),
    [
        ("no_drug", "drug_N", True),
        ("shuffled_drug", "drug_N", False),
        ("no_cell", "line_N", True),
        ("shuffled_cell", "line_N", False),
    ],
)
def test_what_is_left_out_is_the_same_everywhere_and_what_is_shuffled_somewhere_else(
    name, column, is_left_out, world
):
    conditions = Conditions.from_frame(world.table.conditions)
    before = getattr(conditions, column)

    after = getattr(VARIANTS[name].change_conditions(conditions, 0), column)

    if is_left_out:
        assert len(np.unique(after)) == 1
    else:
        assert sorted(after) == sorted(before)
        assert np.mean(after != before) > 0.5


def test_a_shuffle_keeps_how_often_each_drug_occurs_and_its_parent_with_it(world):
    conditions = Conditions.from_frame(world.table.conditions)

    told = VARIANTS["shuffled_drug"].change_conditions(conditions, 0)

    assert sorted(told.drug_N) == sorted(conditions.drug_N)
    parent_of = dict(zip(conditions.drug_N, conditions.parent_N, strict=True))
    assert all(parent_of[d] == p for d, p in zip(told.drug_N, told.parent_N, strict=True))


def test_shuffled_drugs_cost_what_the_drug_was_worth(world, tiny):
    split = pair_split(world)
    conditions = Conditions.from_frame(world.table.conditions)

    def validation_error(name: str) -> float:
        told = VARIANTS[name].change_conditions(conditions, 0)
        fitted = fit_split(world.table, world.features, split, tiny, asked=told)
        return fitted.forward.figures[fitted.forward.shipped_name]["mse"]

    assert validation_error("shuffled_drug") > 2 * validation_error("as_configured")
