"""The fits behind ``gate_fits`` and ``ablation_report``, side by side, each kept when it is done.

What belongs here: the list of fits, their keys and folders. What does not: one fit
(``ablation/one_fit.py``), what a variant is (``ablation/variants.py``), judging (``evaluation/``).

A fit is known by a key over everything that decides it. A run that was killed, or one that asks
for another variant or seed, makes the missing fits alone. What gates and ablations both ask for is
fitted once.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import NoSplitError
from drug_pipeline.domain.progress import Progress
from drug_pipeline.domain.split_kinds import deciding_split
from drug_pipeline.domain.tables import Split
from drug_pipeline.domain.workers import worker_pool
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import (
    files_below,
    read_json,
    replacing_folder,
    sha256_of_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.ablation.config import AblationConfig, GateFitsConfig, RefitSizes
from drug_pipeline.training.ablation.one_fit import KEY_FILE, AblationTask, FeaturesOf, run_task
from drug_pipeline.training.ablation.variants import VARIANTS
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.model_assets import identifying_settings, read_features
from drug_pipeline.training.parallel.devices import device_numbers, start_on_own_device
from drug_pipeline.training.parallel.process_group import group_size, workers_here

logger = logging.getLogger(__name__)

CODE_VERSION: Final = "9"
GATE_FITS: Final = "fits_for_gates"
GATE_VARIANTS: Final = (names.REFERENCE, names.PERMUTED, names.SHUFFLED_DRUG)
BLIND_LINEAR: Final = ("additive", "panel_ridge", "morgan_ridge", "gene_line")
"""Linear models of small fits; each kind of split takes those that suit it."""
BLIND_SHAPE: Final[Mapping[str, Any]] = {
    "width": 16,
    "n_layers": 1,
    "n_heads": 2,
    "tower_width": 16,
    "signature_width": 32,
}
"""Of the network of blind fits: a narrow one reads the same inputs, a bit moves in it as well."""


def build_gate_fits(
    layout: Layout,
    model: TrainConfig,
    config: GateFitsConfig,
    *,
    progress: Progress | None = None,
    features_of: FeaturesOf = read_features,
) -> BuildResult:
    """The fits without which no gate can be judged, under ``models/gate_fits``.

    On the split that decides who is champion, and those configured beside it: the model, on
    permuted targets, with a shuffled drug. On every split of the model: the two blind ones.

    Raises
    ------
    NoSplitError
        If no split was drawn.
    """
    small = replace(model, n_members=1)
    made = _Maker(layout, small, config, features_of, layout.gate_fits_dir, "gate_fits")

    def tasks() -> list[AblationTask]:
        gated = [name for name in config.splits if name in made.splits]
        gated = list(dict.fromkeys([deciding_split(made.of_model), *gated]))
        blind = [
            made.blind(split, variant, config.blind_train)
            for split in dict.fromkeys([*gated, *made.of_model])
            for variant in names.BLIND
        ]
        return [*made.variants(dict.fromkeys(gated, GATE_VARIANTS)), *blind]

    return _build(made, GATE_FITS, names.MODEL_INPUTS, config.splits, tasks, progress)


def build_ablation_fits(
    layout: Layout,
    model: TrainConfig,
    config: AblationConfig,
    *,
    progress: Progress | None = None,
    features_of: FeaturesOf = read_features,
) -> BuildResult:
    """Every configured variant fitted, its predictions under ``models/ablation``.

    Splits that could not be drawn from the data are listed in the summary; where none was, another
    is fitted.

    Parameters
    ----------
    model
        Settings of ``model_full``; a variant changes one of them.
    features_of
        What is known of drugs and lines, from a Δ table.

    Raises
    ------
    NoSplitError
        If no split was drawn.
    """
    folder = layout.ablation_fits_dir
    made = _Maker(layout, model, config, features_of, folder, "ablation", has_model=True)

    def tasks() -> list[AblationTask]:
        wanted = {name: kinds for name, kinds in config.variants.items() if name in made.splits}
        if not wanted:
            deciding = deciding_split(made.of_model)
            logger.warning(
                "no split of %s was drawn; ablations are fitted on %r",
                *(", ".join(config.variants), deciding),
            )
            wanted = {deciding: next(iter(config.variants.values()))}
        first = next(iter(wanted))
        has_genes = config.gene_tokens or first in model.splits
        genes = [made.genes(first, config.gene_tokens)] if has_genes else []
        return [*made.variants(wanted), *genes]

    upstream = (*names.MODEL_INPUTS, "model_full", GATE_FITS)
    return _build(made, "ablation_fits", upstream, list(config.variants), tasks, progress)


def _build(
    made: "_Maker",
    asset: str,
    upstream: Sequence[str],
    asked: Sequence[str],
    tasks_of: Callable[[], list[AblationTask]],
    progress: Progress | None,
) -> BuildResult:
    """The fits that are not there yet, and no others beside them."""

    def build() -> BuildOutput:
        tasks = tasks_of()
        for task in tasks:
            _take_from_gates(task, made.folder)
        n_workers = workers_here(made.model.n_workers, made.model.device)
        _run([task for task in tasks if not _is_done(task.folder, task.key)], n_workers, progress)
        _forget_others(made, tasks)
        splits = list(dict.fromkeys(task.split for task in tasks))
        return BuildOutput(
            files=files_below(made.folder),
            summary={
                "n_fits": len(tasks),
                "splits": splits,
                "skipped": [name for name in asked if name not in splits],
            },
        )

    return build_once(
        made.layout,
        asset,
        code_version=CODE_VERSION,
        upstream=upstream,
        config={"model": identifying_settings(made.model), made.section: asdict(made.config)},
        build=build,
    )


@dataclass(frozen=True)
class _Maker:
    """Makes the tasks of one build; ``has_model`` says that ``model_full`` may be one of the fits."""

    layout: Layout
    model: TrainConfig
    config: RefitSizes
    features_of: FeaturesOf
    folder: Path
    section: str
    has_model: bool = False

    @cached_property
    def splits(self) -> dict[str, Split]:
        """Those that were drawn."""
        return read_splits(self.layout, read_delta(self.layout).conditions)

    @cached_property
    def of_model(self) -> list[str]:
        """The splits that ``model_full`` is fitted on."""
        if not self.splits:
            msg = "no split was drawn, so that nothing fitted can be judged. The Δ stand."
            raise NoSplitError(msg)
        drawn = [name for name in self.model.splits if name in self.splits]
        return drawn or [deciding_split(self.splits)]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of what every fit reads."""
        return {
            name: StampStore(self.layout).require(name).fingerprint for name in names.MODEL_INPUTS
        }

    @cached_property
    def base(self) -> TrainConfig:
        """How a variant is trained but for its change."""
        return self.config.training(self.model)

    def variants(self, wanted: Mapping[str, Sequence[str]]) -> list[AblationTask]:
        """The fits of each split, those that make shared fits first: workers share them best."""
        return [
            self.task(split, variant, number)
            for number in range(self.config.n_seeds)
            for split, variants in wanted.items()
            for variant in sorted(variants, key=lambda name: VARIANTS[name].shares != name)
        ]

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
            is_model_full=variant == names.REFERENCE and self._is_model_full(split, seeded),
        )

    def blind(self, split: str, variant: str, max_train: int) -> AblationTask:
        """One of the two small fits; on the CPU, where a fit repeats to the last bit."""
        forward = self.base.forward
        config = replace(
            self.base,
            forward=replace(forward, loop=replace(forward.loop, n_epochs=1)),
            model=replace(self.base.model, **BLIND_SHAPE),
            linear=BLIND_LINEAR,
            n_members=1,
            device="cpu",
        )
        sizes = {"max_train": max_train, "max_test": self.config.max_test}
        return self._made(split, variant, 0, config=config, sizes=sizes)

    def genes(self, split: str, n_tokens: int) -> AblationTask:
        """The network whose vectors of genes are looked at: the model's own, or one of its kind."""
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
            folder=self.folder / split / f"{variant}-{number}",
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

    def _is_model_full(self, split: str, config: TrainConfig) -> bool:
        """Whether ``model_full`` was fitted on this split with these very settings."""
        is_same = identifying_settings(
            replace(config, splits=self.model.splits)
        ) == identifying_settings(self.model)
        is_whole = self.config.max_train is None
        return self.has_model and is_same and is_whole and split in self.model.splits


def _is_done(folder: Path, key: str) -> bool:
    path = folder / KEY_FILE
    return path.exists() and bool(read_json(path)["key"] == key)


def _take_from_gates(task: AblationTask, folder: Path) -> None:
    """Copy the fit where it was made for the gates already."""
    same = task.layout.gate_fits_dir / task.folder.relative_to(folder)
    if _is_done(same, task.key) and not _is_done(task.folder, task.key):
        with replacing_folder(task.folder) as temporary:
            shutil.copytree(same, temporary, dirs_exist_ok=True)


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


def _forget_others(made: _Maker, tasks: Sequence[AblationTask]) -> None:
    """Remove the shared fits, and fits that nobody asks for any more."""
    shutil.rmtree(_shared_folder(made.layout), ignore_errors=True)
    wanted = {task.folder for task in tasks}
    for folder in made.folder.glob("*/*"):
        if folder not in wanted:
            shutil.rmtree(folder)
    for split in made.folder.glob("*"):
        if not any(split.iterdir()):
            split.rmdir()
