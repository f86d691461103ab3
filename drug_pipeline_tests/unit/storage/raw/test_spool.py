"""Copies of remote files: never more than allowed, also over processes, and none left behind."""

import multiprocessing
import pickle
import threading
import time
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import ConfigurationError, RawDataError
from drug_pipeline.storage.raw.spool import Fetch, Spool, SpoolConfig, remove_stale_copies


@pytest.fixture
def config(tmp_path: Path) -> SpoolConfig:
    return SpoolConfig(folder=tmp_path / "spool", n_files=2)


def content(text: str) -> Fetch:
    def fetch(path: Path) -> None:
        path.write_text(text)

    return fetch


def copies(config: SpoolConfig) -> list[Path]:
    return sorted(config.folder.glob("*.parquet"))


def test_a_copy_is_there_while_it_is_read_and_gone_afterwards(config: SpoolConfig) -> None:
    spool = Spool(config)

    with spool.copy("a", content("of a")) as path:
        assert path.read_text() == "of a"

    assert copies(config) == []


def test_a_held_copy_is_fetched_once_for_all_readings(config: SpoolConfig) -> None:
    spool, fetched = Spool(config), []

    with spool.holding("a"):
        assert not spool.has("a")
        for _ in range(3):
            with spool.copy("a", lambda path: fetched.append(path.write_text("a"))):
                assert spool.has("a")

    assert len(fetched) == 1
    assert copies(config) == []


def test_a_fetch_that_fails_frees_its_place(config: SpoolConfig) -> None:
    spool = Spool(config)

    def fail(path: Path) -> None:
        path.write_text("half")
        msg = "cut"
        raise RawDataError(msg)

    for _ in range(3):
        with pytest.raises(RawDataError, match="cut"), spool.copy("a", fail):
            pass
    assert copies(config) == []
    with spool.copy("a", content("whole")) as path:
        assert path.read_text() == "whole"


def test_files_are_fetched_ahead_in_order_and_never_more_than_allowed(config: SpoolConfig) -> None:
    spool, most, fetched = Spool(config), 0, []
    files = [(name, named(name, fetched)) for name in "abcdefgh"]

    with spool.fetching_ahead(files):
        for name, fetch in files:
            with spool.copy(name, fetch) as path:
                ahead = min(len("abcdefgh"), "abcdefgh".index(name) + 2)
                until = time.monotonic() + 30
                while len(fetched) < ahead and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(0.02)  # one more would be fetched by now
                assert len(fetched) == ahead
                most = max(most, len(copies(config)))
                assert path.read_text() == name

    assert fetched == list("abcdefgh")
    assert most == 2
    assert copies(config) == []


def named(name: str, fetched: list[str]) -> Fetch:
    def fetch(path: Path) -> None:
        fetched.append(name)
        path.write_text(name)

    return fetch


def test_one_place_is_enough(tmp_path: Path) -> None:
    spool = Spool(SpoolConfig(folder=tmp_path, n_files=1))
    files = [(name, content(name)) for name in "abc"]

    with spool.fetching_ahead(files):
        for name, fetch in files:
            with spool.copy(name, fetch) as path:
                assert path.read_text() == name


def test_what_was_fetched_ahead_and_never_read_is_deleted(config: SpoolConfig) -> None:
    spool = Spool(config)

    with spool.fetching_ahead([(name, content(name)) for name in "abcd"]):
        while len(copies(config)) < 2:
            time.sleep(0.01)

    assert copies(config) == []
    with spool.copy("z", content("z")) as path:
        assert path.read_text() == "z"


def test_an_error_of_a_fetch_ahead_reaches_who_reads_that_file(config: SpoolConfig) -> None:
    spool = Spool(config)

    def fail(path: Path) -> None:
        msg = "b is gone"
        raise RawDataError(msg)

    with spool.fetching_ahead([("a", content("a")), ("b", fail)]):
        with spool.copy("a", content("a")) as path:
            assert path.read_text() == "a"
        with pytest.raises(RawDataError, match="b is gone"), spool.copy("b", fail):
            pass


def test_threads_share_the_places(config: SpoolConfig) -> None:
    spool, most, intact = Spool(config), [], []

    def read(name: str) -> None:
        with spool.copy(name, content(name)) as path:
            most.append(len(copies(config)))
            time.sleep(0.02)
            assert path.read_text() == name
            intact.append(name)

    threads = [threading.Thread(target=read, args=(f"file {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(intact) == 8
    assert max(most) <= 2


def _take_and_die(config: SpoolConfig, taken: "multiprocessing.synchronize.Event") -> None:
    with Spool(config).copy("a", content("left behind")):
        taken.set()
        time.sleep(60)


def test_the_places_of_a_killed_process_are_free_again(config: SpoolConfig) -> None:
    context = multiprocessing.get_context("spawn")
    taken = context.Event()
    process = context.Process(target=_take_and_die, args=(config, taken))
    process.start()
    assert taken.wait(30)
    assert remove_stale_copies(config) == 0  # in use
    process.kill()
    process.join()

    assert [path.read_text() for path in copies(config)] == ["left behind"]
    with Spool(config).copy("b", content("b")), Spool(config).copy("c", content("c")):
        assert sorted(path.read_text() for path in copies(config)) == ["b", "c"]
    (config.folder / "slot-7.parquet").write_text("of a larger spool")
    assert remove_stale_copies(config) == 1
    assert copies(config) == []


def test_a_spool_travels_to_another_process_without_its_copies(config: SpoolConfig) -> None:
    spool = Spool(config)

    with spool.holding("a"):
        assert not pickle.loads(pickle.dumps(spool)).is_held("a")


def test_no_place_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="0 files cannot be streamed"):
        SpoolConfig(folder=tmp_path, n_files=0)
