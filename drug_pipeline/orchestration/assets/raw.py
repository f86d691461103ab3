"""Stage raw: which files there are, and what the released metadata say once cleaned."""

from typing import Any

import dagster as dg

from drug_pipeline.ingest.raw.inventory import InventoryConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(group_name="raw", kinds={"parquet"})
def raw_tahoe(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Inventory of the raw files: content hash, rows, plates, and whether each is fit to read.

    A file that breaks the released format is **quarantined** with file, column, row, reason and
    remedy; the others proceed. Files already known by size and time are not read again.
    """
    from drug_pipeline.ingest.raw.inventory import build_raw_tahoe

    with pipeline.step(context, "raw_tahoe") as step:
        built = build_raw_tahoe(
            step.layout,
            step.settings.raw_source(),
            step.settings.section(InventoryConfig),
            progress=step.progress,
        )
        return step.result(built)


@dg.asset(group_name="raw", kinds={"parquet", "rdkit"})
def tahoe_metadata(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Cleaned tables of drugs, cell lines, genes and wells.

    Names are stripped, doses are numbers in µM, salts and stereo-isomers share a **parent
    compound**, each line has one row, targets are lists of gene symbols.
    """
    from drug_pipeline.ingest.metadata import build_tahoe_metadata

    with pipeline.step(context, "tahoe_metadata") as step:
        built = build_tahoe_metadata(step.layout, step.settings.raw_source())
        return step.result(built)
