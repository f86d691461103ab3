"""What every asset is handed: the settings, the data folder, tracking, and somebody who listens.

What belongs here: the one resource of the assets, and how a build becomes a Dagster result.
What does not: any science, and any choice of a setting.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import dagster as dg

from drug_pipeline.domain.errors import DrugPipelineError, NoSplitError
from drug_pipeline.orchestration.dead_runs import end_dead_runs, marks_of, sweep
from drug_pipeline.orchestration.metadata import build_metadata, sentence
from drug_pipeline.orchestration.pace import Pace
from drug_pipeline.orchestration.pictures import draw
from drug_pipeline.settings import Settings, load_settings, tracking_of
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.layout import Layout
from drug_pipeline.tracking.base import TrackedStep, Tracking, numbers

SECONDS_BETWEEN_LOG_LINES: Final = 5.0
"""Progress comes many times a second; the event log keeps every line for ever."""
HEADLINE_ASSET: Final = "evaluation_report"
"""The asset whose figures are those of the whole run."""


class Listener:
    """Hears how the assets of a run go; the command line overrides it to draw."""

    def started(self, asset: str) -> None:
        """An asset has started."""

    def progressed(self, asset: str, done: int, total: int, text: str) -> None:
        """An asset has come so far."""

    def finished(self, asset: str, result: BuildResult, seconds: float) -> None:
        """An asset is there."""

    def passed_over(self, asset: str, reason: str) -> None:
        """An asset cannot be made of these data, and neither can what reads it."""


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where raw data lie, where made things go, how much is kept; editable in the launchpad.

    ``overrides`` sets any other setting by its name, such as ``{"min_cells_per_pair": 20}`` or
    ``{"training.forward.loop.n_epochs": 20}``; tables may be nested.
    """

    raw_dir: str
    data_dir: str
    preset: str
    overrides: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    listener: dg.ResourceDependency[Listener]

    @classmethod
    def from_settings(cls, settings: Settings, listener: Listener) -> "PipelineResource":
        """The resource whose :attr:`settings` are these, whatever becomes of a file of settings."""
        return cls(
            raw_dir=settings.raw_dir,
            data_dir=str(settings.data_dir),
            preset=settings.preset,
            overrides=settings.overrides(),
            listener=dg.ResourceDefinition.hardcoded_resource(listener),
        )

    @property
    def settings(self) -> Settings:
        """The settings of this run, checked."""
        return load_settings(
            raw_dir=self.raw_dir, data_dir=self.data_dir, preset=self.preset, **self.overrides
        )

    @property
    def layout(self) -> Layout:
        """Where each made thing lies."""
        return self.settings.layout

    @property
    def tracking(self) -> Tracking:
        """Where runs are recorded."""
        return tracking_of(self.settings)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["PipelineResource"]:
        """The resource of one run: marked as going, once what dead ones left is cleared away."""
        if context.run is None or context.instance is None:  # a look, not a run
            yield self
            return
        with marks_of(self.layout).held(context.run.run_id):
            end_dead_runs(context.instance, self.layout)
            sweep(self.layout)
            yield self

    @contextmanager
    def step(self, context: dg.AssetExecutionContext, asset: str) -> Iterator["AssetStep"]:
        """One asset being built: recorded, timed, listened to.

        Data of which nothing can be held out are no failure: the block ends, and without a result
        Dagster passes over what reads the asset.

        Raises
        ------
        dagster.Failure
            In place of an error that a user or the data caused; it is not tried again.
        """
        self.listener.started(asset)
        try:
            with self.tracking.step(asset, pipeline_run=context.run.run_id) as record:
                step = AssetStep(context, asset, self, record)
                try:
                    yield step
                except NoSplitError as error:
                    step.pass_over(str(error))
        except DrugPipelineError as error:
            raise dg.Failure(
                description=str(error),
                metadata={"error": type(error).__name__},
                allow_retries=False,
            ) from error


class AssetStep:
    """One asset of one run: what its builder needs, and its result for Dagster."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        asset: str,
        pipeline: PipelineResource,
        record: TrackedStep,
    ) -> None:
        self.asset = asset
        self.settings = pipeline.settings
        self.layout = pipeline.layout
        self.tracking = pipeline.tracking
        self.record = record
        self._listener = pipeline.listener
        self._log = context.log
        self._started = time.perf_counter()
        self._last_line = self._started
        self._pace = Pace()
        self._seconds: float | None = None

    def progress(self, done: int, total: int, text: str) -> None:
        """Tell people how far the asset is; builders call it as often as they like."""
        pace = self._pace.tell(done, total)
        self._listener.progressed(self.asset, done, total, f"{text}  {pace}" if pace else text)
        now = time.perf_counter()
        if now - self._last_line >= SECONDS_BETWEEN_LOG_LINES:
            self._last_line = now
            far = f"{done:,} of {total:,}" + (f"; {pace}" if pace else "")
            self._log.info(f"{text} ({far})" if total else text)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Record figures of one training step."""
        self.record.metrics(figures, step)

    def pass_over(self, reason: str) -> None:
        """Tell that the asset cannot be made of these data, which is no failure."""
        self._listener.passed_over(self.asset, reason)
        self._log.warning(reason)

    def result(self, built: BuildResult, *, key: str | None = None) -> dg.MaterializeResult[Any]:
        """What Dagster is told of a build.

        Parameters
        ----------
        key
            Asset key, where one build makes several assets.
        """
        seconds = self._tell(built)
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(built.stamp.fingerprint),
            metadata=build_metadata(
                key or self.asset,
                built,
                seconds,
                picture=draw(self.layout, self.asset, built),
                run_url=self.record.url(),
            ),
        )

    def _tell(self, built: BuildResult) -> float:
        """Seconds the build took; those who record and listen hear of it, once a build."""
        if self._seconds is not None:
            return self._seconds
        self._seconds = time.perf_counter() - self._started
        self._record(built, self._seconds)
        self._listener.finished(self.asset, built, self._seconds)
        self._log.info(sentence(self.asset, built, self._seconds))
        return self._seconds

    def _record(self, built: BuildResult, seconds: float) -> None:
        """What was built; of what was there already nothing."""
        if not built.is_new:
            return
        stamp = built.stamp
        self.record.params({**stamp.config, "code_version": stamp.code_version})
        self.record.tags({"fingerprint": stamp.fingerprint})
        for name, fingerprint in stamp.inputs.items():
            self.record.input(name, fingerprint)
        figures = numbers(stamp.summary)
        self.record.metrics({**figures, "seconds": seconds})
        if self.asset == HEADLINE_ASSET:
            self.record.headline(figures)
