"""How processes of ours begin and end: with an error, with Ctrl-C, with a killed caller."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import RawDataError
from drug_pipeline.domain.marks import Marks
from drug_pipeline.domain.workers import worker_pool
from drug_pipeline.ingest.workers.backend_config import BackendConfig, Tick
from drug_pipeline.ingest.workers.backends import run_units

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
LONG_SECONDS = 300


@pytest.fixture(autouse=True)
def importable_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def work_long(unit: Path, tick: Tick) -> None:
    """Leaves its process's number, then works for minutes, reporting as it goes."""
    unit.write_text(str(os.getpid()))
    for _ in range(LONG_SECONDS * 20):
        tick(1)
        time.sleep(0.05)


def fail_when_others_work(unit: Path, tick: Tick) -> None:
    if unit.name != "bad":
        work_long(unit, tick)
    wait_until(lambda: len(pids_in(unit.parent)) == 1, "the other unit to start")
    msg = "the unit is bad"
    raise RawDataError(msg)


def pids_in(folder: Path) -> list[int]:
    texts = [path.read_text() for path in folder.iterdir() if path.is_file()]
    return [int(text) for text in texts if text]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(is_so, what: str, seconds: float = PATIENCE_SECONDS) -> float:
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < seconds, f"waited in vain for {what}"
        time.sleep(0.05)
    return time.monotonic() - start


def caller_of_two(folder: Path, kind: str) -> subprocess.Popen[bytes]:
    """A process whose two workers work for minutes; returned when both do."""
    script = f"""
    from pathlib import Path
    from drug_pipeline.ingest.workers.backend_config import BackendConfig
    from drug_pipeline.ingest.workers.backends import run_units
    from drug_pipeline_tests.unit.test_workers import work_long

    if __name__ == "__main__":
        folder = Path({str(folder)!r})
        config = BackendConfig(kind={kind!r}, workers=2)
        list(run_units(work_long, [folder / "a", folder / "b"], config, lambda _: None))
    """
    path = folder.with_name("caller.py")
    path.write_text(textwrap.dedent(script))
    folder.mkdir()
    paths = os.pathsep.join([str(ROOT), *sys.path])
    caller = subprocess.Popen(
        [sys.executable, str(path)],
        env=os.environ | {"PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: len(pids_in(folder)) == 2, "two workers")
    return caller


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_of_a_killed_caller_end_with_it(tmp_path: Path, number: signal.Signals) -> None:
    caller = caller_of_two(tmp_path / "pids", "processes")
    workers = pids_in(tmp_path / "pids")
    assert caller.pid not in workers

    caller.send_signal(number)

    caller.wait(timeout=PATIENCE_SECONDS)
    wait_until(lambda: not any(map(is_running, workers)), "the workers to end", seconds=10)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_ctrl_c_ends_a_run_within_seconds(tmp_path: Path, kind: str) -> None:
    caller = caller_of_two(tmp_path / "pids", kind)

    start = time.monotonic()
    os.killpg(caller.pid, signal.SIGINT)  # as a terminal does: to all of its processes

    caller.wait(timeout=PATIENCE_SECONDS)
    assert time.monotonic() - start < 10
    assert not any(map(is_running, pids_in(tmp_path / "pids")))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_error_in_one_unit_ends_the_others_and_does_not_wait_for_them(
    tmp_path: Path, kind: str
) -> None:
    config = BackendConfig(kind=kind, workers=2)  # type: ignore[arg-type]
    units = [tmp_path / "bad", tmp_path / "long"]

    start = time.monotonic()
    with pytest.raises(RawDataError, match="the unit is bad"):
        list(run_units(fail_when_others_work, units, config, lambda _: None))

    assert time.monotonic() - start < PATIENCE_SECONDS
    if kind == "processes":
        assert not any(map(is_running, pids_in(tmp_path)))


def as_in_the_background() -> None:
    """In a child that is about to start: what a shell, nohup or cron may have set for it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def test_a_command_started_in_the_background_ends_when_it_is_told_to(tmp_path: Path) -> None:
    arguments = ["synth", "--preset", "large", "--out", str(tmp_path / "screen")]
    command = subprocess.Popen(
        [sys.executable, "-m", "drug_pipeline.cli", *arguments],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=as_in_the_background,
    )
    wait_until((tmp_path / "screen").exists, "the command to write")

    command.send_signal(signal.SIGTERM)

    assert command.wait(timeout=PATIENCE_SECONDS) == 130


def test_a_worker_can_be_ended_whatever_its_caller_ignores() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with worker_pool(1) as pool:
            handlers = [
                pool.submit(signal.getsignal, number).result(timeout=PATIENCE_SECONDS)
                for number in (signal.SIGTERM, signal.SIGINT)
            ]
    finally:
        signal.signal(signal.SIGTERM, before)

    assert handlers == [signal.SIG_DFL, signal.SIG_IGN]


@pytest.mark.parametrize(
    ("hard", "said"),
    [(64, "may have 64 files open at a time.*`ulimit -n 512`"), (4_096, "^512$")],
    ids=["fixed-too-low", "may-be-raised"],
)
def test_the_limit_on_open_files_is_raised_or_named(hard: int, said: str) -> None:
    script = f"""
    import resource
    from drug_pipeline.domain.errors import ConfigurationError
    from drug_pipeline.domain.workers import allow_open_files

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
    try:
        allow_open_files(512)
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    except ConfigurationError as error:
        print(error)
    """

    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True
    )

    assert re.search(said, shown.stdout.strip()), shown


def holder_of(marks: Marks, name: str) -> subprocess.Popen[str]:
    """A process that holds a mark until it is killed."""
    script = f"""
    import time
    from pathlib import Path
    from drug_pipeline.domain.marks import Marks

    with Marks(Path({str(marks.folder)!r})).held({name!r}):
        print("held", flush=True)
        time.sleep({LONG_SECONDS})
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_only_the_mark_of_a_process_that_is_gone_is_left(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks")
    with holder_of(marks, "here") as here, holder_of(marks, "gone") as gone:
        gone.kill()
        gone.wait()

        with marks.held("own"), marks.held("own"):
            assert marks.left() == ["gone"]
        here.kill()


def test_a_mark_is_gone_with_its_block_unless_that_ends_badly(tmp_path: Path) -> None:
    marks = Marks(tmp_path)
    with marks.held("well"):
        pass
    with pytest.raises(RuntimeError), marks.held("badly"):
        raise RuntimeError

    assert marks.left() == ["badly"]
    marks.remove("badly")
    assert marks.left() == []
