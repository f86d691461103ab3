"""Runs that were killed, two that begin at once, and a history that cannot be used."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from drug_pipeline.definitions import build_defs
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.orchestration.dead_runs import end_dead_runs, marks_of, sweep
from drug_pipeline.orchestration.jobs import EVERYTHING
from drug_pipeline.orchestration.launch import HistoryError, launch, open_history, select_assets
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.build import folder_lock
from drug_pipeline.storage.layout import Layout

KILLED = """
import os, signal, sys
from pathlib import Path
from drug_pipeline.domain.marks import Marks

with Marks(Path(sys.argv[1])).held(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
OPEN = """
import sys
from pathlib import Path
from drug_pipeline.orchestration.launch import open_history
from drug_pipeline.storage.layout import Layout

print("ready", flush=True)
sys.stdin.readline()
with open_history(Layout(Path(sys.argv[1]))) as history:
    print(history.get_runs_count())
"""


@pytest.fixture(autouse=True)
def no_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "made")


def started(history: dg.DagsterInstance, run_id: str) -> str:
    history.add_run(
        dg.DagsterRun(job_name=EVERYTHING, run_id=run_id, status=dg.DagsterRunStatus.STARTED)
    )
    return run_id


def kill_one(layout: Layout, run_id: str) -> None:
    """A process that marks a run as its own and is killed."""
    subprocess.run([sys.executable, "-c", KILLED, str(marks_of(layout).folder), run_id], timeout=60)


def status_of(history: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = history.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_process_is_gone_is_failed_and_others_are_let_be(layout: Layout) -> None:
    with dg.DagsterInstance.ephemeral() as history:
        dead, alive, unmarked = (started(history, name) for name in ("dead", "alive", "unmarked"))
        kill_one(layout, dead)
        kill_one(layout, "of-another-history")

        with marks_of(layout).held(alive):
            end_dead_runs(history, layout)

        assert status_of(history, dead) == dg.DagsterRunStatus.FAILURE
        assert status_of(history, alive) == dg.DagsterRunStatus.STARTED
        assert status_of(history, unmarked) == dg.DagsterRunStatus.STARTED
    assert marks_of(layout).left() == ["of-another-history"]


def test_the_next_run_clears_away_what_a_killed_one_left(tmp_path: Path, layout: Layout) -> None:
    half = layout.root / "reports" / ".evaluation.0a1b.tmp"
    half.mkdir(parents=True)
    settings = load_settings(raw_dir=str(tmp_path / "none"), data_dir=layout.root, tracking=False)
    defs = build_defs(settings)
    with open_history(layout) as history:
        dead = started(history, "dead")
        kill_one(layout, dead)

        outcome = launch(defs, history, select_assets(defs, "raw_tahoe"))

        assert [failure.about for failure in outcome.failures] == ["raw_tahoe"]
        assert status_of(history, dead) == dg.DagsterRunStatus.FAILURE
        assert status_of(history, outcome.run_id) == dg.DagsterRunStatus.FAILURE
    assert not half.exists()
    assert not list(marks_of(layout).folder.iterdir())


def test_a_folder_is_swept_in_a_process_that_has_its_lock_from_an_earlier_run(
    layout: Layout,
) -> None:
    half = layout.root / "reports" / ".evaluation.0a1b.tmp"
    half.mkdir(parents=True)
    earlier = folder_lock(layout)

    sweep(layout)

    assert not half.exists()
    assert not earlier.is_locked


def opener(layout: Layout) -> subprocess.Popen[str]:
    """A process that is ready to open the history, and does so when it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(layout.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_second_first_run_waits_for_the_history_that_another_makes(layout: Layout) -> None:
    with opener(layout) as first, opener(layout) as second:
        assert first.stdin is not None
        assert second.stdin is not None
        print("go", file=first.stdin, flush=True)
        while not list(layout.root.glob(".dagster.tmp/history/runs.db")):
            assert first.poll() is None
            time.sleep(0.001)
        first.send_signal(signal.SIGSTOP)
        print("go", file=second.stdin, flush=True)
        time.sleep(0.5)  # enough to spoil it, had it not to wait
        first.send_signal(signal.SIGCONT)

        said = [process.communicate(timeout=120) for process in (first, second)]

    assert [out for out, _ in said] == ["0\n", "0\n"], said


def test_a_history_that_was_half_made_is_made_anew(layout: Layout) -> None:
    half = layout.root / ".dagster.tmp"
    (half / "history").mkdir(parents=True)
    (half / "history" / "runs.db").write_bytes(b"half")

    with open_history(layout) as history:
        assert history.get_runs_count() == 0

    assert not half.exists()


def test_a_history_that_is_no_database_is_named_with_a_remedy(layout: Layout) -> None:
    with open_history(layout):
        pass
    (layout.root / "dagster" / "history" / "runs.db").write_bytes(b"no database" * 1_000)

    with pytest.raises(HistoryError, match=r"made cannot be used: .*move .*dagster away"):
        open_history(layout).__enter__()


@pytest.mark.parametrize("home", [".", "no/such/folder", "/no/such/folder"])
def test_a_dagster_home_that_dagster_does_not_take_is_named_with_a_remedy(
    layout: Layout, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)

    with pytest.raises(ConfigurationError, match=r"DAGSTER_HOME.*absolute path.*or unset it"):
        open_history(layout).__enter__()
