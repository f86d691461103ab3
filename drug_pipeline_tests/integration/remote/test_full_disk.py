"""A disk that fills up at any stage: a clear error, nothing half-written, the rest done later."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import DiskFullError
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.ingest.delta import build_delta_shards
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawSource
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline_tests.integration.remote.conftest import Chain

PAGE = 4096


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, *, leave: int) -> None:
    """Take all room on a disk but some bytes."""
    free = os.statvfs(disk).f_bavail * PAGE
    (disk / "filler").write_bytes(bytes(max(0, free - leave)))


def test_no_stage_leaves_anything_half_written_on_a_full_disk_and_each_goes_on(
    screen: Path, local: Chain, small_disk: Path
) -> None:
    chain = Chain(raw=screen, layout=Layout(small_disk / "made"))
    layout = chain.layout
    stages: list[tuple[Callable[[], object], int]] = [
        (chain.inventory, 3),
        (lambda: build_tahoe_metadata(layout, screen), 4),
        (lambda: build_gene_panel(layout, screen, PanelConfig(n_genes=40)), 6),
        (lambda: build_counts(layout, screen), 60),
        (lambda: build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=5)), 20),
        (chain.pseudobulk, 60),
        (lambda: build_delta_shards(layout, DeltaConfig(min_control_cells=2)), 20),
    ]
    for stage, pages in stages:
        for n_bytes_left in (0, pages * PAGE):
            fill(small_disk, leave=n_bytes_left)
            with pytest.raises(DiskFullError, match=r"no room to write.*run again"):
                stage()
            assert chain.half_written() == []
            (small_disk / "filler").unlink()
        stage()

    assert chain.everything() == local.everything()


@pytest.mark.slow
def test_a_full_disk_in_a_worker_process_is_named_too(
    screen: Path, local: Chain, small_disk: Path
) -> None:
    config = PseudobulkConfig(workers=2, min_cells_per_worker=1)
    chain = Chain(raw=screen, layout=Layout(small_disk / "made"), config=config)
    chain.up_to_panel()
    fill(small_disk, leave=20 * PAGE)

    with pytest.raises(DiskFullError, match="no room to write"):
        chain.pseudobulk()

    assert chain.half_written() == []
    (small_disk / "filler").unlink()
    assert chain.reduced().sums() == local.sums()


@pytest.mark.slow
def test_a_spool_that_does_not_fit_is_named_and_no_file_is_called_bad(
    screen: Path, local: Chain, small_disk: Path, tmp_path: Path
) -> None:
    spool = SpoolConfig(folder=small_disk / "spool", n_files=2)
    chain = Chain(raw=RawSource(address=str(screen), spool=spool), layout=Layout(tmp_path / "made"))
    chain.up_to_panel()
    fill(small_disk, leave=8 * PAGE)

    with pytest.raises(DiskFullError, match=rf"no room to write to {spool.folder}"):
        chain.pseudobulk()

    assert list(spool.folder.glob("*.parquet")) == []
    (small_disk / "filler").unlink()
    assert chain.reduced().sums() == local.sums()


def test_a_file_that_may_not_grow_is_no_room_either(screen: Path, local: Chain) -> None:
    """A limit on the size of files, as batch systems set it; no right to mount is needed."""
    chain = Chain(raw=screen, layout=Layout(local.layout.root.parent / "limited"))
    chain.up_to_panel()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DiskFullError, match="File too large"):
            chain.pseudobulk()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert chain.half_written() == []
    assert chain.reduced().sums() == local.sums()
