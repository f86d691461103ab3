"""Mapping of a signature's genes to the gene panel, and what does not match.

What belongs here: matching names exactly, and saying what did not match. What does not: guessing.
A name is never upper-cased or made unique in silence: ``C1orf112`` and ``C1ORF112`` are told apart,
and the second is offered the first. A number is a token id only where the question says so: it may
as well be an Entrez id. A symbol that two genes of the panel share means neither. A gene that was
renamed is known by its previous symbol too (``previous_symbols.csv``), where the panel has no gene
of that name, and that is told.

Shapes: G = genes of the panel, K = genes of the question, M = genes that match.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few

FEWEST_GENES: Final = 10
"""Below this many matched genes a cosine says nothing."""
BY_FORM: Final = (names.ENSEMBL_ID, names.GENE_SYMBOL)
"""Namings that a name itself shows; a number shows none."""

PREVIOUS_SYMBOLS: Final = Path(__file__).with_name("previous_symbols.csv")

_VERSIONED: Final = re.compile(r"(ENS[A-Z]*\d{11})\.\d+")
_NUMBER: Final = re.compile(r"\d+(\.0+)?")
_DATE: Final = re.compile(r"\d{1,2}-[A-Z][a-z]{2}|[A-Z][a-z]{2}-\d{1,2}|\d{4}-\d\d-\d\d.*")


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Coverage of the gene panel by the genes of a signature.

    ``shared`` are symbols that several genes of the panel have; ``suggestions`` maps an unmatched
    name to the panel's spelling that differs in case alone, ``renamed`` a name that matched to the
    panel's symbol of the same gene.
    """

    naming: str
    n_given: int
    n_panel: int
    n_matched: int
    unmatched: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    suggestions: dict[str, str]
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def covered_frac(self) -> float:
        """Share of the panel that the signature gives a value for."""
        return self.n_matched / self.n_panel

    def sentence(self) -> str:
        """The coverage in words."""
        text = (
            f"{self.n_matched:,} of {self.n_given:,} genes given are in the panel "
            f"({self.covered_frac:.0%} of its {self.n_panel:,}), matched by {self.naming}"
        )
        if self.renamed:
            pairs = [f"{given} → {known}" for given, known in sorted(self.renamed.items())]
            text += f"; {len(pairs)} by another symbol of the same gene: {first_few(pairs)}"
        if self.unmatched:
            text += f"; not in the panel: {first_few(self.unmatched)}"
        if self.shared:
            text += (
                f"; left out, since several genes of the panel share the name: "
                f"{first_few(self.shared)} (give Ensembl ids)"
            )
        if self.suggestions:
            pairs = [f"{given} → {known}" for given, known in sorted(self.suggestions.items())]
            text += f"; spelt otherwise: {first_few(pairs)}"
        dates = [name for name in self.unmatched if _DATE.fullmatch(name)]
        if dates:
            text += f"; dates, as a spreadsheet makes them of MARCH1 or SEPT2: {first_few(dates)}"
        return text + "."


def match_genes(
    given: Sequence[str], panel: pd.DataFrame, *, naming: str | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Coverage]:
    """Panel columns, places in the question, and what did not match.

    Parameters
    ----------
    given
        K gene names as the user wrote them.
    panel
        Genes in panel order (``schemas.GENES``), G rows.
    naming
        What the names are: ``ensembl_id`` (with any version or none), ``gene_symbol`` or
        ``token_id``. By default each name is an Ensembl id or a symbol, by its form.

    Returns
    -------
    columns_M, places_M
        For each matched gene its column in the panel and its place in ``given``, int64.
    coverage
        What to tell the user.

    Raises
    ------
    QueryError
        If a gene is named twice, fewer than 10 genes match, or more differ in case than match.
    """
    written = [str(name).strip() for name in given]
    keys = [_key(name, naming) for name in written]
    # a column of symbols holds Ensembl ids where there is no symbol, and none is mistaken for one
    namings = BY_FORM if naming in (None, names.GENE_SYMBOL) else (naming,)
    columns_of = {one: _columns(panel, one) for one in namings}
    known: dict[str, set[int]] = defaultdict(set)
    for columns in columns_of.values():
        for key, found in columns.items():
            known[key] |= found
    renamed = {}
    if names.GENE_SYMBOL in namings:
        renamed = {key: _renamed(key, columns_of) for key in keys if key not in known}
        known |= {key: columns for key, columns in renamed.items() if columns}
    matched = [
        (*known[key], place) for place, key in enumerate(keys) if len(known.get(key, ())) == 1
    ]
    symbols = panel[names.GENE_SYMBOL].astype(str)
    current_symbols = {
        key: symbols.iloc[min(found)] for key, found in renamed.items() if len(found) == 1
    }
    coverage = replace(
        _coverage(written, keys, columns_of, known, n_panel=len(panel)), renamed=current_symbols
    )
    _refuse_repeated([written[place] for _, place in matched], written)
    _refuse_strangers(coverage, written)
    columns_M = np.array([column for column, _ in matched], dtype=np.int64)
    places_M = np.array([place for _, place in matched], dtype=np.int64)
    _refuse_one_gene_twice(columns_M, panel)
    return columns_M, places_M, coverage


def _columns(panel: pd.DataFrame, naming: str) -> dict[str, set[int]]:
    """Columns of the panel by each name of one naming."""
    columns: dict[str, set[int]] = defaultdict(set)
    for column, value in enumerate(panel[naming]):
        if not pd.isna(value) and str(value).strip():
            columns[_key(str(value).strip(), naming)].add(column)
    return columns


def _renamed(key: str, columns_of: dict[str, dict[str, set[int]]]) -> set[int]:
    """Columns of the gene that has or had this symbol, where the panel calls it otherwise."""
    gene = _gene_of_symbol().get(key)
    return columns_of[names.ENSEMBL_ID].get(gene, set()) if gene is not None else set()


@cache
def _gene_of_symbol() -> dict[str, str]:
    """Ensembl id by previous and by current symbol of each renamed gene."""
    table = pd.read_csv(PREVIOUS_SYMBOLS, comment="#", dtype=str)
    columns = [table["current"], table["previous"]]
    return {
        symbol: gene
        for column in columns
        for symbol, gene in zip(column, table[names.ENSEMBL_ID], strict=True)
    }


def _key(name: str, naming: str | None) -> str:
    """An Ensembl id without its version, a token id without ``.0``; nothing else is touched."""
    if naming == names.TOKEN_ID:
        return str(int(float(name))) if _NUMBER.fullmatch(name) else name
    versioned = _VERSIONED.fullmatch(name)
    return versioned[1] if versioned else name


def _coverage(
    written: list[str],
    keys: list[str],
    columns_of: dict[str, dict[str, set[int]]],
    known: dict[str, set[int]],
    *,
    n_panel: int,
) -> Coverage:
    n_by = {one: len(columns.keys() & set(keys)) for one, columns in columns_of.items()}
    used = [one for one in sorted(n_by, key=lambda one: -n_by[one]) if n_by[one]] or list(n_by)
    places = [len(known.get(key, ())) for key in keys]
    unmatched = tuple(name for name, n in zip(written, places, strict=True) if n == 0)
    folded: dict[str, list[str]] = defaultdict(list)
    for key in known:
        folded[key.casefold()].append(key)
    return Coverage(
        naming=" and ".join(used),
        n_given=len(written),
        n_panel=n_panel,
        n_matched=places.count(1),
        unmatched=unmatched,
        shared=tuple(name for name, n in zip(written, places, strict=True) if n > 1),
        suggestions={
            name: " or ".join(folded[name.casefold()])
            for name in unmatched
            if name.casefold() in folded
        },
    )


def _refuse_strangers(coverage: Coverage, written: list[str]) -> None:
    """Refuse a question whose names are hardly those of the panel."""
    if len(coverage.suggestions) > coverage.n_matched:
        msg = (
            f"{coverage.sentence()} More names differ from the panel's in case than match it, as "
            "those of another species do. Write them as the panel does."
        )
        raise QueryError(msg)
    if coverage.n_matched >= min(FEWEST_GENES, coverage.n_panel):
        return
    numbers = [name for name in written if _NUMBER.fullmatch(name)]
    what = (
        f"{len(numbers)} names are numbers ({first_few(numbers)}), which are read as token ids in "
        "a column called token_id alone; Entrez ids are not known here. "
        if numbers
        else ""
    )
    msg = (
        f"{coverage.sentence()} At least {FEWEST_GENES} are needed. {what}Name genes by Ensembl "
        "id or symbol, as in expression/gene_panel.parquet."
    )
    raise QueryError(msg)


def _refuse_repeated(matched: list[str], written: list[str]) -> None:
    repeated = sorted(name for name, count in Counter(matched).items() if count > 1)
    if repeated:
        msg = (
            f"{len(repeated)} of {len(set(written))} genes are named more than once; first: "
            f"{first_few(repeated)}. Keep one value a gene."
        )
        raise QueryError(msg)


def _refuse_one_gene_twice(columns_M: NDArray[np.int64], panel: pd.DataFrame) -> None:
    columns, counts = np.unique(columns_M, return_counts=True)
    repeated = panel[names.ENSEMBL_ID].to_numpy()[columns[counts > 1]]
    if len(repeated):
        msg = (
            f"{len(repeated)} genes are given under two names (two versions of an id, a symbol and "
            f"an id, or two symbols); first: {first_few(repeated)}. Keep one value a gene."
        )
        raise QueryError(msg)
