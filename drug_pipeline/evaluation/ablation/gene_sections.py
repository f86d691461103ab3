"""What the ablation page says of gene vectors: the third observation, a table, a map.

What belongs here: words, a table and a picture. What does not: figures that were not computed
before (``gene_findings``).
"""

from typing import Final

from drug_pipeline.evaluation.ablation.claims import Claim
from drug_pipeline.evaluation.ablation.gene_findings import (
    COMPONENTS,
    RANDOM,
    READ_OUT,
    TOKENS,
    GeneFindings,
    GeneRow,
)
from drug_pipeline.evaluation.ablation.gene_neighbours import (
    MIN_ANNOTATED,
    MIN_SET,
    N_NEIGHBOURS,
    N_PERMUTATIONS,
    Agreement,
    Enrichment,
)
from drug_pipeline.evaluation.report import pictures
from drug_pipeline.evaluation.report.pictures import Picture, as_picture, drawing
from drug_pipeline.evaluation.report.tables import Cell, Row, Table
from drug_pipeline.evaluation.report.wording import count, interval, number

CLAIM: Final = "Gene embeddings form a manifold"
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def gene_observation(found: GeneFindings | None) -> Claim:
    """Confirmed where neighbours share gene sets oftener than chance, with its interval."""
    if found is None:
        return Claim(claim=CLAIM, verdict="not looked at", evidence=["No network was kept."])
    evidence = []
    if not any(row.genes == TOKENS for row in found.rows):
        evidence.append(
            f"The network has {found.n_tokens} gene tokens, too few for neighbourhoods among their "
            "embeddings: the read-out vectors of all genes stand in."
        )
    own = found.rows[0]
    others = {row.vectors: row for row in found.rows if row.genes == own.genes}
    for kind in (own.vectors, COMPONENTS, RANDOM):
        evidence.append(f"{kind}: {_in_words(others[kind])}.")
    if own.sets is None:
        why = (
            f"fewer than {MIN_ANNOTATED} genes are in one of the {found.n_gene_sets} gene sets given"
            if found.n_gene_sets
            else "no gene sets were given (DRUG_PIPELINE_GENE_SETS, a GMT file)"
        )
        return Claim(claim=CLAIM, verdict=f"not decided: {why}", evidence=evidence)
    if own.sets.low > 1 and own.sets.p < 0.05:
        plain = others[COMPONENTS].sets
        is_more = plain is not None and own.sets.low > plain.ratio
        verdict = "confirmed" if is_more else "confirmed, but not beyond main components"
    else:
        verdict = "refuted, neighbours share sets no oftener than chance"
    return Claim(claim=CLAIM, verdict=verdict, evidence=evidence)


def gene_table(found: GeneFindings) -> Table:
    """Every kind of vectors on every set of genes."""
    return Table(
        heads=(
            (
                "Gene sets among neighbours",
                f"Share of the {N_NEIGHBOURS} nearest genes with a gene set in common, over the "
                f"mean of {N_PERMUTATIONS:,} random dealings of the sets; 1 is chance.",
            ),
            ("p", "Share of random dealings that reach it."),
            (
                "Co-expression",
                "Mean over genes of the rank correlation of cosines with correlations over "
                "vehicle profiles.",
            ),
            (
                "Co-response",
                "The same with correlations of Δ over test conditions, which no vector has seen.",
            ),
        ),
        rows=tuple(
            Row(
                title=row.vectors,
                role="network" if row.vectors in (TOKENS, READ_OUT) else "simple",
                cells=(
                    _ratio_cell(row.sets),
                    Cell(text="" if row.sets is None else number(row.sets.p, 3)),
                    _agreement_cell(row.co_expression),
                    _agreement_cell(row.co_response),
                ),
                note=f"{count(row.n_genes)} genes",
            )
            for row in found.rows
        ),
        caption=_caption(found),
    )


def gene_map(found: GeneFindings) -> Picture | None:
    """Where genes lie by UMAP, the largest gene sets coloured."""
    if found.map_G2 is None or found.label_G is None:
        return None
    labels = [name for name in dict.fromkeys(found.label_G.tolist()) if name]
    with drawing(pictures.WIDTH, 4.6) as (figure, axes):
        axes.scatter(*found.map_G2.T, s=7, color="#cfd4da", linewidths=0)
        for label, colour in zip(sorted(labels), COLOURS, strict=False):
            at_M2 = found.map_G2[found.label_G == label]
            axes.scatter(
                *at_M2.T,
                s=16,
                color=colour,
                linewidths=0,
                label=f"{_set_title(label)} ({len(at_M2)})",
            )
        figure.legend(loc="outside lower left")
        axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
        axes.set_title(f"{found.mapped} of {count(len(found.map_G2))} genes")
        axes.spines[:].set_color(pictures.BASELINE)
        return as_picture(
            figure,
            alt=f"UMAP of {found.mapped.lower()}, genes of the largest gene sets coloured",
            caption="UMAP on cosines; a gene in several sets takes the first. Distances between "
            "clusters mean little: the table says what is measured.",
        )


def _in_words(row: GeneRow) -> str:
    parts = []
    if row.sets is not None:
        parts.append(
            f"neighbours share a gene set {number(row.sets.ratio, 2)} times as often as chance "
            f"{interval(row.sets.low, row.sets.high, 2)}, p {number(row.sets.p, 3)}, "
            f"n = {count(row.sets.n_genes)} genes in {row.sets.n_sets} sets"
        )
    for title, one in (("co-expression", row.co_expression), ("co-response", row.co_response)):
        if one is not None:
            parts.append(
                f"agreement with {title} {number(one.value)} {interval(one.low, one.high)}, "
                f"n = {count(one.n_genes)}"
            )
    return "; ".join(parts) or "nothing could be measured"


def _ratio_cell(sets: Enrichment | None) -> Cell:
    if sets is None:
        return Cell(text="")
    return Cell(text=f"{number(sets.ratio, 2)} ×", note=interval(sets.low, sets.high, 2))


def _agreement_cell(one: Agreement | None) -> Cell:
    return (
        Cell(text="")
        if one is None
        else Cell(text=number(one.value), note=interval(one.low, one.high))
    )


def _caption(found: GeneFindings) -> str:
    sets = next((row.sets for row in found.rows if row.sets is not None), None)
    if sets is not None:
        about = f"{sets.n_sets} gene sets with at least {MIN_SET} genes of the panel"
    elif found.n_gene_sets:
        about = (
            f"{found.n_gene_sets} gene sets were given, but too few genes of the panel are in one"
        )
    else:
        about = "No gene sets were given, so that their column is empty and no map is drawn"
    return f"{about}. 95 % intervals over genes."


def _set_title(name: str) -> str:
    return name.removeprefix("HALLMARK_").replace("_", " ").lower()
