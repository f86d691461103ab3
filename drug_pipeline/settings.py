"""The settings of a run: environment and presets in, the small configs of each room out.

What belongs here: names, defaults and bounds of what a user may set, and how they become the
frozen configs that stand beside the code they steer. What does not: reading data, or choosing a
default for one room's own knobs (that is the config's business).

This is the only place that reads the environment. Each field is ``DRUG_PIPELINE_<FIELD>``.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.expression.splits.named_splits import TAHOE_5_HOLDOUT, SplitConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.ingest.raw.inventory import InventoryConfig
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.raw_files import RawSource
from drug_pipeline.storage.raw.retries import RetryConfig
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline.training.ablation.config import AblationConfig
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.parallel.rank import Place

ENV_PREFIX: Final = "DRUG_PIPELINE_"
TAHOE_HOLDOUT: Final = "tahoe_5_holdout"
"""Value of ``held_out_lines`` that stands for Tahoe's published split, and the split's name."""
NAMED_HOLDOUT: Final = "held_out_lines"
"""Name of the split that holds out other named lines."""

Preset = Literal["tiny", "demo", "full"]


@dataclass(frozen=True, kw_only=True)
class PresetDefaults:
    """What a preset sets where the user has said nothing."""

    min_cells_per_pair: int
    min_control_cells: int
    n_genes: int
    n_workers: int
    validation: Literal["full", "while_reducing"]


PRESETS: Final[dict[Preset, PresetDefaults]] = {
    # Seconds, for tests: about 8,000 generated cells.
    "tiny": PresetDefaults(
        min_cells_per_pair=10,
        min_control_cells=5,
        n_genes=200,
        n_workers=1,
        validation="full",
    ),
    # Minutes on two cores: about 100,000 generated cells, or L1000.
    "demo": PresetDefaults(
        min_cells_per_pair=20,
        min_control_cells=10,
        n_genes=1_000,
        n_workers=2,
        validation="full",
    ),
    # Tahoe-100M: 1,000 cells a pair is one of its published thresholds, and decoding 337 GB twice
    # to check them first costs more than finding a bad file on the way.
    "full": PresetDefaults(
        min_cells_per_pair=1_000,
        min_control_cells=100,
        n_genes=2_000,
        n_workers=os.cpu_count() or 1,
        validation="while_reducing",
    ),
}

TOLD_BY_TORCHRUN: Final = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables without which the processes of a job cannot meet."""


class Settings(BaseSettings):
    """Everything a user may set. Immutable; unset fields fall back to the preset."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", populate_by_name=True
    )

    raw_dir: str = Field(
        default="data/raw", description="Folder or URL with data/ and metadata/ as released."
    )
    data_dir: Path = Field(default=Path("data"), description="Where everything made goes.")
    preset: Preset = Field(default="demo", description="Sizes: tiny, demo or full.")
    s3_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices(
            f"{ENV_PREFIX}S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
        ),
        description="For s3:// on a store that is not Amazon's, such as http://localhost:9000.",
    )
    s3_region: str | None = Field(
        default=None, description="Region of s3://; default: Amazon is asked where the bucket lies."
    )
    anonymous: bool = Field(
        default=False, description="Whether s3:// and gs:// are read without credentials."
    )
    remote_retries: int = Field(
        default=5, ge=0, description="Tries after the first where a remote store fails."
    )
    remote_backoff_seconds: float = Field(
        default=1.0,
        ge=0,
        description="Wait before the second try, doubled each time, at most 60 s.",
    )
    remote_timeout_seconds: float = Field(
        default=60.0, gt=0, description="Silence after which a connection counts as broken."
    )
    stream_files: int | None = Field(
        default=None,
        ge=1,
        description="Fetch raw files whole, ahead of their reduction, at most so many on the disk.",
    )
    stream_dir: Path | None = Field(
        default=None, description="Where such files lie for a while; default: spool/ with the data."
    )
    panel_files_per_plate: int | None = Field(
        default=None,
        ge=1,
        description="Files a plate whose vehicle cells choose the gene panel; default: all.",
    )
    min_cells_per_pair: int | None = Field(
        default=None, ge=1, description="Pairs (drug, cell line) with fewer cells are dropped."
    )
    min_control_cells: int | None = Field(
        default=None,
        ge=1,
        description="Conditions whose vehicle (same line, same plate) has fewer cells get no Δ.",
    )
    n_genes: int | None = Field(default=None, ge=2, description="Genes of the panel.")
    panel_policy: Literal["follow", "frozen"] = Field(
        default="follow",
        description="Whether the gene panel follows new control cells, or stays as first chosen.",
    )
    gene_sets: Path | None = Field(
        default=None,
        description="GMT file with gene sets, to see whether gene embeddings know them.",
    )
    gene_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Gene tokens of an extra network whose embeddings are looked at; default: 0, "
        "the model's own.",
    )
    replicate_plate: str | None = Field(
        default=None, description="Test plate of split plate_replicate; default: found in the data."
    )
    held_out_lines: str | None = Field(
        default=None,
        description=(
            "A further split whose test is these cell lines, by id, separated by commas; or "
            "tahoe_5_holdout, the five lines of Tahoe's published split."
        ),
    )
    model_splits: str | None = Field(
        default=None,
        description=(
            "Splits that model_full is fitted on, separated by commas, such as pair,few_shot,dose; "
            "default: the preset's."
        ),
    )
    workers: int | None = Field(
        default=None, ge=1, description="Worker processes that read raw files."
    )
    memory_limit_mb: int | None = Field(
        default=None,
        ge=64,
        description="Memory that the sums of all workers may take together, in MB.",
    )
    backend: Literal["local", "ray"] = Field(
        default="local", description="Where the map over raw files runs."
    )
    ray_address: str | None = Field(
        default=None, description="Address of a Ray cluster; default: one is started here."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where networks are trained; auto takes a GPU if there is one."
    )
    seed: int = Field(default=0, ge=0, description="Same seed, same numbers.")
    automation: bool = Field(
        default=False,
        description="Whether the sensor and the nightly schedule start switched on.",
    )
    tracking: bool = Field(default=True, description="Whether runs are recorded in MLflow.")
    mlflow_ui: str = Field(
        default="http://127.0.0.1:5000", description="Address of `mlflow ui`, for links."
    )

    @property
    def layout(self) -> Layout:
        """Where each made thing lies."""
        return Layout(self.data_dir.expanduser().resolve())

    @property
    def defaults(self) -> PresetDefaults:
        """What the preset says."""
        return PRESETS[self.preset]

    @property
    def n_workers(self) -> int:
        """Processes, or threads, that read raw files."""
        return self.workers or self.defaults.n_workers

    def raw_source(self) -> RawSource:
        """Where the raw folder is and how it is read."""
        retries = RetryConfig(
            n_retries=self.remote_retries,
            backoff_seconds=self.remote_backoff_seconds,
            timeout_seconds=self.remote_timeout_seconds,
        )
        remote = RemoteConfig(
            s3_endpoint=self.s3_endpoint,
            s3_region=self.s3_region,
            is_anonymous=self.anonymous,
            retries=retries,
        )
        spool = None
        if self.stream_files is not None:
            folder = self.stream_dir or self.layout.root / "spool"
            spool = SpoolConfig(folder=folder, n_files=self.stream_files)
        return RawSource(address=self.raw_dir, remote=remote, spool=spool)

    def inventory(self) -> InventoryConfig:
        """How closely raw files are looked at."""
        return InventoryConfig(validation=self.defaults.validation, workers=self.n_workers)

    def pair_filter(self) -> PairFilterConfig:
        """Which pairs are kept."""
        return PairFilterConfig(
            min_cells_per_pair=self.min_cells_per_pair or self.defaults.min_cells_per_pair
        )

    def panel(self) -> PanelConfig:
        """Which genes make the panel."""
        return PanelConfig(
            n_genes=self.n_genes or self.defaults.n_genes,
            policy=self.panel_policy,
            max_files_per_plate=self.panel_files_per_plate,
        )

    def pseudobulk(self) -> PseudobulkConfig:
        """How the sums are computed."""
        limit = {} if self.memory_limit_mb is None else {"memory_limit_mb": self.memory_limit_mb}
        return PseudobulkConfig(
            workers=self.n_workers, backend=self.backend, ray_address=self.ray_address, **limit
        )

    def delta(self) -> DeltaConfig:
        """Which conditions get a Δ."""
        return DeltaConfig(
            min_control_cells=self.min_control_cells or self.defaults.min_control_cells
        )

    def drug_vectors(self) -> DrugEmbeddingConfig:
        """Which blocks a drug vector has."""
        return DrugEmbeddingConfig()

    def cell_line_vectors(self) -> CellLineEmbeddingConfig:
        """Which blocks a cell-line vector has."""
        return CellLineEmbeddingConfig()

    def split_plan(self) -> SplitConfig:
        """What is held out."""
        return SplitConfig(
            seed=self.seed,
            replicate_plate=self.replicate_plate,
            holdout_lines=self._named_holdout(),
        )

    def training(self) -> TrainConfig:
        """How the models are trained."""
        config = TrainConfig.preset(self.preset)
        splits = (*(self._named_model_splits() or config.splits), *self._named_holdout())
        return replace(config, splits=splits, seed=self.seed, device=self.device)

    def ablation(self) -> AblationConfig:
        """Which ablations are fitted, and how far."""
        preset = AblationConfig.preset(self.preset)
        return preset if self.gene_tokens is None else replace(preset, gene_tokens=self.gene_tokens)

    def evaluation(self) -> EvaluationConfig:
        """How the evaluation report is made."""
        return replace(EvaluationConfig.preset(self.preset), seed=self.seed)

    def _named_model_splits(self) -> tuple[str, ...]:
        """The splits that ``model_splits`` asks for; none where it is not set.

        Raises
        ------
        ConfigurationError
            If the text names no split, or one that is not drawn from data.
        """
        if self.model_splits is None:
            return ()
        wanted = tuple(dict.fromkeys(one.strip() for one in self.model_splits.split(",")))
        unknown = [name for name in wanted if name not in SPLIT_NAMES]
        if unknown:
            msg = (
                f"model_splits is {self.model_splits!r}; {unknown[0]!r} is no split. "
                f"There are: {', '.join(SPLIT_NAMES)}."
            )
            raise ConfigurationError(msg)
        return wanted

    def _named_holdout(self) -> dict[str, tuple[str, ...]]:
        """The split that ``held_out_lines`` asks for, by name; none where it is not set.

        Raises
        ------
        ConfigurationError
            If the text names no line.
        """
        if self.held_out_lines is None:
            return {}
        if self.held_out_lines == TAHOE_HOLDOUT:
            return {TAHOE_HOLDOUT: TAHOE_5_HOLDOUT}
        lines = tuple(sorted({one.strip() for one in self.held_out_lines.split(",")} - {""}))
        if not lines:
            msg = (
                f"held_out_lines is {self.held_out_lines!r} and names no line. Write ids such as "
                f"CVCL_0023,CVCL_0031, or {TAHOE_HOLDOUT}."
            )
            raise ConfigurationError(msg)
        return {NAMED_HOLDOUT: lines}


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: environment, then ``overrides`` (None means not given).

    Raises
    ------
    ConfigurationError
        If a value cannot be used, or a ``DRUG_PIPELINE_`` variable names no setting.
    """
    _refuse_unknown_variables(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, given)) from error


def place_in_job() -> Place | None:
    """The place that ``torchrun`` gave this process among several; None where it is alone.

    Raises
    ------
    ConfigurationError
        If the environment speaks of several processes, but not of how they meet.
    """
    n_ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if n_ranks <= 1:
        return None
    missing = [name for name in TOLD_BY_TORCHRUN if name not in os.environ]
    if missing:
        msg = (
            f"WORLD_SIZE is {n_ranks}, but {', '.join(missing)} not set: the {n_ranks} processes "
            "could not find each other. Start them with `torchrun --nproc-per-node N`, or unset "
            "WORLD_SIZE to train in one process."
        )
        raise ConfigurationError(msg)
    return Place(
        rank=int(os.environ["RANK"]),
        n_ranks=n_ranks,
        local_rank=int(os.environ["LOCAL_RANK"]),
        n_local=int(os.environ["LOCAL_WORLD_SIZE"]),
    )


def settings_help() -> dict[str, str]:
    """What each environment variable sets, by variable name."""
    return {
        f"{ENV_PREFIX}{name.upper()}": field.description or ""
        for name, field in Settings.model_fields.items()
    }


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be ignored in silence."""
    known = list(settings_help())
    for variable in sorted(environment):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
            msg = f"{variable} is set, but there is no such setting. {advice}"
            raise ConfigurationError(msg)


def _explain(error: ValidationError, given: Mapping[str, Any]) -> str:
    """One sentence a bad value: which setting, what it was, what it must be."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        field = Settings.model_fields.get(name)
        if field is None:
            sentences.append(
                f"there is no setting {name!r}; known: {', '.join(Settings.model_fields)}."
            )
            continue
        where = name if name in given else f"{ENV_PREFIX}{name.upper()}"
        sentences.append(
            f"{where} is {problem['input']!r}: {problem['msg'].lower()}. {field.description}"
        )
    return " ".join(sentences)
