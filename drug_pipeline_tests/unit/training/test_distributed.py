"""Two processes over gloo, as ``torchrun`` starts them, and what each GPU of several does."""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.settings import rank_in_job
from drug_pipeline.settings.loading import SET_BY_TORCHRUN
from drug_pipeline.training.parallel.devices import (
    device_in_turn,
    n_concurrent,
    refuse_shared_devices,
)

MODULE = "drug_pipeline_tests.unit.training.one_of_group"
N_STEPS = 6 * 2
"""Six epochs of four batches, two for each process."""


def run_team(what: str, folder: Path) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of both processes, the first one's first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        **os.environ,
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OMP_NUM_THREADS": "1",
    }
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", MODULE, what, str(folder)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        ended = [job.communicate(timeout=120) for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    return [(job.returncode, *texts) for job, texts in zip(jobs, ended, strict=True)]


def noted(folder: Path) -> list[list[str]]:
    return [(folder / f"rank-{rank}.txt").read_text().splitlines() for rank in (0, 1)]


def test_processes_in_step_have_the_same_weights_and_resume_exactly(tmp_path: Path) -> None:
    first, second = run_team("train", tmp_path)

    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    whole, resumed = first[1].splitlines()
    assert whole == resumed
    weights = noted(tmp_path)
    assert weights[0] == weights[1]
    assert weights[0][N_STEPS // 2 : N_STEPS] == weights[0][N_STEPS:]
    assert len(set(weights[0])) == N_STEPS
    assert second[1] == ""


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_all_and_the_next_training_goes_on(tmp_path: Path) -> None:
    first, second = run_team("nan", tmp_path)

    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    told, weights = first[1].splitlines()
    assert "the gradient of one of 2 processes is not finite at epoch 1, step 2" in told
    assert all(math.isfinite(float(weight)) for weight in weights.split())
    steps = noted(tmp_path)
    assert steps[0] == steps[1]
    assert len(steps[0]) == 3 + N_STEPS


@pytest.mark.slow
@pytest.mark.parametrize("what", ["killed", "disk full"], ids=["second-killed", "first-fails"])
def test_a_process_that_ends_in_the_middle_ends_the_other_with_an_error(
    what: str, tmp_path: Path
) -> None:
    first, second = run_team(what, tmp_path)

    assert first[0] == 1
    assert second[0] == (-9 if what == "killed" else 1)
    assert first[1] == ""
    assert "Connection" in (first if what == "killed" else second)[2]


def test_a_place_in_a_job_is_read_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", *SET_BY_TORCHRUN):
        monkeypatch.delenv(name, raising=False)
    assert rank_in_job() is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert rank_in_job() is None

    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ConfigurationError, match=r"WORLD_SIZE is 4, but LOCAL_RANK, .*`torchrun"):
        rank_in_job()

    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    rank = rank_in_job()
    assert rank is not None
    assert (rank.rank, rank.world_size, rank.local_rank, rank.local_world_size) == (3, 4, 1, 1)
    assert not rank.is_first


def test_processes_take_gpus_in_turn() -> None:
    assert [device_in_turn(rank, 2) for rank in range(5)] == [0, 1, 0, 1, 0]
    assert device_in_turn(3, 0) is None


@pytest.mark.parametrize(
    ("device", "n_gpus", "is_grouped", "expected"),
    [
        pytest.param("auto", 0, False, 2, id="as configured without a GPU"),
        pytest.param("auto", 1, False, 2, id="as configured on one GPU"),
        pytest.param("auto", 4, False, 4, id="one a GPU"),
        pytest.param("cpu", 4, False, 2, id="GPUs that are not asked for"),
        pytest.param("auto", 4, True, 1, id="a group fits one split after the other"),
    ],
)
def test_as_many_splits_are_fitted_side_by_side_as_there_are_gpus(
    device: str, n_gpus: int, is_grouped: bool, expected: int
) -> None:
    assert n_concurrent(2, device, n_gpus=n_gpus, is_grouped=is_grouped) == expected


def test_more_processes_than_gpus_are_refused() -> None:
    refuse_shared_devices(2, 2)
    with pytest.raises(ConfigurationError, match="4 processes on this machine, but torch sees 2"):
        refuse_shared_devices(4, 2)
