"""Tables in text as other programs write them: which sign separates, whether there is a header.

What belongs here: CSV, TSV and ranked lists, in UTF-8 or UTF-16, zipped or not. What does not: what
the columns mean (``columns.py``).
"""

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from drug_pipeline.domain.errors import QueryError
from drug_pipeline.query.columns import is_gene_column

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".rnk")
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
SEPARATORS: Final = ("\t", ";", ",")
"""In this order: a comma may be a decimal one, a tab or a semicolon never is."""
MISSING: Final = frozenset({"", "na", "nan", "n/a", "#n/a", "null", "none", "<na>"})


def is_missing(text: str) -> bool:
    """Whether a cell says that there is nothing."""
    return text.strip().casefold() in MISSING


def read_text_table(path: Path) -> tuple[pd.DataFrame, bool]:
    """The table as text, and whether it has a header; without one its columns are numbered.

    Raises
    ------
    QueryError
        If the file is no text, is empty, or its lines have not the same number of fields.
    """
    lines = re.split(r"\r\n|\r|\n", _text(path))
    places = [place for place, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]
    if not places:
        msg = f"{path.name} is empty. Give a gene and a value a line."
        raise QueryError(msg)
    filled = [lines[place - 1] for place in places]
    rows = _split(filled)
    is_headed = not _is_row(rows[0])
    header = rows[0] if is_headed else [str(column) for column in range(len(rows[0]))]
    body = rows[1:] if is_headed else rows
    if body and _has_row_names(header, body):  # as R's write.table writes them
        header = ["", *header]
    if len(header) < 2:
        msg = (
            f"the first line of {path.name}, {filled[0][:40]!r}, is one column. Give a gene and a "
            "value a line, separated by a tab, comma or semicolon."
        )
        raise QueryError(msg)
    _refuse_ragged(body, places[len(places) - len(body) :], len(header), path.name)
    if not is_headed and len(header) != 2:
        msg = f"{path.name} has {len(header)} columns and no header. Name them in a first line."
        raise QueryError(msg)
    return pd.DataFrame(body, columns=header, dtype=object), is_headed


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path.name} cannot be read: {error}. Write it again."
        raise QueryError(msg) from error
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not text in UTF-8: {error.reason} at byte {error.start}. Save it so."
        raise QueryError(msg) from error
    if "\0" in text:
        msg = f"{path.name} has NUL characters: it is no text, or not in UTF-8. Save it as UTF-8."
        raise QueryError(msg)
    return text


def _split(lines: Sequence[str]) -> list[list[str]]:
    """The lines as fields, by the first sign that divides all of them alike; else the header."""
    tried = []
    for separator in SEPARATORS:
        try:
            rows = [next(csv.reader([line], delimiter=separator)) for line in lines]
        except csv.Error:
            continue
        rows = [[field.strip() for field in row] for row in rows]
        width, widths = len(rows[0]), {len(row) for row in rows[1:]}
        if (width > 1 and widths <= {width}) or widths == {width + 1}:
            return rows
        tried.append(rows)
    return max(tried, key=lambda rows: len(rows[0])) if tried else [[line] for line in lines]


def _refuse_ragged(
    rows: Sequence[Sequence[str]], places: Sequence[int], width: int, name: str
) -> None:
    for row, place in zip(rows, places, strict=True):
        if len(row) != width:
            msg = (
                f"line {place} of {name} has {len(row)} fields where {width} are named; a decimal "
                "comma in a file of commas makes one more. Write the file again."
            )
            raise QueryError(msg)


def _is_row(first: Sequence[str]) -> bool:
    """Whether a first line is no header: it names a gene and has a number."""
    if is_missing(first[0]) or is_gene_column(first[0]):
        return False
    return any(field and (NUMBER.fullmatch(field) or is_missing(field)) for field in first[1:])


def _has_row_names(header: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    has_one_more = all(len(row) == len(header) + 1 for row in body)
    return has_one_more and not any(map(is_gene_column, header))
