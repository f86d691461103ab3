"""The raw record: what a file of cells must look like, and where it does not.

What belongs here: facts of the released format, the dose text, checks of one file's schema and
strings. What does not: checks of the lists (``released/records.py``), metadata tables (``released/metadata.py``),
which files there are (``ingest/raw/inventory.py``).
"""

import ast
import difflib
import math
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, MetadataError

KEY_COLUMNS: Final = (names.DRUG, names.SAMPLE, names.CELL_LINE_ID, names.PLATE)
"""String columns that say which well and line a cell is from."""
STRING_COLUMNS: Final = (*KEY_COLUMNS, names.BARCODE)
LIST_COLUMNS: Final = (names.GENES, names.EXPRESSIONS)
REQUIRED_COLUMNS: Final = (*LIST_COLUMNS, *STRING_COLUMNS)
"""What the pipeline reads. The other released columns repeat the drug metadata and may be absent."""
DOSE_UNITS: Final = ("uM", "µM", "\N{GREEK SMALL LETTER MU}M")


def parse_dose(text: str) -> tuple[str, float]:
    """Drug name (stripped) and dose in µM of a well, from text such as ``[('Drug', 0.05, 'uM')]``.

    Raises
    ------
    MetadataError
        If the text is not one (name, finite dose >= 0, 'uM') in a list.
    """
    try:
        entries = ast.literal_eval(text.strip())
        ((drug, dose, unit),) = entries
        dose_um = float(dose)
    except (ValueError, TypeError, SyntaxError, AttributeError, MemoryError) as error:
        msg = (
            f"dose text {text!r} does not parse. "
            "Write one drug, its dose and the unit: [('Drug', 0.05, 'uM')]."
        )
        raise MetadataError(msg) from error
    if not isinstance(drug, str) or not drug.strip():
        msg = f"dose text {text!r} names no drug. Write [('Drug', 0.05, 'uM')]."
        raise MetadataError(msg)
    if unit not in DOSE_UNITS:
        msg = f"dose text {text!r} has unit {unit!r}. Convert the dose to 'uM'."
        raise MetadataError(msg)
    if not math.isfinite(dose_um) or dose_um < 0:
        msg = f"dose text {text!r} has the dose {dose_um}. A dose is finite and not negative."
        raise MetadataError(msg)
    return drug.strip(), dose_um


def schema_problems(schema: pa.Schema) -> list[BadCellError]:
    """What keeps a file of this schema from being read, one error a column; empty where fit.

    Lists and strings may be of the large or dictionary-encoded kind, and tokens any integer type
    that int64 holds; anything that would lose information in a cast is refused.
    """
    problems = [
        _missing(column, schema) for column in REQUIRED_COLUMNS if column not in schema.names
    ]
    checks = {
        names.GENES: (_is_list_of_tokens, "a list of integers (list<int64>)"),
        names.EXPRESSIONS: (_is_list_of_counts, "a list of float32 (list<float>)"),
    } | dict.fromkeys(STRING_COLUMNS, (_is_text, "text (string)"))
    for column, (is_fit, wanted) in checks.items():
        if column in schema.names and not is_fit(schema.field(column).type):
            problems.append(
                BadCellError(
                    column=column,
                    row=-1,
                    problem=f"has type {schema.field(column).type}, not {wanted}",
                    remedy="Write the column in the released type",
                )
            )
    return problems


def check_strings(table: pa.Table, *, first_row: int) -> None:
    """Refuse cells without drug, well, line, plate or barcode; checks the columns that are there.

    Parameters
    ----------
    table
        Cells with any of ``STRING_COLUMNS``, plain or dictionary-encoded.
    first_row
        Number of its first cell within the file, from 0.

    Raises
    ------
    BadCellError
        At the first null or blank value of the first column that has one.
    """
    for column in STRING_COLUMNS:
        if column not in table.column_names:
            continue
        row = _first_blank(table.column(column))
        if row >= 0:
            value = table.column(column)[row].as_py()
            raise BadCellError(
                column=column,
                row=first_row + row,
                problem=f"{column} is {'null' if value is None else repr(value)}",
                remedy="Fill it in, or leave the cell out",
            )


def _first_blank(column: pa.ChunkedArray) -> int:
    """Row of the first null or blank value, or -1; looks at the dictionary where there is one."""
    row = 0
    for chunk in column.chunks:
        hit = -1 if _has_clean_dictionary(chunk) else _first_blank_of(chunk)
        if hit >= 0:
            return row + hit
        row += len(chunk)
    return -1


def _has_clean_dictionary(chunk: pa.Array) -> bool:
    is_encoded = pa.types.is_dictionary(chunk.type)
    return bool(
        is_encoded and not chunk.null_count and not pc.any(_is_blank(chunk.dictionary)).as_py()
    )


def _first_blank_of(chunk: pa.Array) -> int:
    is_encoded = pa.types.is_dictionary(chunk.type)
    texts = chunk.cast(chunk.type.value_type) if is_encoded else chunk
    return int(pc.index(_is_blank(texts), value=True).as_py())


def _is_blank(texts: pa.Array) -> pa.Array:
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), fill_value=True)


def _missing(column: str, schema: pa.Schema) -> BadCellError:
    near = difflib.get_close_matches(column, schema.names, n=1, cutoff=0.6)
    near = near or [name for name in schema.names if name.lower() == column.lower()]
    hint = f"; did you mean it by {near[0]!r}?" if near else ""
    return BadCellError(
        column=column,
        row=-1,
        problem=f"the column is missing{hint}",
        remedy=f"Rename or add it; needed are {', '.join(REQUIRED_COLUMNS)}",
    )


def _is_list_of_tokens(kind: pa.DataType) -> bool:
    return (
        _is_list(kind) and pa.types.is_integer(kind.value_type) and kind.value_type != pa.uint64()
    )


def _is_list_of_counts(kind: pa.DataType) -> bool:
    return _is_list(kind) and kind.value_type == pa.float32()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
