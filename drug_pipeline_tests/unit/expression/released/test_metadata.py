"""The released metadata tables, cleaned, with every trap they hold."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import MetadataError
from drug_pipeline.expression.compounds import murcko_scaffold, parent_compound
from drug_pipeline.expression.released.drug_table import clean_drugs, parse_targets
from drug_pipeline.expression.released.metadata import (
    MetadataTables,
    clean_cell_lines,
    clean_genes,
    clean_metadata,
    clean_wells,
)

DRUG = {
    "drug": "Alpha",
    "targets": None,
    "moa-broad": None,
    "moa-fine": None,
    "canonical_smiles": "CCO",
    "pubchem_cid": 1923.0,
}
WELL = {
    "sample": "w1",
    "plate": "plate1",
    "drug": "Alpha",
    "drugname_drugconc": "[('Alpha', 0.05, 'uM')]",
}
LINE = {
    "cell_name": "One",
    "Cell_ID_DepMap": "ACH-1",
    "Cell_ID_Cellosaur": "CVCL_1",
    "Organ": "Lung",
    "Driver_Gene_Symbol": "TP53",
}
GENE = {"gene_symbol": "A", "ensembl_id": "ENSG1", "token_id": 3}


def table(row: dict[str, Any], *changes: dict[str, Any]) -> pa.Table:
    """A table of one row for each set of changes to a row."""
    return pa.Table.from_pylist([row | change for change in changes])


def clean(
    drugs: tuple[dict[str, Any], ...] = ({},), wells: tuple[dict[str, Any], ...] = ({},)
) -> MetadataTables:
    return clean_metadata(
        gene=table(GENE, {}),
        drug=table(DRUG, *drugs),
        cell_line=table(LINE, {}),
        sample=table(WELL, *wells),
    )


def released(folder: Path) -> MetadataTables:
    tables = {
        name: pq.read_table(folder / f"{name}_metadata.parquet")
        for name in ("gene", "drug", "cell_line", "sample")
    }
    return clean_metadata(**tables)


@pytest.fixture(scope="module")
def tahoe(shared_data: Path) -> MetadataTables:
    return released(shared_data / "tahoe_metadata")


def test_the_cleaned_tables_have_the_columns_of_their_schemas() -> None:
    tables = clean()

    assert tables.drugs.columns.tolist() == schemas.DRUGS.names
    assert tables.cell_lines.columns.tolist() == schemas.CELL_LINES.names
    assert tables.genes.columns.tolist() == schemas.GENES.names
    assert tables.wells.columns.tolist() == schemas.WELLS.names


def test_a_trailing_space_of_a_well_does_not_lose_its_drug() -> None:
    tables = clean(wells=({"drug": "Alpha ", "drugname_drugconc": "[('Alpha ', 5.0, 'uM')]"},))

    assert tables.wells[["drug", "dose_um"]].to_numpy().tolist() == [["Alpha", 5.0]]
    assert tables.notes["stripped_well_drug_names"] == ["Alpha"]


def test_only_the_exact_vehicle_is_control_and_it_is_no_drug() -> None:
    solvate = "Trametinib (DMSO_TF solvate)"
    tables = clean(
        drugs=({"drug": solvate}, {"drug": "DMSO_TF"}),
        wells=(
            {"drug": solvate, "drugname_drugconc": f"[('{solvate}', 5.0, 'uM')]"},
            {"sample": "w2", "drug": "DMSO_TF", "drugname_drugconc": "[('DMSO_TF', 0.0, 'uM')]"},
        ),
    )

    assert tables.wells["is_control"].tolist() == [False, True]
    assert tables.drugs["drug"].tolist() == [solvate]


def test_tables_do_not_depend_on_the_order_of_rows() -> None:
    rows = ({"drug": "B"}, {"drug": "A"})
    notes: dict[str, list[str]] = {}

    forward, backward = (clean_drugs(table(DRUG, *r), notes) for r in (rows, rows[::-1]))

    assert forward["drug"].tolist() == ["A", "B"]
    assert forward.equals(backward)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        (float("nan"), []),
        ("None", []),
        ("EGFR", ["EGFR"]),
        ("FGFR2, FGFR1, FGFR2", ["FGFR1", "FGFR2"]),
        ("['MAP2K2', 'MAP2K1']", ["MAP2K1", "MAP2K2"]),
        ("A; B", ["A", "B"]),
    ],
)
def test_targets_are_read_from_each_way_they_are_written(
    text: str | None, expected: list[str]
) -> None:
    assert parse_targets(text) == expected


def test_targets_in_brackets_that_are_no_list_are_refused() -> None:
    with pytest.raises(MetadataError, match=r"'\[EGFR' does not parse"):
        parse_targets("[EGFR")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1923.0, 1923), ("1923.0", 1923), (None, None), (float("nan"), None)],
    ids=repr,
)
def test_a_pubchem_id_is_a_whole_number_or_unknown(value: object, expected: int | None) -> None:
    drugs = clean_drugs(table(DRUG, {"pubchem_cid": value}), {})

    cleaned = pa.Table.from_pandas(drugs, schema=schemas.DRUGS, preserve_index=False)
    assert cleaned.column(names.PUBCHEM_CID).to_pylist() == [expected]


@pytest.mark.parametrize("value", [1.5, "many"], ids=repr)
def test_a_pubchem_id_that_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(MetadataError, match="drug 'Alpha' has the PubChem id"):
        clean_drugs(table(DRUG, {"pubchem_cid": value}), {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]"),
        ("C[C@@H](N)c1ccccc1", "C[C@H](N)c1ccccc1"),
        ("CCN(CC)CC", "CCN(CC)CC.Cl"),
    ],
    ids=["sodium-salt", "stereoisomers", "hydrochloride"],
)
def test_salts_and_stereoisomers_are_one_parent_compound(one: str, other: str) -> None:
    assert parent_compound(one) == parent_compound(other)


def test_different_compounds_are_different_parents() -> None:
    ethanol, methanol = parent_compound("CCO"), parent_compound("CO")

    assert ethanol is not None
    assert methanol is not None
    assert ethanol.key != methanol.key


def test_a_scaffold_is_the_ring_system_or_the_compound_where_there_is_none() -> None:
    assert murcko_scaffold("CCc1ccccc1") == "c1ccccc1"
    assert murcko_scaffold("CCO") == "CCO"


@pytest.mark.parametrize(
    ("smiles", "note"),
    [
        (None, "drugs_without_smiles"),
        ("None", "drugs_without_smiles"),
        ("C1CC", "drugs_with_unreadable_smiles"),
    ],
)
def test_a_drug_without_a_structure_stands_for_itself_and_is_noted(
    smiles: str | None, note: str
) -> None:
    notes: dict[str, list[str]] = {}

    (drug,) = clean_drugs(table(DRUG, {"canonical_smiles": smiles}), notes).to_dict("records")

    assert (drug["parent_compound"], drug["scaffold"]) == ("name:Alpha", "name:Alpha")
    assert (drug["canonical_smiles"], drug["parent_smiles"]) == (None, None)
    assert notes[note] == ["Alpha"]


def test_an_unknown_mechanism_is_unclear() -> None:
    drugs = clean_drugs(table(DRUG, {"moa-fine": None}), {})

    assert drugs["moa_fine"].tolist() == ["unclear"]


def test_driver_mutation_rows_are_one_row_a_line() -> None:
    lines = clean_cell_lines(
        table(
            LINE,
            {},
            {"Driver_Gene_Symbol": "KRAS"},
            {"Driver_Gene_Symbol": "TP53"},
            {"Cell_ID_Cellosaur": "CVCL_0", "Cell_ID_DepMap": None, "Driver_Gene_Symbol": None},
        )
    )

    assert lines["cell_line_id"].tolist() == ["CVCL_0", "CVCL_1"]
    assert lines["driver_mutations"].tolist() == [[], ["KRAS", "TP53"]]
    assert lines["depmap_id"].tolist() == [None, "ACH-1"]


def test_a_line_with_two_organs_is_refused() -> None:
    with pytest.raises(MetadataError, match="cell line CVCL_1 has 2 values of Organ"):
        clean_cell_lines(table(LINE, {}, {"Organ": "Skin"}))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"drugname_drugconc": "0.05 uM"}, "well w1 of sample_metadata: .*does not parse"),
        ({"drugname_drugconc": None}, "well w1 of sample_metadata: .*does not parse"),
        ({"drugname_drugconc": "[('Beta', 5.0, 'uM')]"}, "holds 'Alpha' but .*'Beta'"),
        ({"drugname_drugconc": "[('Alpha', 0.0, 'uM')]"}, r"vehicle with a dose .*Alpha, 0.0 uM"),
        ({"plate": None}, "well w1 of sample_metadata has no plate"),
        ({"drug": None}, "well w1 of sample_metadata has no drug"),
        ({"sample": " "}, "of sample_metadata has no sample"),
        (
            {"drugname_drugconc": "[('Alpha', 0.05, 'uM'), ('Beta', 1.0, 'uM')]"},
            "does not parse. Write one drug",
        ),
        ({"drug": "Alpha\0"}, r"has control characters.*'Alpha\\x00'"),
        ({"plate": "p" * 201}, "a name too long for a folder"),
        ({"plate": "\N{SNOWMAN}" * 30}, "a name too long for a folder"),
    ],
    ids=[
        "unparsable",
        "null-dose",
        "other-drug",
        "zero-dose",
        "null-plate",
        "null-drug",
        "blank-well",
        "two-drugs",
        "control-character",
        "long-plate",
        "long-encoded-plate",
    ],
)
def test_a_well_that_cannot_be_used_is_named(changes: dict[str, Any], problem: str) -> None:
    notes: dict[str, list[str]] = {}
    good = {"sample": "w2", "plate": "plate2"}

    wells = clean_wells(table(WELL, changes, good), notes)

    assert wells["sample"].tolist() == ["w2"]
    assert re.search(problem, notes["wells_set_aside"][0])
    with pytest.raises(MetadataError, match="none of 1 rows of sample_metadata.*" + problem):
        clean_wells(table(WELL, changes), {})


@pytest.mark.parametrize(
    ("dose", "expected"),
    [
        ("50, 'nM'", 0.05),
        ("0.5, 'mM'", 500.0),
        ("np.float64(0.05), 'uM'", 0.05),
        ("numpy.float32(5), '\N{GREEK SMALL LETTER MU}M'", 5.0),
    ],
)
def test_a_dose_in_another_unit_or_as_numpy_prints_it_is_understood(
    dose: str, expected: float
) -> None:
    wells = clean_wells(table(WELL, {"drugname_drugconc": f"[('Alpha', {dose})]"}), {})

    assert wells["dose_um"].tolist() == [expected]


def test_a_well_listed_twice_counts_once_and_one_that_differs_is_set_aside() -> None:
    notes: dict[str, list[str]] = {}
    other = {"sample": "w2"}

    wells = clean_wells(table(WELL, {}, {}, other, other | {"plate": "plate2"}), notes)

    assert wells["sample"].tolist() == ["w1"]
    assert ["w2 stands in several rows" in note for note in notes["wells_set_aside"]] == [True] * 2


def test_a_name_with_a_control_character_is_refused_early() -> None:
    with pytest.raises(MetadataError, match=r"drug_metadata.*have control characters.*'A\\x00'"):
        clean_drugs(table(DRUG, {"drug": "A\0"}), {})
    with pytest.raises(MetadataError, match=r"cell_line_metadata.*have control characters"):
        clean_cell_lines(table(LINE, {"Cell_ID_Cellosaur": "A\0"}))


def as_categories(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """A filtered pandas categorical: it still has a category that no row is of."""
    array = pa.concat_arrays([pa.array(["ghost"]), *text.chunks]).dictionary_encode()
    return pa.chunked_array([array.slice(1)])


@pytest.mark.parametrize(
    "change",
    [
        as_categories,
        lambda text: text.cast(pa.large_string()),
        lambda text: text.cast(pa.string_view()),
        lambda text: text.cast(pa.binary()),
    ],
    ids=["categories", "large", "view", "bytes"],
)
def test_any_physical_type_of_text_gives_the_same_tables(
    change: Callable[[pa.ChunkedArray], pa.ChunkedArray],
) -> None:
    lines = table(LINE, {}, {"Cell_ID_Cellosaur": "CVCL_2"})
    wells = table(WELL, {}, {"sample": "w2"})
    drugs = table(DRUG | dict.fromkeys(("targets", "moa-broad", "moa-fine"), "A"), {})

    def changed(plain: pa.Table) -> pa.Table:
        for place, field in enumerate(plain.schema):
            if field.type == pa.string():
                plain = plain.set_column(place, field.name, change(plain.column(place)))
        return plain

    assert clean_cell_lines(changed(lines)).equals(clean_cell_lines(lines))
    assert clean_wells(changed(wells), {}).equals(clean_wells(wells, {}))
    assert clean_drugs(changed(drugs), {}).equals(clean_drugs(drugs, {}))


def test_a_column_that_pandas_kept_as_index_is_read_as_any_other() -> None:
    wells = table(WELL, {}, {"sample": "w2"})
    indexed = pa.Table.from_pandas(wells.to_pandas().set_index("sample"))

    assert clean_wells(indexed, {}).equals(clean_wells(wells, {}))


def test_a_column_that_stands_twice_and_text_that_is_no_utf8_are_named() -> None:
    wells = table(WELL, {})
    latin = wells.set_column(2, "drug", pa.array([b"\xe4"]).cast(pa.string(), safe=False))

    with pytest.raises(MetadataError, match="columns that stand twice: drug"):
        clean_wells(wells.append_column("drug", wells.column("drug")), {})
    with pytest.raises(MetadataError, match=r"sample_metadata\.drug has a value that is not UTF-8"):
        clean_wells(latin, {})


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint32(), pa.float64()], ids=str)
def test_gene_tokens_of_any_number_type_are_read(kind: pa.DataType) -> None:
    genes = table(GENE, {}, {"token_id": 4})
    place = genes.schema.get_field_index("token_id")

    cleaned = clean_genes(genes.set_column(place, "token_id", genes["token_id"].cast(kind)))

    assert cleaned["token_id"].tolist() == [3, 4]


def test_a_drug_listed_twice_is_refused_also_when_a_space_hides_it() -> None:
    with pytest.raises(MetadataError, match=r"drug_metadata\.drug occur more than once.*Alpha"):
        clean_drugs(table(DRUG, {}, {"drug": "Alpha "}), {})


def test_a_drug_of_the_wells_without_metadata_is_named() -> None:
    well = {"sample": "w2", "drug": "Beta", "drugname_drugconc": "[('Beta', 5.0, 'uM')]"}

    tables = clean(wells=({}, well))

    assert tables.wells["sample"].tolist() == ["w1"]
    (note,) = tables.notes["wells_set_aside"]
    assert "well w2 of sample_metadata holds 'Beta', which is not in drug_metadata" in note


def test_drugs_without_wells_are_noted() -> None:
    assert clean(drugs=({}, {"drug": "Beta"})).notes["drugs_without_wells"] == ["Beta"]


@pytest.mark.parametrize(
    ("token", "problem"),
    [(1, "reserved for markers"), (3.5, "not integers"), (None, "have no token_id")],
)
def test_a_gene_token_that_cannot_be_one_is_refused(token: object, problem: str) -> None:
    with pytest.raises(MetadataError, match=problem):
        clean_genes(table(GENE, {"token_id": token}))


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    wells = table(WELL, {}).drop_columns(["drugname_drugconc"])

    with pytest.raises(MetadataError, match=r"lacks 1 of 4 columns: drugname_drugconc\. It has"):
        clean_wells(wells, {})


def test_a_column_that_is_not_text_is_refused() -> None:
    with pytest.raises(MetadataError, match=r"sample_metadata\.drug has type int64, not text"):
        clean_wells(table(WELL, {"drug": 7}), {})


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(MetadataError, match="drug_metadata has no rows"):
        clean_drugs(table(DRUG, {}).slice(0, 0), {})


@pytest.mark.parametrize(("label", "expected"), [(b"true", True), (b"false", False), (None, False)])
def test_generated_data_are_known_by_their_label(label: bytes | None, *, expected: bool) -> None:
    sample = table(WELL, {})
    if label is not None:
        sample = sample.replace_schema_metadata({names.GENERATED_KEY: label})

    tables = clean_metadata(
        gene=table(GENE, {}), drug=table(DRUG, {}), cell_line=table(LINE, {}), sample=sample
    )

    assert tables.is_generated is expected


def test_the_released_metadata_hold_what_was_counted_in_them(tahoe: MetadataTables) -> None:
    has_structure = tahoe.drugs["parent_smiles"].notna()
    assert (len(tahoe.drugs), int(has_structure.sum())) == (379, 377)
    assert tahoe.drugs.loc[has_structure, "parent_compound"].nunique() == 351
    assert tahoe.notes["drugs_without_smiles"] == ["Sacubitril/Valsartan", "Verteporfin"]
    assert (tahoe.drugs["moa_fine"] == "unclear").sum() == 199
    assert (tahoe.drugs["targets"].map(len) > 0).sum() == 264
    assert (len(tahoe.wells), int(tahoe.wells["is_control"].sum())) == (1_344, 28)
    assert sorted(tahoe.wells["dose_um"].unique()) == [0.0, 0.05, 0.5, 5.0]
    assert tahoe.notes["stripped_well_drug_names"] == ["Erdafitinib", "Selinexor"]
    assert tahoe.notes["drugs_without_wells"] == []
    assert len(tahoe.genes) == 62_710
    assert not tahoe.is_generated


def test_the_fifty_lines_of_the_released_cells_are_known(
    tahoe: MetadataTables, shared_data: Path
) -> None:
    lines = tahoe.cell_lines
    grid = pq.read_table(shared_data / "tahoe_metadata" / "obs_cell_grid.parquet").to_pandas()

    joined = lines[lines["cell_name"].isin(set(grid["cell_name"]))]

    assert (len(lines), grid["cell_name"].nunique(), len(joined)) == (102, 50, 50)
    assert joined.loc[joined["depmap_id"].isna(), "cell_name"].tolist() == ["hTERT-HPNE"]


def test_metadata_of_the_measured_wells_are_cleaned_too(shared_data: Path) -> None:
    tables = released(shared_data / "l1000_wells" / "metadata")

    assert (len(tables.drugs), len(tables.wells), len(tables.cell_lines)) == (412, 1_258, 44)
