"""What the pipeline asks of a tracker, and the one that records nothing.

What belongs here: the interface and its null form for tests. What does not: MLflow (``store.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from drug_pipeline.domain.errors import DrugPipelineError

if TYPE_CHECKING:
    import pandas as pd


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a summary, without texts, lists and answers of yes or no."""
    return {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


class TrackingError(DrugPipelineError):
    """A tracking store or registry that cannot do what is asked."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version in the model registry."""

    name: str
    version: int
    alias: str
    run_id: str

    @property
    def uri(self) -> str:
        """How MLflow loads it."""
        return f"models:/{self.name}/{self.version}"


class TrackedStep(Protocol):
    """The record of one asset's run."""

    @property
    def run_id(self) -> str:
        """The tracker's id of it."""
        ...

    def params(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted names."""
        ...

    def tags(self, values: Mapping[str, str]) -> None:
        """Record what to find the run by."""
        ...

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record figures of one step."""
        ...

    def headline(self, values: Mapping[str, float]) -> None:
        """Record figures on the pipeline run's own record."""
        ...

    def input(self, name: str, fingerprint: str, n_rows: int | None = None) -> None:
        """Record what was read, by content."""
        ...

    def url(self) -> str:
        """Where a person looks at it; empty where there is nothing to look at."""
        ...


class Tracking(Protocol):
    """Where runs are recorded and models registered."""

    @property
    def registry(self) -> str:
        """Address of the registry where it is elsewhere than with the data; else empty."""
        ...

    def step(
        self, asset: str, *, pipeline_run: str, tags: Mapping[str, str] | None = None
    ) -> AbstractContextManager[TrackedStep]:
        """The record of one asset within one pipeline run; failed if the block raises."""
        ...

    def register(self, step: TrackedStep, model: "ServedModel") -> ModelVersion:
        """A new registry version of a model, without alias."""
        ...

    def set_alias(self, version: ModelVersion, alias: str) -> ModelVersion:
        """Point an alias, such as ``champion``, at a version; the one before loses it."""
        ...

    def find_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that has an alias now."""
        ...

    def artifact_of(self, version: ModelVersion, name: str) -> Path:
        """Where an artifact of a version can be read."""
        ...


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What is registered: code and weights as files, signature by example.

    Parameters
    ----------
    code
        Script that MLflow runs to load the model; it calls :func:`serve`.
    artifacts
        Files and folders the script reads, by name.
    example, answer
        A question and the model's answer to it: they make the signature.
    params
        Keyword parameters of a call, with their defaults.
    packages, requirements
        Folders of Python packages that the script imports, which travel with the model, and what
        ``pip`` must install beside them.
    figures
        Shown on the model's page.
    description
        Markdown for the registry page.
    tags
        Fingerprints to find a version by.
    """

    name: str
    code: Path
    artifacts: Mapping[str, Path]
    example: "pd.DataFrame"
    answer: "pd.DataFrame"
    params: Mapping[str, Any] = field(default_factory=dict)
    packages: Sequence[Path] = ()
    requirements: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class NullTracking:
    """Records nothing; for tests and for ``DRUG_PIPELINE_TRACKING=false``."""

    registry = ""

    @contextmanager
    def step(
        self, asset: str, *, pipeline_run: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[TrackedStep]:
        """A record that forgets."""
        del asset, pipeline_run, tags
        yield _NullStep()

    def register(self, step: TrackedStep, model: ServedModel) -> ModelVersion:
        """Version 0, registered nowhere."""
        return ModelVersion(name=model.name, version=0, alias="", run_id=step.run_id)

    def set_alias(self, version: ModelVersion, alias: str) -> ModelVersion:
        """The version with the alias, remembered nowhere."""
        return ModelVersion(
            name=version.name, version=version.version, alias=alias, run_id=version.run_id
        )

    def find_alias(self, name: str, alias: str) -> ModelVersion | None:
        """Nothing."""
        del name, alias
        return None

    def artifact_of(self, version: ModelVersion, name: str) -> Path:
        """Nowhere.

        Raises
        ------
        TrackingError
            Always: nothing was registered.
        """
        msg = f"{name} of {version.name} was never registered: tracking is off."
        raise TrackingError(msg)


class _NullStep:
    run_id = ""

    def params(self, values: Mapping[str, Any]) -> None:
        """Forget."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Forget."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Forget."""

    def headline(self, values: Mapping[str, float]) -> None:
        """Forget."""

    def input(self, name: str, fingerprint: str, n_rows: int | None = None) -> None:
        """Forget."""

    def url(self) -> str:
        """Nowhere."""
        return ""
