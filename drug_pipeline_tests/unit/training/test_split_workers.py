"""Splits fitted in processes of their own are the splits fitted one after the other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import FittedSplit
from drug_pipeline.training.split_workers import SplitTask, fit_splits, longest_first
from drug_pipeline_tests.unit.training.conftest import World, drug_split, pair_split


def tasks_of(world: World, config: TrainConfig, folder: Path) -> dict[str, SplitTask]:
    return {
        split.name: SplitTask(
            table=world.table,
            features=world.features,
            split=split,
            config=config,
            resume_dir=folder / split.name,
        )
        for split in (pair_split(world), drug_split(world))
    }


def keep(task: SplitTask, fitted: FittedSplit) -> dict[str, np.ndarray]:
    del task
    return dict(fitted.forward.test)


def test_two_processes_fit_what_one_fits_and_the_bar_goes_one_way(
    world: World, tiny: TrainConfig, tmp_path: Path
) -> None:
    bar: list[tuple[int, int]] = []
    logged: set[str] = set()

    alone = fit_splits(
        tasks_of(world, tiny, tmp_path / "1"), keep, n_workers=1, progress=None, log=None
    )
    beside = fit_splits(
        tasks_of(world, tiny, tmp_path / "2"),
        keep,
        n_workers=2,
        progress=lambda done, of, text: bar.append((done, of)),
        log=lambda figures, step: logged.update(figures),
    )

    assert list(beside) == list(alone)
    for split, predicted in alone.items():
        for name, predicted_NG in predicted.items():
            np.testing.assert_array_equal(beside[split][name], predicted_NG, name)
    assert bar == sorted(bar)
    assert {of for _, of in bar} == {2}
    assert {name.split("_")[0] for name in logged} == set(alone)


def test_an_error_in_one_process_reaches_the_caller(
    world: World, tiny: TrainConfig, tmp_path: Path
) -> None:
    broken = tasks_of(world, tiny, tmp_path)
    name, task = next(iter(broken.items()))
    delta_NG = np.array(task.table.delta_NG)
    delta_NG[task.split.rows("train")[0], 0] = np.nan
    broken[name] = replace(task, table=replace(task.table, delta_NG=delta_NG))

    with pytest.raises(TrainingError, match="not finite"):
        fit_splits(broken, keep, n_workers=2, progress=None, log=None)


def test_the_split_of_most_work_is_begun_first(
    world: World, tiny: TrainConfig, tmp_path: Path
) -> None:
    tasks = tasks_of(world, tiny, tmp_path)
    pair, drug = pair_split(world).name, drug_split(world).name
    assert longest_first(tasks) == [pair, drug]  # sixteen linear models against nine
    assert longest_first({name: tasks[name] for name in (drug, pair)}) == [pair, drug]
