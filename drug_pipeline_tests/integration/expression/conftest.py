"""A generated screen of 8,000 cells, and the chain up to Δ on it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.ingest.delta import build_delta_shards
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.raw.inventory import InventoryConfig, build_raw_tahoe
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.layout import Layout
from drug_pipeline.synthetic import SyntheticConfig, generate


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A raw folder, a data folder and the builders between them."""

    raw_dir: Path
    layout: Layout

    def raw(self, validation: str = "full") -> BuildResult:
        config = InventoryConfig(validation=validation)  # type: ignore[arg-type]
        return build_raw_tahoe(self.layout, self.raw_dir, config)

    def panel(self, config: PanelConfig | None = None) -> BuildResult:
        return build_gene_panel(self.layout, self.raw_dir, config or PanelConfig(n_genes=60))

    def pseudobulk(self, config: PseudobulkConfig | None = None) -> BuildResult:
        return build_pseudobulk(self.layout, self.raw_dir, config or PseudobulkConfig())

    def delta(self, config: DeltaConfig | None = None) -> BuildResult:
        build_counts(self.layout, self.raw_dir)
        build_filtered_pairs(self.layout, PairFilterConfig(min_cells_per_pair=10))
        return build_delta_shards(self.layout, config or DeltaConfig(min_control_cells=5))

    def up_to_panel(self, validation: str = "full", panel: PanelConfig | None = None) -> None:
        self.raw(validation)
        build_tahoe_metadata(self.layout, self.raw_dir)
        self.panel(panel)

    def all(
        self,
        config: PseudobulkConfig | None = None,
        *,
        validation: str = "full",
        panel: PanelConfig | None = None,
    ) -> BuildResult:
        self.up_to_panel(validation, panel)
        result = self.pseudobulk(config)
        self.delta()
        return result

    def bytes_of(self, folder: str = "expression") -> dict[str, bytes]:
        top = self.layout.root / folder
        files = [path for path in sorted(top.rglob("*")) if path.is_file()]
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in files}

    def data_files(self) -> list[Path]:
        return sorted((self.raw_dir / "data").glob("*.parquet"))


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen files, two a plate. Not to be changed; see ``own_screen``."""
    folder = tmp_path_factory.mktemp("screen") / "raw"
    generate(folder, SyntheticConfig.preset("tiny", files_per_plate=2))
    return folder


@pytest.fixture
def own_screen(screen: Path, tmp_path: Path) -> Path:
    """A copy of the screen that a test may change."""
    return Path(shutil.copytree(screen, tmp_path / "raw"))


@pytest.fixture
def chain(own_screen: Path, tmp_path: Path) -> Chain:
    """Builders over a copy of the screen."""
    return Chain(raw_dir=own_screen, layout=Layout(tmp_path / "data"))


@pytest.fixture(scope="session")
def whole(screen: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The screen built at once by one worker. Not to be changed."""
    built = Chain(raw_dir=screen, layout=Layout(tmp_path_factory.mktemp("whole")))
    built.all()
    return built
