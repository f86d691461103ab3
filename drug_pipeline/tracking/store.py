"""Runs and models in MLflow: on a server, or in a store below the data folder.

What belongs here: opening the store, one run a Dagster run with one child an asset, registering a
model with its alias. What does not: deciding what is worth recording, or which model deserves an
alias; the store's own files (``own_store.py``).

MLflow is imported when the store is first used.
"""

import hashlib
import json
import logging
import os
import sqlite3
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from drug_pipeline.domain.marks import Marks
from drug_pipeline.tracking.base import ModelVersion, ServedModel, TrackedStep, TrackingError
from drug_pipeline.tracking.own_store import OwnStore
from drug_pipeline.tracking.served import import_pyfunc

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "drug-pipeline"
PIPELINE_RUN_TAG: Final = "dagster.run_id"
PARENT_TAG: Final = "mlflow.parentRunId"
EXPERIMENT_KIND: Final = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of the experiment by which MLflow's pages open it as one of models."""
MARK_TAG: Final = "mark"
"""Name of the mark that is held while an asset is recorded, on its run and on a parent made for it."""
METRICS_PER_BATCH: Final = 500
"""MLflow takes at most 1,000 metrics a call; half of that bounds what a crash can lose."""
SETTINGS_FILE: Final = "settings.json"
"""Artifact of a pipeline run's record."""
LOCAL_UI: Final = "http://127.0.0.1:5000"
"""Where `mlflow ui` answers by default."""
HTTP_TRIES: Final = "4"
"""MLflow's own 7 would be silent for minutes where no server answers."""
LONGEST_PARAM: Final = 500
"""Characters; MLflow's own limit is 6,000, which nobody reads."""


class MlflowTracking:
    """MLflow on a server or another store, or on sqlite below one folder.

    Parameters
    ----------
    folder
        Of what this machine keeps: which runs are going, models that were fetched from a server,
        and, where no ``tracking_uri`` is given, the store itself.
    tracking_uri, registry_uri
        Where runs and models go, as MLflow takes it; ``registry_uri`` is the former by default.
    ui
        Address of ``mlflow ui``, for links; by default the server's.
    changed, settings
        What the record of each pipeline run tells of how it was called: the settings that are not
        the preset's, as parameters, and all of them, as ``settings.json``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        ui: str | None = None,
        changed: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self._own = None if tracking_uri else OwnStore(folder)
        self.store_uri = tracking_uri or OwnStore(folder).uri
        self.registry_uri = registry_uri or self.store_uri
        is_served = self.store_uri.startswith(("http://", "https://"))
        self.ui = (ui or (self.store_uri if is_served else LOCAL_UI)).rstrip("/")
        self._changed = changed or {}
        self._settings = settings or {}

    @property
    def registry(self) -> str:
        """Address of the registry where it is elsewhere than with the data; else empty."""
        return "" if self.registry_uri == OwnStore(self.folder).uri else self.registry_uri

    @contextmanager
    def step(
        self, asset: str, *, pipeline_run: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedStep]:
        """The record of one asset: a child of the pipeline run's record, once there is something.

        A child is made when the first thing is recorded, or the block raises.
        """
        mark = uuid.uuid4().hex
        with self._marks.held(mark):
            made_by = {MARK_TAG: mark, **code_revision()}
            with self._explained():
                parent = self._parent(pipeline_run, made_by)
            record = _MlflowStep(
                self, parent, name=asset, tags={"asset": asset, **made_by, **(tags or {})}
            )
            state = "FAILED"
            try:
                yield record
                state = "FINISHED"
            finally:
                with self._explained():
                    record.end(state)
                    self._client.set_terminated(parent, state)

    def register(self, step: TrackedStep, model: ServedModel) -> ModelVersion:
        """A new registry version, logged under the step's run."""
        mlflow = import_pyfunc()
        with self._as_default(mlflow), mlflow.start_run(run_id=step.run_id):
            logged = mlflow.pyfunc.log_model(
                name=model.name,
                python_model=str(model.code),
                artifacts={name: str(path) for name, path in model.artifacts.items()},
                signature=mlflow.models.infer_signature(
                    model.example, model.answer, dict(model.params) or None
                ),
                input_example=(
                    (model.example, dict(model.params)) if model.params else model.example
                ),
                code_paths=[str(path) for path in model.packages],
                pip_requirements=list(model.requirements),
            )
            if model.figures:
                mlflow.log_metrics(dict(model.figures), model_id=logged.model_id)
        if not self._client.search_registered_models(f"name = '{model.name}'"):
            self._client.create_registered_model(model.name)
        version = self._client.create_model_version(
            model.name,
            source=logged.artifact_path,
            run_id=step.run_id,
            model_id=logged.model_id,
            description=model.description,
            tags=dict(model.tags),
        )
        return ModelVersion(
            name=model.name, version=int(version.version), alias="", run_id=step.run_id
        )

    def set_alias(self, version: ModelVersion, alias: str) -> ModelVersion:
        """Point an alias at a version; the one before loses it."""
        self._client.set_registered_model_alias(version.name, alias, str(version.version))
        return ModelVersion(
            name=version.name, version=version.version, alias=alias, run_id=version.run_id
        )

    def find_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that has an alias now, or None."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise
        return ModelVersion(
            name=name, version=int(found.version), alias=alias, run_id=found.run_id or ""
        )

    def artifact_of(self, version: ModelVersion, name: str) -> Path:
        """Where an artifact of a version can be read.

        Raises
        ------
        TrackingError
            If there is none of that name, or its files are gone.
        """
        mlflow = import_pyfunc()
        found = self._client.get_model_version(version.name, str(version.version))
        try:
            folder = self._fetched(mlflow, version, str(found.source))
            pyfunc = mlflow.models.Model.load(folder).flavors["python_function"]
            path = folder / str(pyfunc["artifacts"][name]["path"])
        except (OSError, KeyError, mlflow.MlflowException) as error:
            msg = f"artifact {name} of {version.uri} cannot be read: {error}. Restore its files."
            raise TrackingError(msg) from error
        return Path(path)

    def _fetched(self, mlflow: Any, version: ModelVersion, source: str) -> Path:
        """The files of a version on this machine; those of a server are fetched once and kept."""
        if source.startswith(("/", "file:")):
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=source))
        place = hashlib.sha256(f"{self.registry_uri} {source}".encode()).hexdigest()[:12]
        kept = self.folder / "fetched" / f"{version.name}-{version.version}-{place}"
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
                fetched = mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=temporary, tracking_uri=self.store_uri
                )
                Path(fetched).rename(kept)
        return kept

    @contextmanager
    def _as_default(self, mlflow: Any) -> Iterator[None]:
        """These stores as MLflow's default; what was set before, also in the environment, after it."""
        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
        environment = {name: os.environ.get(name) for name in names}
        mlflow.set_tracking_uri(self.store_uri)
        mlflow.set_registry_uri(self.registry_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])
            for name, value in environment.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    @cached_property
    def _client(self) -> "MlflowClient":
        """The client of a store that exists and is at the right version."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", HTTP_TRIES)
        from mlflow import MlflowClient

        for noisy in ("mlflow.store.db.utils", "alembic", "mlflow.pyfunc"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(), self._explained():
            if self._own is not None:
                self._own.open(EXPERIMENT)
            client = MlflowClient(tracking_uri=self.store_uri, registry_uri=self.registry_uri)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                place = None if self._own is None else self._own.artifacts
                made = client.create_experiment(
                    EXPERIMENT, artifact_location=place, tags=EXPERIMENT_KIND
                )
            else:
                made = experiment.experiment_id
                for name in EXPERIMENT_KIND.keys() - experiment.tags.keys():
                    client.set_experiment_tag(made, name, EXPERIMENT_KIND[name])
                self._end_dead_runs(client, made)
        return client

    @property
    def _marks(self) -> Marks:
        return Marks(self.folder / "running")

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock", is_singleton=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what MLflow says of a store that it cannot use into a sentence.

        Raises
        ------
        TrackingError
            With the first line of what it says.
        """
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error) as error:
            reason = str(error).strip().partition("\n")[0]
            remedy = (
                "Make room if the disk is full; if the file is damaged, move it away: the records "
                "of runs and the registered versions go with it, and the next run makes a new one."
            )
            if self._own is None:
                remedy = (
                    "Start the server, or correct or unset MLFLOW_TRACKING_URI "
                    "(mlflow_tracking_uri, mlflow_registry_uri); what is built is kept, and the next run goes on with it."
                )
            where = self.store_uri if self._own is None else self._own.database
            msg = f"MLflow's store {where} cannot be used: {reason} {remedy}"
            raise TrackingError(msg) from error

    def _end_dead_runs(self, client: "MlflowClient", experiment_id: str) -> None:
        """Call killed what a process that is gone has left running."""
        for mark in self._marks.left():
            made = client.search_runs([experiment_id], f"tags.{MARK_TAG} = '{mark}'")
            for run in (one for one in made if one.info.status == "RUNNING"):
                client.set_terminated(run.info.run_id, "KILLED")
                if PARENT_TAG in run.data.tags:
                    client.set_terminated(run.data.tags[PARENT_TAG], "KILLED")
            self._marks.remove(mark)

    @cached_property
    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            msg = (
                f"experiment {EXPERIMENT} was deleted from {self.store_uri}. Restore or rename it."
            )
            raise TrackingError(msg)
        return str(experiment.experiment_id)

    def _parent(self, pipeline_run: str, made_by: Mapping[str, str]) -> str:
        """The record of a pipeline run: found by its id, or made."""
        with self._lock():
            found = self._client.search_runs(
                [self._experiment_id],
                filter_string=f"tags.`{PIPELINE_RUN_TAG}` = '{pipeline_run}'",
                max_results=1,
            )
            if found:
                parent = str(found[0].info.run_id)
                self._client.set_tag(parent, MARK_TAG, made_by[MARK_TAG])
                self._client.update_run(parent, status="RUNNING")
                return parent
            run = self._client.create_run(
                self._experiment_id,
                run_name=f"run {pipeline_run[:8]}",
                tags={PIPELINE_RUN_TAG: pipeline_run, **made_by},
            )
            parent = str(run.info.run_id)
            self._log_params(parent, self._changed)
            text = json.dumps(self._settings, indent=2, ensure_ascii=False, default=str)
            self._client.log_text(parent, text, SETTINGS_FILE)
            return parent

    def _log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        flat = _flatten(values)
        if flat:
            params = [Param(name, text[:LONGEST_PARAM]) for name, text in flat.items()]
            self._client.log_batch(run_id, params=params)


class _MlflowStep:
    """One MLflow run, made when it is first needed; metrics are sent in batches."""

    def __init__(
        self, tracking: MlflowTracking, parent: str, *, name: str, tags: Mapping[str, str]
    ) -> None:
        self._tracking = tracking
        self._parent = parent
        self._name = name
        self._tags = {PARENT_TAG: parent, **tags}
        self._started_ms = int(time.time() * 1000)
        self._made: str | None = None
        self._pending: list[tuple[str, float, int, int]] = []

    @property
    def run_id(self) -> str:
        """MLflow's id; the run is there from now on."""
        if self._made is None:
            run = self._tracking._client.create_run(
                self._tracking._experiment_id,
                start_time=self._started_ms,
                run_name=self._name,
                tags=self._tags,
            )
            self._made = str(run.info.run_id)
        return self._made

    def end(self, state: str) -> None:
        """Send what waits, and close the run; one that failed is made even if nothing was recorded."""
        self.flush()
        if self._made is not None or state == "FAILED":
            self._tracking._client.set_terminated(self.run_id, state)

    def params(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted names."""
        self._tracking._log_params(self.run_id, values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Record what to find the run by."""
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in values.items()]
        self._tracking._client.log_batch(self.run_id, tags=tags)

    def headline(self, values: Mapping[str, float]) -> None:
        """Record figures on the pipeline run's own record."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, 0) for name, value in values.items()]
        self._tracking._client.log_batch(self._parent, metrics=metrics)

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record figures of one step."""
        now = int(time.time() * 1000)
        self._pending += [(name, float(value), now, step) for name, value in values.items()]
        if len(self._pending) >= METRICS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Send the figures that wait."""
        from mlflow.entities import Metric

        for start in range(0, len(self._pending), METRICS_PER_BATCH):
            batch = self._pending[start : start + METRICS_PER_BATCH]
            self._tracking._client.log_batch(self.run_id, metrics=[Metric(*row) for row in batch])
        self._pending = []

    def input(self, name: str, fingerprint: str, n_rows: int | None = None) -> None:
        """Record what was read, as an MLflow dataset named by its content."""
        from mlflow.entities import Dataset, DatasetInput

        dataset = Dataset(
            name=name,
            digest=fingerprint[:32],
            source_type="local",
            source=json.dumps({"uri": str(self._tracking.folder.parent)}),
            profile=None if n_rows is None else json.dumps({"num_rows": n_rows}),
        )
        self._tracking._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, tags=[])])

    def url(self) -> str:
        """Its page in ``mlflow ui``, or the pipeline run's where nothing was recorded."""
        experiment = self._tracking._experiment_id
        run = self._made or self._parent
        return f"{self._tracking.ui}/#/experiments/{experiment}/runs/{run}"


def code_revision() -> dict[str, str]:
    """Tags that say which code ran: git revision and whether it was changed, where there is git."""
    home = Path(__file__).resolve().parents[1]
    git = ["git", "-C", str(home)]
    try:
        revision = subprocess.run(  # noqa: S603 - fixed arguments
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(  # noqa: S603 - fixed arguments
            [*git, "status", "--porcelain", "--", "drug_pipeline"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_revision": revision, "git_changed": str(bool(changed)).lower()}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
