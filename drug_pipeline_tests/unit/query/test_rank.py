"""Ranking drugs for people."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.library import Library
from drug_pipeline.query.rank import rank_drugs
from drug_pipeline.query.signature import Signature, as_signature
from drug_pipeline.training.deployed.bundle import Bundle

SYMBOLS = [f"GENE{number}" for number in range(12)]


@pytest.fixture
def signature(panel: pd.DataFrame) -> Signature:
    return as_signature(SYMBOLS, [0.1, 0.9, 0.5, *([-0.1] * 9)], panel)


def test_drugs_come_best_first_with_what_is_known_of_them(
    model: Bundle, library: Library, signature: Signature
) -> None:
    ranked = rank_drugs(model, library, signature, "CVCL_0001").table

    assert ranked["drug"].tolist() == ["Trametinib", "Trametinib (DMSO_TF solvate)", "Aspirin"]
    assert ranked["rank"].tolist() == [1, 2, 3]
    assert ranked["percentile"].tolist() == [100.0, 50.0, 0.0]
    assert ranked["moa_fine"].tolist() == ["MEK inhibitor", "MEK inhibitor", "COX inhibitor"]
    assert ranked["is_measured"].tolist() == [True, False, True]
    assert ranked["is_measured_here"].tolist() == [False, False, True]


def test_the_reverse_question_turns_the_ranking_round(
    model: Bundle, library: Library, signature: Signature
) -> None:
    ranked = rank_drugs(model, library, signature, "CVCL_0001", is_reversed=True)

    assert ranked.table["drug"].iloc[0] == "Aspirin"


def test_ties_share_their_percentile_and_are_ordered_by_name(
    model: Bundle, library: Library, panel: pd.DataFrame
) -> None:
    tied = as_signature(SYMBOLS, [0.5, 0.5, 0.5, *([-0.1] * 9)], panel)

    ranked = rank_drugs(model, library, tied, "CVCL_0001").table

    assert ranked["percentile"].tolist() == [50.0, 50.0, 50.0]
    assert ranked["drug"].tolist() == sorted(ranked["drug"])


def test_genes_that_were_not_given_are_left_out_of_the_question(
    model: Bundle, library: Library, panel: pd.DataFrame
) -> None:
    values = np.linspace(-1.0, 0.9, 10)
    partial = as_signature(SYMBOLS[2:], values, panel)

    rank_drugs(model, library, partial, "CVCL_0001")

    asked_G = model.asked[-1][0]  # type: ignore[attr-defined]
    assert np.isnan(asked_G[:2]).all()
    np.testing.assert_allclose(asked_G[2:], values, rtol=1e-6)


def test_genes_that_are_not_on_a_list_are_unchanged(
    model: Bundle, library: Library, panel: pd.DataFrame
) -> None:
    listed = as_signature(SYMBOLS[2:], [1.0, -1.0] * 5, panel)

    rank_drugs(model, library, listed, "CVCL_0001")

    asked_G = model.asked[-1][0]  # type: ignore[attr-defined]
    assert asked_G.tolist() == [0.0] * 2 + [1.0, -1.0] * 5


def test_a_line_may_be_named_by_its_common_name(
    model: Bundle, library: Library, signature: Signature
) -> None:
    assert rank_drugs(model, library, signature, "A-375").line == "CVCL_0001"


def test_the_answer_says_how_good_such_answers_were(
    model: Bundle, library: Library, signature: Signature
) -> None:
    sentence = rank_drugs(model, library, signature, "CVCL_0001").trust.sentence()

    assert "in other cell lines, none in this one, mrr was 0.50 (95 % interval" in sentence
    assert "0.40 to 0.60), n = 9, gallery of 3" in sentence


@pytest.mark.parametrize(
    ("low", "said"),
    [(0.2, "in this cell line, mrr was 0.30"), (np.nan, "too few in this one), mrr was 0.50")],
)
def test_a_line_with_figures_of_its_own_has_these(
    model: Bundle, library: Library, signature: Signature, low: float, said: str
) -> None:
    own = ("pair", "drug", "combined", "line", "CVCL_0001", "mrr", 0.3, low, 0.4, 6, 3)
    metrics = pd.concat([library.metrics, pd.DataFrame([own], columns=library.metrics.columns)])

    ranked = rank_drugs(model, replace(library, metrics=metrics), signature, "CVCL_0001")

    assert said in ranked.trust.sentence()


def test_a_signature_of_z_scores_has_no_figure_of_a_delta(
    model: Bundle, library: Library, panel: pd.DataFrame
) -> None:
    z_scores = as_signature(SYMBOLS, np.linspace(-20.0, 25.0, 12), panel, unit="z")

    ranked = rank_drugs(model, library, z_scores, "CVCL_0001")

    assert "z-scores or of another unit are has not been measured" in ranked.trust.sentence()


def test_a_few_genes_have_not_the_figure_of_a_whole_profile(
    model: Bundle, library: Library, panel: pd.DataFrame
) -> None:
    partial = as_signature(SYMBOLS[2:], np.linspace(-1.0, 0.9, 10), panel)
    padded = as_signature(SYMBOLS, [0.4, -0.5, 0.3, *([0.0] * 9)], panel)

    for some in (partial, padded):
        sentence = rank_drugs(model, library, some, "CVCL_0001").trust.sentence()
        assert "a signature of some genes of the panel are has not been measured" in sentence


def test_what_undoes_a_signature_has_not_the_figure_of_what_does_it(
    model: Bundle, library: Library, signature: Signature
) -> None:
    ranked = rank_drugs(model, library, signature, "CVCL_0001", is_reversed=True)

    assert "drugs that undo a signature are has not been measured" in ranked.trust.sentence()


def test_a_line_never_treated_has_the_figure_of_such_a_line(
    model: Bundle, library: Library, signature: Signature
) -> None:
    trust = rank_drugs(model, library, signature, "CVCL_0002").trust

    assert trust.kind == "cell_line"
    assert trust.value is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A376", r"there is no cell line 'A376'\. Nearest: A-375"),
        ("absent", r"'absent' is in the metadata but has no vehicle cells"),
        ("xyz", r"there is no cell line 'xyz'; there are 4"),
    ],
)
def test_an_unknown_line_is_refused_with_the_nearest(
    model: Bundle, library: Library, signature: Signature, line: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        rank_drugs(model, library, signature, line)


def test_no_drugs_at_all_cannot_be_asked_for(
    model: Bundle, library: Library, signature: Signature
) -> None:
    with pytest.raises(QueryError, match="top is 0"):
        rank_drugs(model, library, signature, "CVCL_0001", top=0)
