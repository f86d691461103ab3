"""Predictions for people."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.errors import QueryError
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.query.library import Library
from drug_pipeline.query.predict import (
    NEW_DRUG,
    parent_sentence,
    predict_response,
    with_structure,
)
from drug_pipeline.training.deployed.bundle import Bundle


def test_the_strongest_gene_comes_first_in_both_logarithms(model: Bundle, library: Library) -> None:
    answer = predict_response(model, library, drug="Trametinib", dose_um=0.5, line="A-375")

    assert answer.table["gene_symbol"].iloc[0] == "GENE1"
    assert answer.table["delta"].iloc[0] == -1.0
    assert answer.table["log2_fold_change"].iloc[0] == pytest.approx(-1 / np.log(2))
    assert answer.line == "CVCL_0001"


def test_the_answer_says_what_was_measured_and_what_to_expect(
    model: Bundle, library: Library
) -> None:
    answer = predict_response(model, library, drug="Trametinib", dose_um=0.5, line="CVCL_0001")
    text = " ".join(answer.sentences())

    assert "was not measured in this line; answered by the model of split pair" in text
    assert "The same parent compound as Trametinib (DMSO_TF solvate)" in text
    assert "Expected error 0.100" in text
    assert "pearson centred was 0.42 (95 % interval 0.40 to 0.44), n = 9" in text


def test_what_has_no_figure_is_said_to_have_none(model: Bundle, library: Library) -> None:
    bare = replace(library, metrics=None)

    answer = predict_response(model, bare, drug="Aspirin", dose_um=0.5, line="CVCL_0001")

    assert "has not been measured here" in answer.trust.sentence()


@pytest.mark.parametrize("dose_um", [0.0, -1.0, float("nan"), float("inf")])
def test_a_dose_that_is_none_is_refused(model: Bundle, library: Library, dose_um: float) -> None:
    with pytest.raises(QueryError, match="give a positive number of µM"):
        predict_response(model, library, drug="Aspirin", dose_um=dose_um, line="CVCL_0001")


@pytest.mark.parametrize("dose_um", [1e-7, 0.04, 5.1, 100_000.0])
def test_a_dose_outside_those_measured_is_refused_with_them(
    model: Bundle, library: Library, dose_um: float
) -> None:
    with pytest.raises(QueryError, match=r"outside the measured doses, 0\.05 to 5 µM"):
        predict_response(model, library, drug="Aspirin", dose_um=dose_um, line="CVCL_0001")


def test_a_dose_between_those_measured_is_said_and_has_the_figure_of_such_a_dose(
    model: Bundle, library: Library
) -> None:
    answer = predict_response(model, library, drug="Aspirin", dose_um=1.0, line="CVCL_0001")
    text = " ".join(answer.sentences())

    assert "Expected error" not in text
    assert "1 µM lies between the measured doses, 0.05, 0.5, 5 µM" in text
    assert "for a known drug in a known line at another dose are has not been measured here" in text


def test_a_misspelt_drug_is_refused_with_the_nearest(model: Bundle, library: Library) -> None:
    with pytest.raises(QueryError, match=r"no drug 'Trametinob'\. Nearest: Trametinib"):
        predict_response(model, library, drug="Trametinob", dose_um=0.5, line="CVCL_0001")


@pytest.mark.parametrize("drug", ["trametinib", " TRAMETINIB ", "Tra-metinib"])
@pytest.mark.parametrize("line", ["a-375", "A375", "a 375", "cvcl_0001"])
def test_case_blanks_and_hyphens_do_not_matter_where_one_name_is_meant(
    model: Bundle, library: Library, drug: str, line: str
) -> None:
    answer = predict_response(model, library, drug=drug, dose_um=0.5, line=line)

    assert (answer.drug, answer.line) == ("Trametinib", "CVCL_0001")


def test_a_new_structure_is_known_by_its_parent_compound(model: Bundle, library: Library) -> None:
    aspirin_salt = "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]"

    wider = with_structure(model, aspirin_salt, DrugEmbeddingConfig())
    answer = predict_response(wider, library, drug=NEW_DRUG, dose_um=1.0, line="CVCL_0001")

    assert wider.parent_of[NEW_DRUG] == "BSYNRYMUTXBXSQ"
    assert not answer.is_measured


def test_what_of_a_structure_is_asked_for_is_said() -> None:
    assert parent_sentence("[2H]C([2H])([2H])[NH3+].[Cl-]").startswith(
        "Read as its parent compound CN: counter-ions, charges, isotopes and stereochemistry"
    )


def test_text_that_is_no_structure_is_refused(model: Bundle) -> None:
    with pytest.raises(QueryError, match="SMILES 'not a molecule' cannot be read"):
        with_structure(model, "not a molecule", DrugEmbeddingConfig())
