"""One ablation fitted: its conditions, the fits it shares with others, what is kept of it.

What belongs here: everything that runs in a worker. What does not: which fits there are and where
their results lie (``ablation/fits.py``), judging (``evaluation/``).

Shapes: N = conditions, G = genes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import nn

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear import Conditions, Features
from drug_pipeline.storage.arrays import write_arrays
from drug_pipeline.storage.files import write_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import (
    SplitPredictions,
    read_predictions,
    write_predictions,
)
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.training.ablation.config import NETWORK_VARIANTS
from drug_pipeline.training.ablation.shared_fits_file import read_shared_fits, write_shared_fits
from drug_pipeline.training.ablation.variants import VARIANTS
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle_files import load_towers
from drug_pipeline.training.fit_split import (
    SharedFits,
    fit_forward_alone,
    fit_prepared,
    fit_shared,
)
from drug_pipeline.training.network.forward_network import ForwardNetwork, build_network
from drug_pipeline.training.parallel.runtime import running
from drug_pipeline.training.split_data import SplitData, prepare

FeaturesOf = Callable[[Layout, DeltaTable], Features]
KEY_FILE: Final = "fit.json"
AT_RANDOM: Final = "network_at_random"
VECTORS: Final = "vectors.npz"
SHUFFLE_SEED: Final = 0
"""Of shuffled columns and subsampled sides: the same for all seeds of the networks."""


@dataclass(frozen=True, kw_only=True)
class AblationTask:
    """One fit: what it is called, how it is fitted, and the key by which its result is known.

    ``shared_config`` are the settings that the shared fits are made with, without the variant's
    change; ``is_model_full`` says that ``model_full`` has made this very fit already.
    """

    layout: Layout
    features_of: FeaturesOf
    split: str
    variant: str
    seed: int
    config: TrainConfig
    shared_config: TrainConfig
    max_train: int | None
    max_test: int | None
    key: str
    shared_path: Path
    is_model_full: bool
    folder: Path

    @property
    def title(self) -> str:
        """The fit in words."""
        return f"{self.split}, {self.variant.replace('_', ' ')}, seed {self.seed}"


def run_task(task: AblationTask) -> str:
    """Fit one ablation and keep its predictions; returns its title.

    The key is written last: a fit that was killed has none and is made again.
    """
    (task.folder / KEY_FILE).unlink(missing_ok=True)
    if task.variant == names.GENE_VECTORS:
        with threadpool_limits(task.config.n_threads):
            write_arrays(_gene_vectors(task), task.folder / VECTORS)
        write_json({"key": task.key}, task.folder / KEY_FILE)
        return task.title
    if task.is_model_full:
        predictions = read_predictions(task.layout.full_dir / task.split)
        split = read_splits(task.layout, read_delta(task.layout).conditions)[task.split]
        few = subsampled(split, max_train=task.max_train, max_test=task.max_test)
        predictions = predictions.of_rows(few.rows(names.TEST))
    else:
        with threadpool_limits(task.config.n_threads):
            predictions = _blind(task) if task.variant in names.BLIND else _fitted(task)
    write_predictions(task.folder, _kept(predictions, task.variant))
    write_json({"key": task.key}, task.folder / KEY_FILE)
    return task.title


def subsampled(split: Split, *, max_train: int | None, max_test: int | None) -> Split:
    """The split with at most so many training and test conditions; the others are not used."""
    roles_N = np.array(split.roles_N, dtype=object)
    rng = np.random.default_rng(SHUFFLE_SEED)
    for role, most in ((names.TRAIN, max_train), (names.TEST, max_test)):
        rows = split.rows(role)
        if most is not None and len(rows) > most:
            roles_N[rng.permutation(rows)[most:]] = names.UNUSED
    return replace(split, roles_N=roles_N.astype(str))


def with_noise_in_test(table: DeltaTable, split: Split) -> DeltaTable:
    """The table with noise in place of everything measured on treated cells of the test side."""
    rows = split.rows(names.TEST)
    rng = np.random.default_rng(SHUFFLE_SEED)

    def noisy(measured_NG: np.ndarray) -> np.ndarray:
        filled_NG = np.array(measured_NG)
        size = np.nanstd(filled_NG) + 1.0
        filled_NG[rows] = np.abs(rng.normal(size=filled_NG[rows].shape) * size)
        return filled_NG

    conditions = table.conditions.copy()
    for column in (names.N_CELLS, names.TOTAL_COUNTS):
        values_N = conditions[column].to_numpy().copy()
        values_N[rows] = rng.permutation(values_N[rows]) + 1
        conditions[column] = values_N
    return replace(
        table,
        conditions=conditions,
        delta_NG=noisy(table.delta_NG),
        se_NG=noisy(table.se_NG),
        half_a_NG=noisy(table.half_a_NG),
        half_b_NG=noisy(table.half_b_NG),
    )


def _fitted(task: AblationTask) -> SplitPredictions:
    table = read_delta(task.layout)
    data = _data(task, table)
    fitted = fit_prepared(data, task.config, shared=_shared_fits(task, data))
    return fitted.predictions(table)


def _blind(task: AblationTask) -> SplitPredictions:
    """Forward predictions of a small fit, with the test as measured or as noise."""
    table = read_delta(task.layout)
    if task.variant == names.BLIND_NOISE:
        table = with_noise_in_test(table, read_splits(task.layout, table.conditions)[task.split])
    data = _data(task, table)
    forward = fit_forward_alone(data, task.config)
    return SplitPredictions.of_test(
        table,
        data.split,
        predictions={**forward.test, AT_RANDOM: _at_random(forward.network, data, task.config)},
        shipped=forward.shipped_name,
        best_linear=forward.best_linear,
        notes={"n_train": len(data.train)},
    )


def _at_random(fitted: ForwardNetwork, data: SplitData, config: TrainConfig) -> NDArray[np.float32]:
    """What a network of random weights, the last layer too, makes of the inputs of the test side.

    A fitted network may ignore an input, or be gated to nothing; this one ignores none.
    """
    with running(config):
        network = build_network(fitted.encoder, config.model)
        nn.init.normal_(network.head.weight)
    return ForwardNetwork([network], fitted.encoder).predict(data.test.asked)


def _gene_vectors(task: AblationTask) -> dict[str, np.ndarray]:
    """What a network holds of genes: embeddings of its gene tokens, and read-out weights of all."""
    if task.is_model_full:
        network = load_towers(task.layout.deploy_dir, task.split)[0]
    else:
        data = _data(task, read_delta(task.layout))
        network = fit_forward_alone(data, task.config).network.members[0]
    return {
        "token_genes_T": network.token_genes_T.cpu().numpy(),
        "token_vectors_TE": network.gene_embedding.weight.detach().cpu().numpy(),
        "readout_vectors_GE": network.head.weight.detach().cpu().numpy(),
    }


def _data(task: AblationTask, table: DeltaTable) -> SplitData:
    split = read_splits(task.layout, table.conditions)[task.split]
    split = subsampled(split, max_train=task.max_train, max_test=task.max_test)
    features = task.features_of(task.layout, table)
    asked = Conditions.from_frame(table.conditions)
    if task.variant in (*names.BLIND, names.GENE_VECTORS):
        return prepare(table, features, split, asked)
    variant = VARIANTS[task.variant]
    data = prepare(table, features, split, variant.change_conditions(asked, SHUFFLE_SEED))
    return variant.change_data(data, SHUFFLE_SEED)


def _shared_fits(task: AblationTask, data: SplitData) -> SharedFits:
    """What this fit shares with others, from the first of them that needed it."""
    task.shared_path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(task.shared_path.with_suffix(".lock")):
        if task.shared_path.exists():
            return read_shared_fits(task.shared_path, data)
        shared = fit_shared(data, task.shared_config)
        write_shared_fits(task.shared_path, shared)
        return shared


def _kept(predictions: SplitPredictions, variant: str) -> SplitPredictions:
    """The predictions without linear models that are the same as those of the full model."""
    if variant not in NETWORK_VARIANTS:
        return predictions
    roles = {
        predictions.shipped,
        predictions.network,
        predictions.best_linear,
        predictions.blend,
    }
    kept = {name: made for name, made in predictions.predictions.items() if name in roles}
    return replace(predictions, predictions=kept)
