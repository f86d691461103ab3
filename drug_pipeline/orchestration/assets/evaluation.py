"""Stage evaluation: how good the model is beside its baselines, and whether it may be champion."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from drug_pipeline.domain import names
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.orchestration.resources import PipelineResource


@dg.asset(
    group_name="evaluation",
    deps=names.MODEL_INPUTS,
    kinds={"torch"},
    output_required=False,
)
def gate_fits(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.MaterializeResult[Any]]:
    """The gates that ask what a model would do had it been fitted otherwise, on small fits.

    With permuted targets, with a shuffled drug, with noise in place of the test; the verdicts lie
    in `models/gate_fits.json`.
    """
    from drug_pipeline.evaluation.ablation.gate_verdicts import build_gate_verdicts
    from drug_pipeline.training.ablation.fits import build_gate_fits

    with pipeline.step(context, "gate_fits") as step:
        settings = step.settings
        build_gate_fits(
            step.layout, settings.training(), settings.gate_fits(), progress=step.progress
        )
        yield step.result(build_gate_verdicts(step.layout, settings.section(EvaluationConfig)))


@dg.asset(
    group_name="evaluation",
    deps=[
        "model_full",
        "model_prototype",
        "gate_fits",
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
    from drug_pipeline.evaluation.ablation.gate_verdicts import read_gate_verdicts
    from drug_pipeline.evaluation.evaluation_report import build_evaluation_report
    from drug_pipeline.orchestration.judging import model_gates

    with pipeline.step(context, "evaluation_report") as step:
        built = build_evaluation_report(
            step.layout,
            step.settings.section(EvaluationConfig),
            gates=[
                *model_gates(step.layout, step.settings.section(PanelConfig)),
                *read_gate_verdicts(step.layout),
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


@dg.asset(
    group_name="evaluation",
    deps=[
        "model_full",
        "gate_fits",
        "splits",
        "delta_shards",
        "drug_embeddings",
        "cell_line_embeddings",
        "tahoe_metadata",
    ],
    kinds={"html", "parquet", "torch"},
    op_tags={
        "dagster/priority": "-1"
    },  # nothing waits for it: the report and the champion go first
)
def ablation_report(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> dg.MaterializeResult[Any]:
    """What each token and each loss is worth: the model fitted again with one thing left out.

    `reports/ablation/report.html` for people, `ablation.parquet` for programs.
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
