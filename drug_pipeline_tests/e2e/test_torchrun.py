"""``torchrun … -m drug_pipeline.cli run``: two processes on the CPU train one model over gloo."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline_tests.e2e.conftest import Built, contents

pytestmark = pytest.mark.slow

CLI = ("-m", "drug_pipeline.cli", "run", "--preset", "tiny", "--device", "cpu")
FIT = ("--select", "model_full")


def environment(**more: str) -> dict[str, str]:
    code = str(Path(__file__).parents[2])
    return {
        **os.environ,
        "PYTHONPATH": code,
        "OMP_NUM_THREADS": "1",
        "DRUG_PIPELINE_TRACKING": "0",
        **more,
    }


def unfitted(built: Built, folder: Path) -> Path:
    """The data folder of the chain without the full model."""
    shutil.copytree(built.layout.root, folder)
    layout = Layout(folder)
    shutil.rmtree(layout.full_dir)
    StampStore(layout).path("model_full").unlink()
    return folder


def torchrun(raw_dir: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    folders = ("--raw-dir", str(raw_dir), "--data-dir", str(data_dir))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return subprocess.run(
        [sys.executable, *launcher, *CLI, *folders, *FIT],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


def start_both(raw_dir: Path, data_dir: Path, elsewhere: Path) -> list[subprocess.Popen[str]]:
    """The two processes without a launcher; the second one is told of other folders."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    job = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    folders = [(raw_dir, data_dir), (elsewhere / "raw", elsewhere / "data")]
    return [
        subprocess.Popen(
            [sys.executable, *CLI, "--raw-dir", str(raw), "--data-dir", str(data), *FIT],
            env=environment(**job, RANK=str(rank), LOCAL_RANK=str(rank)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, (raw, data) in enumerate(folders)
    ]


@pytest.fixture(scope="module")
def fitted(built: Built, raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = unfitted(built, tmp_path_factory.mktemp("torchrun") / "data")
    ended = torchrun(raw_dir, data_dir)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("model_full") == 1  # the second process says nothing
    return data_dir


def test_two_processes_make_the_files_of_one_and_other_weights(built: Built, fitted: Path) -> None:
    alone, together = (
        contents(folder) for folder in (built.layout.full_dir, Layout(fitted).full_dir)
    )

    assert together.keys() == alone.keys()
    networks = [name for name in together if name.endswith(".safetensors")]
    assert networks
    assert any(together[name] != alone[name] for name in networks)
    for name in networks:
        tensors = load_file(Layout(fitted).full_dir / name)
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert StampStore(Layout(fitted)).require("model_full").summary["n_processes"] == 2
    assert not list(Layout(fitted).full_dir.parent.glob(".full-resume-*"))


def test_a_second_call_finds_nothing_new_and_ends_all_processes(
    fitted: Path, raw_dir: Path
) -> None:
    before = contents(fitted)

    again = torchrun(raw_dir, fitted)

    assert again.returncode == 0, again.stderr
    assert again.stderr.count("nothing new") == 1
    assert contents(fitted) == before


def test_a_job_whose_second_process_is_killed_fails_and_goes_on_to_the_same_bytes(
    built: Built, fitted: Path, raw_dir: Path, tmp_path: Path
) -> None:
    data_dir, elsewhere = unfitted(built, tmp_path / "data"), tmp_path / "elsewhere"
    models = Layout(data_dir).full_dir.parent
    first, second = start_both(raw_dir, data_dir, elsewhere)
    while not list(models.glob(".full-resume-*/*/inverse-0.pt")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    second.kill()
    told = first.communicate(timeout=120)[1]
    second.communicate()

    resumed = start_both(raw_dir, data_dir, elsewhere)
    ended = [process.communicate(timeout=300) for process in resumed]

    assert first.returncode == 1
    assert "failed: model_full" in told
    assert [process.returncode for process in resumed] == [0, 0], ended
    assert contents(models) == contents(Layout(fitted).full_dir.parent)
    assert ended[1] == ("", "")
    assert not elsewhere.exists()
