"""Released metadata tables as they come: which columns are read, and what a table must hold.

What belongs here: checks and readings that the tables share. What does not: what each table means
(``released/drug_table.py`` for drugs, ``released/metadata.py`` for the rest).
"""

import unicodedata
from collections import Counter
from typing import Final

import pandas as pd
import pyarrow as pa

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import MetadataError, first_few
from drug_pipeline.expression.released.tahoe import as_text, is_text

RAW_CELL_LINE_ID: Final = "Cell_ID_Cellosaur"
RAW_DEPMAP_ID: Final = "Cell_ID_DepMap"
RAW_ORGAN: Final = "Organ"
RAW_DRIVER: Final = "Driver_Gene_Symbol"
RAW_MOA_BROAD: Final = "moa-broad"
RAW_DOSE_TEXT: Final = "drugname_drugconc"

NEEDED_COLUMNS: Final = {
    "gene_metadata": (names.GENE_SYMBOL, names.ENSEMBL_ID, names.TOKEN_ID),
    "drug_metadata": (
        names.DRUG,
        names.TARGETS,
        RAW_MOA_BROAD,
        names.RAW_MOA_FINE,
        names.CANONICAL_SMILES,
        names.PUBCHEM_CID,
    ),
    "cell_line_metadata": (names.CELL_NAME, RAW_DEPMAP_ID, RAW_CELL_LINE_ID, RAW_ORGAN, RAW_DRIVER),
    "sample_metadata": (names.SAMPLE, names.PLATE, names.DRUG, RAW_DOSE_TEXT),
}
"""What is read of each released table."""
NUMBER_COLUMNS: Final = frozenset({names.TOKEN_ID, names.PUBCHEM_CID})
"""The needed columns that do not hold text."""
NO_VALUE: Final = frozenset({"", "none", "nan", "null", "n/a"})
"""Texts that the released tables use for "not known"."""


def needed_columns(table: pa.Table, name: str) -> pd.DataFrame:
    """The needed columns of a released table as a frame.

    Raises
    ------
    MetadataError
        If one is missing or is not text, or the table is empty.
    """
    needed = NEEDED_COLUMNS[name]
    try:
        n_named = Counter(table.column_names)
    except UnicodeDecodeError as error:
        msg = f"{name} has a column whose name is not UTF-8 ({error}). Write it again."
        raise MetadataError(msg) from error
    doubled = [column for column in needed if n_named[column] > 1]
    if doubled:
        msg = f"{name} has columns that stand twice: {first_few(doubled)}. Keep one of each."
        raise MetadataError(msg)
    missing = [column for column in needed if column not in table.column_names]
    if missing:
        msg = (
            f"{name} lacks {len(missing)} of {len(needed)} columns: {first_few(missing, limit=6)}. "
            f"It has {first_few(table.column_names, limit=12)}."
        )
        raise MetadataError(msg)
    if not table.num_rows:
        msg = f"{name} has no rows. Fetch it again."
        raise MetadataError(msg)
    plain = {column: _plain(table.column(column), f"{name}.{column}") for column in needed}
    rows: pd.DataFrame = pa.table(plain).to_pandas()
    return rows


def _plain(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A column without categories, its text as strings: whatever type it had, one table results.

    Raises
    ------
    MetadataError
        If what should be text is none, or is not UTF-8.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if name.partition(".")[2] in NUMBER_COLUMNS:
        return as_text(column).cast(pa.string()) if is_text(kind) else column.cast(kind)
    if not is_text(kind) and not pa.types.is_null(kind):
        msg = f"{name} has type {kind}, not text (string). Write it as text."
        raise MetadataError(msg)
    try:
        text = as_text(column).cast(pa.string()) if is_text(kind) else column
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        msg = f"{name} has a value that is not UTF-8 ({error}). Write the text as UTF-8."
        raise MetadataError(msg) from error
    return text


def check_key(rows: pd.DataFrame, column: str, table: str) -> None:
    """Refuse a key column with missing or doubled values."""
    check_filled(rows, column, table)
    doubled = rows.loc[rows[column].duplicated(), column].unique().tolist()
    if doubled:
        msg = (
            f"{len(doubled)} values of {table}.{column} occur more than once; "
            f"first: {first_few(doubled)}. Keep one row each."
        )
        raise MetadataError(msg)


def check_filled(rows: pd.DataFrame, column: str, table: str) -> None:
    """Refuse a column with missing or blank values."""
    is_blank = rows[column].isna() | (rows[column].astype(str).str.strip() == "")
    if is_blank.any():
        msg = (
            f"{int(is_blank.sum())} of {len(rows)} rows of {table} have no {column}; "
            f"first: row {int(is_blank.to_numpy().argmax())}. Fill it in or leave the row out."
        )
        raise MetadataError(msg)


def check_names(rows: pd.DataFrame, column: str, table: str) -> None:
    """Refuse names with control characters, which no text array or folder can hold."""
    odd = [name for name in rows[column].dropna() if has_control_character(name)]
    if odd:
        msg = (
            f"{len(odd)} values of {table}.{column} have control characters, such as NUL; "
            f"first: {odd[0]!r}. Write them without."
        )
        raise MetadataError(msg)


def has_control_character(name: str) -> bool:
    """Whether a name has one: NUL, a line break, a tab."""
    return any(unicodedata.category(letter) == "Cc" for letter in name)


def stripped(column: pd.Series, notes: dict[str, list[str]], note: str) -> pd.Series:
    """The column without spaces around its values; those that had some go to ``notes[note]``."""
    clean = column.str.strip()
    notes[note] = sorted(set(clean[column.notna() & (clean != column)]))
    return clean


def text_or_none(value: object) -> str | None:
    """A text stripped, or None where it says that nothing is known."""
    if not isinstance(value, str) or value.strip().lower() in NO_VALUE:
        return None
    return value.strip()


def shaped(rows: pd.DataFrame, schema: pa.Schema, *, sort_by: list[str]) -> pd.DataFrame:
    """The rows in the columns and order of a schema, with a fresh index."""
    in_shape: pd.DataFrame = rows.sort_values(sort_by, ignore_index=True)[schema.names]
    return in_shape
