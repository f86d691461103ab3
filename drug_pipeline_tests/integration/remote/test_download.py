"""Fetching a release from a hub: a stand-in on loopback serves a generated screen."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from drug_pipeline.domain.errors import (
    ConfigurationError,
    DiskFullError,
    RawAccessError,
    RawDataError,
)
from drug_pipeline.ingest.raw.download import Download, DownloadConfig, DownloadPlan
from drug_pipeline.ingest.raw.plate_index import plate_ranges
from drug_pipeline.storage.build import FolderBusyError
from drug_pipeline.storage.files import sha256_of_file
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.hub import Hub, HubConfig
from drug_pipeline.storage.raw.inventory import HashCache
from drug_pipeline.storage.raw.raw_files import METADATA_TABLES, RawFolder, RawSource
from drug_pipeline_tests.integration.remote.conftest import QUICK, Chain
from drug_pipeline_tests.integration.remote.hub_server import COMMIT, REPO, HubServer


@pytest.fixture
def server(screen: Path) -> Iterator[HubServer]:
    server = HubServer(screen)
    yield server
    server.close()


@pytest.fixture
def remote(server: HubServer) -> RemoteConfig:
    return RemoteConfig(hf_endpoint=server.url, retries=QUICK)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def fetch(target: Path, remote: RemoteConfig, **config: object) -> DownloadPlan:
    download = Download(target, Hub(HubConfig(remote=remote)), DownloadConfig(workers=2, **config))
    plan = download.plan()
    download.run(plan)
    return plan


def fetched_bytes(target: Path) -> dict[str, bytes]:
    tables = [target / "metadata" / f"{name}.parquet" for name in METADATA_TABLES]
    paths = [*target.glob("data/*.parquet"), *(path for path in tables if path.exists())]
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}


def test_a_whole_release_arrives_as_it_is_and_a_second_call_fetches_nothing(
    target: Path, screen: Path, remote: RemoteConfig, server: HubServer
) -> None:
    plan = fetch(target, remote)

    assert plan.commit == COMMIT
    assert fetched_bytes(target) == fetched_bytes(screen)
    assert RawFolder(target).data_files()
    server.requests.clear()
    again = fetch(target, remote)
    assert again.missing == []
    assert server.requests == []


def test_the_files_of_a_plate_are_found_by_their_footers_which_are_read_once(
    target: Path, screen: Path, remote: RemoteConfig, server: HubServer
) -> None:
    data = sorted((screen / "data").glob("*.parquet"))
    plates = {
        path.name: set(pq.read_table(path, columns=["plate"])[0].to_pylist()) for path in data
    }

    plan = fetch(target, remote, plates=("2",))

    expected = {name for name, held in plates.items() if "plate2" in held}
    assert {path.name for path in target.glob("data/*")} == expected
    assert 0 < len(expected) < plan.n_data_files == len(data)
    server.requests.clear()
    fetch(target, remote, plates=("plate3",))
    assert all(rng == "" for _, rng in server.contents_sent())


def test_more_files_are_a_superset_of_fewer(target: Path, remote: RemoteConfig) -> None:
    fetch(target, remote, n_files=2)
    few = set(fetched_bytes(target))
    plan = fetch(target, remote, n_files=4)

    assert len(plan.missing) == 2
    assert few < set(fetched_bytes(target))


@pytest.mark.parametrize("what", ["deleted", "altered", "cut short"])
def test_a_file_that_is_not_the_hubs_any_more_is_fetched_again(
    target: Path, screen: Path, remote: RemoteConfig, what: str
) -> None:
    fetch(target, remote, n_files=3)
    victim = sorted(target.glob("data/*"))[0]
    content = victim.read_bytes()
    if what == "deleted":
        victim.unlink()
    else:
        victim.write_bytes(content[:100] if what == "cut short" else bytes(9) + content[9:])

    plan = fetch(target, remote, n_files=3)

    assert [file.path for file in plan.missing] == [f"data/{victim.name}"]
    assert victim.read_bytes() == content


def test_a_broken_transfer_goes_on_where_it_was(
    target: Path,
    screen: Path,
    remote: RemoteConfig,
    server: HubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # 10 MB
    path = max(screen.glob("data/*"), key=lambda path: path.stat().st_size)
    name = f"data/{path.name}"
    server.cut_after[name] = 20_000

    fetch(target, remote)

    ranges = [rng for sent, rng in server.contents_sent() if sent == name]
    assert ranges == ["", "bytes=20000-"]
    assert (target / name).read_bytes() == path.read_bytes()


def test_a_content_that_is_not_the_one_announced_is_not_kept(
    target: Path, screen: Path, remote: RemoteConfig, server: HubServer
) -> None:
    name = "data/" + sorted(screen.glob("data/*"))[1].name
    right = server.content_of
    server.content_of = lambda path: right(path)[:-1] + b"?" if path == name else right(path)

    with pytest.raises(RawAccessError, match=rf"{name} arrived twice with another content"):
        fetch(target, remote)

    assert not (target / name).exists()
    server.content_of = right
    fetch(target, remote)
    assert fetched_bytes(target) == fetched_bytes(screen)


def test_what_does_not_fit_is_refused_before_anything_is_fetched(
    tmp_path: Path, remote: RemoteConfig
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        with pytest.raises(DiskFullError, match=r"8 files of 0\.0 GB are to be fetched.*room"):
            fetch(folder, remote)
        assert not (folder / "data").exists()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_an_unknown_plate_is_refused_with_the_known_ones(
    target: Path, remote: RemoteConfig
) -> None:
    with pytest.raises(ConfigurationError, match=r"no such plate: plate99.*plate1, plate2"):
        fetch(target, remote, plates=("99",))


def test_a_repository_or_revision_that_is_not_there_is_named(remote: RemoteConfig) -> None:
    with pytest.raises(RawDataError, match=r"datasets/nobody/nothing.*not a repository"):
        Hub(HubConfig(repo_id="nobody/nothing", remote=remote))
    with pytest.raises(RawDataError, match="@v9 is not a repository"):
        Hub(HubConfig(revision="v9", remote=remote))


def test_a_footer_without_statistics_may_hold_any_plate(screen: Path, tmp_path: Path) -> None:
    table = pq.read_table(sorted(screen.glob("data/*"))[0])
    pq.write_table(table, tmp_path / "mute.parquet", write_statistics=False)

    assert plate_ranges(pq.read_metadata(tmp_path / "mute.parquet")) == []


@pytest.mark.slow
def test_a_screen_on_the_hub_gives_the_bytes_of_the_local_one(
    remote: RemoteConfig, local: Chain, tmp_path: Path
) -> None:
    source = RawSource(address=f"hf://datasets/{REPO}", remote=remote)
    chain = Chain(raw=source, layout=Layout(tmp_path / "made"))

    chain.all()

    assert chain.everything() == local.everything()


def test_the_hub_vouches_for_hashes_so_that_no_content_is_read_for_them(
    remote: RemoteConfig, server: HubServer, screen: Path, tmp_path: Path
) -> None:
    folder = RawFolder(RawSource(address=f"hf://datasets/{REPO}", remote=remote))
    hashes = HashCache(Layout(tmp_path), folder)

    found = {file.name: hashes.sha256(file) for file in folder.data_files()}

    assert found == {path.name: sha256_of_file(path) for path in screen.glob("data/*")}
    assert server.requests == []


def command(target: Path, server: HubServer, *options: str) -> subprocess.Popen[str]:
    environment = {
        **{name: text for name, text in os.environ.items() if "DRUG_PIPELINE" not in name},
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(target.parent / "hf"),
    }
    call = [sys.executable, "-c", "from drug_pipeline.cli import main; main()", "download"]
    return subprocess.Popen(
        [*call, "--raw-dir", str(target), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_command_says_what_it_would_fetch(target: Path, server: HubServer) -> None:
    with command(target, server, "--all", "--dry-run") as told:
        out, _ = told.communicate(timeout=120)

    assert told.returncode == 0
    assert f"{REPO} at {COMMIT[:12]}: 12 files wanted of 8 data files" in out
    assert "8 to be fetched" in out
    assert not (target / "data").exists()


@pytest.mark.slow
def test_a_killed_command_is_gone_on_with_and_leaves_nothing_half_fetched(
    target: Path, screen: Path, server: HubServer
) -> None:
    server.seconds_per_piece = 0.2
    with command(target, server, "--all", "--workers", "2") as killed:
        while len(list(target.glob("data/*.parquet"))) < 3:
            time.sleep(0.05)
        while not list(target.rglob("*.incomplete")):
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
    server.seconds_per_piece = 0.0
    server.requests.clear()
    there = fetched_bytes(target)

    with command(target, server, "--all") as finished:
        out, _ = finished.communicate(timeout=120)

    assert finished.returncode == 0
    assert "12 files, each with the hub's hash" in out
    assert there.items() <= fetched_bytes(target).items()
    assert fetched_bytes(target) == fetched_bytes(screen)
    assert not {path for path, _ in server.contents_sent()} & there.keys()
    assert list(target.rglob("*.incomplete")) == []


def test_two_downloads_do_not_fill_one_folder(target: Path, remote: RemoteConfig) -> None:
    with FileLock(target / ".download.lock"), pytest.raises(FolderBusyError, match="another"):
        fetch(target, remote)
