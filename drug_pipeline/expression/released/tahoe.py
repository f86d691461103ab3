"""The raw record: what a file of cells must look like, and where it does not.

What belongs here: facts of the released format, the dose text, checks of one file's schema and
strings. What does not: checks of the lists (``released/records.py``), metadata tables (``released/metadata.py``),
which files there are (``ingest/raw/inventory.py``).
"""

import ast
import difflib
import math
import re
from collections.abc import Callable
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
_PLAIN_TEXTS: Final = (pa.string(), pa.large_string())
_LISTS: Final = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
    pa.types.is_fixed_size_list,
)
UNITS_PER_UM: Final = {
    "pM": 1_000_000,
    "nM": 1_000,
    "uM": 1,
    "µM": 1,
    "\N{GREEK SMALL LETTER MU}M": 1,
}
UM_PER_UNIT: Final = {"mM": 1_000, "M": 1_000_000}
_NUMPY_NUMBER: Final = re.compile(r"\b(?:np|numpy)\.\w+\(([^()]*)\)")
"""A number as NumPy 2 prints it: ``np.float64(0.05)``."""


def parse_dose(text: str) -> tuple[str, float]:
    """Drug name (stripped) and dose in µM of a well, from text such as ``[('Drug', 0.05, 'uM')]``.

    Other molar units are converted.

    Raises
    ------
    MetadataError
        If the text is not one (name, finite dose >= 0, molar unit) in a list.
    """
    try:
        entries = ast.literal_eval(_NUMPY_NUMBER.sub(r"\1", text.strip()))
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
    if unit in UM_PER_UNIT:
        dose_um *= UM_PER_UNIT[unit]
    elif unit in UNITS_PER_UM:
        dose_um /= UNITS_PER_UM[unit]  # divided, so that 50 nM is 0.05 µM to the last bit
    else:
        msg = f"dose text {text!r} has unit {unit!r}. Convert the dose to 'uM'."
        raise MetadataError(msg)
    if not math.isfinite(dose_um) or dose_um < 0:
        msg = f"dose text {text!r} has the dose {dose_um}. A dose is finite and not negative."
        raise MetadataError(msg)
    return drug.strip(), dose_um


def schema_problems(schema: pa.Schema) -> list[BadCellError]:
    """What keeps a file of this schema from being read, one error per column; empty where fit.

    Text and lists may be of any kind that Arrow has, and their numbers of any type: values that a
    released type does not hold are found when they are read.
    """
    problems = [
        _missing(column, schema) for column in REQUIRED_COLUMNS if column not in schema.names
    ]
    checks = {
        names.GENES: (_is_list_of_numbers, "a list of integers (list<int64>)"),
        names.EXPRESSIONS: (_is_list_of_numbers, "a list of float32 (list<float>)"),
    } | dict.fromkeys(STRING_COLUMNS, (is_text, "text (string)"))
    for column, (is_fit, wanted) in checks.items():
        n_times = schema.names.count(column)
        if n_times > 1:
            problem, remedy = f"the column stands {n_times} times in the file", "Keep one of them"
        elif n_times and not is_fit(schema.field(column).type):
            problem = f"has type {schema.field(column).type}, not {wanted}"
            remedy = "Write the column in the released type"
        else:
            continue
        problems.append(BadCellError(column=column, row=-1, problem=problem, remedy=remedy))
    return problems


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds text, or bytes that may be some."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind in (
        *_PLAIN_TEXTS,
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
    )


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A text column as strings, or as a dictionary of strings; bytes that are no UTF-8 are kept."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind in _PLAIN_TEXTS:
        return column
    return column.cast(kind).cast(pa.string(), safe=False)


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
        At the first value that is null, blank or no UTF-8 of the first column that has one.
    """
    for column in STRING_COLUMNS:
        if column not in table.column_names:
            continue
        text = table.column(column)
        row = _first_of(text, _first_not_utf8)
        if row >= 0:
            value = text.slice(row, 1).cast(pa.binary()).to_pylist()[0]
            raise BadCellError(
                column=column,
                row=first_row + row,
                problem=f"{column} is {value!r}, which is not UTF-8",
                remedy="Write the text as UTF-8",
            )
        row = _first_of(text, _first_blank)
        if row >= 0:
            value = text[row].as_py()
            raise BadCellError(
                column=column,
                row=first_row + row,
                problem=f"{column} is {'null' if value is None else repr(value)}",
                remedy="Fill it in, or leave the cell out",
            )


def _first_of(column: pa.ChunkedArray, find: Callable[[pa.Array], int]) -> int:
    """Row of the first value that ``find`` finds, or -1; in the dictionary first where there is one."""
    row = 0
    for chunk in column.chunks:
        is_coded = pa.types.is_dictionary(chunk.type)
        is_clean = is_coded and not chunk.null_count and find(chunk.dictionary) < 0
        hit = -1 if is_clean else find(chunk.cast(chunk.type.value_type) if is_coded else chunk)
        if hit >= 0:
            return row + hit
        row += len(chunk)
    return -1


def _first_blank(texts: pa.Array) -> int:
    is_blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts), ""), fill_value=True)
    return int(pc.index(is_blank, value=True).as_py())


def _first_not_utf8(texts: pa.Array) -> int:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(texts.cast(pa.binary()).to_pylist()):
            if value is not None and value.decode("utf-8", "replace").encode() != value:
                return row
    return -1


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


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    is_list = any(is_kind(kind) for is_kind in _LISTS)
    return is_list and (
        pa.types.is_integer(kind.value_type)
        or pa.types.is_floating(kind.value_type)
        or pa.types.is_decimal(kind.value_type)
    )
