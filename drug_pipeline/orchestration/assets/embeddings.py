"""Stage embeddings: what is known of a drug and of a line before any treated cell is seen."""

from typing import Any

import dagster as dg

from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(group_name="embeddings", deps=["tahoe_metadata"], kinds={"rdkit"})
def drug_embeddings(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Morgan counts and RDKit descriptors of each drug's parent compound, by drug name.

    A drug without SMILES is listed and left out; it never becomes a zero vector.
    """
    from drug_pipeline.ingest.embeddings import build_drug_embeddings

    with pipeline.step(context, "drug_embeddings") as step:
        built = build_drug_embeddings(step.layout, step.settings.section(DrugEmbeddingConfig))
        return step.result(built)


@dg.asset(group_name="embeddings", deps=["delta_shards", "tahoe_metadata"], kinds={"scanpy"})
def cell_line_embeddings(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """PCA of each line's control profile, with organ and driver mutations, by cell line id.

    From vehicle cells alone, so that a line no drug was ever tried in has a vector too.
    """
    from drug_pipeline.ingest.embeddings import build_cell_line_embeddings

    with pipeline.step(context, "cell_line_embeddings") as step:
        built = build_cell_line_embeddings(
            step.layout, step.settings.section(CellLineEmbeddingConfig)
        )
        return step.result(built)
