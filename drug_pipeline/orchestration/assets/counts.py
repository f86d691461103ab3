"""Stage counts: how many cells there are of what, and which pairs are worth keeping."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.orchestration.resources import PipelineResource
from drug_pipeline.storage.counts_db import DuckDBConfig

COUNT_TABLES = {
    "counts_per_drug": "Cells of each drug, vehicle included, over all lines and plates.",
    "counts_per_cell_line": "Cells of each cell line, over all drugs and plates.",
    "counts_per_pair": "Cells of each (drug, cell line) pair, doses and plates pooled.",
}


@dg.multi_asset(
    name="counts",
    specs=[
        dg.AssetSpec(
            key,
            description=f"{description} A DuckDB table, summed from per-file partial counts.",
            deps=["raw_tahoe", "tahoe_metadata"],
            group_name="counts",
            kinds={"duckdb"},
            skippable=True,
        )
        for key, description in COUNT_TABLES.items()
    ],
    can_subset=True,
)
def counts(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """The three count tables, from one pass over the string columns of new files."""
    from drug_pipeline.ingest.counts import build_counts

    with pipeline.step(context, "counts") as step:
        built = build_counts(
            step.layout,
            step.settings.raw_source(),
            step.settings.section(DuckDBConfig),
            progress=step.progress,
        )
        for key in COUNT_TABLES:
            if dg.AssetKey(key) in context.selected_asset_keys:
                yield step.result(built, key=key)


@dg.asset(
    group_name="counts",
    deps=[*COUNT_TABLES, "raw_tahoe", "tahoe_metadata"],
    kinds={"duckdb", "html"},
)
def imbalance_report(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """The long tail at three levels: per drug, per cell line, per pair.

    Tables at the published thresholds, log histograms, the top 20, and a drug × line heat map.
    """
    from drug_pipeline.ingest.imbalance import build_imbalance_report

    with pipeline.step(context, "imbalance_report") as step:
        built = build_imbalance_report(step.layout)
        return step.result(built)


@dg.asset(group_name="counts", deps=["counts_per_pair"], kinds={"duckdb"})
def filtered_pairs(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """The (drug, cell line) pairs that are kept, and the reason each other one is not.

    Set `DRUG_PIPELINE_MIN_CELLS_PER_PAIR`, or the preset, to keep more or fewer.
    """
    from drug_pipeline.ingest.counts import build_filtered_pairs

    with pipeline.step(context, "filtered_pairs") as step:
        built = build_filtered_pairs(step.layout, step.settings.section(PairFilterConfig))
        return step.result(built)
