"""Models' way into the registry: as ``candidate``, as ``champion`` only through the gates.

What belongs here: joining bundle, report and registry. What does not: judging (``evaluation``),
talking to MLflow (``tracking``).
"""

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from drug_pipeline.domain.blocks import KERNEL_BLOCKS, BlockChoice
from drug_pipeline.domain.errors import CheckpointError, ConfigurationError
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluation_report import SUMMARY
from drug_pipeline.orchestration.judging import may_be_champion
from drug_pipeline.query import pyfunc
from drug_pipeline.query.library import save_library
from drug_pipeline.query.open_model import OpenModel, open_model
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import read_json, write_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_conditions
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.tracking.base import NullTracking, ServedModel, TrackedStep, Tracking, numbers
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.deployed.linear_model import load_linear
from drug_pipeline.training.model_assets import build_linear_model

logger = logging.getLogger(__name__)

CODE_VERSION: Final = "2"
MODEL_NAME: Final = "drug-pipeline"
CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
N_EXAMPLES: Final = 2


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Which version a model became, and why it has its alias."""

    name: str
    version: int
    alias: str
    reason: str

    def sentence(self) -> str:
        """The registration in words."""
        return f"{self.name} version {self.version}, {self.alias}: {self.reason}"


def build_registered_model(
    layout: Layout, config: EvaluationConfig, *, tracking: Tracking, record: TrackedStep
) -> BuildResult:
    """The deployed bundle as a registry version, with the alias that the gates allow."""

    def build() -> BuildOutput:
        registration = _register(layout, config, tracking, record)
        path = _path(layout)
        write_json(asdict(registration), path)
        return BuildOutput(files=[path], summary=asdict(registration))

    return build_once(
        layout,
        "registered_model",
        code_version=CODE_VERSION,
        upstream=("model_full", "evaluation_report", "delta_shards", "splits", "tahoe_metadata"),
        config={
            "tracking": type(tracking).__name__,
            **({"registry": tracking.registry} if tracking.registry else {}),
        },
        build=build,
    )


def register_linear(
    layout: Layout,
    split: str,
    name: str,
    tracking: Tracking,
    blocks: BlockChoice = KERNEL_BLOCKS,
) -> Registration:
    """One linear model of one split as a registry version of its own, always ``candidate``.

    Raises
    ------
    ConfigurationError
        If there is no such split or linear model, or tracking is off.
    StaleInputError, ForeignFileError
        If an input is missing, stale, or was changed by something else.
    """
    if isinstance(tracking, NullTracking):
        msg = "tracking is off, so that nothing can be registered. Unset DRUG_PIPELINE_TRACKING."
        raise ConfigurationError(msg)
    stamp = build_linear_model(layout, split, name, blocks).stamp
    folder = layout.linear_dir / split / name
    model = load_linear(folder)
    example = read_conditions(layout)[pyfunc.QUESTION].head(N_EXAMPLES)
    reason = f"linear model {name} of split {split}, without the gates of {MODEL_NAME}"
    served = ServedModel(
        name=f"{MODEL_NAME}-{split}-{name}".replace("_", "-"),
        code=pyfunc.ENTRY,
        artifacts={pyfunc.BUNDLE: folder},
        example=example,
        answer=pyfunc.Predictions(model).answer(example, {}),
        params=pyfunc.PARAMS,
        packages=pyfunc.packages(),
        requirements=pyfunc.requirements(),
        description=f"Linear model `{name}`, fitted on training and validation of split `{split}`.",
        tags={"delta_fingerprint": model.identity.data, "split_fingerprint": model.identity.split},
    )
    with tracking.step("linear_model", pipeline_run=stamp.fingerprint) as record:
        record.params(stamp.config)
        for upstream, fingerprint in stamp.inputs.items():
            record.input(upstream, fingerprint)
        version = tracking.set_alias(tracking.register(record, served), CANDIDATE)
    return Registration(
        name=version.name, version=version.version, alias=version.alias, reason=reason
    )


def read_registration(layout: Layout) -> Registration | None:
    """What was registered last, or None."""
    path = _path(layout)
    return Registration(**read_json(path)) if path.exists() else None


def registration_sentence(layout: Layout) -> str:
    """What was registered last, in words, and whether before the report there now; may be empty."""
    registration = read_registration(layout)
    if registration is None:
        return ""
    stamps = StampStore(layout)
    registered, report = stamps.read("registered_model"), stamps.read("evaluation_report")
    is_older = report is not None and (
        registered is None or registered.inputs.get("evaluation_report") != report.fingerprint
    )
    return registration.sentence() + (" (before the report there now)" if is_older else "")


def _register(
    layout: Layout, config: EvaluationConfig, tracking: Tracking, record: TrackedStep
) -> Registration:
    opened = open_model(layout)
    verdict = may_be_champion(layout, opened.bundle, _champion(tracking), config)
    with tempfile.TemporaryDirectory() as folder:
        save_library(opened.library, Path(folder))
        served = _served(layout, opened, Path(folder), verdict.explanation)
        version = tracking.register(record, served)
    alias = CHAMPION if verdict.is_green else CANDIDATE
    version = tracking.set_alias(version, alias)
    return Registration(
        name=version.name, version=version.version, alias=alias, reason=verdict.explanation
    )


def _champion(tracking: Tracking) -> Bundle | None:
    """The bundle of the present champion; None where there is none that this code can read."""
    version = tracking.find_alias(MODEL_NAME, CHAMPION)
    if version is None:
        return None
    try:
        return load_bundle(tracking.artifact_of(version, pyfunc.BUNDLE))
    except CheckpointError as error:
        logger.warning("the new model is compared with no champion, only with baselines: %s", error)
        return None


def _served(layout: Layout, opened: OpenModel, library: Path, verdict: str) -> ServedModel:
    """The bundle with a question, its answer, and what a version is found by."""
    example = read_conditions(layout)[pyfunc.QUESTION].head(N_EXAMPLES)
    answer = pyfunc.Predictions(opened.bundle).answer(example, {})
    return ServedModel(
        name=MODEL_NAME,
        code=pyfunc.ENTRY,
        artifacts={pyfunc.BUNDLE: layout.deploy_dir, pyfunc.LIBRARY: library},
        example=example,
        answer=answer,
        params=pyfunc.PARAMS,
        packages=pyfunc.packages(),
        requirements=pyfunc.requirements(),
        figures=numbers(StampStore(layout).require("evaluation_report").summary),
        description=f"{verdict}\n\n{_summary(layout)}",
        tags={"delta_fingerprint": opened.bundle.data_fingerprint},
    )


def _summary(layout: Layout) -> str:
    """The evaluation's summary, which is what somebody who picks a version wants to read."""
    summary = layout.evaluation_dir / SUMMARY
    return summary.read_text(encoding="utf-8") if summary.exists() else ""


def _path(layout: Layout) -> Path:
    return layout.root / "models" / "registered_model.json"
