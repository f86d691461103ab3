"""Which genes of a question are genes of the panel, and which are not.

What belongs here: matching names exactly, and saying what did not match. What does not: guessing.
A name is never upper-cased or made unique in silence: ``C1orf112`` and ``C1ORF112`` are told apart,
and the second is offered the first.

Shapes: G = genes of the panel, K = genes of the question.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few

FEWEST_GENES: Final = 10
"""Below this many matched genes a cosine says nothing."""
NAMINGS: Final = (names.ENSEMBL_ID, names.GENE_SYMBOL, names.TOKEN_ID)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What became of the genes of a question.

    ``suggestions`` maps an unmatched name to the panel's spelling that differs in case alone.
    """

    naming: str
    n_given: int
    n_panel: int
    n_matched: int
    unmatched: tuple[str, ...]
    suggestions: dict[str, str]

    @property
    def covered_frac(self) -> float:
        """Share of the panel that the question gives a value for."""
        return self.n_matched / self.n_panel

    def sentence(self) -> str:
        """The coverage in words."""
        text = (
            f"{self.n_matched:,} of {self.n_given:,} genes given are in the panel "
            f"({self.covered_frac:.0%} of its {self.n_panel:,}), matched by {self.naming}"
        )
        if self.unmatched:
            text += f"; not in the panel: {first_few(self.unmatched)}"
        if self.suggestions:
            pairs = [f"{given} → {known}" for given, known in sorted(self.suggestions.items())]
            text += f"; spelt otherwise: {first_few(pairs)}"
        return text + "."


def match_genes(
    given: Sequence[str], panel: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], Coverage]:
    """Panel columns, places in the question, and what did not match.

    The naming (Ensembl id, with or without a version; symbol; token id) is the one that matches
    most of the names given.

    Parameters
    ----------
    given
        K gene names as the user wrote them.
    panel
        Genes in panel order (``schemas.GENES``), G rows.

    Returns
    -------
    columns_M, places_M
        For each matched gene its column in the panel and its place in ``given``, int64.
    coverage
        What to tell the user.

    Raises
    ------
    QueryError
        If a gene is named twice, or fewer than 10 genes match.
    """
    written = [str(name).strip() for name in given]
    _refuse_repeated(written)
    naming, keys = _best_naming(written, panel)
    known = {key: column for column, key in enumerate(_keys(panel, naming))}
    matched = [(known[key], place) for place, key in enumerate(keys) if key in known]
    unmatched = tuple(name for name, key in zip(written, keys, strict=True) if key not in known)
    by_fold = {key.casefold(): key for key in known}
    coverage = Coverage(
        naming=naming,
        n_given=len(written),
        n_panel=len(panel),
        n_matched=len(matched),
        unmatched=unmatched,
        suggestions={
            name: by_fold[name.casefold()] for name in unmatched if name.casefold() in by_fold
        },
    )
    if coverage.n_matched < min(FEWEST_GENES, len(panel)):
        msg = (
            f"{coverage.sentence()} At least {FEWEST_GENES} are needed. Name genes by Ensembl id, "
            "symbol or token id, as in expression/gene_panel.parquet."
        )
        raise QueryError(msg)
    columns_M = np.array([column for column, _ in matched], dtype=np.int64)
    places_M = np.array([place for _, place in matched], dtype=np.int64)
    _refuse_one_gene_twice(columns_M, panel)
    return columns_M, places_M, coverage


def _best_naming(written: list[str], panel: pd.DataFrame) -> tuple[str, list[str]]:
    def n_matches(naming: str) -> int:
        return len(set(_keys(panel, naming)) & set(_as_keys(written, naming)))

    naming = max(NAMINGS, key=n_matches)
    return naming, _as_keys(written, naming)


def _keys(panel: pd.DataFrame, naming: str) -> list[str]:
    return [str(value) for value in panel[naming]]


def _as_keys(written: list[str], naming: str) -> list[str]:
    """Ensembl ids lose their version (``ENSG00000141510.18``); nothing else is touched."""
    if naming == names.ENSEMBL_ID:
        return [name.split(".")[0] if name.startswith("ENS") else name for name in written]
    return written


def _refuse_repeated(written: list[str]) -> None:
    repeated = sorted(name for name, count in Counter(written).items() if count > 1)
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
            f"{len(repeated)} genes are given under two names (versions of one id); first: "
            f"{first_few(repeated)}. Keep one value a gene."
        )
        raise QueryError(msg)
