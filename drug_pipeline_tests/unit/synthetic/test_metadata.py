"""The traps of the released metadata tables, one by one."""

import ast

import pandas as pd
import pyarrow.parquet as pq
import pytest

from drug_pipeline.synthetic.public.compounds import BLANK_AFTER_NAME


@pytest.fixture(scope="module")
def tables(tiny) -> dict[str, pd.DataFrame]:
    paths = (tiny[0] / "metadata").glob("*.parquet")
    return {path.stem.removesuffix("_metadata"): pq.read_table(path).to_pandas() for path in paths}


def test_all_five_tables_are_there(tables):
    assert sorted(tables) == ["cell_line", "drug", "gene", "obs", "sample"]


def test_the_dose_is_a_literal_in_a_text(tables):
    wells = tables["sample"]

    first = wells[wells["drug"] == "Trametinib"].iloc[0]["drugname_drugconc"]

    assert first == "[('Trametinib', 0.05, 'uM')]"
    doses = {ast.literal_eval(text)[0][1] for text in wells["drugname_drugconc"]}
    assert doses == {0.0, 0.05, 0.5, 5.0}


def test_two_names_end_in_a_blank_in_the_well_table_and_nowhere_else(tables):
    blank = {drug for drug in tables["sample"]["drug"] if drug != drug.strip()}

    assert blank == {f"{drug} " for drug in BLANK_AFTER_NAME}
    assert any("'Selinexor '" in text for text in tables["sample"]["drugname_drugconc"])
    assert all(drug == drug.strip() for drug in tables["drug"]["drug"])


def test_the_vehicle_is_in_the_well_table_and_not_in_the_drug_table(tables):
    assert (tables["sample"]["drug"] == "DMSO_TF").sum() == 2 * tables["sample"]["plate"].nunique()
    assert "DMSO_TF" not in set(tables["drug"]["drug"])


def test_targets_come_as_a_list_a_single_symbol_and_nothing(tables):
    targets = tables["drug"].set_index("drug")["targets"]

    assert targets["Trametinib"] == "MAP2K1, MAP2K2"
    assert targets["Adagrasib"] == "KRAS"
    assert pd.isna(targets["Paclitaxel"])
    assert targets["Pyridoxine"] == "None"


def test_identifiers_in_the_drug_table_are_floats_with_gaps(tables):
    drugs = tables["drug"]

    assert drugs["pubchem_cid"].dtype == float
    assert list(drugs[drugs["canonical_smiles"].isna()]["drug"]) == list(
        drugs[drugs["pubchem_cid"].isna()]["drug"]
    )


def test_the_line_table_has_a_row_a_mutation_and_lines_without_cells(tables):
    lines = tables["cell_line"]
    measured = set(tables["obs"]["cell_line"])

    assert len(lines) > lines["Cell_ID_Cellosaur"].nunique() > len(measured) == 5
    assert measured < set(lines["Cell_ID_Cellosaur"])
    without = lines[lines["Cell_ID_DepMap"].isna() & lines["Cell_ID_Cellosaur"].isin(measured)]
    assert set(without["cell_name"]) == {"hTERT-HPNE"}


def test_the_gene_table_is_larger_than_what_is_expressed(tables):
    genes = tables["gene"]

    assert list(genes["token_id"]) == list(range(3, 403))
    assert genes["gene_symbol"].is_unique
    assert genes["ensembl_id"].is_unique
    assert (genes["gene_symbol"] == genes["ensembl_id"]).sum() == 150
    assert {"DUSP6", "MAP2K1", "GENE0001"} <= set(genes["gene_symbol"])


def test_the_cell_table_has_one_row_a_cell_and_true_totals(tables, tiny):
    records = pd.concat(
        [pq.read_table(path).to_pandas() for path in tiny[1].files], ignore_index=True
    )
    obs = tables["obs"]

    assert list(obs["BARCODE_SUB_LIB_ID"]) == list(records["BARCODE_SUB_LIB_ID"])
    totals = [int(values[1:].sum()) for values in records["expressions"]]
    assert list(obs["tscp_count"]) == totals


def test_the_well_table_says_what_a_cell_of_the_well_has_on_average(tables):
    wells = tables["sample"].set_index("sample")
    counted = tables["obs"].groupby("sample")[["tscp_count", "gene_count"]].mean()
    n_cells = tables["obs"]["sample"].value_counts()
    large = n_cells.index[n_cells > 60]

    ratio = counted.loc[large, "tscp_count"] / wells.loc[large, "mean_tscp_count"]

    assert ratio.between(0.8, 1.25).all()
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
