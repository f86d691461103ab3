"""Matching gene names: exactly, or said not to match."""

import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.genes import PREVIOUS_SYMBOLS, match_genes

N_GENES = 20


@pytest.fixture
def panel() -> pd.DataFrame:
    return pd.DataFrame(
        {
            names.TOKEN_ID: range(3, 3 + N_GENES),
            names.ENSEMBL_ID: [f"ENSG{number:011d}" for number in range(N_GENES)],
            names.GENE_SYMBOL: ["C1orf112", *(f"GENE{number}" for number in range(1, N_GENES))],
        }
    )


@pytest.mark.parametrize(
    ("given", "naming", "told"),
    [
        ([f"GENE{number}" for number in range(1, 13)], None, names.GENE_SYMBOL),
        ([f"ENSG{number:011d}" for number in range(1, 13)], None, names.ENSEMBL_ID),
        ([f"ENSG{number:011d}.{number}" for number in range(1, 13)], None, names.ENSEMBL_ID),
        (
            ["GENE1", *(f"ENSG{number:011d}" for number in range(2, 13))],
            names.GENE_SYMBOL,
            "ensembl_id and gene_symbol",
        ),
        ([str(number) for number in range(4, 16)], names.TOKEN_ID, names.TOKEN_ID),
        ([f"{number}.0" for number in range(4, 16)], names.TOKEN_ID, names.TOKEN_ID),
    ],
    ids=["symbols", "ensembl", "ensembl-with-version", "both", "tokens", "tokens-as-floats"],
)
def test_genes_match_by_whichever_name_they_are_given(
    panel: pd.DataFrame, given: list[str], naming: str | None, told: str
) -> None:
    columns_M, places_M, coverage = match_genes(given, panel, naming=naming)

    assert coverage.naming == told
    assert columns_M.tolist() == list(range(1, 13))
    assert places_M.tolist() == list(range(12))
    assert coverage.covered_frac == 12 / N_GENES


@pytest.mark.parametrize(
    ("given", "in_panel"),
    [("ICT1", "MRPL58"), ("MRPL58", "ICT1")],
    ids=["an-old-signature", "an-old-panel"],
)
def test_a_renamed_gene_matches_by_its_other_symbol_and_that_is_told(
    panel: pd.DataFrame, given: str, in_panel: str
) -> None:
    panel.loc[0, [names.ENSEMBL_ID, names.GENE_SYMBOL]] = ["ENSG00000167862", in_panel]

    columns_M, _, coverage = match_genes([given, *(f"GENE{n}" for n in range(1, 13))], panel)

    assert columns_M[0] == 0
    assert coverage.renamed == {given: in_panel}
    assert f"1 by another symbol of the same gene: {given} → {in_panel}" in coverage.sentence()


def test_a_previous_symbol_means_the_gene_that_the_panel_calls_so_and_none_twice(
    panel: pd.DataFrame,
) -> None:
    panel.loc[0, [names.ENSEMBL_ID, names.GENE_SYMBOL]] = ["ENSG00000167862", "MRPL58"]
    others = [f"GENE{n}" for n in range(2, 13)]

    with pytest.raises(QueryError, match="1 genes are given under two names"):
        match_genes(["ICT1", "MRPL58", *others], panel)
    panel.loc[1, names.GENE_SYMBOL] = "ICT1"
    columns_M, _, coverage = match_genes(["ICT1", *others], panel)

    assert columns_M[0] == 1
    assert not coverage.renamed


def test_no_previous_symbol_is_told_of_two_genes_or_is_a_symbol_of_today() -> None:
    table = pd.read_csv(PREVIOUS_SYMBOLS, comment="#", dtype=str)

    assert table["previous"].is_unique
    assert not set(table["previous"]) & set(table["current"])
    assert table[names.ENSEMBL_ID].is_unique
    assert table[names.ENSEMBL_ID].str.fullmatch(r"ENSG\d{11}").all()


def test_a_name_that_differs_in_case_is_offered_and_not_taken(panel: pd.DataFrame) -> None:
    given = ["C1ORF112", *(f"GENE{number}" for number in range(1, 13))]

    columns_M, _, coverage = match_genes(given, panel)

    assert 0 not in columns_M
    assert coverage.unmatched == ("C1ORF112",)
    assert coverage.suggestions == {"C1ORF112": "C1orf112"}
    assert "C1ORF112 → C1orf112" in coverage.sentence()


def test_too_few_matches_are_refused_with_the_coverage(panel: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match=r"^9 of 10 genes given .* At least 10 are needed"):
        match_genes([*(f"GENE{number}" for number in range(1, 10)), "TP53"], panel)


def test_a_gene_named_twice_is_refused(panel: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match=r"1 of 1 genes are named more than once; first: GENE1"):
        match_genes(["GENE1", "GENE1"], panel)


def test_a_stranger_named_twice_is_left_out_as_any_other(panel: pd.DataFrame) -> None:
    given = ["Y_RNA", "Y_RNA", *(f"GENE{number}" for number in range(1, 13))]

    columns_M, _, coverage = match_genes(given, panel)

    assert len(columns_M) == 12
    assert coverage.unmatched == ("Y_RNA", "Y_RNA")


def test_numbers_are_no_token_ids_where_nothing_says_so(panel: pd.DataFrame) -> None:
    given = [str(number) for number in range(4, 20)]

    with pytest.raises(QueryError, match=r"16 names are numbers .*Entrez ids are not known here"):
        match_genes(given, panel)


@pytest.mark.parametrize("version", ["", ".7", ".9"])
def test_a_panel_with_versions_matches_any_version_or_none(
    panel: pd.DataFrame, version: str
) -> None:
    bare = panel[names.ENSEMBL_ID].tolist()
    panel[names.ENSEMBL_ID] = panel[names.ENSEMBL_ID] + ".7"

    columns_M, _, _ = match_genes([name + version for name in bare], panel)

    assert columns_M.tolist() == list(range(N_GENES))


def test_the_copy_of_a_gene_on_y_is_another_gene(panel: pd.DataFrame) -> None:
    given = [f"ENSG{number:011d}.1" for number in range(12)] + ["ENSG00000000003.1_PAR_Y"]

    columns_M, _, coverage = match_genes(given, panel)

    assert len(columns_M) == 12
    assert coverage.unmatched == ("ENSG00000000003.1_PAR_Y",)


def test_a_symbol_of_two_genes_is_left_out_and_said(panel: pd.DataFrame) -> None:
    panel.loc[5, names.GENE_SYMBOL] = "GENE9"

    columns_M, _, coverage = match_genes([f"GENE{number}" for number in range(1, 20)], panel)

    assert not {5, 9} & set(columns_M.tolist())
    assert "several genes of the panel share the name: GENE9 (give Ensembl ids)" in (
        coverage.sentence()
    )


def test_symbols_in_lower_case_are_refused_with_how_the_panel_writes_them(
    panel: pd.DataFrame,
) -> None:
    with pytest.raises(QueryError, match=r"spelt otherwise: gene1 → GENE1, .*differ .* in case"):
        match_genes([f"gene{number}" for number in range(1, 20)], panel)


def test_more_names_of_another_case_than_names_that_match_are_another_species(
    panel: pd.DataFrame,
) -> None:
    given = [f"GENE{number}" for number in range(1, 11)]
    panel[names.GENE_SYMBOL] = [*given, *(f"MORE{number}" for number in range(10))]
    mouse = [f"More{number}" for number in range(10)]

    match_genes([*given, *mouse], panel)
    with pytest.raises(QueryError, match="as those of another species do"):
        match_genes([*given[:9], *mouse], panel)


def test_dates_that_a_spreadsheet_made_of_symbols_are_named(panel: pd.DataFrame) -> None:
    given = ["1-Mar", "1-Mar", "2-Sep", *(f"GENE{number}" for number in range(1, 13))]

    _, _, coverage = match_genes(given, panel)

    assert "dates, as a spreadsheet makes them of MARCH1 or SEPT2: 1-Mar" in coverage.sentence()


def test_two_versions_of_one_id_are_refused(panel: pd.DataFrame) -> None:
    given = [f"ENSG{number:011d}.1" for number in range(12)] + ["ENSG00000000003.2"]

    with pytest.raises(QueryError, match=r"1 genes are given under two names .*ENSG00000000003"):
        match_genes(given, panel)
