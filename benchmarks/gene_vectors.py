"""Whether a network's vectors of genes know gene sets, beside main components and random vectors.

    python benchmarks/gene_vectors.py DATA_DIR SETS.gmt [--gene-tokens 128] [--split pair]

DATA_DIR is a data folder with splits and vectors (`drug-pipeline run --select
'*splits,*drug_embeddings,*cell_line_embeddings'`). One forward network is fitted with that many
gene tokens; its embeddings (gene tokens alone) and read-out vectors (all genes) are looked at.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from drug_pipeline.evaluation.ablation.gene_findings import GeneRow, look_at_genes
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.formats.gene_sets import read_gene_sets
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.training.fit_split import fit_forward_alone
from drug_pipeline.training.model_assets import read_features
from drug_pipeline.training.split_data import prepare


def main() -> None:
    """Fit, look, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("gene_sets", type=Path)
    parser.add_argument("--gene-tokens", type=int, default=128)
    parser.add_argument("--split", default="pair")
    given = parser.parse_args()
    layout = Layout(given.data_dir.resolve())
    table = read_delta(layout)
    split = read_splits(layout, table.conditions)[given.split]
    config = load_settings(preset="demo").training()
    config = replace(config, model=replace(config.model, n_gene_tokens=given.gene_tokens))
    config = replace(config, linear=("additive", "panel_ridge", "morgan_ridge"))
    data = prepare(table, read_features(layout, table), split)
    fitted = fit_forward_alone(data, config)
    network = fitted.network.members[0]
    vectors = {
        "token_genes_T": network.token_genes_T.numpy(),
        "token_vectors_TE": network.gene_embedding.weight.detach().numpy(),
        "readout_vectors_GE": network.head.weight.detach().numpy(),
    }
    sets = read_gene_sets(given.gene_sets)
    print(f"{len(data.train)} training conditions, alpha {fitted.alpha:.3f}")
    for row in look_at_genes(table, split, vectors, sets, BootstrapConfig()).rows:
        print(_line(row))


def _line(row: GeneRow) -> str:
    parts = [f"{row.genes:16s} {row.vectors:28s} {row.n_genes:5d} genes"]
    if row.sets is not None:
        found = row.sets
        parts.append(
            f"sets {found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}] p {found.p:.3f} "
            f"n {found.n_genes} in {found.n_sets} sets"
        )
    for name, one in (("co-expression", row.co_expression), ("co-response", row.co_response)):
        if one is not None:
            parts.append(f"{name} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]")
    return "  ".join(parts)


if __name__ == "__main__":
    main()
