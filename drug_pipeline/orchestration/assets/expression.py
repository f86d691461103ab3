"""Stage expression: from raw counts to Δ."""

from typing import Any

import dagster as dg

from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(group_name="expression", deps=["raw_tahoe", "tahoe_metadata"], kinds={"parquet"})
def gene_panel(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """The ordered genes of everything downstream, chosen on **control cells only**.

    The most variable genes among vehicle cells, plus the targets of the drugs.
    """
    from drug_pipeline.ingest.panel import build_gene_panel

    with pipeline.step(context, "gene_panel") as step:
        built = build_gene_panel(
            step.layout,
            step.settings.raw_source(),
            step.settings.section(PanelConfig),
            progress=step.progress,
        )
        return step.result(built)


@dg.asset(
    group_name="expression",
    deps=["raw_tahoe", "tahoe_metadata", "gene_panel"],
    kinds={"numba", "numpy"},
)
def pseudobulk(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Exact sums of log1p(CP10k) per well, cell line and gene, plate by plate.

    Whole numbers only (fixed point), so that files may come in any order, in any number of runs,
    over any number of workers, and the bytes are the same. Only plates with new files are read.
    """
    from drug_pipeline.ingest.plates.pseudobulk import build_pseudobulk

    with pipeline.step(context, "pseudobulk") as step:
        built = build_pseudobulk(
            step.layout,
            step.settings.raw_source(),
            step.settings.section(PseudobulkConfig),
            progress=step.progress,
        )
        return step.result(built)


@dg.asset(
    group_name="expression",
    deps=["pseudobulk", "filtered_pairs", "tahoe_metadata", "gene_panel"],
    kinds={"numpy"},
)
def delta_shards(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Δexpression of every kept condition: its pseudobulk minus that of its matched control.

    Control = the vehicle cells of the **same line on the same plate**. Natural logs. A condition
    whose control has too few cells gets no Δ and is counted with its reason.
    """
    from drug_pipeline.ingest.delta import build_delta_shards

    with pipeline.step(context, "delta_shards") as step:
        built = build_delta_shards(
            step.layout, step.settings.section(DeltaConfig), progress=step.progress
        )
        return step.result(built)
