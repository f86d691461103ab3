"""Stage models: what is held out, and what is fitted on the rest."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from drug_pipeline.domain import names
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(group_name="models", deps=["delta_shards", "tahoe_metadata"], kinds={"parquet"})
def splits(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Named splits: unseen pairs, unseen drugs (by parent compound), unseen lines, a replicate plate.

    Assigned by hash, so that new data never move a condition from test to training.
    """
    from drug_pipeline.ingest.splits import build_splits

    with pipeline.step(context, "splits") as step:
        built = build_splits(step.layout, step.settings.section(SplitConfig))
        return step.result(built)


@dg.asset(
    group_name="models",
    deps=names.MODEL_INPUTS,
    kinds={"torch"},
    output_required=False,
)
def model_prototype(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """A small model over the drugs' target genes, which asks what protein and drug made a Δ.

    Minutes on a CPU; the sanity check of architecture and retrieval metrics.
    """
    from drug_pipeline.training.model_assets import build_model_prototype

    with pipeline.step(context, "model_prototype") as step:
        built = build_model_prototype(
            step.layout, step.settings.training(), log=step.log, progress=step.progress
        )
        yield step.result(built)


@dg.asset(
    group_name="models",
    deps=names.MODEL_INPUTS,
    kinds={"torch"},
    output_required=False,
)
def model_full(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """The forward and inverse model, once per split: linear models, the network, their blend.

    Forward: (drug, dose, line) → Δ. Inverse: Δ → ranked drugs. What ships per split is whatever
    won on that split's validation conditions; all three are kept and shown.
    """
    from drug_pipeline.training.model_assets import build_model_full

    with pipeline.step(context, "model_full") as step:
        built = build_model_full(
            step.layout, step.settings.training(), log=step.log, progress=step.progress
        )
        yield step.result(built)
