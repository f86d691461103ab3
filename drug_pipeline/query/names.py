"""Drugs and cell lines as people write them, to the names the data use.

A name matches exactly or not at all; what does not match is refused with the nearest names.
"""

import difflib
from collections.abc import Sequence

import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few


def resolve_drug(text: str, drugs: Sequence[str]) -> str:
    """The drug of that name.

    Raises
    ------
    QueryError
        If there is none.
    """
    wanted = text.strip()
    if wanted in drugs:
        return wanted
    raise QueryError(_unknown("drug", wanted, drugs))


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
        If there is none, or it has no vehicle cells in the data.
    """
    wanted = text.strip()
    by_name = dict(zip(cell_lines[names.CELL_NAME], cell_lines[names.CELL_LINE_ID], strict=True))
    line = wanted if wanted in lines else by_name.get(wanted, wanted)
    if line in lines:
        return line
    if line in set(cell_lines[names.CELL_LINE_ID]):
        msg = (
            f"cell line {wanted!r} is in the metadata but has no vehicle cells here, so nothing "
            f"is known of it; there are {len(lines)} others: {first_few(sorted(lines))}."
        )
        raise QueryError(msg)
    known_names = [name for name, known in by_name.items() if known in lines]
    raise QueryError(_unknown("cell line", wanted, [*lines, *known_names]))


def _unknown(what: str, wanted: str, known: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n=3, cutoff=0.5)
    if close:
        nearest = first_few(folded[name] for name in close)
        return f"there is no {what} {wanted!r}. Nearest: {nearest}."
    return f"there is no {what} {wanted!r}; there are {len(known)}: {first_few(sorted(known))}."
