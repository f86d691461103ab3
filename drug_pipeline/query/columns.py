"""Which column of a table holds the genes and which the values, by what the columns are called.

The name of a column decides what its genes are called and which unit its values have. What two
columns could mean is refused, and so is a column that holds p-values or ratios by its own word.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few

NAMINGS: Final = (names.ENSEMBL_ID, names.GENE_SYMBOL, names.TOKEN_ID)
GENES: Final = {
    names.ENSEMBL_ID: ("ensemblid", "ensembl", "ensemblgene", "ensemblgeneid", "geneids"),
    names.GENE_SYMBOL: (
        *("genesymbol", "symbol", "symbols", "genesymbols", "genename", "genenames"),
        *("hgncsymbol", "externalgenename"),
    ),
    names.TOKEN_ID: ("tokenid",),
    "": ("gene", "genes", "geneid", "id", "name", "names", "feature", "featureid"),
    "row names": ("", "index", "rownames", "unnamed0"),
}
"""Names of gene columns by the naming they tell, the surest first; the last two tell none."""
ENTREZ: Final = ("entrez", "entrezid", "entrezgene", "entrezgeneid", "prgeneid", "ncbigeneid")
VALUES: Final = {
    "ln": ("delta", "lnfc", "lnfoldchange"),
    "log2": (
        *("log2fc", "log2foldchange", "log2ratio", "avglog2fc", "l2fc"),
        *("logfc", "logfoldchange", "logfoldchanges"),  # of limma and edgeR, of scanpy
    ),
    "ask": ("lfc", "avglogfc", "logratio"),  # ln from one tool and log2 from another
    "z": ("z", "zscore", "zscores", "modz", "t", "stat", "scores"),  # of scanpy: "scores"
    "": ("value", "values", "score"),
}
"""Names of value columns by the unit they tell: a logarithm, or z-scores and other test statistics."""
VALUES_BY_SURENESS: Final = (("ln", "log2"), ("ask",), ("z",), ("",))
"""Of ``delta`` beside another one, as ``predict --out`` writes them, ``delta`` is meant."""
NO_DELTA: Final = {
    "p-values": ("p", "pval", "pvalue", "pvals", "padj", "adjpval", "fdr", "q", "qvalue"),
    "ranks": ("rank", "ranks"),
    "ratios, not their logarithm": ("fc", "foldchange", "foldchanges", "ratio"),
    "logarithms to base 10": ("log10fc", "log10foldchange", "log10p", "neglog10p", "log10pvalue"),
    "expression, not its change": (
        *("count", "counts", "tpm", "cpm", "fpkm", "rpkm", "basemean", "aveexpr", "expression"),
        *("logcpm", "mean", "logtpm"),
    ),
}
"""Names of columns that hold no Δ, by what they hold."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A gene and a value column.

    ``naming`` and ``unit`` are what their names tell: None where nothing; unit ``"ask"`` where tools
    differ in what the name means.
    """

    gene: str
    value: str
    naming: str | None
    unit: str | None


def choose_columns(columns: Sequence[str], table: str) -> Chosen:
    """The gene and the value column of a table, by name; two columns are gene and value else.

    Raises
    ------
    QueryError
        If none is known by its name, two are, or the values are no Δ by their name.
    """
    gene, naming = choose_genes(columns, table)
    others = [column for column in columns if column != gene]
    if len(set(columns)) < len(columns):
        repeated = sorted({column for column in columns if columns.count(column) > 1})
        raise QueryError(_several(repeated, "columns of one name", table))
    for units in VALUES_BY_SURENESS:
        found = {
            column: unit for unit in units for column in others if _plain(column) in VALUES[unit]
        }
        own = [column for column in found if _plain(column) == "delta"]
        if len(own or found) > 1:
            raise QueryError(_several(list(found), "value columns", table))
        if found:
            value = (own or list(found))[0]
            return Chosen(gene=gene, value=value, naming=naming, unit=found[value] or None)
    if len(others) != 1:
        raise QueryError(_undecided(columns, table))
    for what, known in NO_DELTA.items():
        if _plain(others[0]) in known:
            msg = (
                f"column {others[0]!r} of {table} holds {what}, by its name. Give log fold changes, "
                "treated over control, in a column called delta (natural log) or log2FC."
            )
            raise QueryError(msg)
    return Chosen(gene=gene, value=others[0], naming=naming, unit=None)


def choose_genes(columns: Sequence[str], table: str) -> tuple[str, str | None]:
    """The gene column and the naming that its name tells; of two columns else the first.

    Raises
    ------
    QueryError
        If there is none, or there are two of one kind.
    """
    for naming, known in GENES.items():
        found = [column for column in columns if _plain(column) in known]
        if len(found) > 1:
            raise QueryError(_several(found, "gene columns", table))
        if found:
            return found[0], naming if naming in NAMINGS else None
    entrez = [column for column in columns if _plain(column) in ENTREZ]
    if entrez:
        msg = (
            f"column {entrez[0]!r} of {table} holds Entrez ids, which are not known here. Add a "
            "column ensembl_id or gene_symbol."
        )
        raise QueryError(msg)
    if len(columns) != 2 or any(_plain(columns[0]) in known for known in VALUES.values()):
        raise QueryError(_undecided(columns, table))
    return columns[0], None


def is_gene_column(column: str) -> bool:
    """Whether a column is called as gene columns are; the blank name of row names is not."""
    return bool(column) and any(_plain(column) in known for known in (*GENES.values(), ENTREZ))


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.casefold())


def _several(found: Sequence[str], what: str, table: str) -> str:
    return f"{table} has several {what}: {', '.join(found)}. Keep the one that is meant."


def _undecided(columns: Sequence[str], table: str) -> str:
    return (
        f"{table} has columns {first_few(columns, limit=8)}. Name the gene column gene_symbol or "
        "ensembl_id and the value column delta (natural log) or log2FC."
    )
