import numpy as np

from drug_pipeline.linear import Conditions, Features, TrainingRecord
from drug_pipeline.linear.means import drug_mean, join_keys
from drug_pipeline.training.selection.cross_fitting import (
    few_shot_folds,
    out_of_fold,
    unit_folds,
)


def grid(n_drugs: int = 20, n_lines: int = 6) -> Conditions:
    drug_N = np.repeat([f"d{number:02d}" for number in range(n_drugs)], n_lines)
    return Conditions.unmeasured(
        drug_N, np.tile([f"l{number}" for number in range(n_lines)], n_drugs), 1.0
    )


def pairs(train: Conditions) -> np.ndarray:
    return join_keys(train.parent_N, train.line_N)


def record(train: Conditions, delta_NG: np.ndarray, features: Features) -> TrainingRecord:
    return TrainingRecord(
        conditions=train, delta_NG=delta_NG, weight_N=np.ones(len(train)), features=features
    )


def test_each_pair_is_hidden_in_exactly_one_fold():
    masks = unit_folds(pairs(grid()), n_folds=4, seed=0)

    assert np.array_equal(np.sum(masks, axis=0), np.ones(120))
    assert [mask.sum() for mask in masks] == [30, 30, 30, 30]


def test_few_shot_folds_hide_most_drugs_of_some_lines_and_reach_every_row():
    train = grid()

    masks = few_shot_folds(train, n_folds=3, hidden_frac=0.7, seed=0)

    assert np.sum(masks, axis=0).min() >= 1
    for is_hidden_N in masks:
        touched = np.unique(train.line_N[is_hidden_N])
        assert len(touched) == 2
        assert 0.5 < is_hidden_N[np.isin(train.line_N, touched)].mean() < 0.9


def test_line_folds_hide_whole_lines():
    train = grid()

    for is_hidden_N in unit_folds(train.line_N, n_folds=3, seed=0):
        assert set(train.line_N[is_hidden_N]).isdisjoint(train.line_N[~is_hidden_N])


def test_an_out_of_fold_prediction_does_not_know_the_row_it_is_for(world):
    train = grid(n_drugs=4, n_lines=5)
    delta_NG = np.zeros((20, 2), dtype=np.float32)
    delta_NG[0] = 100.0
    masks = unit_folds(pairs(train), n_folds=5, seed=0)

    predicted_NG, has_one_N = out_of_fold(drug_mean, record(train, delta_NG, world.features), masks)

    assert has_one_N.all()
    same_drug = predicted_NG[train.drug_N == train.drug_N[0]]
    assert abs(same_drug[0]).max() < abs(same_drug[1:]).max()


def test_a_fold_that_hides_everything_or_nothing_is_skipped(world):
    train = grid(n_drugs=4, n_lines=2)
    masks = [np.ones(8, dtype=bool), np.zeros(8, dtype=bool)]

    zeros_NG = np.zeros((8, 2), np.float32)
    _, has_one_N = out_of_fold(drug_mean, record(train, zeros_NG, world.features), masks)

    assert not has_one_N.any()
