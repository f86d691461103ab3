"""What a user may set, and the configurations that come of it.

What belongs here: the plain settings with their bounds, and which value of which place wins. What
does not: reading those places (``loading.py``), the presets (``sections.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import AliasChoices, Field, PrivateAttr
from pydantic_core import to_jsonable_python
from pydantic_settings import BaseSettings, SettingsConfigDict

from drug_pipeline.domain.blocks import BlockChoice
from drug_pipeline.domain.config_fields import shown, with_fields
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.expression.splits.named_splits import TAHOE_5_HOLDOUT, SplitConfig
from drug_pipeline.settings.known_names import require_linear_models, require_splits
from drug_pipeline.settings.sections import ENV_PREFIX, SECTIONS, SHORT_NAMES, Preset
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.raw_files import RawSource
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline.training.ablation.config import AblationConfig, GateFitsConfig
from drug_pipeline.training.config import TrainConfig

TAHOE_HOLDOUT: Final = "tahoe_5_holdout"
"""Value of ``held_out_lines`` that stands for Tahoe's published split, and the split's name."""
NAMED_HOLDOUT: Final = "held_out_lines"
"""Name of the split that holds out other named lines."""

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What was set in one place: plain settings, and fields of configurations by dotted name."""

    source: str
    plain: Mapping[str, Any] = field(default_factory=dict)
    dotted: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A value that somebody set, where, and under which plain name if that stands for it."""

    value: Any
    source: str
    short_name: str = ""


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
    config: str | None = Field(
        default=None, description="TOML file that sets any of these, tables nested as the names."
    )
    set: str | None = Field(
        default=None,
        description="Any of these as NAME=VALUE, separated by commas; wins over the file.",
    )
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
    drug_table: str | None = Field(
        default=None,
        description="Parquet, CSV or NPZ file of your own drug vectors, keyed by drug, "
        "parent_compound or pubchem_cid.",
    )
    line_table: str | None = Field(
        default=None,
        description="Parquet, CSV or NPZ file of your own cell-line vectors (DepMap, STATE, "
        "Tahoe-x1), keyed by cell_line_id, depmap_id or cell_name.",
    )
    smiles_encoder: str | None = Field(
        default=None,
        description="Folder with a pretrained SMILES encoder in Hugging Face's layout "
        "(ChemBERTa); needs the extra `encoder`.",
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
    mlflow_tracking_uri: str | None = Field(
        default=None,
        validation_alias=AliasChoices(f"{ENV_PREFIX}MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        description="MLflow server or store that runs are recorded in; default: one with the data.",
    )
    mlflow_registry_uri: str | None = Field(
        default=None,
        validation_alias=AliasChoices(f"{ENV_PREFIX}MLFLOW_REGISTRY_URI", "MLFLOW_REGISTRY_URI"),
        description="MLflow server or store that models are registered in; default: that of runs.",
    )
    mlflow_ui: str | None = Field(
        default=None,
        description="Address of MLflow's pages, for links; default: the server's, or "
        "http://127.0.0.1:5000.",
    )

    _layers: tuple[Layer, ...] = PrivateAttr(default=())
    """What was set in places other than a variable of its own, the strongest last."""

    @property
    def layout(self) -> Layout:
        """Where each made thing lies."""
        return Layout(self.data_dir.expanduser().resolve())

    @property
    def given(self) -> dict[str, Given]:
        """What somebody set of the configurations' fields, by dotted name.

        Raises
        ------
        ConfigurationError
            If a plain setting that stands for others cannot be understood.
        """
        found: dict[str, Given] = {}
        for name in SHORT_NAMES:
            if name in self.model_fields_set:
                found |= self._stands_for(name, f"{ENV_PREFIX}{name.upper()}")
        for layer in self._layers:
            for name in layer.plain:
                found |= self._stands_for(name, layer.source)
            found |= {
                name: Given(value=value, source=layer.source)
                for name, value in layer.dotted.items()
            }
        return found

    def overrides(self) -> dict[str, Any]:
        """What was set beside folders and preset, as JSON: :func:`load_settings` takes it.

        A name is in it once, so that whoever edits it in the launchpad edits what counts. Files
        and assignments are in it by what they set, so that a run does not read them again.
        """
        given = self.given
        shadowed = SHORT_NAMES.keys() - {one.short_name for one in given.values()}
        plain = self.model_dump(
            mode="json",
            exclude={"raw_dir", "data_dir", "preset", *shadowed},
            exclude_unset=True,
        )
        read: dict[str, Any] = {name: "" for name in ("config", "set") if name in plain}
        fields = {
            name: to_jsonable_python(one.value) for name, one in given.items() if not one.short_name
        }
        return {**plain, **read, **fields}

    def raw_source(self) -> RawSource:
        """Where the raw folder is and how it is read."""
        remote = self.section(RemoteConfig)
        return RawSource(address=self.raw_dir, remote=remote, spool=self._spool())

    def training(self) -> TrainConfig:
        """How the models are trained; splits of named lines are fitted with the others.

        Blocks whose source somebody named join those that models read, where nobody chose these.

        Raises
        ------
        ConfigurationError
            If a split that is to be fitted is never drawn, or there is no such linear model.
        """
        config, plan = self.section(TrainConfig), self.section(SplitConfig)
        require_splits("training.splits", config.splits, plan)
        require_splits("training.prototype_split", [config.prototype_split], plan)
        require_linear_models("training.linear", config.linear)
        return replace(
            config,
            splits=tuple(dict.fromkeys((*config.splits, *plan.holdout_lines))),
            kernel_blocks=self._with_given("kernel_blocks", config.kernel_blocks),
            network_blocks=self._with_given("network_blocks", config.network_blocks),
        )

    def gate_fits(self) -> GateFitsConfig:
        """Which models are fitted for gates, and how far; raises as :meth:`ablation` does."""
        config = self.section(GateFitsConfig)
        require_splits("gate_fits.splits", config.splits, self.section(SplitConfig))
        if "gate_fits.linear" in self.given:
            require_linear_models("gate_fits.linear", config.linear)
        return config

    def ablation(self) -> AblationConfig:
        """Which ablations are fitted, and how far.

        Raises
        ------
        ConfigurationError
            If a split of theirs is never drawn, or there is no such linear model.
        """
        config = self.section(AblationConfig)
        require_splits("ablation.variants", config.variants, self.section(SplitConfig))
        if "ablation.linear" in self.given:
            require_linear_models("ablation.linear", config.linear)
        return config

    def resolved(self) -> dict[str, Any]:
        """Every configuration of the run by section, checked; None where one is switched off."""
        source = self.raw_source()
        joined = {
            "remote": source.remote,
            "spool": source.spool,
            "training": self.training(),
            "gate_fits": self.gate_fits(),
            "ablation": self.ablation(),
        }
        return {
            section: joined[section] if section in joined else self.section(one.kind)
            for section, one in SECTIONS.items()
        }

    def section(self, kind: type[Config]) -> Config:
        """The configuration of a section, by its class: the preset's, with what was set.

        Raises
        ------
        ConfigurationError
            If the dataclass refuses a value; the message says what was set, and where.
        """
        section = next(name for name, one in SECTIONS.items() if one.kind is kind)
        config: Config = SECTIONS[section].of_preset(self.preset)
        given = self._given_of(section)
        try:
            return with_fields(config, {name: one.value for name, one in given.items()})
        except ConfigurationError as error:
            places = ", ".join(
                f"{section}.{name}={shown(one.value)} ({one.source})" for name, one in given.items()
            )
            msg = f"{str(error).rstrip('.')}. This comes of {places}."
            raise ConfigurationError(msg) from error

    def _given_of(self, section: str) -> dict[str, Given]:
        start = f"{section}."
        return {
            name.removeprefix(start): one
            for name, one in self.given.items()
            if name.startswith(start)
        }

    def _spool(self) -> SpoolConfig | None:
        """Where raw files lie for a while; None where none are fetched whole."""
        given = {name: one.value for name, one in self._given_of("spool").items()}
        if given.get("n_files") is None:
            return None
        return SpoolConfig(**{"folder": self.layout.root / "spool", **given})

    def _stands_for(self, name: str, source: str) -> dict[str, Given]:
        """The fields that a plain setting sets; none where it leaves them to the preset."""
        value = getattr(self, name)
        if value is None:
            return {}
        if name == "held_out_lines":
            value = self._named_holdout()
        if name == "model_splits":
            value = self._named_model_splits()
        one = Given(value=value, source=source, short_name=name)
        return dict.fromkeys(SHORT_NAMES.get(name, ()), one)

    def _with_given(self, field: str, chosen: BlockChoice) -> BlockChoice:
        """The blocks that a model reads, with those whose source was named, unless all were chosen."""
        made = {
            "drugs": self.section(DrugEmbeddingConfig).given,
            "cell_lines": self.section(CellLineEmbeddingConfig).given,
        }
        return chosen.also(
            **{
                of: blocks
                for of, blocks in made.items()
                if f"training.{field}.{of}" not in self.given
            }
        )

    def _named_model_splits(self) -> tuple[str, ...]:
        """The splits that ``model_splits`` asks for.

        Raises
        ------
        ConfigurationError
            If the text names no split, or one that is not drawn from data.
        """
        asked = (self.model_splits or "").split(",")
        wanted = tuple(dict.fromkeys(one.strip() for one in asked))
        unknown = [name for name in wanted if name not in SPLIT_NAMES]
        if unknown:
            msg = (
                f"model_splits is {self.model_splits!r}; {unknown[0]!r} is no split. "
                f"There are: {', '.join(SPLIT_NAMES)}."
            )
            raise ConfigurationError(msg)
        return wanted

    def _named_holdout(self) -> dict[str, tuple[str, ...]]:
        """The split that ``held_out_lines`` asks for, by name.

        Raises
        ------
        ConfigurationError
            If the text names no line.
        """
        if self.held_out_lines == TAHOE_HOLDOUT:
            return {TAHOE_HOLDOUT: TAHOE_5_HOLDOUT}
        asked = (self.held_out_lines or "").split(",")
        lines = tuple(sorted({one.strip() for one in asked if one.strip()}))
        if not lines:
            msg = (
                f"held_out_lines is {self.held_out_lines!r} and names no line. Write ids such as "
                f"CVCL_0023,CVCL_0031, or {TAHOE_HOLDOUT}."
            )
            raise ConfigurationError(msg)
        return {NAMED_HOLDOUT: lines}
