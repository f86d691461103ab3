"""A generated screen on local disk and on an S3 server on loopback, and the chain up to Δ on it."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from moto.server import ThreadedMotoServer

from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.ingest.delta import build_delta_shards
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.raw.inventory import InventoryConfig, build_raw_tahoe
from drug_pipeline.storage.counts_db import content_hashes
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder, RawSource
from drug_pipeline.storage.raw.retries import RetryConfig
from drug_pipeline.synthetic import SyntheticConfig, generate
from drug_pipeline_tests.integration.remote.fault_proxy import FaultProxy

QUICK = RetryConfig(n_retries=3, backoff_seconds=0.01, timeout_seconds=1.0)
COUNT_TABLES = ["counts_per_drug", "counts_per_cell_line", "counts_per_pair"]


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The builders from some raw folder to Δ in a data folder."""

    raw: RawDir
    layout: Layout
    config: PseudobulkConfig = field(default_factory=PseudobulkConfig)

    def inventory(self) -> None:
        build_raw_tahoe(self.layout, self.raw, InventoryConfig(validation="while_reducing"))

    def up_to_panel(self) -> None:
        self.inventory()
        build_tahoe_metadata(self.layout, self.raw)
        build_gene_panel(self.layout, self.raw, PanelConfig(n_genes=40))

    def pseudobulk(self) -> None:
        build_pseudobulk(self.layout, self.raw, self.config)

    def all(self) -> "Chain":
        self.up_to_panel()
        build_counts(self.layout, self.raw)
        build_filtered_pairs(self.layout, PairFilterConfig(min_cells_per_pair=5))
        self.pseudobulk()
        build_delta_shards(self.layout, DeltaConfig(min_control_cells=2))
        return self

    def reduced(self) -> "Chain":
        """The chain up to the sums, which take most of the reading."""
        self.up_to_panel()
        self.pseudobulk()
        return self

    def sums(self) -> dict[str, bytes]:
        """Every file of panel and sums, and the inventory."""
        files = [self.layout.raw_manifest, self.layout.gene_panel]
        files += sorted(self.layout.pseudobulk_dir.glob("plate=*/*"))
        return {self.layout.of(path): path.read_bytes() for path in files}

    def everything(self) -> dict[str, bytes]:
        """Every file of inventory, panel, sums and Δ, and the hashes of the count tables."""
        delta = [path for path in self.layout.delta_dir.rglob("*") if path.is_file()]
        made = {self.layout.of(path): path.read_bytes() for path in delta}
        tables = content_hashes(self.layout, COUNT_TABLES)
        return made | self.sums() | {"tables": repr(tables).encode()}

    def half_written(self) -> list[Path]:
        """Files that a broken write would have left."""
        return [*self.layout.root.rglob("*.tmp"), *self.layout.root.rglob("*.old")]


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight small files. Not to be changed."""
    folder = tmp_path_factory.mktemp("screen") / "raw"
    config = SyntheticConfig.preset("tiny", n_cells=2_000, files_per_plate=1)
    generate(folder, config)
    return folder


@pytest.fixture(scope="session")
def local(screen: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The chain over the local folder: what every other way must equal. Not to be changed."""
    return Chain(raw=screen, layout=Layout(tmp_path_factory.mktemp("local"))).all()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[tuple[str, int]]:
    """An S3 server on loopback."""
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()
    patch.undo()


@pytest.fixture
def proxy(s3_server: tuple[str, int]) -> Iterator[FaultProxy]:
    """The way to the S3 server; passes everything on unless told otherwise."""
    proxy = FaultProxy(*s3_server)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def s3(s3_server: tuple[str, int]) -> pafs.S3FileSystem:
    """The S3 server, to put things there."""
    host, port = s3_server
    return pafs.S3FileSystem(
        endpoint_override=f"{host}:{port}",
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )


@pytest.fixture(scope="session")
def bucket(s3: pafs.S3FileSystem, screen: Path) -> str:
    """The screen on S3: ``screen/raw``. Not to be changed."""
    s3.create_dir("screen")
    pafs.copy_files(str(screen), "screen/raw", destination_filesystem=s3)
    return "screen/raw"


@pytest.fixture
def own_bucket(s3: pafs.S3FileSystem, screen: Path, tmp_path: Path) -> Iterator[str]:
    """A copy of the screen on S3 that a test may change."""
    s3.create_dir("own-copy")
    pafs.copy_files(str(screen), "own-copy/raw", destination_filesystem=s3)
    yield "own-copy/raw"
    s3.delete_dir("own-copy")


@pytest.fixture
def source(proxy: FaultProxy) -> Callable[[str], RawSource]:
    """How a folder on S3 is reached, through the proxy and with little patience."""

    def at(place: str) -> RawSource:
        remote = RemoteConfig(s3_endpoint=proxy.url, retries=QUICK)
        return RawSource(address=f"s3://{place}", remote=remote)

    return at


@pytest.fixture
def on_s3(source: Callable[[str], RawSource], bucket: str, tmp_path: Path) -> Chain:
    """The chain over the screen on S3, nothing built yet."""
    return Chain(raw=source(bucket), layout=Layout(tmp_path / "made"))


@pytest.fixture
def folder(source: Callable[[str], RawSource], bucket: str) -> RawFolder:
    """The screen on S3."""
    return RawFolder(source(bucket))


def patient(source: RawSource, **changes: float) -> RawSource:
    """The same source with other retries."""
    retries = replace(source.remote.retries, **changes)  # type: ignore[arg-type]
    return replace(source, remote=replace(source.remote, retries=retries))
