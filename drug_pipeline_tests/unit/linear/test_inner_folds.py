"""Settings are chosen on folds of the training side that hide what the test hides."""

import numpy as np
import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import KINDS
from drug_pipeline.linear import Conditions, MeasuredConditions, evidence_weight
from drug_pipeline.linear.tuning.inner_folds import choose, inner_folds

N_DRUGS, N_LINES = 12, 6
HIDES = {
    "pair": ("pair",),
    "few_shot": ("pair",),
    "plate_replicate": ("well",),
    "dose": ("drug_dose",),
    "cell_line": ("line",),
    "organ": ("line",),
    "drug": ("parent",),
    "scaffold": ("parent",),
    "both": ("parent", "line"),
}


@pytest.fixture
def train() -> Conditions:
    rows = [
        (f"drug{drug}", f"parent{drug // 2}", dose, f"line{line}", f"plate{plate}")
        for drug in range(N_DRUGS)
        for plate, dose in enumerate((0.5, 5.0, 5.0))
        for line in range(N_LINES)
    ]
    drug_N, parent_N, dose_N, line_N, plate_N = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Conditions(
        drug_N=drug_N, parent_N=parent_N, dose_um_N=dose_N, line_N=line_N, plate_N=plate_N
    )


def units(train: Conditions, what: str, rows: np.ndarray) -> set[tuple[object, ...]]:
    columns = {
        "pair": (train.parent_N, train.line_N),
        "well": (train.drug_N, train.dose_um_N, train.plate_N),
        "drug_dose": (train.drug_N, train.dose_um_N),
        "line": (train.line_N,),
        "parent": (train.parent_N,),
    }[what]
    return set(zip(*(column[rows].tolist() for column in columns), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_shares_no_unit_of_its_kind_with_what_is_fitted(kind, train):
    folds = inner_folds(train, kind)

    assert len(folds) == 3
    for fit, held in folds:
        assert len(fit)
        assert len(held)
        for what in HIDES[kind]:
            assert not units(train, what, fit) & units(train, what, held)


def test_a_few_shot_fold_hides_most_of_some_lines_and_none_of_the_others(train):
    for fit, held in inner_folds(train, "few_shot"):
        lines = set(train.line_N[held])
        is_of_lines_N = np.isin(train.line_N, list(lines))
        assert len(lines) < N_LINES
        assert 0.4 < len(held) / is_of_lines_N.sum() < 1.0
        assert set(train.line_N[fit]) >= set(train.line_N) - lines


@pytest.mark.parametrize("kind", KINDS)
def test_more_conditions_of_the_same_units_move_none_to_another_fold(kind, train):
    rows = np.flatnonzero(train.plate_N != "plate2") if kind != "plate_replicate" else None
    few = train if rows is None else train.take(rows)

    for (_, held_few), (_, held_all) in zip(
        inner_folds(few, kind), inner_folds(train, kind), strict=True
    ):
        for what in HIDES[kind]:
            assert units(few, what, held_few) == units(train, what, held_all)


def four_rows(train: Conditions, weights: list[float]) -> MeasuredConditions:
    return MeasuredConditions(
        conditions=train.take(np.arange(4)),
        delta_NG=np.array([[1.0], [9.0], [1.0], [5.0]]),
        weight_N=np.array(weights),
    )


def test_where_a_fold_would_have_an_empty_side_the_default_is_taken(train):
    one_line = train.take(np.flatnonzero(train.line_N == "line0"))

    assert inner_folds(one_line, "cell_line") == []
    assert choose((1, 2, 3), 2, [], four_rows(train, [1, 1, 1, 1]), lambda *_: []) == 2


def test_the_candidate_with_the_least_error_by_evidence_on_hidden_rows_is_chosen(train):
    folds = [(np.array([0, 1]), np.array([2, 3]))]

    def predict(rows, candidates):
        return [np.full((len(rows[1]), 1), float(one)) for one in candidates]

    def chosen(weights: list[float]) -> int:
        return choose((1, 3, 5), 3, folds, four_rows(train, weights), predict)

    assert chosen([1, 1, 1, 1]) == 3  # errors 0 + 16, 4 + 4, 16 + 0
    assert chosen([1, 1, 1, 0.1]) == 1
    assert chosen([1, 1, 0.1, 1]) == 5


def test_an_unknown_kind_is_refused(train):
    with pytest.raises(ConfigurationError, match=r"'moon' is no kind of split\. There are: pair, "):
        inner_folds(train, "moon")


def test_evidence_grows_with_cells_until_the_well_is_the_noise():
    weight_N = evidence_weight(np.array([10.0, 20.0, 1400.0]))

    raw = np.array([10 / 20, 20 / 30, 1400 / 1410])
    np.testing.assert_allclose(weight_N, raw / raw.mean())
    assert weight_N[2] < 2 * weight_N[0]
