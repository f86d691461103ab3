"""Stage evaluation: how good the model is beside its baselines, and whether it may be champion."""

from typing import Any

import dagster as dg

from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(
    group_name="evaluation",
    deps=[
        "model_full",
        "splits",
        "delta_shards",
        "drug_embeddings",
        "cell_line_embeddings",
        "tahoe_metadata",
    ],
    kinds={"html", "parquet", "torch"},
)
def ablation_report(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """What each token and each loss is worth: the model fitted again with one thing left out.

    `reports/ablation/report.html` for people, `ablation.parquet` for programs; the gates that need
    such fits (permuted targets, shuffled inputs, noise for the test) are run here.
    """
    from drug_pipeline.evaluation.ablation.ablation_report import build_ablation_report
    from drug_pipeline.training.ablation.fits import build_ablation_fits

    with pipeline.step(context, "ablation_report") as step:
        settings = step.settings
        build_ablation_fits(
            step.layout, settings.training(), settings.ablation(), progress=step.progress
        )
        built = build_ablation_report(
            step.layout, settings.section(EvaluationConfig), gene_sets=settings.gene_sets
        )
        return step.result(built)


@dg.asset(
    group_name="evaluation",
    deps=[
        "model_full",
        "model_prototype",
        "ablation_report",
        "gene_panel",
        "splits",
        "delta_shards",
        "tahoe_metadata",
    ],
    kinds={"html", "parquet"},
)
def evaluation_report(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """Every metric of every predictor on every split, with intervals, baselines and ceilings.

    `reports/evaluation/report.html` for people, `metrics.parquet` and AnnData for programs.
    """
    from drug_pipeline.evaluation.ablation.ablation_report import read_ablation_gates
    from drug_pipeline.evaluation.evaluation_report import build_evaluation_report
    from drug_pipeline.orchestration.judging import model_gates

    with pipeline.step(context, "evaluation_report") as step:
        built = build_evaluation_report(
            step.layout,
            step.settings.section(EvaluationConfig),
            gates=[
                *model_gates(step.layout, step.settings.section(PanelConfig)),
                *read_ablation_gates(step.layout),
            ],
            progress=step.progress,
        )
        return step.result(built)


@dg.asset(
    group_name="evaluation",
    deps=["evaluation_report", "model_full", "splits", "delta_shards", "tahoe_metadata"],
    kinds={"mlflow"},
)
def registered_model(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """A version in the MLflow registry: `champion` only through the gates, else `candidate`."""
    from drug_pipeline.orchestration.registry import build_registered_model

    with pipeline.step(context, "registered_model") as step:
        built = build_registered_model(
            step.layout,
            step.settings.section(EvaluationConfig),
            tracking=step.tracking,
            record=step.record,
        )
        return step.result(built)
