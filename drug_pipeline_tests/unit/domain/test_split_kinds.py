"""The table of kinds of split, and what follows from a row."""

import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import (
    DECIDING_SPLITS,
    KINDS,
    MEASURED_AGAIN,
    SPLIT_NAMES,
    UNITS,
    deciding_split,
    kind_of,
)

ORDERS = {
    # drug is new, line is new: who answers, the first that was fitted
    (False, False): "pair few_shot plate_replicate dose cell_line organ drug scaffold both",
    (False, True): "cell_line organ both drug scaffold pair few_shot plate_replicate dose",
    (True, False): "drug scaffold both cell_line organ pair few_shot plate_replicate dose",
    (True, True): "both drug scaffold cell_line organ pair few_shot plate_replicate dose",
}


@pytest.mark.parametrize(("question", "order"), ORDERS.items(), ids=str)
def test_a_question_goes_to_the_kind_that_takes_as_new_what_is_new_in_it(question, order):
    is_drug_new, is_line_new = question

    def place(kind):
        return kind.routing_key(is_drug_new=is_drug_new, is_line_new=is_line_new)

    assert [kind.name for kind in sorted(KINDS.values(), key=place)] == order.split()


def test_a_kind_that_there_is_not_is_answered_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match=r"'moon' is no kind of split\. There are: pair, "):
        kind_of("moon")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_row_fits_its_draw(kind):
    n_units = {"unit": 1, "most_of_lines": 1, "linked": 2, "crossed": 2, "replicate": 1}
    assert len(kind.apart) == n_units[kind.draw]
    assert {*kind.apart, *kind.seen} <= set(UNITS)
    assert kind.folds_hide
    assert {*DECIDING_SPLITS, *MEASURED_AGAIN} <= set(KINDS)


@pytest.mark.parametrize("name", SPLIT_NAMES)
def test_the_dose_is_centred_too_where_and_only_where_the_drug_is_new(name):
    is_new = name in ("drug", "scaffold", "both")

    assert KINDS[name].main_metric == ("pearson_centred_dose" if is_new else "pearson_centred")


def test_the_first_fitted_split_of_those_that_decide_decides():
    assert deciding_split(["few_shot", "drug", "plate_replicate"]) == "plate_replicate"
    assert deciding_split(["few_shot", "dose"]) == "few_shot"
