"""The configurations of a run by section, what a preset makes of them, and short names.

What belongs here: which dataclass stands behind a dotted name, and its values where nobody has
set anything. What does not: reading what people set (``loading.py``).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from drug_pipeline.domain.config_fields import field_types
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.ingest.raw.inventory import InventoryConfig
from drug_pipeline.storage.counts_db import DuckDBConfig
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline.training.ablation.config import AblationConfig, GateFitsConfig
from drug_pipeline.training.config import TrainConfig

ENV_PREFIX: Final = "DRUG_PIPELINE_"
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


@dataclass(frozen=True, kw_only=True)
class Section:
    """One configuration dataclass and its values in a preset; None where it is switched off."""

    kind: type
    of_preset: Callable[[Preset], Any]


SECTIONS: Final[Mapping[str, Section]] = {
    "remote": Section(kind=RemoteConfig, of_preset=lambda _: RemoteConfig()),
    "spool": Section(kind=SpoolConfig, of_preset=lambda _: None),
    "inventory": Section(
        kind=InventoryConfig,
        of_preset=lambda preset: InventoryConfig(
            validation=PRESETS[preset].validation, workers=PRESETS[preset].n_workers
        ),
    ),
    "counts": Section(kind=DuckDBConfig, of_preset=lambda _: DuckDBConfig()),
    "pairs": Section(
        kind=PairFilterConfig,
        of_preset=lambda preset: PairFilterConfig(
            min_cells_per_pair=PRESETS[preset].min_cells_per_pair
        ),
    ),
    "panel": Section(
        kind=PanelConfig, of_preset=lambda preset: PanelConfig(n_genes=PRESETS[preset].n_genes)
    ),
    "pseudobulk": Section(
        kind=PseudobulkConfig,
        of_preset=lambda preset: PseudobulkConfig(workers=PRESETS[preset].n_workers),
    ),
    "delta": Section(
        kind=DeltaConfig,
        of_preset=lambda preset: DeltaConfig(min_control_cells=PRESETS[preset].min_control_cells),
    ),
    "drug_embeddings": Section(kind=DrugEmbeddingConfig, of_preset=lambda _: DrugEmbeddingConfig()),
    "cell_line_embeddings": Section(
        kind=CellLineEmbeddingConfig, of_preset=lambda _: CellLineEmbeddingConfig()
    ),
    "splits": Section(kind=SplitConfig, of_preset=lambda _: SplitConfig()),
    "training": Section(kind=TrainConfig, of_preset=TrainConfig.preset),
    "gate_fits": Section(kind=GateFitsConfig, of_preset=GateFitsConfig.preset),
    "ablation": Section(kind=AblationConfig, of_preset=AblationConfig.preset),
    "evaluation": Section(kind=EvaluationConfig, of_preset=EvaluationConfig.preset),
}

SHORT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "s3_endpoint": ("remote.s3_endpoint",),
    "s3_region": ("remote.s3_region",),
    "anonymous": ("remote.is_anonymous",),
    "remote_retries": ("remote.retries.n_retries",),
    "remote_backoff_seconds": ("remote.retries.backoff_seconds",),
    "remote_timeout_seconds": ("remote.retries.timeout_seconds",),
    "stream_files": ("spool.n_files",),
    "stream_dir": ("spool.folder",),
    "panel_files_per_plate": ("panel.max_files_per_plate",),
    "min_cells_per_pair": ("pairs.min_cells_per_pair",),
    "min_control_cells": ("delta.min_control_cells",),
    "n_genes": ("panel.n_genes",),
    "panel_policy": ("panel.policy",),
    "gene_tokens": ("ablation.gene_tokens",),
    "drug_table": ("drug_embeddings.own_path",),
    "line_table": ("cell_line_embeddings.own_path",),
    "smiles_encoder": ("drug_embeddings.encoder_path",),
    "replicate_plate": ("splits.replicate_plate",),
    "held_out_lines": ("splits.holdout_lines",),
    "model_splits": ("training.splits",),
    "workers": ("inventory.workers", "pseudobulk.workers"),
    "memory_limit_mb": ("pseudobulk.memory_limit_mb",),
    "backend": ("pseudobulk.backend",),
    "ray_address": ("pseudobulk.ray_address",),
    "device": ("training.device",),
    "seed": ("splits.seed", "training.seed", "evaluation.seed"),
}
"""Plain settings that stand for fields of the configurations."""


def setting_types() -> dict[str, Any]:
    """The type of every field of every section, by dotted name."""
    return {
        name: hint
        for section, one in SECTIONS.items()
        for name, hint in field_types(one.kind, f"{section}.").items()
    }
