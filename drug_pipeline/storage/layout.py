"""Where each made thing lies under the data folder. Paths only; nothing is read or written here."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below one data folder (``DRUG_PIPELINE_DATA_DIR``)."""

    root: Path

    @property
    def manifest_dir(self) -> Path:
        """Stamps, the raw inventory and per-file partial results."""
        return self.root / "manifest"

    @property
    def raw_manifest(self) -> Path:
        """Inventory of raw files (``schemas.RAW_FILES``)."""
        return self.manifest_dir / "raw.parquet"

    @property
    def count_partials_dir(self) -> Path:
        """Per-file partial counts, one Parquet per file content, named by its hash."""
        return self.manifest_dir / "counts"

    @property
    def cell_codes_dir(self) -> Path:
        """Per-file codes of cells' barcodes, sorted: one array per file content, named by its hash."""
        return self.manifest_dir / "cells"

    @property
    def metadata_dir(self) -> Path:
        """Cleaned tables: ``drugs``, ``cell_lines``, ``genes``, ``wells`` (``.parquet``)."""
        return self.root / "metadata"

    @property
    def warehouse(self) -> Path:
        """DuckDB file with the count tables and the filtered pairs."""
        return self.root / "warehouse.duckdb"

    @property
    def gene_panel(self) -> Path:
        """Ordered genes of the panel (``schemas.GENES`` plus the statistics they were chosen by)."""
        return self.root / "expression" / "gene_panel.parquet"

    @property
    def pseudobulk_dir(self) -> Path:
        """Integer sums, one folder per plate: ``plate=<plate>/``."""
        return self.root / "expression" / "pseudobulk"

    @property
    def delta_dir(self) -> Path:
        """Δ shards, one folder per plate, and the index."""
        return self.root / "expression" / "delta"

    @property
    def embeddings_dir(self) -> Path:
        """Drug and cell-line vectors."""
        return self.root / "embeddings"

    @property
    def splits_dir(self) -> Path:
        """Named splits."""
        return self.root / "models" / "splits"

    @property
    def prototype_dir(self) -> Path:
        """``model_prototype``."""
        return self.root / "models" / "prototype"

    @property
    def full_dir(self) -> Path:
        """``model_full``: one folder per split."""
        return self.root / "models" / "full"

    @property
    def deploy_dir(self) -> Path:
        """The bundle that queries and the registered model load, beside the splits."""
        return self.full_dir / "deploy"

    @property
    def linear_dir(self) -> Path:
        """Linear models that were asked for on their own: ``<split>/<name>/``."""
        return self.root / "models" / "linear"

    @property
    def ablation_fits_dir(self) -> Path:
        """Predictions of the ablations: ``<split>/<variant>-<seed>/``."""
        return self.root / "models" / "ablation"

    @property
    def imbalance_dir(self) -> Path:
        """The imbalance report."""
        return self.root / "reports" / "imbalance"

    @property
    def evaluation_dir(self) -> Path:
        """The evaluation report, ``metrics.parquet`` and predictions."""
        return self.root / "reports" / "evaluation"

    @property
    def ablation_dir(self) -> Path:
        """The ablation report."""
        return self.root / "reports" / "ablation"

    @property
    def made_dirs(self) -> tuple[Path, ...]:
        """Every folder that assets are written to; raw files, spool, history and MLflow are not."""
        names = ("manifest", "metadata", "expression", "embeddings", "models", "reports")
        return tuple(self.root / name for name in names)

    @property
    def mlflow_dir(self) -> Path:
        """MLflow's sqlite store and artifacts."""
        return self.root / "mlflow"

    def of(self, path: Path) -> str:
        """A path as it stands in stamps: relative to the data folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()
