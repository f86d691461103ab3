"""A run of the chain in this process, and what came of it in plain words.

What belongs here: opening Dagster's history of a data folder, executing, reading the result.
What does not: printing (``cli``), assembling the graph (``definitions.py``).
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.errors import DagsterHomeNotSetError
from filelock import FileLock
from sqlalchemy.exc import SQLAlchemyError

from drug_pipeline.domain.errors import ConfigurationError, DrugPipelineError
from drug_pipeline.orchestration.dead_runs import marks_of
from drug_pipeline.orchestration.jobs import EVERYTHING
from drug_pipeline.storage.files import write_text
from drug_pipeline.storage.layout import Layout

HISTORY_FOLDER: Final = "dagster"
CONFIG_FILE: Final = "dagster.yaml"
HISTORY_CONFIG: Final = """\
# History of the runs on this data folder. With DAGSTER_HOME set to this folder, `dagster dev`
# shows it.
telemetry:
  enabled: false
"""


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What is to be said of one asset or check; ``trace`` is for who mends the code."""

    about: str
    reason: str
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    ``warnings`` are checks that did not pass and block nothing; ``not_reached`` are assets that a
    failure kept from being built.
    """

    is_success: bool
    run_id: str
    failures: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    not_reached: tuple[str, ...]


class HistoryError(DrugPipelineError):
    """Dagster's history of the runs, where it cannot be read or written."""


@contextmanager
def open_history(layout: Layout) -> Iterator[dg.DagsterInstance]:
    """Dagster's history: that of ``DAGSTER_HOME`` where it is set, else the data folder's own.

    With the default data folder it is the one that ``dagster dev`` in the project's folder reads.

    Raises
    ------
    ConfigurationError
        If Dagster does not take ``DAGSTER_HOME`` or what it is configured with there.
    HistoryError
        If the history cannot be opened, or not be written in the block.
    """
    own = layout.root / HISTORY_FOLDER
    layout.manifest_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.manifest_dir / ".history.lock"):
            history = _history(own)
        with history:
            yield history
    except SQLAlchemyError as error:
        msg = (
            f"Dagster's history of the runs on {layout.root} cannot be used: {_first_line(error)} "
            f"Make room if the disk is full; if its files are damaged, move {own} away: it is only "
            "the record of past runs, and the next run makes a new one."
        )
        raise HistoryError(msg) from error


def select_assets(defs: dg.Definitions, selection: str) -> list[dg.AssetKey]:
    """The assets of a selection in Dagster's language, upstream first.

    Raises
    ------
    ConfigurationError
        If it names no asset.
    """
    graph = defs.resolve_asset_graph()
    known = sorted(key.to_user_string() for key in graph.get_all_asset_keys())
    advice = f"There are: {', '.join(known)}. '+key:model_full' takes all upstream."
    try:
        chosen = _parse(selection).resolve(graph)
    except dg.DagsterInvalidSubsetError as error:
        msg = f"--select {selection!r}: {error} {advice}"
        raise ConfigurationError(msg) from error
    if not chosen:
        msg = f"--select {selection!r} names no asset. {advice}"
        raise ConfigurationError(msg)
    return [key for key in graph.toposorted_asset_keys if key in chosen]


def launch(defs: dg.Definitions, history: dg.DagsterInstance, assets: list[dg.AssetKey]) -> Outcome:
    """Build assets in this process and say how it went."""
    run_id = str(uuid.uuid4())
    pipeline: Any = (defs.resources or {})["pipeline"]
    with marks_of(pipeline.layout).held(run_id):  # before the history says that it goes
        result = defs.resolve_job_def(EVERYTHING).execute_in_process(
            instance=history,
            run_id=run_id,
            asset_selection=assets,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    checks = result.get_asset_check_evaluations()
    bad = [check for check in checks if not check.passed]
    blocking = [check for check in bad if check.severity == dg.AssetCheckSeverity.ERROR]
    built = {event.asset_key for event in result.get_asset_materialization_events()}
    return Outcome(
        is_success=result.success and not blocking,
        run_id=result.run_id,
        failures=(*_step_failures(result), *(_remark(check) for check in blocking)),
        warnings=tuple(_remark(check) for check in bad if check not in blocking),
        not_reached=tuple(key.to_user_string() for key in assets if key not in built),
    )


def _parse(selection: str) -> dg.AssetSelection:
    if selection.strip() == "*":  # Dagster's parser would warn of an option it sets itself
        return dg.AssetSelection.all()
    return dg.AssetSelection.from_coercible(selection.split(","))


def _history(own: Path) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except DagsterHomeNotSetError:
        if not (own / CONFIG_FILE).exists():
            _make_history(own)
        return dg.DagsterInstance.from_config(str(own))
    except dg.DagsterError as error:
        msg = (
            f"Dagster does not take DAGSTER_HOME: {_first_line(error)} Set it to the absolute path "
            f"of a folder that is there, or unset it to keep the history of runs in {own}."
        )
        raise ConfigurationError(msg) from error


def _make_history(folder: Path) -> None:
    """Make an empty history under another name; it has its own when all its files are whole."""
    if folder.exists():  # `dagster dev` has made it, by the project's own configuration
        write_text(HISTORY_CONFIG, folder / CONFIG_FILE)
        return
    made = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(made, ignore_errors=True)
    write_text(HISTORY_CONFIG, made / CONFIG_FILE)
    dg.DagsterInstance.from_config(str(made)).dispose()
    made.rename(folder)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."


def _step_failures(result: dg.ExecuteInProcessResult) -> Iterator[Remark]:
    """The steps that failed by themselves, each with its reason; checks speak for themselves."""
    for event in result.all_events:
        if not event.is_step_failure or event.step_key is None:
            continue
        data = event.step_failure_data
        error = data.error
        if error is not None and error.cls_name == "DagsterAssetCheckFailedError":
            continue
        if error is not None and error.cls_name == "DagsterExecutionInterruptedError":
            reason = "stopped by Ctrl-C or SIGTERM; the same command goes on from here"
        elif data.user_failure_data is not None and data.user_failure_data.description:
            reason = data.user_failure_data.description
        else:
            root = error.cause if error is not None and error.cause is not None else error
            reason = "unknown" if root is None else root.message.strip()
        yield Remark(about=event.step_key, reason=reason, trace=data.error_display_string)


def _remark(check: dg.AssetCheckEvaluation) -> Remark:
    name = f"{check.asset_key.to_user_string()}:{check.check_name}"
    return Remark(about=name, reason=check.description or "did not pass")
