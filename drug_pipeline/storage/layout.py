"""Where each made thing lies under the data folder. Paths only; nothing is read or written here."""

from dataclasses import dataclass
from pathlib import Path


class _Below:
    """A path of a fixed place below the data folder."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, layout: "Layout", owner: type["Layout"]) -> Path:
        return layout.root / self._path


@dataclass(frozen=True)
class Layout:
    """Paths below one data folder (``DRUG_PIPELINE_DATA_DIR``)."""

    root: Path

    manifest_dir = _Below("manifest")
    """Stamps, the raw inventory and per-file partial results."""
    raw_manifest = _Below("manifest/raw.parquet")
    """Inventory of raw files (``schemas.RAW_FILES``)."""
    count_partials_dir = _Below("manifest/counts")
    """Per-file partial counts, one Parquet per file content, named by its hash."""
    cell_codes_dir = _Below("manifest/cells")
    """Per-file codes of cells' barcodes, sorted: one array per file content, named by its hash."""
    metadata_dir = _Below("metadata")
    """Cleaned tables: ``drugs``, ``cell_lines``, ``genes``, ``wells`` (``.parquet``)."""
    warehouse = _Below("warehouse.duckdb")
    """DuckDB file with the count tables and the filtered pairs."""
    gene_panel = _Below("expression/gene_panel.parquet")
    """Ordered genes of the panel (``schemas.GENES`` plus the statistics they were chosen by)."""
    pseudobulk_dir = _Below("expression/pseudobulk")
    """Integer sums, one folder per plate: ``plate=<plate>/``."""
    delta_dir = _Below("expression/delta")
    """Δ shards, one folder per plate, and the index."""
    embeddings_dir = _Below("embeddings")
    """Drug and cell-line vectors."""
    splits_dir = _Below("models/splits")
    """Named splits."""
    prototype_dir = _Below("models/prototype")
    """``model_prototype``."""
    full_dir = _Below("models/full")
    """``model_full``: one folder per split."""
    deploy_dir = _Below("models/full/deploy")
    """The bundle that queries and the registered model load, beside the splits."""
    linear_dir = _Below("models/linear")
    """Linear models that were asked for on their own: ``<split>/<name>/``."""
    gate_fits_dir = _Below("models/gate_fits")
    """Predictions of the fits that gates need: ``<split>/<variant>-<seed>/``."""
    ablation_fits_dir = _Below("models/ablation")
    """Those of the ablations, in the same form."""
    imbalance_dir = _Below("reports/imbalance")
    """The imbalance report."""
    evaluation_dir = _Below("reports/evaluation")
    """The evaluation report, ``metrics.parquet`` and predictions."""
    ablation_dir = _Below("reports/ablation")
    """The ablation report."""

    @property
    def made_dirs(self) -> tuple[Path, ...]:
        """Every folder that assets are written to; raw files, spool, history and MLflow are not."""
        names = ("manifest", "metadata", "expression", "embeddings", "models", "reports")
        return tuple(self.root / name for name in names)

    mlflow_dir = _Below("mlflow")
    """MLflow's sqlite store and artifacts."""

    def of(self, path: Path) -> str:
        """A path as it stands in stamps: relative to the data folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()
