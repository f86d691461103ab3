"""Splits fitted side by side, one process each: small networks use two cores better so.

What belongs here: the processes, and how what they report reaches the caller. What does not: any
fitting (``fit_split.py``), any file of a result (``model_assets.py``).

Memory: one fitted split a process; what is kept of it is made, by ``keep``, where it was fitted.
"""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final, TypeVar

from threadpoolctl import threadpool_limits

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.domain.progress import Log, Progress
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.domain.workers import worker_pool
from drug_pipeline.linear import Features, predictors_for
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import FittedSplit, fit_split
from drug_pipeline.training.parallel.devices import device_numbers, start_on_own_device

POLL_SECONDS: Final = 0.5
_reports: dict[str, Any] = {}
"""In a worker process: the queue to the caller."""


@dataclass(frozen=True, kw_only=True)
class SplitTask:
    """Everything that fitting one split needs."""

    table: DeltaTable
    features: Features
    split: Split
    config: TrainConfig
    resume_dir: Path


Kept = TypeVar("Kept")
Keep = Callable[[SplitTask, FittedSplit], Kept]


def fit_splits(
    tasks: Mapping[str, SplitTask],
    keep: Keep[Kept],
    *,
    n_workers: int,
    progress: Progress | None,
    log: Log | None,
) -> dict[str, Kept]:
    """What is kept of each fitted split, by name, in the order of the tasks.

    The result does not depend on ``n_workers``: each split has its own seeds and number of
    threads. With one worker this process fits them one after the other; each of several takes a
    GPU of its own, where there are enough.
    """
    n_workers = min(n_workers, len(tasks))
    if n_workers <= 1:
        kept = {}
        for number, (name, task) in enumerate(tasks.items()):
            heading = f"{name} ({number + 1}/{len(tasks)})"
            kept[name] = _fit(task, keep, with_heading(progress, heading), with_prefix(log, name))
        return kept
    context = multiprocessing.get_context("spawn")
    reports: Queue[tuple[str, Any]] = context.Queue()  # type: ignore[assignment]
    start = (device_numbers(n_workers), _join, reports)
    with worker_pool(n_workers, start_on_own_device, start) as pool:
        futures = {
            name: pool.submit(_fit_in_worker, name, tasks[name], keep)
            for name in longest_first(tasks)
        }
        _listen(list(futures.values()), reports, progress, log, n_splits=len(tasks))
        return {name: futures[name].result() for name in tasks}


def longest_first(tasks: Mapping[str, SplitTask]) -> list[str]:
    """Names of the tasks, those of most work first, so that no long one is left for the end.

    Work is training conditions times linear models: with few splits these take half of the time,
    and the networks the rest in proportion to the conditions.
    """

    def work(name: str) -> int:
        split = tasks[name].split
        return len(split.rows(names.TRAIN)) * len(predictors_for(split.kind))

    return sorted(tasks, key=work, reverse=True)


def with_heading(progress: Progress | None, heading: str) -> Progress | None:
    """Progress whose text is led by a heading."""
    if progress is None:
        return None
    return lambda done, of, text: progress(done, of, f"{heading}: {text}")


def with_prefix(log: Log | None, name: str) -> Log | None:
    """Figures whose names are led by the split's."""
    if log is None:
        return None
    return lambda figures, step: log({f"{name}_{k}": v for k, v in figures.items()}, step)


def _fit(task: SplitTask, keep: Keep[Kept], progress: Progress | None, log: Log | None) -> Kept:
    try:
        with threadpool_limits(task.config.n_threads):
            fitted = fit_split(
                task.table,
                task.features,
                task.split,
                task.config,
                progress=progress,
                log=log,
                resume_dir=task.resume_dir,
            )
            return keep(task, fitted)
    except TrainingError as error:
        msg = f"split {task.split.name!r}: {error}"
        raise TrainingError(msg) from error


def _join(reports: Any) -> None:
    _reports["queue"] = reports


def _fit_in_worker(name: str, task: SplitTask, keep: Keep[Kept]) -> Kept:
    queue = _reports["queue"]
    return _fit(
        task,
        keep,
        lambda done, of, text: queue.put(("progress", (done, of, f"{name}: {text}"))),
        with_prefix(lambda figures, step: queue.put(("log", (dict(figures), step))), name),
    )


def _listen(
    futures: Sequence[Future[Any]],
    reports: "Queue[tuple[str, Any]]",
    progress: Progress | None,
    log: Log | None,
    *,
    n_splits: int,
) -> None:
    """Hand on what the workers report until all are done; the first error stops the others."""
    while True:
        done, open_ones = wait(futures, timeout=0)
        failed = [future for future in done if future.exception() is not None]
        if failed:
            for future in open_ones:
                future.cancel()
            failed[0].result()
        try:
            kind, report = reports.get(timeout=POLL_SECONDS)
        except Empty:
            if not open_ones:
                return
            continue
        if kind == "log" and log is not None:
            log(*report)
        elif kind == "progress" and progress is not None:
            # Workers report in turn: only whole splits make a bar that goes one way.
            done_units, of, text = report
            progress(len(done), n_splits, f"{text} ({done_units}/{of})")
