"""The served model: the same checks as on the command line, and many questions at once."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.pyfunc import QUESTION, Predictions
from drug_pipeline.training.deployed.bundle import Bundle


def asked(**changes: object) -> pd.DataFrame:
    question = {"drug": "Trametinib", "dose_um": 0.5, "cell_line_id": "CVCL_0001"} | changes
    return pd.DataFrame({column: [value] for column, value in question.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dose_um": 0.0}, "dose_um is 0.0; give a positive number"),
        ({"dose_um": -1.0}, r"dose_um is -1\.0; give a positive number"),
        ({"dose_um": float("nan")}, "dose_um is nan; give a positive number"),
        ({"dose_um": None}, "dose_um is nan|dose_um is not a number"),
        ({"dose_um": "much"}, "dose_um is not a number"),
        ({"dose_um": 100_000.0}, "outside the measured doses"),
        ({"drug": "Trametinob"}, "no drug 'Trametinob'. Nearest: Trametinib"),
        ({"drug": None}, "names no drug"),
        ({"drug": float("nan")}, "names no drug"),
        ({"cell_line_id": "CVCL_1"}, "no cell line 'CVCL_1'"),
        ({"cell_line_id": " "}, "names no cell line"),
    ],
)
def test_a_question_out_of_range_is_refused_as_on_the_command_line(
    model: Bundle, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        Predictions(model).answer(asked(**changes), {})


@pytest.mark.parametrize("top_genes", [-1, 2.5, "five", True, None])
def test_a_number_of_genes_that_is_none_is_refused(model: Bundle, top_genes: object) -> None:
    with pytest.raises(QueryError, match="top_genes is"):
        Predictions(model).answer(asked(), {"top_genes": top_genes})


def test_a_question_without_a_column_is_refused(model: Bundle) -> None:
    with pytest.raises(QueryError, match="has no column dose_um"):
        Predictions(model).answer(asked().drop(columns="dose_um"), {})


def test_no_question_has_an_empty_answer(model: Bundle) -> None:
    answer = Predictions(model).answer(asked().head(0), {})

    assert list(answer) == [*QUESTION, names.ENSEMBL_ID, names.GENE_SYMBOL, "delta"]
    assert answer.empty


def test_names_are_understood_and_given_back_as_they_were_asked(model: Bundle) -> None:
    answer = Predictions(model).answer(asked(drug="trametinib", cell_line_id="cvcl_0001"), {})

    assert set(answer["drug"]) == {"trametinib"}
    assert answer["delta"].tolist().index(-1.0) == 1


def test_ten_thousand_questions_are_predicted_once_each_and_answered_in_their_order(
    model: Bundle,
) -> None:
    drugs = ["Aspirin", "Trametinib"] * 5_000
    questions = pd.DataFrame({"drug": drugs, "dose_um": 0.5, "cell_line_id": "CVCL_0001"})

    answer = Predictions(model).answer(questions, {"top_genes": 2})

    assert len(model.asked[-1]) == 2  # type: ignore[attr-defined]
    assert answer["drug"].tolist() == np.repeat(drugs, 2).tolist()
    assert answer[names.GENE_SYMBOL].tolist()[:4] == ["GENE0", "GENE1", "GENE1", "GENE0"]
