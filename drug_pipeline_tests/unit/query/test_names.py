"""Drugs and cell lines as people write them."""

import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.names import resolve_drug, resolve_line


def lines_of(**names_by_id: str | None) -> pd.DataFrame:
    return pd.DataFrame(
        {names.CELL_LINE_ID: list(names_by_id), names.CELL_NAME: list(names_by_id.values())}
    )


def test_two_lines_of_one_name_are_refused_with_their_ids() -> None:
    lines = lines_of(CVCL_0001="X-1", CVCL_0002="X-1")

    with pytest.raises(
        QueryError, match="2 cell lines may be meant by 'X-1': CVCL_0001, CVCL_0002"
    ):
        resolve_line("X-1", lines, ["CVCL_0001", "CVCL_0002"])
    with pytest.raises(QueryError, match="CVCL_0001, CVCL_0002"):
        resolve_line("x1", lines, ["CVCL_0001"])
    assert resolve_line("cvcl_0002", lines, ["CVCL_0001", "CVCL_0002"]) == "CVCL_0002"


def test_a_dot_tells_two_lines_apart() -> None:
    lines = lines_of(CVCL_1774="TT", CVCL_3174="T.T", CVCL_0000=None)
    ids = list(lines[names.CELL_LINE_ID])

    assert resolve_line("t.t", lines, ids) == "CVCL_3174"
    assert resolve_line("T-T", lines, ids) == "CVCL_1774"


def test_a_name_as_it_is_written_wins_over_one_like_it() -> None:
    assert resolve_drug("5-FU", ["5FU", "5-FU"]) == "5-FU"
    with pytest.raises(QueryError, match="2 drugs may be meant by '5 fu': 5FU, 5-FU"):
        resolve_drug("5 fu", ["5FU", "5-FU"])


@pytest.mark.parametrize("wanted", ["(-)-JQ1", "JQ1", "Trametinib (DMSO_TF solvat)", "-", ""])
def test_what_differs_in_more_than_case_and_hyphens_is_another_drug(wanted: str) -> None:
    with pytest.raises(QueryError, match="there is no drug"):
        resolve_drug(wanted, ["(+)-JQ1", "Trametinib (DMSO_TF solvate)"])
