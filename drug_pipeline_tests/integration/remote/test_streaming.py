"""Raw files that are fetched, reduced and deleted: the same bytes on a small disk."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from drug_pipeline.domain.errors import RawAccessError
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawFolder, RawSource
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline_tests.integration.remote.conftest import Chain
from drug_pipeline_tests.integration.remote.fault_proxy import (
    FaultProxy,
    reset,
    server_error,
    truncated,
)

DATA = r"^GET .*/data/.*\.parquet"
TWO_WORKERS = PseudobulkConfig(workers=2, min_cells_per_worker=1)
NEEDS_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra 'ray'")
ON_RAY = PseudobulkConfig(workers=2, min_cells_per_worker=1, backend="ray")


@pytest.fixture
def spool(tmp_path: Path) -> SpoolConfig:
    return SpoolConfig(folder=tmp_path / "spool", n_files=2)


@pytest.fixture
def streamed(on_s3: Chain, spool: SpoolConfig) -> Chain:
    """The chain over the screen on S3, streamed through two files on the disk."""
    return replace(on_s3, raw=replace(on_s3.raw, spool=spool))


class Watcher:
    """The most raw files that lay in a folder at any time it was looked at."""

    def __init__(self) -> None:
        self.most = 0

    @contextmanager
    def on(self, folder: Path) -> Iterator["Watcher"]:
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                self.most = max(self.most, len(list(folder.glob("*.parquet"))))
                time.sleep(0.002)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(PseudobulkConfig(), id="one worker"),
        pytest.param(TWO_WORKERS, id="two workers", marks=pytest.mark.slow),
        pytest.param(ON_RAY, id="two Ray workers", marks=[pytest.mark.slow, NEEDS_RAY]),
    ],
)
def test_streaming_gives_the_same_bytes_with_never_more_files_than_allowed(
    streamed: Chain, local: Chain, spool: SpoolConfig, config: PseudobulkConfig
) -> None:
    chain = replace(streamed, config=config)

    with Watcher().on(spool.folder) as watcher:
        chain.all()

    assert chain.everything() == local.everything()
    assert watcher.most == 2
    assert list(spool.folder.glob("*.parquet")) == []


def test_a_first_run_fetches_a_file_once_for_inventory_and_counts_and_once_for_each_pass(
    streamed: Chain, proxy: FaultProxy
) -> None:
    sizes = [file.size_bytes for file in RawFolder(streamed.raw).data_files()]
    streamed.inventory()
    after_inventory = proxy.fetched(DATA)
    streamed.all()

    assert sorted(seen.n_bytes for seen in after_inventory) == sorted(sizes)
    assert sorted(seen.n_bytes for seen in proxy.fetched(DATA)) == sorted(sizes * 3)


@pytest.mark.slow
def test_only_a_new_file_is_fetched_for_the_same_panel(
    source: Callable[[str], RawSource],
    own_bucket: str,
    s3: pafs.S3FileSystem,
    spool: SpoolConfig,
    proxy: FaultProxy,
    local: Chain,
    tmp_path: Path,
) -> None:
    raw = replace(source(own_bucket), spool=spool)
    chain = Chain(raw=raw, layout=Layout(tmp_path / "made"))
    late = RawFolder(raw).data_files()[-1].name
    s3.move(f"{own_bucket}/data/{late}", f"{own_bucket}/{late}")
    chain.reduced()
    s3.move(f"{own_bucket}/{late}", f"{own_bucket}/data/{late}")
    proxy.seen.clear()

    chain.inventory()

    assert {seen.path.rsplit("/", 1)[-1] for seen in proxy.fetched(DATA)} == {late}
    assert chain.reduced().sums() == local.sums()


@pytest.mark.slow
def test_a_fetch_that_breaks_goes_on_and_gives_the_same_bytes(
    streamed: Chain, local: Chain, proxy: FaultProxy
) -> None:
    proxy.misbehave(DATA, server_error, reset, truncated, every=2)

    assert streamed.reduced().sums() == local.sums()
    assert proxy.n_broken > 10


def test_what_arrives_otherwise_than_inventoried_is_refused(
    source: Callable[[str], RawSource], screen: Path, spool: SpoolConfig
) -> None:
    folder = RawFolder(RawSource(address=str(screen), spool=spool))
    file = replace(folder.data_files()[0], sha256="0" * 64)

    with (
        pytest.raises(RawAccessError, match=r"arrived with another content.*not 000000000000"),
        folder.reading(file, is_whole=True),
    ):
        pass
    assert list(spool.folder.glob("*.parquet")) == []
