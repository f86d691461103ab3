import numpy as np
import pytest

from drug_pipeline.linear import Conditions
from drug_pipeline.training.ablation import VARIANTS
from drug_pipeline.training.experiment import fit_split
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import pair_split


@pytest.mark.parametrize("name", list(VARIANTS))
def test_each_variant_changes_one_thing_of_settings_or_conditions(name, world, tiny):
    conditions = Conditions.from_frame(world.table.conditions)
    variant = VARIANTS[name]

    told = variant.told(conditions, 0)

    columns = ("drug_N", "line_N", "plate_N", "dose_um_N")
    data = prepare(world.table, world.features, pair_split(world), told)
    is_dealt_anew = variant.dealt(data, 0) is not data
    same = {c: np.array_equal(getattr(told, c), getattr(conditions, c)) for c in columns}
    n_changed = list(same.values()).count(False) + (variant.config(tiny) != tiny) + is_dealt_anew
    assert n_changed == (0 if name == "as_configured" else 1)
    assert same["dose_um_N"]
    assert same["plate_N"]


def test_a_shuffle_keeps_how_often_each_drug_occurs_and_its_parent_with_it(world):
    conditions = Conditions.from_frame(world.table.conditions)

    told = VARIANTS["shuffled_drug"].told(conditions, 0)

    assert sorted(told.drug_N) == sorted(conditions.drug_N)
    parent_of = dict(zip(conditions.drug_N, conditions.parent_N, strict=True))
    assert all(parent_of[d] == p for d, p in zip(told.drug_N, told.parent_N, strict=True))


def test_shuffled_drugs_cost_what_the_drug_was_worth(world, tiny):
    split = pair_split(world)
    conditions = Conditions.from_frame(world.table.conditions)

    def validation_error(name: str) -> float:
        told = VARIANTS[name].told(conditions, 0)
        fitted = fit_split(world.table, world.features, split, tiny, asked=told)
        return fitted.forward.figures[fitted.forward.shipped_name]["mse"]

    assert validation_error("shuffled_drug") > 2 * validation_error("as_configured")
