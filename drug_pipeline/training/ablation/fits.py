"""The fits behind ``ablation_report``: which there are, side by side, each kept when it is done.

What belongs here: the list of fits, their keys and folders. What does not: one fit
(``ablation/one_fit.py``), what a variant is (``ablation/variants.py``), judging (``evaluation/``).

A fit is known by a key over everything that decides it. A run that was killed, or one that asks
for another variant or seed, makes the missing fits alone.
"""

import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import NoSplitError
from drug_pipeline.domain.progress import Progress
from drug_pipeline.domain.split_kinds import deciding_split
from drug_pipeline.domain.workers import worker_pool
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import files_below, read_json, sha256_of_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.ablation.config import AblationConfig
from drug_pipeline.training.ablation.one_fit import KEY_FILE, AblationTask, FeaturesOf, run_task
from drug_pipeline.training.ablation.variants import VARIANTS
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.model_assets import identifying_settings, read_features
from drug_pipeline.training.parallel.devices import device_numbers, start_on_own_device
from drug_pipeline.training.parallel.process_group import group_size, workers_here

logger = logging.getLogger(__name__)

ASSET: Final = "ablation_fits"
CODE_VERSION: Final = "8"
UPSTREAM: Final = (
    "delta_shards",
    "drug_embeddings",
    "cell_line_embeddings",
    "splits",
    "tahoe_metadata",
    "model_full",
)
BLIND_LINEAR: Final = ("additive", "panel_ridge", "morgan_ridge", "gene_line")
"""Linear models of small fits; each kind of split takes those that suit it."""


def build_ablation_fits(
    layout: Layout,
    model: TrainConfig,
    config: AblationConfig,
    *,
    progress: Progress | None = None,
    features_of: FeaturesOf = read_features,
) -> BuildResult:
    """Every configured variant fitted, its predictions under ``models/ablation``.

    Splits that could not be drawn from the data are listed in the summary.

    Parameters
    ----------
    model
        Settings of ``model_full``; a variant changes one of them.
    features_of
        What is known of drugs and lines, from a Δ table.

    Raises
    ------
    NoSplitError
        If none of the configured splits was drawn.
    """

    def build() -> BuildOutput:
        tasks = _tasks(layout, model, config, features_of)
        n_workers = workers_here(model.n_workers, model.device)
        _run([task for task in tasks if not _is_done(task)], n_workers, progress)
        _forget_others(layout, tasks)
        splits = list(dict.fromkeys(task.split for task in tasks))
        return BuildOutput(
            files=files_below(layout.ablation_fits_dir),
            summary={
                "n_fits": len(tasks),
                "splits": splits,
                "skipped": [name for name in config.variants if name not in splits],
            },
        )

    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=UPSTREAM,
        config={"model": identifying_settings(model), "ablation": asdict(config)},
        build=build,
    )


def _tasks(
    layout: Layout, model: TrainConfig, config: AblationConfig, features_of: FeaturesOf
) -> list[AblationTask]:
    """Every fit, those that make shared fits first: the workers then share them best."""
    table = read_delta(layout)
    splits = read_splits(layout, table.conditions)
    wanted = {name: kinds for name, kinds in config.variants.items() if name in splits}
    if not wanted:
        fitted = [name for name in model.splits if name in splits] or list(splits)
        if not fitted:
            msg = "no split was drawn, so that no ablation can be judged. The Δ stand."
            raise NoSplitError(msg)
        deciding, asked = deciding_split(fitted), next(iter(config.variants))
        logger.warning(
            "no split of %s was drawn; ablations are fitted on %r",
            *(", ".join(config.variants), deciding),
        )
        wanted = {deciding: config.variants[asked]}
    inputs = {name: StampStore(layout).require(name).fingerprint for name in UPSTREAM[:-1]}
    made = _Maker(layout, model, config, features_of, inputs, config.training(model))
    tasks = [
        made.task(split, variant, number)
        for number in range(config.n_seeds)
        for split, variants in wanted.items()
        for variant in sorted(variants, key=lambda name: VARIANTS[name].shares != name)
    ]
    first = next(iter(wanted))
    judged = [name for name in splits if name in wanted or name in model.splits]
    blind = [made.blind(split, variant) for split in judged for variant in names.BLIND]
    has_own = first in model.splits
    genes = [made.genes(first)] if has_own or config.gene_tokens else []
    return [*tasks, *blind, *genes]


@dataclass(frozen=True)
class _Maker:
    """Makes the tasks of one build; ``base`` is how a variant is trained but for its change."""

    layout: Layout
    model: TrainConfig
    config: AblationConfig
    features_of: FeaturesOf
    inputs: dict[str, str]
    base: TrainConfig

    def task(self, split: str, variant: str, number: int) -> AblationTask:
        """The fit of one variant from one seed of the networks."""
        changed = VARIANTS[variant]
        seeded = replace(changed.config(self.base), seed=self.base.seed + number)
        sizes = {"max_train": self.config.max_train, "max_test": self.config.max_test}
        key = self._key(split, changed.shares, self.base, sizes)
        return self._made(
            split,
            variant,
            number,
            config=seeded,
            sizes=sizes,
            shared_path=_shared_folder(self.layout) / f"{key}.npz",
            is_model_full=variant == names.REFERENCE and self._is_model_full(split, seeded, sizes),
        )

    def blind(self, split: str, variant: str) -> AblationTask:
        """One of the two small fits; on the CPU, where a fit repeats to the last bit."""
        forward = self.base.forward
        config = replace(
            self.base,
            forward=replace(forward, loop=replace(forward.loop, n_epochs=1)),
            linear=BLIND_LINEAR,
            n_members=1,
            device="cpu",
        )
        sizes = {"max_train": self.config.blind_train, "max_test": self.config.max_test}
        return self._made(split, variant, 0, config=config, sizes=sizes)

    def genes(self, split: str) -> AblationTask:
        """The network whose vectors of genes are looked at: the model's own, or one of its kind."""
        n_tokens = self.config.gene_tokens
        config = self.model
        if n_tokens:
            config = replace(config, model=replace(config.model, n_gene_tokens=n_tokens))
            config = replace(config, linear=BLIND_LINEAR, n_members=1)
        return self._made(
            split,
            names.GENE_VECTORS,
            0,
            config=config,
            sizes={"max_train": None, "max_test": self.config.max_test},
            is_model_full=not n_tokens,
        )

    def _made(
        self,
        split: str,
        variant: str,
        number: int,
        *,
        config: TrainConfig,
        sizes: dict[str, int | None],
        shared_path: Path = Path(),
        is_model_full: bool = False,
    ) -> AblationTask:
        return AblationTask(
            layout=self.layout,
            features_of=self.features_of,
            split=split,
            variant=variant,
            seed=number,
            config=config,
            shared_config=self.base,
            key=self._key(split, variant, config, sizes),
            shared_path=shared_path,
            is_model_full=is_model_full,
            folder=self.layout.ablation_fits_dir / split / f"{variant}-{number}",
            **sizes,
        )

    def _key(
        self, split: str, variant: str, config: TrainConfig, sizes: dict[str, int | None]
    ) -> str:
        whole = [
            CODE_VERSION,
            self.inputs,
            split,
            variant,
            identifying_settings(config),
            sizes,
            *group_size().values(),
        ]
        return sha256_of_json(whole)[:24]

    def _is_model_full(self, split: str, config: TrainConfig, sizes: dict[str, int | None]) -> bool:
        """Whether ``model_full`` was fitted on this split with these very settings, all of it."""
        is_same = identifying_settings(
            replace(config, splits=self.model.splits)
        ) == identifying_settings(self.model)
        return is_same and split in self.model.splits and set(sizes.values()) == {None}


def _is_done(task: AblationTask) -> bool:
    path = task.folder / KEY_FILE
    return path.exists() and read_json(path)["key"] == task.key


def _run(tasks: Sequence[AblationTask], n_workers: int, progress: Progress | None) -> None:
    """Make the fits; the result does not depend on the number of workers."""
    n_workers = min(n_workers, len(tasks))
    report = progress or (lambda done, total, text: None)
    if n_workers <= 1:
        for number, task in enumerate(tasks):
            report(number + 1, len(tasks), run_task(task))
        return
    with worker_pool(n_workers, start_on_own_device, (device_numbers(n_workers),)) as pool:
        futures = [pool.submit(run_task, task) for task in tasks]
        for number, future in enumerate(as_completed(futures)):
            report(number + 1, len(tasks), future.result())


def _shared_folder(layout: Layout) -> Path:
    return layout.ablation_fits_dir.with_name(".ablation-shared")


def _forget_others(layout: Layout, tasks: Sequence[AblationTask]) -> None:
    """Remove the shared fits, and fits that nobody asks for any more."""
    shutil.rmtree(_shared_folder(layout), ignore_errors=True)
    wanted = {task.folder for task in tasks}
    for folder in layout.ablation_fits_dir.glob("*/*"):
        if folder not in wanted:
            shutil.rmtree(folder)
    for split in layout.ablation_fits_dir.glob("*"):
        if not any(split.iterdir()):
            split.rmdir()
