"""Known conditions, predicted while they were hidden."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.tables import Split
from drug_pipeline.linear import Conditions
from drug_pipeline.linear.means import GroupMean, drug_mean, line_mean
from drug_pipeline.training.selection import cross_fitting
from drug_pipeline.training.selection.cross_fitting import FitOne, predict_held_out
from drug_pipeline.training.split_data import Part, SplitData, prepare


def silent(done: int, total: int, text: str) -> None:
    """Nobody looks."""


def some_split(world, kind: str) -> SplitData:
    """The last drug, line or pairs are the test, the one before is validation."""
    conditions = world.table.conditions
    units = {"drug": "parent_compound", "cell_line": "cell_line_id"}
    unit_N = conditions[units.get(kind, "parent_compound")].to_numpy(dtype=str)
    names = np.unique(unit_N)
    roles_N = np.full(len(unit_N), "train", dtype=object)
    roles_N[unit_N == names[-2]] = "validation"
    roles_N[unit_N == names[-1]] = "test"
    split = Split(name=kind, kind=kind, roles_N=roles_N.astype(str), fingerprint="made up")
    return prepare(world.table, world.features, split)


def fitting_with(data: SplitData) -> FitOne:
    """Fits a predictor on a part of the data's conditions."""

    def fit_one(one, fitted, part: Part):
        return one.fit(part.record(data.features))

    return fit_one


def fitted_mean(data: SplitData, make) -> GroupMean:
    one = make()
    train = data.train
    return one.fit(train.record(data.features))


@pytest.mark.parametrize(
    ("kind", "make", "column"),
    [("drug", drug_mean, "parent_N"), ("cell_line", line_mean, "line_N")],
)
def test_nothing_of_a_hidden_drug_or_line_is_in_its_own_prediction(world, kind, make, column):
    data = some_split(world, kind)
    unit = getattr(data.train.asked, column)[0]
    table = world.table
    unit_N = getattr(Conditions.from_frame(table.conditions), column)
    loud_NG = table.delta_NG + np.float32(1000.0) * (unit_N == unit)[:, None]
    data = prepare(replace(table, delta_NG=loud_NG), world.features, data.split)

    found = predict_held_out({"mean": fitted_mean(data, make)}, data, fitting_with(data), silent)

    assert found is not None
    is_loud_N = getattr(found.part.asked, column) == unit
    largest_N = np.abs(found.predicted["mean"]).max(axis=1)
    assert is_loud_N.any()
    assert largest_N[is_loud_N].max() < 100.0 < largest_N[~is_loud_N].max()


def test_every_known_condition_is_predicted_once_and_no_test_condition(world):
    data = some_split(world, "drug")

    found = predict_held_out(
        {"mean": fitted_mean(data, line_mean)}, data, fitting_with(data), silent
    )

    assert found is not None
    rows_N = found.part.rows_N
    assert sorted(rows_N) == sorted([*data.train.rows_N, *data.validation.rows_N])
    assert np.array_equal(found.part.delta_NG, world.table.delta_NG[rows_N])
    assert list(found.part.asked.drug_N) == list(world.table.conditions["drug"].iloc[rows_N])


def test_many_conditions_are_thinned_by_whole_pairs(world, monkeypatch):
    data = some_split(world, "drug")
    monkeypatch.setattr(cross_fitting, "MOST_JUDGED", 60)

    found = predict_held_out(
        {"mean": fitted_mean(data, line_mean)}, data, fitting_with(data), silent
    )

    assert found is not None
    kept, known = (pairs(part.asked) for part in (found.part, data.known))
    assert 0 < len(kept) < len(known)
    assert all(kept.count(pair) == known.count(pair) for pair in kept)


def pairs(asked: Conditions) -> list[tuple[str, str]]:
    return list(zip(asked.parent_N.tolist(), asked.line_N.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["pair", "dose", "plate_replicate"])
def test_known_drugs_and_lines_have_no_folds(world, kind):
    data = some_split(world, kind)

    assert predict_held_out({}, data, fitting_with(data), silent) is None


def test_many_validation_compounds_do_not_choose_alone(world):
    number_N = np.arange(world.table.n_conditions) // 2
    parent_N = [f"p{number:03d}" for number in number_N]
    table = replace(world.table, conditions=world.table.conditions.assign(parent_compound=parent_N))
    roles_N = np.select([number_N < 2, number_N < 36], ["test", "validation"], "train")
    split = Split(name="drug", kind="drug", roles_N=roles_N, fingerprint="made up")
    data = prepare(table, world.features, split)

    found = predict_held_out(
        {"mean": fitted_mean(data, line_mean)}, data, fitting_with(data), silent
    )

    assert len(np.unique(data.validation.parent_N)) == 34
    assert found is not None
    assert set(found.part.parent_N) == set(data.known.parent_N)


def test_what_is_kept_of_the_models_is_the_one_that_was_chosen(world):
    data = some_split(world, "drug")
    models = {"drug": fitted_mean(data, drug_mean), "line": fitted_mean(data, line_mean)}

    found = predict_held_out(models, data, fitting_with(data), silent)

    assert found is not None
    kept = found.only("line")
    assert list(kept.predicted) == ["line"]
    assert np.array_equal(kept.predicted["line"], found.predicted["line"])
