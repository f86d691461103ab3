"""Facts of the raw record: dose text, schema, strings."""

import pyarrow as pa
import pytest

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import BadCellError, MetadataError
from drug_pipeline.expression.released.tahoe import check_strings, parse_dose, schema_problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[('Infigratinib', 0.05, 'uM')]", ("Infigratinib", 0.05)),
        ("[('Erdafitinib ', 5.0, 'uM')]", ("Erdafitinib", 5.0)),
        ("[('Trametinib (DMSO_TF solvate)', 5, 'µM')]", ("Trametinib (DMSO_TF solvate)", 5.0)),
        ("[('DMSO_TF', 0.0, 'uM')]", ("DMSO_TF", 0.0)),
    ],
    ids=["plain", "trailing-space", "solvate-whole-number", "vehicle"],
)
def test_a_dose_text_gives_the_stripped_drug_and_its_dose(
    text: str, expected: tuple[str, float]
) -> None:
    assert parse_dose(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0.05 uM", "does not parse"),
        ("[('A', 'much', 'uM')]", "does not parse"),
        ("[('A', 1.0, 'uM'), ('B', 1.0, 'uM')]", "does not parse"),
        ("[(__import__('os').getcwd(), 1.0, 'uM')]", "does not parse"),
        ("", "does not parse"),
        ("[('A', 1.0, 'g/L')]", "unit 'g/L'"),
        ("[('A', -1.0, 'uM')]", "dose -1.0"),
        ("[('A', 1e999, 'uM')]", "dose inf"),
        ("[(' ', 1.0, 'uM')]", "names no drug"),
        ("[(7, 1.0, 'uM')]", "names no drug"),
    ],
)
def test_a_dose_text_that_does_not_parse_is_refused_and_quoted(text: str, problem: str) -> None:
    with pytest.raises(MetadataError, match=problem):
        parse_dose(text)


def test_the_released_schema_has_no_problems() -> None:
    assert schema_problems(schemas.RAW_CELL) == []


def test_large_and_dictionary_encoded_columns_are_fit() -> None:
    schema = schemas.RAW_CELL
    schema = schema.set(0, pa.field(names.GENES, pa.large_list(pa.int32())))
    schema = schema.set(1, pa.field(names.EXPRESSIONS, pa.large_list(pa.float32())))
    schema = schema.set(2, pa.field(names.DRUG, pa.dictionary(pa.int32(), pa.large_string())))

    assert schema_problems(schema) == []


def test_columns_that_only_repeat_the_drug_metadata_may_be_absent() -> None:
    needed = [f for f in schemas.RAW_CELL if f.name not in (names.RAW_MOA_FINE, names.PUBCHEM_CID)]

    assert schema_problems(pa.schema(needed)) == []


@pytest.mark.parametrize(
    ("written", "missing"),
    [("cellline_id", names.CELL_LINE_ID), ("Drug", names.DRUG), ("expression", names.EXPRESSIONS)],
)
def test_a_misspelt_column_is_named_with_the_one_that_was_meant(written: str, missing: str) -> None:
    fields = [f.with_name(written) if f.name == missing else f for f in schemas.RAW_CELL]

    (problem,) = schema_problems(pa.schema(fields))

    assert problem.column == missing
    assert f"did you mean it by '{written}'" in problem.problem


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (names.GENES, pa.list_(pa.string())),
        (names.GENES, pa.int64()),
        (names.EXPRESSIONS, pa.list_(pa.bool_())),
        (names.EXPRESSIONS, pa.float32()),
        (names.PLATE, pa.int64()),
    ],
    ids=str,
)
def test_a_column_of_the_wrong_type_is_named(column: str, kind: pa.DataType) -> None:
    fields = [pa.field(f.name, kind) if f.name == column else f for f in schemas.RAW_CELL]

    (problem,) = schema_problems(pa.schema(fields))

    assert problem.column == column
    assert f"has type {kind}" in problem.problem


@pytest.mark.parametrize("value", [None, "", "  "], ids=["null", "empty", "blank"])
@pytest.mark.parametrize("is_encoded", [False, True], ids=["plain", "dictionary"])
@pytest.mark.parametrize("column", [names.DRUG, names.PLATE, names.CELL_LINE_ID, names.SAMPLE])
def test_a_cell_without_drug_line_plate_or_well_is_named_by_its_row(
    column: str, value: str | None, *, is_encoded: bool
) -> None:
    clean, broken = pa.array(["a", "b"]), pa.array(["a", "b", value, None])
    chunks = (
        [clean.dictionary_encode(), broken.dictionary_encode()] if is_encoded else [clean, broken]
    )
    table = pa.table({column: pa.chunked_array(chunks)})

    with pytest.raises(BadCellError, match=f"{column} is ") as caught:
        check_strings(table, first_row=100)

    assert caught.value.row == 104


def test_filled_in_strings_pass() -> None:
    check_strings(pa.table({names.DRUG: ["a", " b "]}), first_row=0)
