"""The raw-folder sensor: when it asks for a run, and when it waits."""

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.orchestration.jobs import EVERYTHING, everything
from drug_pipeline.orchestration.sensors import Cursor, listing_fingerprint, look
from drug_pipeline.storage.raw.raw_files import METADATA_TABLES


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").mkdir()
    pq.write_table(pa.table({"x": [1]}), folder / "data" / "train-0.parquet")
    for name in METADATA_TABLES:
        pq.write_table(pa.table({"x": [1]}), folder / "metadata" / f"{name}.parquet")
    return folder


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def tick(
    instance: dg.DagsterInstance, raw_dir: Path, cursor: str | None
) -> tuple[dg.SkipReason | dg.RunRequest, str | None]:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return look(context, str(raw_dir)), context.cursor


def test_a_new_file_starts_a_run_once_it_has_stood_still_for_a_tick(
    instance: dg.DagsterInstance, raw_dir: Path
) -> None:
    first, cursor = tick(instance, raw_dir, None)
    second, cursor = tick(instance, raw_dir, cursor)
    third, _ = tick(instance, raw_dir, cursor)

    assert isinstance(first, dg.SkipReason)
    assert "waiting until they stand still" in str(first.skip_message)
    assert isinstance(second, dg.RunRequest)
    assert isinstance(third, dg.SkipReason)
    assert "Nothing new" in str(third.skip_message)


def test_a_file_that_still_grows_is_waited_for(instance: dg.DagsterInstance, raw_dir: Path) -> None:
    cursor = None
    for n_rows in (2, 300, 4_000):
        pq.write_table(pa.table({"x": list(range(n_rows))}), raw_dir / "data" / "train-1.parquet")
        result, cursor = tick(instance, raw_dir, cursor)
        assert isinstance(result, dg.SkipReason)

    result, _ = tick(instance, raw_dir, cursor)

    assert isinstance(result, dg.RunRequest)


def test_a_run_that_is_going_is_waited_for(instance: dg.DagsterInstance, raw_dir: Path) -> None:
    _, cursor = tick(instance, raw_dir, None)
    instance.add_run(
        dg.DagsterRun(
            job_name=EVERYTHING,
            run_id="0" * 8,
            status=dg.DagsterRunStatus.STARTED,
        )
    )

    result, after = tick(instance, raw_dir, cursor)

    assert isinstance(result, dg.SkipReason)
    assert "still going" in str(result.skip_message)
    assert after == cursor


def test_a_repeated_tick_asks_with_the_same_run_key(
    instance: dg.DagsterInstance, raw_dir: Path
) -> None:
    _, cursor = tick(instance, raw_dir, None)

    once, _ = tick(instance, raw_dir, cursor)
    again, _ = tick(instance, raw_dir, cursor)

    assert isinstance(once, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert once.run_key == again.run_key


def test_files_that_come_back_as_they_were_start_another_run(
    instance: dg.DagsterInstance, raw_dir: Path
) -> None:
    keys = []
    cursor = None
    extra = raw_dir / "data" / "train-1.parquet"
    for is_there in (False, True, False):
        if is_there:
            pq.write_table(pa.table({"x": [2]}), extra)
        else:
            extra.unlink(missing_ok=True)
        _, cursor = tick(instance, raw_dir, cursor)
        result, cursor = tick(instance, raw_dir, cursor)
        assert isinstance(result, dg.RunRequest)
        keys.append(result.run_key)

    assert len(set(keys)) == 3


def test_a_changed_metadata_table_counts_as_new(raw_dir: Path) -> None:
    before = listing_fingerprint(str(raw_dir))
    pq.write_table(pa.table({"x": [2]}), raw_dir / "metadata" / "drug_metadata.parquet")

    assert listing_fingerprint(str(raw_dir)) != before


def test_a_missing_folder_is_said_and_starts_nothing(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    result, _ = tick(instance, tmp_path / "nowhere", None)

    assert isinstance(result, dg.SkipReason)
    assert "nowhere" in str(result.skip_message)


def test_a_cursor_survives_being_kept_as_text() -> None:
    cursor = Cursor(seen="a", launched="b", n_launched=3)

    assert Cursor.parse(cursor.dump()) == cursor
    assert Cursor.parse(None) == Cursor()


def test_the_sensor_starts_the_job_of_everything() -> None:
    assert everything.name == EVERYTHING
