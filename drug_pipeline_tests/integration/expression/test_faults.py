"""What goes wrong around a reduction: another run, too little memory, a worker that is killed."""

import functools
import multiprocessing
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.raw import raw_cells
from drug_pipeline.storage import build
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import plates_in
from drug_pipeline.synthetic import SyntheticConfig, generate
from drug_pipeline_tests.integration.expression.conftest import Chain

OTHER_RUN = """
    import sys, time
    from pathlib import Path
    from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
    from drug_pipeline.storage.layout import Layout

    def progress(done, total, text):
        print(done, flush=True)
        time.sleep(0.1)

    if __name__ == "__main__":
        layout = Layout(Path(sys.argv[1]))
        build_pseudobulk(layout, sys.argv[2], PseudobulkConfig(), progress)
"""


def test_a_second_run_on_the_same_folder_waits_and_finds_nothing_left_to_do(
    chain: Chain, whole: Chain, tmp_path: Path
) -> None:
    chain.up_to_panel()
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(OTHER_RUN))
    command = [sys.executable, str(script), str(chain.layout.root), str(chain.raw_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()  # it is in the middle of its work

        result = chain.pseudobulk()

        other.stdout.read()
    assert other.returncode == 0
    assert not result.is_new
    sums = {name: data for name, data in whole.bytes_of().items() if name.startswith("pseudobulk")}
    assert {name: chain.bytes_of()[name] for name in sums} == sums


def test_a_run_that_would_wait_too_long_says_who_is_in_the_way(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.up_to_panel()
    impatient = functools.partial(build.folder_lock, timeout_seconds=0.2)
    monkeypatch.setattr(build, "folder_lock", impatient)
    held = FileLock(chain.layout.manifest_dir / ".lock")  # not the one that a process shares

    with held, pytest.raises(build.FolderBusyError, match=str(chain.layout.root)):
        chain.pseudobulk()

    assert chain.pseudobulk().is_new


def test_a_memory_limit_below_one_plate_is_told_before_a_cell_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "raw", SyntheticConfig.preset("tiny", n_genes=800))
    chain = Chain(raw_dir=tmp_path / "raw", layout=Layout(tmp_path / "data"))
    chain.up_to_panel(panel=PanelConfig(n_genes=800, min_detected_frac=0.0))
    monkeypatch.setattr(raw_cells, "_batches", None)  # reading would fail

    with pytest.raises(ConfigurationError, match=r"take [1-9][\d,]* MB.*at most [\d,]+ genes"):
        chain.pseudobulk(PseudobulkConfig(memory_limit_mb=1))

    assert plates_in(chain.layout.pseudobulk_dir) == []


def test_a_worker_killed_in_the_middle_costs_a_retry_and_no_byte(
    chain: Chain, whole: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.up_to_panel()
    config = PseudobulkConfig(
        backend="processes", workers=2, min_cells_per_worker=1, files_per_unit=2
    )
    killed: list[int] = []

    def kill_a_worker(done: int, total: int, _text: str) -> None:
        if not killed and 0 < done < total:
            worker = multiprocessing.active_children()[0]
            worker.kill()
            killed.append(worker.pid or 0)

    build_pseudobulk(chain.layout, chain.raw_dir, config, kill_a_worker)
    chain.delta()

    assert killed
    assert "a worker died" in caplog.text
    assert chain.bytes_of() == whole.bytes_of()
