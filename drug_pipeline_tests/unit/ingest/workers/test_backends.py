"""Maps over units: in this process, in worker processes, with workers that die."""

import os
import signal
import time
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import ConfigurationError, RawDataError
from drug_pipeline.ingest.workers.backend_config import BackendConfig, Tick, WorkerLostError
from drug_pipeline.ingest.workers.backends import run_units


@pytest.fixture(autouse=True)
def importable_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import this module, so they need the folder above it in their path."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[3])


def double(unit: int, tick: Tick) -> int:
    tick(unit)
    return 2 * unit


def fail(unit: int, tick: Tick) -> int:
    tick(0)
    msg = f"unit {unit} is bad"
    raise RawDataError(msg)


def die_once(unit: Path, tick: Tick) -> str:
    """Kills its own process the first time it is run."""
    if not unit.exists():
        unit.write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    tick(1)
    return unit.name


def die(unit: int, tick: Tick) -> None:
    tick(unit)
    os.kill(os.getpid(), signal.SIGKILL)


ONE = BackendConfig()
THREADS = BackendConfig(workers=2)
PROCESSES = BackendConfig(kind="processes", workers=2)


@pytest.mark.parametrize("config", [ONE, THREADS, PROCESSES], ids=["one", "threads", "processes"])
def test_every_unit_is_done_once_and_its_cells_are_reported(config: BackendConfig) -> None:
    seen: list[int] = []

    results = dict(run_units(double, [3, 4, 5], config, seen.append))

    assert results == {0: 6, 1: 8, 2: 10}
    assert sum(seen) == 12


def test_a_worker_that_dies_costs_a_retry_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    units = [tmp_path / "a", tmp_path / "b"]

    results = dict(run_units(die_once, units, PROCESSES, lambda _: None))

    assert results == {0: "a", 1: "b"}
    assert "a worker died" in caplog.text


def test_workers_that_keep_dying_end_the_run_with_advice() -> None:
    config = BackendConfig(kind="processes", workers=2, max_retries=0)

    with pytest.raises(WorkerLostError, match="memory_limit_mb"):
        list(run_units(die, [1, 2], config, lambda _: None))


@pytest.mark.parametrize("config", [ONE, THREADS, PROCESSES], ids=["one", "threads", "processes"])
def test_an_error_of_a_unit_is_raised_as_it_is(config: BackendConfig) -> None:
    with pytest.raises(RawDataError, match="unit 7 is bad"):
        list(run_units(fail, [7, 7, 7], config, lambda _: None))


def test_local_workers_are_threads_while_they_are_few() -> None:
    assert not BackendConfig(workers=8).uses_processes
    assert BackendConfig(workers=9).uses_processes
    assert not BackendConfig(kind="processes", workers=1).uses_processes


@pytest.mark.parametrize(
    "config", [{"kind": "spark"}, {"workers": 0}, {"max_retries": -1}], ids=str
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=str(next(iter(config.values())))):
        BackendConfig(**config)  # type: ignore[arg-type]


def fail_first_then_leave_a_trace(unit: Path, tick: Tick) -> None:
    tick(0)
    time.sleep(0.2)
    if unit.name == "0":
        msg = "unit 0 is bad"
        raise RawDataError(msg)
    unit.write_text("done")


def test_after_an_error_no_further_unit_is_started(tmp_path: Path) -> None:
    units = [tmp_path / str(number) for number in range(40)]

    results = run_units(
        fail_first_then_leave_a_trace, units, BackendConfig(workers=2), lambda _: None
    )
    with pytest.raises(RawDataError, match="unit 0 is bad"):
        dict(results)

    assert len(list(tmp_path.iterdir())) < 20
