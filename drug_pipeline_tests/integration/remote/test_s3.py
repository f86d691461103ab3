"""A raw folder on S3: the same bytes as from the local disk, whatever the network does."""

import logging
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import RawAccessError, RawDataError
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawFolder, RawSource
from drug_pipeline.storage.raw.spool import SpoolConfig
from drug_pipeline_tests.integration.remote.conftest import Chain, patient
from drug_pipeline_tests.integration.remote.fault_proxy import (
    Fault,
    FaultProxy,
    Seen,
    forbidden,
    late,
    reset,
    server_error,
    silent,
    slow_down,
    truncated,
)

At = Callable[[str], RawSource]


def test_a_screen_on_s3_gives_the_bytes_of_the_local_one(on_s3: Chain, local: Chain) -> None:
    on_s3.all()

    assert on_s3.everything() == local.everything()


@pytest.mark.slow
def test_a_second_run_over_s3_fetches_no_data(on_s3: Chain, proxy: FaultProxy) -> None:
    on_s3.reduced()
    proxy.seen.clear()

    before = on_s3.sums()
    on_s3.reduced()

    assert on_s3.sums() == before
    assert proxy.fetched(r"^GET .*/data/.*\.parquet") == []


def test_a_folder_on_s3_travels_to_another_process(folder: RawFolder) -> None:
    copy = pickle.loads(pickle.dumps(folder))

    assert copy.data_files() == folder.data_files()
    with copy.reading(copy.data_files()[0]) as stream:
        assert pq.ParquetFile(stream).metadata.num_rows > 0


def test_errors_resets_and_broken_answers_are_survived_with_the_same_bytes(
    on_s3: Chain, local: Chain, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = (server_error, slow_down, reset, truncated, late(0.1))
    proxy.misbehave(r"^(GET|HEAD) ", *kinds, every=4)
    with caplog.at_level(logging.WARNING):
        on_s3.all()

    assert proxy.n_broken > 50
    assert on_s3.everything() == local.everything()
    assert "try 2 of 4 in 0.0 s" in caplog.text


@pytest.mark.parametrize("request_kind", ["GET .*list-type", "HEAD"], ids=["listing", "lookup"])
@pytest.mark.parametrize("fault", [server_error, slow_down, reset], ids=["500", "503", "reset"])
def test_listings_and_lookups_are_tried_again_too(
    folder: RawFolder, proxy: FaultProxy, request_kind: str, fault: Fault
) -> None:
    expected = folder.data_files()
    proxy.misbehave(f"^{request_kind}", fault, times=2)

    assert folder.data_files() == expected
    assert folder.stat(expected[0].name) == expected[0]
    assert proxy.n_broken == 2


def test_a_silent_connection_is_given_up_and_made_anew(
    folder: RawFolder, proxy: FaultProxy, screen: Path
) -> None:
    file = folder.data_files()[0]
    proxy.misbehave(r"^GET .*/data/.*\.parquet", silent(8.0), times=1)

    with folder.reading(file) as stream:
        content = stream.read()

    assert proxy.n_broken == 1
    assert content == (screen / "data" / file.name).read_bytes()


def test_a_read_that_broke_goes_on_where_it_was(source: At, bucket: str, proxy: FaultProxy) -> None:
    folder = RawFolder(source(bucket))
    file = max(folder.data_files(), key=lambda file: file.size_bytes)
    with folder.reading(file) as stream:
        stream.read(file.size_bytes // 2)
        proxy.seen.clear()
        proxy.misbehave(r"^GET .*/data/.*\.parquet", reset, times=1)
        rest = stream.read()

    sizes = [seen.n_bytes for seen in proxy.fetched(r"^GET .*/data/.*\.parquet")]
    assert sizes == [len(rest)] * 2
    assert len(rest) == file.size_bytes - file.size_bytes // 2


@pytest.mark.parametrize(
    ("stage", "fault"),
    [
        pytest.param("inventory", server_error, id="500 in the inventory", marks=pytest.mark.slow),
        pytest.param("pseudobulk", truncated, id="cut short in the pseudobulk"),
    ],
)
def test_a_store_that_stays_broken_ends_the_run_and_the_next_one_finishes_it(
    on_s3: Chain, local: Chain, proxy: FaultProxy, stage: str, fault: Fault
) -> None:
    if stage == "pseudobulk":
        on_s3.up_to_panel()
    name = RawFolder(on_s3.raw).data_files()[3].name
    proxy.misbehave(f"^GET .*/data/{name}", fault)

    with pytest.raises(RawAccessError, match=rf"{name}.*failed 4 times.*Check network.*run again"):
        on_s3.reduced()

    assert on_s3.half_written() == []
    assert not (on_s3.layout.pseudobulk_dir).exists() or stage == "pseudobulk"
    proxy.behave()
    assert on_s3.reduced().sums() == local.sums()


def test_the_waits_double_and_are_bounded(folder: RawFolder, source: At, bucket: str) -> None:
    retries = patient(source(bucket), n_retries=9, backoff_seconds=1.0).remote.retries

    assert [retries.wait_seconds(attempt) for attempt in (1, 2, 3, 6, 7, 8)] == [
        1.0,
        2.0,
        4.0,
        32.0,
        60.0,
        60.0,
    ]


def test_a_refusal_is_not_tried_again_and_says_how_to_give_credentials(
    folder: RawFolder, proxy: FaultProxy
) -> None:
    proxy.misbehave("list-type", forbidden)

    with pytest.raises(RawAccessError, match=r"refuses.*ACCESS_DENIED.*AWS_ACCESS_KEY_ID"):
        folder.data_files()

    assert proxy.n_broken == 1


def test_a_missing_bucket_is_named(source: At) -> None:
    with pytest.raises(RawAccessError, match=r"no-such/raw/data.*There is no such bucket"):
        RawFolder(source("no-such/raw")).data_files()


def test_a_missing_prefix_is_named(source: At, bucket: str) -> None:
    with pytest.raises(RawDataError, match=r"screen/nothing/data does not exist"):
        RawFolder(source(f"{bucket.split('/')[0]}/nothing")).data_files()


def test_a_store_that_is_not_there_is_said_to_be_so(source: At, proxy: FaultProxy) -> None:
    lost = patient(source("screen/raw"), n_retries=1)
    lost = replace(lost, remote=replace(lost.remote, s3_endpoint="http://127.0.0.1:9"))

    with pytest.raises(RawAccessError, match=r"listing screen/raw/data: failed 2 times"):
        RawFolder(lost).data_files()


def overwrite(s3: pafs.S3FileSystem, path: str, content: bytes) -> None:
    with s3.open_output_stream(path) as stream:
        stream.write(content)


def disturbed_once(
    proxy: FaultProxy, name: str, disturb: Callable[[], None], after: int
) -> Callable[[Seen], None]:
    """Disturb when a file has been asked for so many times."""
    count = 0

    def before_answer(seen: Seen) -> None:
        nonlocal count
        if seen.method == "GET" and name in seen.path:
            count += 1
            if count == after:
                disturb()

    return before_answer


@pytest.mark.parametrize(
    ("event", "is_streamed"),
    [
        pytest.param("vanishes", False, marks=pytest.mark.slow),
        pytest.param("shrinks", False, marks=pytest.mark.slow),
        ("is replaced", False),
        pytest.param("vanishes", True, marks=pytest.mark.slow),
        pytest.param("is replaced", True, marks=pytest.mark.slow),
    ],
)
def test_an_object_that_changes_while_it_is_reduced_stops_the_run_and_is_not_called_bad(
    source: At,
    own_bucket: str,
    s3: pafs.S3FileSystem,
    proxy: FaultProxy,
    tmp_path: Path,
    local: Chain,
    event: str,
    is_streamed: bool,
) -> None:
    raw = source(own_bucket)
    if is_streamed:
        raw = replace(raw, spool=SpoolConfig(folder=tmp_path / "spool", n_files=2))
    chain = Chain(raw=raw, layout=Layout(tmp_path / "made"))
    chain.up_to_panel()
    name = RawFolder(raw).data_files()[2].name
    path = f"{own_bucket}/data/{name}"
    with s3.open_input_stream(path) as stream:
        content = stream.read()

    def disturb() -> None:
        if event == "vanishes":
            s3.delete_file(path)
        elif event == "shrinks":
            overwrite(s3, path, content[: len(content) // 2])
        else:  # same size, and most likely the same second
            overwrite(s3, path, content[:1000] + bytes(1000) + content[2000:])

    proxy.before_answer = disturbed_once(proxy, name, disturb, after=1 if is_streamed else 2)
    with pytest.raises(RawDataError, match=rf"{name}.*(no longer|changed|not the one inventoried)"):
        chain.pseudobulk()

    assert chain.half_written() == []
    overwrite(s3, path, content)
    assert chain.reduced().sums() == local.sums()


def test_an_object_replaced_within_the_second_is_noticed(source: At, s3: pafs.S3FileSystem) -> None:
    s3.create_dir("hasty")
    overwrite(s3, "hasty/raw/data/a.parquet", b"first content")
    folder = RawFolder(source("hasty/raw"))
    (file,) = folder.data_files()

    with pytest.raises(RawDataError, match=r"a\.parquet changed"), folder.reading(file):
        overwrite(s3, "hasty/raw/data/a.parquet", b"other content")


def test_metadata_that_cannot_be_fetched_are_not_called_missing(
    folder: RawFolder, proxy: FaultProxy
) -> None:
    proxy.misbehave("metadata/drug", server_error)

    with pytest.raises(RawAccessError, match=r"metadata/drug_metadata.*failed 4 times"):
        folder.metadata_table("drug_metadata")
    proxy.misbehave("GET .*metadata/drug", server_error, times=1)
    assert isinstance(folder.metadata_table("drug_metadata"), pa.Table)
