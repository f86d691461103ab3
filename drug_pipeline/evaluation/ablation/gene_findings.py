"""Gene embeddings of a network beside random vectors and principal components of Δ.

What belongs here: which vectors are compared on which genes, and what is told of each. What does
not: the measures (``manifold``), words and pictures (``ablation_report``).

Shapes: G = genes, T = gene tokens, E = width, N = conditions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.ablation.gene_neighbours import (
    MIN_GENES,
    Agreement,
    Enrichment,
    agreement,
    correlation,
    enrichment,
    main_components,
    map_of,
)
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.centring import training_centre

N_COMPONENTS: Final = 32
TOKENS, READ_OUT = "Gene embeddings", "Read-out vectors"
COMPONENTS, RANDOM = "Main components, no network", "Random vectors"


@dataclass(frozen=True, kw_only=True)
class GeneRow:
    """Neighbourhood statistics of one kind of gene vectors on one set of genes."""

    genes: str
    vectors: str
    n_genes: int
    sets: Enrichment | None
    co_expression: Agreement | None
    co_response: Agreement | None


@dataclass(frozen=True, kw_only=True)
class GeneFindings:
    """Every kind of vectors, and where genes lie on a plane.

    ``n_tokens`` genes have an embedding of their own. The map is of the vectors named ``mapped``,
    ``label_G`` the gene set that each gene is coloured by, empty for most. Without gene sets there
    is no map.
    """

    rows: tuple[GeneRow, ...]
    n_tokens: int
    n_gene_sets: int
    mapped: str = ""
    map_G2: NDArray[np.float32] | None = None
    label_G: NDArray[np.str_] | None = None


def look_at_genes(
    table: DeltaTable,
    split: Split,
    vectors: Mapping[str, NDArray[Any]],
    gene_sets: Mapping[str, Collection[str]],
    config: BootstrapConfig,
) -> GeneFindings:
    """The network's vectors of genes against random ones and main components of training Δ.

    Co-response is taken over test conditions, which no vector has seen; co-expression over the
    vehicle profiles of lines and plates. Embeddings of gene tokens are looked at where there are
    enough of them.
    """
    train, test = split.rows(names.TRAIN), split.rows(names.TEST)
    centred = {
        "train": _centred(table, train, train),
        "test": _centred(table, train, test),
    }
    symbols_G = table.genes[names.GENE_SYMBOL].to_numpy(dtype=str)
    tokens_T = vectors["token_genes_T"]
    kinds = [(READ_OUT, vectors["readout_vectors_GE"], np.arange(len(symbols_G)))]
    if len(tokens_T) >= MIN_GENES:
        kinds.insert(0, (TOKENS, vectors["token_vectors_TE"], tokens_T))
    rng = np.random.default_rng(config.seed)
    rows = []
    for name, own_GE, genes_G in kinds:
        train_NG, test_NG = centred["train"][:, genes_G], centred["test"][:, genes_G]
        expressed = correlation(table.controls.control_MG[:, genes_G])
        responded = correlation(test_NG)
        compared = {
            name: own_GE,
            COMPONENTS: main_components(train_NG, N_COMPONENTS),
            RANDOM: rng.normal(size=own_GE.shape).astype(np.float32),
        }
        rows += [
            GeneRow(
                genes=name,
                vectors=kind,
                n_genes=len(genes_G),
                sets=enrichment(one_GE, symbols_G[genes_G].tolist(), gene_sets, config),
                co_expression=agreement(one_GE, expressed, config),
                co_response=agreement(one_GE, responded, config),
            )
            for kind, one_GE in compared.items()
        ]
    findings = GeneFindings(rows=tuple(rows), n_tokens=len(tokens_T), n_gene_sets=len(gene_sets))
    if not any(row.sets for row in rows):
        return findings
    mapped, own_GE, genes_G = kinds[0]
    return GeneFindings(
        rows=tuple(rows),
        n_tokens=len(tokens_T),
        n_gene_sets=len(gene_sets),
        mapped=mapped,
        map_G2=map_of(own_GE, seed=config.seed),
        label_G=_labels(symbols_G[genes_G], gene_sets),
    )


def _centred(
    table: DeltaTable, train: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Δ of some rows minus the training mean of their line."""
    centre = training_centre(table.delta_NG, table.conditions, train, rows)
    return np.asarray(table.delta_NG[rows]) - centre.of(slice(None))


def _labels(
    symbols_G: NDArray[np.str_], gene_sets: Mapping[str, Collection[str]], *, n_shown: int = 5
) -> NDArray[np.str_]:
    """The largest sets of the panel as colours; a gene takes the first that it is in."""
    sizes = {name: int(np.isin(symbols_G, list(one)).sum()) for name, one in gene_sets.items()}
    shown = sorted(sizes, key=lambda name: (-sizes[name], name))[:n_shown]
    label_G = np.full(len(symbols_G), "", dtype=object)
    for name in reversed(shown):
        label_G[np.isin(symbols_G, list(gene_sets[name]))] = name
    return label_G.astype(str)
