"""The assets ``model_full`` and ``model_prototype``: read inputs, fit, write once, stamp.

What belongs here: which files go where in the data folder. What does not: any fitting.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.blocks import KERNEL_BLOCKS, BlockChoice
from drug_pipeline.domain.errors import ConfigurationError, ForeignFileError, NoSplitError
from drug_pipeline.domain.progress import Log, Progress
from drug_pipeline.domain.split_kinds import deciding_split
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.embeddings.annotations import annotate_drugs
from drug_pipeline.linear import Features, mean_control
from drug_pipeline.linear.kernel_ridge.likeness import Mix
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.embeddings import read_embeddings
from drug_pipeline.storage.files import (
    files_below,
    read_json,
    refuse_changed,
    replacing_folder,
    seal_folder,
    sha256_of_json,
    write_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import write_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits, read_splits_index
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.linear_model import fit_linear, save_linear
from drug_pipeline.training.fit_split import FittedSplit
from drug_pipeline.training.network.loop import hooks_of
from drug_pipeline.training.parallel.process_group import group_size, workers_here
from drug_pipeline.training.prototype import fit_prototype
from drug_pipeline.training.save_bundle import complete_bundle, save_split
from drug_pipeline.training.split_workers import SplitTask, fit_splits

logger = logging.getLogger(__name__)

CODE_VERSION = "10"
"""Raised when the same inputs and settings would give another model."""
LINEAR_VERSION = "2"
"""The same for a linear model on its own."""
MADE, PREDICTED, DEPLOYED, SUMMARY = "made", "predicted", "deployed", "summary.json"
"""Of a split that was fitted, in the folder of an unfinished run."""
RESUME = ".full-resume-"
"""Beginning of the folder, beside ``models/full``, in which an unfinished run can be taken up."""


def build_model_full(
    layout: Layout,
    config: TrainConfig,
    *,
    log: Log | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """Every configured split fitted, its predictions and the deploy bundle under ``models/full``.

    A killed run goes on at the last evaluated epoch of the network it was training. Splits that
    could not be drawn from the data are listed in the summary; where none was, another is fitted.

    Raises
    ------
    NoSplitError
        If no split was drawn.
    """
    return build_once(
        layout,
        "model_full",
        code_version=CODE_VERSION,
        upstream=names.MODEL_INPUTS,
        config=identifying_settings(config),
        build=lambda: _build_full(layout, config, log, progress),
    )


def build_model_prototype(
    layout: Layout,
    config: TrainConfig,
    *,
    log: Log | None = None,
    progress: Progress | None = None,
) -> BuildResult:
    """The prototype of one split and its rankings under ``models/prototype``.

    Where the configured split could not be drawn, the first one there is takes its place.
    """
    settings = identifying_settings(config)
    used = ["prototype", "prototype_split", "seed", "network_blocks", "n_chemistry", "n_cell"]
    used += ["n_threads", "device", "is_bf16"]
    return build_once(
        layout,
        "model_prototype",
        code_version=CODE_VERSION,
        upstream=names.MODEL_INPUTS,
        config={name: settings[name] for name in used},
        build=lambda: _build_prototype(layout, config, log, progress),
    )


def build_linear_model(
    layout: Layout, split: str, name: str, blocks: BlockChoice = KERNEL_BLOCKS
) -> BuildResult:
    """One linear model of one split under ``models/linear/<split>/<name>``; seconds.

    Raises
    ------
    ConfigurationError
        If the split was not drawn, or no linear model of that name answers its kind.
    StaleInputError, ForeignFileError
        If an input is missing, stale, or was changed by something else.
    """

    def build() -> BuildOutput:
        table = read_delta(layout)
        splits = read_splits(layout, table.conditions)
        if split not in splits:
            msg = f"there is no split {split!r} of these data; there are {', '.join(splits)}"
            raise ConfigurationError(msg)
        features = replace(read_features(layout, table), kernel_blocks=blocks)
        model = fit_linear(table, features, splits[split], name)
        files = save_linear(layout.linear_dir / split / name, model)
        return BuildOutput(files=files, summary={"n_drugs": len(model.trained_drugs)})

    return build_once(
        layout,
        f"linear_{split}_{name}",
        code_version=LINEAR_VERSION,
        upstream=names.MODEL_INPUTS,
        config={"split": split, "name": name, "blocks": asdict(blocks)},
        build=build,
    )


def read_features(layout: Layout, table: DeltaTable) -> Features:
    """Features of drugs and lines: embeddings, annotations, control profiles of the Δ table."""
    lines, control_LG = mean_control(table.controls)
    drugs = pq.read_table(layout.metadata_dir / "drugs.parquet").to_pandas()
    return Features(
        drugs=read_embeddings(layout, "drugs"),
        cell_lines=read_embeddings(layout, "cell_lines"),
        lines=lines,
        control_LG=control_LG,
        annotations=annotate_drugs(drugs),
    )


def identifying_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that a model is known by; how many processes share the work is none of them.

    Those of a ``torchrun`` job make a larger batch, which gives other weights. Still a model that
    stands is not fitted again because it is asked for on another machine.
    """
    return {name: value for name, value in asdict(config).items() if name != "n_workers"}


def _build_full(
    layout: Layout, config: TrainConfig, log: Log | None, progress: Progress | None
) -> BuildOutput:
    table = read_delta(layout)
    features = read_features(layout, table)
    splits = read_splits(layout, table.conditions)
    wanted = [name for name in config.splits if name in splits]
    skipped = [name for name in config.splits if name not in splits]
    if not splits:
        raise NoSplitError(_why_none(layout, config.splits))
    if not wanted:
        wanted = [deciding_split(splits)]
        logger.warning(
            "none of the splits %s was drawn; models are fitted on %r",
            *(", ".join(config.splits), wanted[0]),
        )
    resume_dir = _resume_dir(layout, config)
    tasks = {
        name: SplitTask(
            table=table,
            features=features,
            split=splits[name],
            config=config,
            resume_dir=resume_dir / name,
        )
        for name in wanted
    }
    made = {name: summary for name, task in tasks.items() if (summary := _made(task)) is not None}
    n_workers = workers_here(config.n_workers, config.device)
    left = {name: task for name, task in tasks.items() if name not in made}
    if left:
        made |= fit_splits(left, _keep, n_workers=n_workers, progress=progress, log=log)
    with replacing_folder(layout.full_dir) as folder:
        deploy = folder / layout.deploy_dir.name
        deploy.mkdir()
        for name in wanted:
            (resume_dir / name / MADE / PREDICTED).rename(folder / name)
            (resume_dir / name / MADE / DEPLOYED).rename(deploy / name)
        conditions = table.conditions
        complete_bundle(
            deploy,
            wanted,
            table.genes,
            features=features,
            parent_of=dict(
                zip(conditions[names.DRUG], conditions[names.PARENT_COMPOUND], strict=True)
            ),
            data_fingerprint=table.fingerprint,
        )
    for left_over in layout.full_dir.parent.glob(f"{RESUME}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    return BuildOutput(
        files=files_below(layout.full_dir),
        summary={
            "n_splits": len(wanted),
            **{key: value for name in wanted for key, value in made[name].items()},
            "skipped": skipped,
            **group_size(),
        },
    )


def _keep(task: SplitTask, fitted: FittedSplit) -> dict[str, Any]:
    """Predictions and models of a fitted split, complete or not at all; what people are told of it."""
    summary = _summary(task.split.name, fitted)
    with replacing_folder(task.resume_dir / MADE) as folder:
        write_predictions(folder / PREDICTED, fitted.predictions(task.table))
        save_split(folder / DEPLOYED, fitted)
        write_json(summary, folder / SUMMARY)
        seal_folder(folder, files_below(folder))
    return summary


def _made(task: SplitTask) -> dict[str, Any] | None:
    """What people are told of a split that an unfinished run had fitted; None where it had not."""
    folder = task.resume_dir / MADE
    if not (folder / SUMMARY).is_file():
        return None
    try:
        refuse_changed(folder)
    except ForeignFileError as error:
        logger.warning("split %r is fitted again: %s", task.split.name, error)
        return None
    summary: dict[str, Any] = read_json(folder / SUMMARY)
    return summary


def _why_none(layout: Layout, asked: Sequence[str]) -> str:
    """That no model can be judged, and the reason of each split that was asked for."""
    skipped = read_splits_index(layout)["skipped"]
    reasons = "; ".join(f"{name}: {skipped[name]}" for name in asked if name in skipped)
    why = f" ({reasons})" if reasons else ""
    return (
        f"no split was drawn{why}. The Δ stand; models need more drugs or lines, or a lower "
        "min_cells_per_pair."
    )


def _resume_dir(layout: Layout, config: TrainConfig) -> Path:
    """Where an unfinished run with these settings on these inputs leaves what it has."""
    stamps = [StampStore(layout).read(asset) for asset in names.MODEL_INPUTS]
    inputs = {stamp.asset: stamp.fingerprint for stamp in stamps if stamp is not None}
    settings = {"config": identifying_settings(config), "code": CODE_VERSION}
    run = sha256_of_json({**settings, "inputs": inputs, **group_size()})
    return layout.full_dir.with_name(f"{RESUME}{run[:16]}")


def _build_prototype(
    layout: Layout, config: TrainConfig, log: Log | None, progress: Progress | None
) -> BuildOutput:
    table = read_delta(layout)
    splits = read_splits(layout, table.conditions)
    name = config.prototype_split
    if name not in splits:
        logger.warning(
            "split %r was not drawn; the prototype is fitted on %r", name, next(iter(splits), None)
        )
        name = next(iter(splits), "")
    if not name:
        raise NoSplitError(_why_none(layout, [config.prototype_split]))
    fitted = fit_prototype(
        table,
        read_features(layout, table),
        splits[name],
        config,
        drugs=pq.read_table(layout.metadata_dir / "drugs.parquet").to_pandas(),
        cell_lines=pq.read_table(layout.metadata_dir / "cell_lines.parquet").to_pandas(),
        hooks=hooks_of(log, progress),
    )
    with replacing_folder(layout.prototype_dir) as folder:
        write_predictions(folder / name, fitted.predictions(table))
        fitted.save(folder / name / "prototype")
    summary: dict[str, Any] = {
        "split": name,
        "n_train": len(fitted.data.train),
        "n_targets": len(fitted.vocabulary.targets),
        "n_panel_genes": len(fitted.vocabulary.panel_P),
        "shipped": fitted.shipped_target,
    }
    for ranker, figures in fitted.figures.items():
        summary[f"{ranker}_validation_mrr"] = round(figures["mrr"], 6)
    return BuildOutput(files=files_below(layout.prototype_dir), summary=summary)


def _summary(name: str, split: FittedSplit) -> dict[str, Any]:
    """What people are told: sizes, what shipped, and validation figures of a split."""
    summary: dict[str, Any] = {}
    forward, inverse = split.forward, split.inverse
    summary[f"{name}_n_train"] = len(split.data.train)
    summary[f"{name}_n_test"] = len(split.data.test)
    summary[f"{name}_shipped"] = forward.shipped_name
    summary[f"{name}_best_linear"] = forward.best_linear
    summary[f"{name}_alpha"] = round(forward.alpha, 6)
    for predictor in (forward.best_linear, forward.shipped_name):
        for metric, value in forward.figures.get(predictor, {}).items():
            role = "shipped" if predictor == forward.shipped_name else "best_linear"
            summary[f"{name}_{role}_validation_{metric}"] = round(value, 6)
    for ranker, figures in inverse.figures.items():
        summary[f"{name}_{ranker}_validation_mrr"] = round(figures["mrr"], 6)
    kernel = forward.linear.get("product_kernel_ridge")
    if kernel is not None:
        mix = Mix.of(kernel.state())
        summary[f"{name}_drug_shares"] = {b: round(share, 6) for b, share in mix.drugs.items()}
        summary[f"{name}_line_shares"] = {b: round(share, 6) for b, share in mix.lines.items()}
    return summary
