"""Drugs and cell lines as people write them, to the names the data use.

A name matches as it is written, or else the only one that differs in case, blanks, hyphens and
underscores; a name that means several is refused with them, one that means none with the nearest.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few


def resolve_drug(text: str, drugs: Sequence[str]) -> str:
    """The drug of that name.

    Raises
    ------
    QueryError
        If there is none, or several differ from it in case and hyphens alone.
    """
    wanted = text.strip()
    found = alike(wanted, drugs)
    if not found:
        raise QueryError(_unknown("drug", wanted, drugs))
    return only_one("drug", wanted, found)


def resolve_line(text: str, cell_lines: pd.DataFrame, lines: Sequence[str]) -> str:
    """The id of the cell line of that id (``CVCL_0132``) or name (``A-375``).

    Parameters
    ----------
    cell_lines
        ``schemas.CELL_LINES``.
    lines
        Ids that the model can answer for.

    Raises
    ------
    QueryError
        If there is none, several have the name, or it has no vehicle cells in the data.
    """
    wanted = text.strip()
    found = alike(wanted, lines) or lines_called(wanted, cell_lines)
    if not found:
        known = cell_lines.loc[cell_lines[names.CELL_LINE_ID].isin(lines), names.CELL_NAME].dropna()
        raise QueryError(_unknown("cell line", wanted, [*lines, *map(str, known)]))
    line = only_one("cell line", wanted, found)
    if line not in lines:
        msg = (
            f"cell line {wanted!r} is in the metadata but has no vehicle cells here, so nothing "
            f"is known of it; there are {len(lines)} others: {first_few(sorted(lines))}."
        )
        raise QueryError(msg)
    return line


def lines_called(wanted: str, cell_lines: pd.DataFrame) -> list[str]:
    """Ids of the cell lines of the metadata that have this id, or else this name."""
    ids = [str(line) for line in cell_lines[names.CELL_LINE_ID]]
    by_id = alike(wanted, ids)
    called = set(alike(wanted, cell_lines[names.CELL_NAME].dropna().astype(str)))
    return by_id or [
        line for line, name in zip(ids, cell_lines[names.CELL_NAME], strict=True) if name in called
    ]


def alike(wanted: str, known: Iterable[str]) -> list[str]:
    """The known name that is this one; else all that differ in case, blanks and hyphens alone."""
    listed = list(dict.fromkeys(known))
    if wanted in listed:
        return [wanted]
    folded = _folded(wanted)
    return [name for name in listed if folded and _folded(name) == folded]


def _folded(name: str) -> str:
    """A dot and a sign stay: T.T and TT are two lines, (+)-JQ1 and (-)-JQ1 two compounds."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!\()[\s_\-‐‑–]+", "", plain)  # noqa: RUF001 - hyphens of other writers


def only_one(what: str, wanted: str, found: Sequence[str]) -> str:
    """The name that was found.

    Raises
    ------
    QueryError
        If there are several.
    """
    if len(found) > 1:
        msg = f"{len(found)} {what}s may be meant by {wanted!r}: {', '.join(found)}. Give one of them."
        raise QueryError(msg)
    return found[0]


def _unknown(what: str, wanted: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n=3, cutoff=0.5)
    if close:
        nearest = first_few(folded[name] for name in close)
        return f"there is no {what} {wanted!r}. Nearest: {nearest}."
    return f"there is no {what} {wanted!r}; there are {len(known)}: {first_few(sorted(known))}."
