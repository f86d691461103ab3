"""Matching gene names: exactly, or said not to match."""

import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.genes import match_genes

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
    ("naming", "given"),
    [
        (names.GENE_SYMBOL, [f"GENE{number}" for number in range(1, 13)]),
        (names.ENSEMBL_ID, [f"ENSG{number:011d}" for number in range(1, 13)]),
        (names.ENSEMBL_ID, [f"ENSG{number:011d}.{number}" for number in range(1, 13)]),
        (names.TOKEN_ID, [str(number) for number in range(4, 16)]),
    ],
    ids=["symbols", "ensembl", "ensembl-with-version", "tokens"],
)
def test_genes_match_by_whichever_name_they_are_given(
    panel: pd.DataFrame, naming: str, given: list[str]
) -> None:
    columns_M, places_M, coverage = match_genes(given, panel)

    assert coverage.naming == naming
    assert columns_M.tolist() == list(range(1, 13))
    assert places_M.tolist() == list(range(12))
    assert coverage.covered_frac == 12 / N_GENES


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


def test_two_versions_of_one_id_are_refused(panel: pd.DataFrame) -> None:
    given = [f"ENSG{number:011d}.1" for number in range(12)] + ["ENSG00000000003.2"]

    with pytest.raises(QueryError, match=r"1 genes are given under two names .*ENSG00000000003"):
        match_genes(given, panel)
