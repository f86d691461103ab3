"""The asset ``evaluation_report``: read predictions and truth, judge, write tables, page, exports.

What belongs here: which files are read and written. What does not: any judging (``evaluate``) or
wording (``report``).

Peak memory: the Δ arrays are memory-mapped; a split holds blocks of 2,048 rows in float64 and one
value per condition, predictor and metric.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluate import SIMPLE, SplitEvaluation, evaluate_split
from drug_pipeline.evaluation.gates.gates import controls_are_own, sides_are_disjoint
from drug_pipeline.evaluation.gates.verdicts import NOT_MEASURED, RED, GateResult, as_frame
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import (
    files_below,
    replacing,
    replacing_folder,
    write_parquet,
    write_text,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import (
    SplitPredictions,
    predicted_splits,
    read_predictions,
    write_h5ad,
)
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits, read_splits_index

ASSET: Final = "evaluation_report"
CODE_VERSION: Final = "13"
"""Raised when the same inputs and settings would give other figures."""
UPSTREAM: Final = (
    "gene_panel",
    "delta_shards",
    "splits",
    "tahoe_metadata",
    "model_full",
    "model_prototype",
    "gate_fits",
)
PROTOTYPE_PREFIX: Final = "prototype_"
MOST_THREADS: Final = 4
"""Splits judged at the same time; each holds a block of rows in float64 several times over."""
METRICS, COMPARISONS, GAPS, CONDITIONS, GATES = (
    "metrics.parquet",
    "comparisons.parquet",
    "gaps.parquet",
    "conditions.parquet",
    "gates.parquet",
)
REPORT, SUMMARY, HEADLINE = "report.html", "summary.md", "headline.png"

Progress: TypeAlias = Callable[[int, int, str], None] | None


def build_evaluation_report(
    layout: Layout,
    config: EvaluationConfig,
    *,
    gates: Sequence[GateResult] = (),
    progress: Progress = None,
) -> BuildResult:
    """Judge every predicted split and write ``reports/evaluation``.

    Parameters
    ----------
    gates
        Gates that need a fitted model, run by the caller; the gates on data are run here.

    Raises
    ------
    EmptyResultError
        If no split has predictions.
    """

    def build() -> BuildOutput:
        with threadpool_limits(1):  # small products: a second thread spins, it does not work
            return _build(layout, config, gates, progress)

    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=UPSTREAM,
        config={**asdict(config), "gates": [gate.as_json() for gate in gates]},
        build=build,
    )


def _build(
    layout: Layout, config: EvaluationConfig, gates: Sequence[GateResult], progress: Progress
) -> BuildOutput:
    from drug_pipeline.evaluation.report import page

    table = read_delta(layout)
    splits = read_splits(layout, table.conditions)
    drugs, lines = _metadata(layout, "drugs"), _metadata(layout, "cell_lines")
    evaluations, prototypes = _evaluate(layout, table, splits, drugs, config, progress)
    judged = [splits[one.split] for one in evaluations]
    all_gates = [*data_gates(table, judged, drugs, lines), *gates]
    inputs = _report_inputs(layout, table, lines, evaluations, prototypes, all_gates, config)
    with replacing_folder(layout.evaluation_dir) as folder:
        _write_tables(folder, [*evaluations, *prototypes], all_gates)
        write_text(page.render_report(inputs), folder / REPORT)
        write_text(page.render_summary(inputs), folder / SUMMARY)
        with replacing(folder / HEADLINE) as temporary:
            temporary.write_bytes(page.render_headline(inputs))
        if config.is_exported:
            for one in evaluations:
                _export(folder, one.predictions, table, config)
    files = files_below(layout.evaluation_dir)
    return BuildOutput(files=files, summary=_summary(evaluations, prototypes, all_gates))


def _evaluate(
    layout: Layout,
    table: DeltaTable,
    splits: dict[str, Split],
    drugs: pd.DataFrame,
    config: EvaluationConfig,
    progress: Progress,
) -> tuple[list[SplitEvaluation], list[SplitEvaluation]]:
    """Every predicted split of the full model and of the prototype, in the order of the splits."""
    noise = measure_noise(table)
    models = ((layout.full_dir, ""), (layout.prototype_dir, PROTOTYPE_PREFIX))
    todo = [
        (folder / name, name, prefix)
        for folder, prefix in models
        for name in splits
        if name in predicted_splits(folder)
    ]
    if not todo:
        msg = (
            f"no split has predictions below {layout.full_dir}; splits: {', '.join(splits)}. "
            "Materialise model_full again."
        )
        raise EmptyResultError(msg)

    def evaluated(folder: Path, name: str, prefix: str) -> SplitEvaluation:
        predictions = read_predictions(folder)
        return evaluate_split(
            table, splits[name], predictions, drugs, noise, config, task_prefix=prefix
        )

    # Sorts and sums leave other threads room; each split draws from a seed of its own.
    found: tuple[list[SplitEvaluation], list[SplitEvaluation]] = ([], [])
    with ThreadPoolExecutor(min(len(todo), os.cpu_count() or 1, MOST_THREADS)) as pool:
        started = [pool.submit(evaluated, *one) for one in todo]
        for done, (future, (_, name, prefix)) in enumerate(zip(started, todo, strict=True)):
            if progress is not None:
                progress(done, len(todo), f"{prefix}{name}")
            found[bool(prefix)].append(future.result())
    return found


def data_gates(
    table: DeltaTable, splits: Sequence[Split], drugs: pd.DataFrame, cell_lines: pd.DataFrame
) -> list[GateResult]:
    """The gates that need no model: sides disjoint, controls of the plate itself."""
    return [
        gate
        for split in splits
        for gate in (
            sides_are_disjoint(table, split, drugs, cell_lines),
            controls_are_own(table, split),
        )
    ]


def _metadata(layout: Layout, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(layout.metadata_dir / f"{name}.parquet").to_pandas()
    return frame


def _report_inputs(
    layout: Layout,
    table: DeltaTable,
    lines: pd.DataFrame,
    evaluations: list[SplitEvaluation],
    prototypes: list[SplitEvaluation],
    gates: list[GateResult],
    config: EvaluationConfig,
) -> Any:
    from drug_pipeline.evaluation.report.page import ReportInputs
    from drug_pipeline.evaluation.report.provenance import data_facts

    index = read_splits_index(layout)
    return ReportInputs(
        evaluations=evaluations,
        prototypes=prototypes,
        table=table,
        noise=measure_noise(table),
        data=data_facts(layout),
        config=config,
        gates=gates,
        split_notes={name: about["notes"] for name, about in index["splits"].items()},
        skipped_splits=index["skipped"],
        line_titles=dict(zip(lines[names.CELL_LINE_ID], lines[names.CELL_NAME], strict=True)),
    )


def _write_tables(
    folder: Path, evaluations: Sequence[SplitEvaluation], gates: Sequence[GateResult]
) -> None:
    non_empty = [one.metrics for one in evaluations if len(one.metrics)]
    metrics = pd.concat(non_empty or [evaluations[0].metrics], ignore_index=True)
    write_parquet(
        pa.Table.from_pandas(metrics, schema=schemas.METRICS, preserve_index=False),
        folder / METRICS,
    )
    frames = {
        COMPARISONS: [one.comparisons for one in evaluations],
        GAPS: [one.gaps for one in evaluations],
        CONDITIONS: [one.rows for one in evaluations],
        GATES: [as_frame(gates)],
    }
    for name, parts in frames.items():
        filled = [part for part in parts if len(part)]
        frame = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
        write_parquet(pa.Table.from_pandas(frame, preserve_index=False), folder / name)


def _export(
    folder: Path, predictions: SplitPredictions, table: DeltaTable, config: EvaluationConfig
) -> None:
    """Write predictions as AnnData: the shipped one, its parts and the means, or all of them."""
    wanted = {predictions.shipped, predictions.network, predictions.best_linear, *SIMPLE}
    for name, predicted_NG in predictions.predictions.items():
        if config.export_all or name in wanted:
            write_h5ad(
                folder / "predictions" / predictions.split / f"{name}.h5ad",
                conditions=predictions.conditions,
                genes=table.genes,
                predicted_NG=predicted_NG,
                measured_NG=np.asarray(table.delta_NG[predictions.rows_N]),
            )


def _summary(
    evaluations: Sequence[SplitEvaluation],
    prototypes: Sequence[SplitEvaluation],
    gates: Sequence[GateResult],
) -> dict[str, Any]:
    """What people are told in short: the main figures of each split, and the gates."""
    from drug_pipeline.evaluation.report.summary import headline_figures

    red = [gate.name for gate in gates if gate.state == RED]
    unmeasured = [gate.name for gate in gates if gate.state == NOT_MEASURED]
    return {
        "n_splits": len(evaluations),
        "n_figures": sum(len(one.metrics) for one in (*evaluations, *prototypes)),
        "n_gates": len(gates),
        "n_gates_red": len(red),
        "red_gates": red[:10],
        "n_gates_not_measured": len(unmeasured),
        "gates_not_measured": unmeasured[:10],
        **headline_figures(evaluations),
        **headline_figures(prototypes, prefix=PROTOTYPE_PREFIX),
    }
