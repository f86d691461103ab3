"""Whatever the way to a set of raw files, the sums and Δ are the same bytes."""

import logging
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.ingest.workers.backend_config import BackendKind
from drug_pipeline.storage.pseudobulk import plates_in, read_plate_sums
from drug_pipeline_tests.integration.expression.conftest import Chain

FROZEN = PanelConfig(n_genes=60, policy="frozen")


def rewritten(path: Path, tables: list[pa.Table], row_group_size: int) -> None:
    pq.write_table(pa.concat_tables(tables), path, row_group_size=row_group_size)


def test_a_second_run_with_nothing_new_changes_no_byte(chain: Chain) -> None:
    chain.all()
    before = {path: path.stat().st_mtime_ns for path in chain.layout.root.rglob("*.npy")}

    result = chain.pseudobulk()

    assert not result.is_new
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(("backend", "workers"), [("local", 2), ("local", 3), ("processes", 2)])
def test_the_number_of_workers_changes_no_byte(
    chain: Chain, whole: Chain, backend: BackendKind, workers: int
) -> None:
    config = PseudobulkConfig(
        backend=backend, workers=workers, min_cells_per_worker=1, files_per_unit=2
    )

    chain.all(config)

    assert chain.bytes_of() == whole.bytes_of()


def test_a_memory_limit_of_one_plate_changes_no_byte(chain: Chain, whole: Chain) -> None:
    chain.all(PseudobulkConfig(workers=2, memory_limit_mb=1))

    assert chain.bytes_of() == whole.bytes_of()


def test_other_names_order_and_row_groups_change_no_sum(chain: Chain, whole: Chain) -> None:
    files = chain.data_files()
    tables = [pq.read_table(path) for path in files]
    for path in files:
        path.unlink()
    folder = chain.raw_dir / "data"
    backwards = tables[::-1]
    rewritten(folder / "b.parquet", [backwards[0], backwards[5], backwards[9]], 77)
    rewritten(folder / "a.parquet", [*backwards[1:5], *backwards[6:9]], 100_000)
    rewritten(folder / "c.parquet", backwards[10:], 500)

    chain.all()

    sums = {name: data for name, data in whole.bytes_of().items() if "state.json" not in name}
    assert {name: chain.bytes_of()[name] for name in sums} == sums


def test_files_that_come_later_are_added_and_the_result_is_the_same(
    chain: Chain, whole: Chain, tmp_path: Path
) -> None:
    later = chain.data_files()[1::2]
    for path in later:
        shutil.move(path, tmp_path / path.name)
    chain.all()
    for path in later[::-1]:
        shutil.move(tmp_path / path.name, path)
        chain.all()

    assert chain.bytes_of() == whole.bytes_of()


def test_only_the_plate_of_a_new_file_is_read(chain: Chain, tmp_path: Path) -> None:
    last = chain.data_files()[-1]
    shutil.move(last, tmp_path / last.name)
    chain.all(panel=FROZEN)
    shutil.move(tmp_path / last.name, last)

    result = chain.all(panel=FROZEN)

    summary = result.stamp.summary
    assert summary["n_cells_read"] == pq.read_metadata(last).num_rows
    assert (summary["n_plates_added_to"], summary["n_plates_made"]) == (1, 0)


def test_a_file_removed_again_leaves_no_trace(chain: Chain, tmp_path: Path) -> None:
    first, last = chain.data_files()[0], chain.data_files()[-1]
    shutil.move(last, tmp_path / last.name)
    chain.all(panel=FROZEN)
    before = chain.bytes_of()
    shutil.move(tmp_path / last.name, last)
    chain.all(panel=FROZEN)
    assert chain.bytes_of() != before

    last.unlink()
    result = chain.all(panel=FROZEN)

    assert first.exists()
    assert result.stamp.summary["n_plates_made"] == 1
    assert chain.bytes_of() == before


def test_a_plate_without_files_is_removed(chain: Chain) -> None:
    chain.all(panel=FROZEN)
    gone = plates_in(chain.layout.pseudobulk_dir)[0]
    for path in chain.data_files():
        if gone in pq.read_table(path, columns=["plate"]).column(0).unique().to_pylist():
            path.unlink()

    chain.all(panel=FROZEN)

    assert gone not in plates_in(chain.layout.pseudobulk_dir)
    assert gone not in plates_in(chain.layout.delta_dir)


def test_a_changed_file_makes_its_plate_anew(chain: Chain, whole: Chain) -> None:
    changed = chain.data_files()[3]
    table = pq.read_table(changed)
    pq.write_table(table.slice(0, 100), changed)
    chain.all(panel=FROZEN)
    pq.write_table(table, changed)

    summary = chain.all(panel=FROZEN).stamp.summary

    assert summary["n_plates_made"] == 1
    assert summary["n_cells"] == whole.pseudobulk().stamp.summary["n_cells"]


def test_another_panel_makes_all_plates_anew_and_says_what_it_costs(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.all()

    with caplog.at_level(logging.INFO):
        chain.panel(PanelConfig(n_genes=30))
        summary = chain.pseudobulk().stamp.summary

    assert summary["n_plates_made"] == summary["n_plates"]
    assert f"{summary['n_cells']} cells, about" in caplog.text
    assert "the gene panel has changed" in caplog.text


KILLED_RUN = """
    import sys
    from pathlib import Path
    from drug_pipeline.ingest import pseudobulk

    def progress(done, total, text):
        print(done, flush=True)

    if __name__ == "__main__":
        pseudobulk.build_pseudobulk(
            Layout(Path(sys.argv[1])),
            sys.argv[2],
            pseudobulk.PseudobulkConfig(memory_limit_mb=1),
            progress,
        )
"""


@pytest.mark.parametrize("n_ticks", [1, 9, 14])
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    chain: Chain, whole: Chain, tmp_path: Path, n_ticks: int
) -> None:
    chain.up_to_panel()
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED_RUN))
    command = [sys.executable, str(script), str(chain.layout.root), str(chain.raw_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(n_ticks):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)

    chain.all()

    assert chain.bytes_of() == whole.bytes_of()


def test_changed_doses_are_taken_over_without_reading_a_cell(chain: Chain) -> None:
    chain.all()
    path = chain.raw_dir / "metadata" / "sample_metadata.parquet"
    table = pq.read_table(path)
    texts = [text.replace("0.05", "0.06") for text in table.column("drugname_drugconc").to_pylist()]
    place = table.schema.get_field_index("drugname_drugconc")
    pq.write_table(table.set_column(place, "drugname_drugconc", pa.array(texts)), path)

    summary = chain.all().stamp.summary

    plate = plates_in(chain.layout.pseudobulk_dir)[0]
    assert summary["n_cells_read"] == 0
    assert 0.06 in set(read_plate_sums(chain.layout, plate).well_lines["dose_um"])


def test_leftovers_of_a_killed_run_are_removed(chain: Chain) -> None:
    chain.up_to_panel()
    leftover = chain.layout.pseudobulk_dir / ".abc.tmp"
    leftover.mkdir(parents=True)

    chain.pseudobulk()

    assert not leftover.exists()


def test_progress_ends_at_the_number_of_cells(chain: Chain) -> None:
    chain.up_to_panel()
    seen: list[tuple[int, int]] = []
    from drug_pipeline.ingest.plates.pseudobulk import build_pseudobulk

    result = build_pseudobulk(
        chain.layout,
        chain.raw_dir,
        PseudobulkConfig(),
        lambda done, total, _text: seen.append((done, total)),
    )

    n_cells = result.stamp.summary["n_cells"]
    assert seen[-1] == (n_cells, n_cells)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
