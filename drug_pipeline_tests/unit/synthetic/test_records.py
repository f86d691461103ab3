"""The traps of the released records, one by one."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import schemas
from drug_pipeline.domain.names import CONTROL_DRUG, FIRST_GENE_TOKEN, GENERATED_KEY
from drug_pipeline.synthetic import SyntheticConfig, generate
from drug_pipeline.synthetic.public.cell_lines import CELL_LINES


@pytest.fixture(scope="module")
def records(tiny):
    _, summary = tiny
    return [pq.read_table(path) for path in summary.files]


@pytest.fixture(scope="module")
def cells(records):
    """All (tokens, values) of all cells."""
    return [
        (np.asarray(tokens), np.asarray(values))
        for table in records
        for tokens, values in zip(
            table["genes"].to_pylist(), table["expressions"].to_pylist(), strict=True
        )
    ]


def column(records, name: str) -> list:
    return [value for table in records for value in table[name].to_pylist()]


def test_names_order_and_types_are_those_of_the_release(tiny):
    for path in tiny[1].files:
        assert pq.read_schema(path).equals(schemas.RAW_CELL, check_metadata=False)


def test_names_order_and_types_equal_those_of_a_released_layout(tiny, shared_data: Path):
    released = shared_data / "atlas_dev"
    pairs = [(tiny[1].files[0], next((released / "data").glob("*.parquet")))]
    pairs += [(tiny[0] / "metadata" / p.name, p) for p in (released / "metadata").glob("*.parquet")]
    assert len(pairs) == 6

    for ours, theirs in pairs:
        assert pq.read_schema(ours).equals(pq.read_schema(theirs), check_metadata=False)


def test_row_groups_hold_a_thousand_cells(tmp_path):
    config = SyntheticConfig.preset("tiny", n_cells=20_000)
    (path,) = generate(tmp_path, config, plates=["plate2"]).files

    metadata = pq.read_metadata(path)

    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes[:-1] == [1_000] * (len(sizes) - 1)
    assert len(sizes) >= 2


def test_each_file_is_marked_as_generated(tiny):
    out_dir, summary = tiny
    paths = [
        *summary.files,
        *(out_dir / "metadata").glob("*"),
        *(out_dir / "truth").glob("*.parquet"),
    ]

    assert all(pq.read_schema(path).metadata[GENERATED_KEY] == b"true" for path in paths)
    assert "made up" in (out_dir / "GENERATED.md").read_text(encoding="utf-8")


def test_each_cell_starts_with_the_marker_and_has_it_once(cells):
    for tokens, values in cells:
        assert (tokens[0], values[0]) == (1, -2.0)
        assert tokens[1] >= FIRST_GENE_TOKEN


def test_counts_are_positive_whole_numbers(cells):
    values = np.concatenate([values[1:] for _, values in cells])

    assert values.min() >= 1
    assert np.array_equal(values, np.round(values))


def test_tokens_ascend_and_a_few_come_twice(cells):
    n_repeats = 0
    for tokens, _ in cells:
        steps = np.diff(tokens)
        assert steps.min() >= 0
        n_repeats += int((steps == 0).sum())

    assert 0.005 * len(cells) < n_repeats < 0.02 * len(cells)


def test_identifiers_are_floats_in_text_and_null_where_unknown(records):
    known = dict(zip(column(records, "drug"), column(records, "pubchem_cid"), strict=True))

    assert known["Trametinib"] == "11707110.0"
    assert known["Verteporfin"] is None
    assert known[CONTROL_DRUG] is None


def test_drugs_without_a_structure_and_the_vehicle_have_null_smiles(records):
    smiles = dict(zip(column(records, "drug"), column(records, "canonical_smiles"), strict=True))

    without = {drug for drug, text in smiles.items() if text is None}

    assert without == {CONTROL_DRUG, "Verteporfin", "Sacubitril/Valsartan"}


def test_one_smiles_stands_between_blanks(records):
    smiles = dict(zip(column(records, "drug"), column(records, "canonical_smiles"), strict=True))

    assert smiles["Trametinib (DMSO_TF solvate)"] == f" {smiles['Trametinib']}  "


def test_a_drug_carries_the_vehicle_in_its_name(records):
    holders = {drug for drug in column(records, "drug") if CONTROL_DRUG in drug}

    assert holders == {CONTROL_DRUG, "Trametinib (DMSO_TF solvate)"}


def test_no_name_in_the_records_has_a_blank_at_its_end(records):
    assert all(drug == drug.strip() for drug in column(records, "drug"))


def test_barcodes_are_unique(records):
    barcodes = column(records, "BARCODE_SUB_LIB_ID")

    assert len(set(barcodes)) == len(barcodes)


def test_each_file_holds_one_plate_with_wells_and_lines_interleaved(records):
    for table in records:
        assert len(set(table["plate"].to_pylist())) == 1
        samples = table["sample"].to_pylist()
        changes = sum(a != b for a, b in pairwise(samples))
        assert changes > 0.5 * len(samples)


def test_all_common_lines_share_each_well(records):
    wells: dict[str, set[str]] = {}
    for table in records:
        for sample, line in zip(
            table["sample"].to_pylist(), table["cell_line_id"].to_pylist(), strict=True
        ):
            wells.setdefault(sample, set()).add(line)
    common = {line.cellosaurus_id for line in CELL_LINES[:5] if not line.is_rare}

    assert np.mean([lines >= common for lines in wells.values()]) > 0.9


def test_the_rare_line_has_almost_no_cells(records):
    lines = column(records, "cell_line_id")

    assert 0 < lines.count("CVCL_1571") < 0.02 * len(lines)
