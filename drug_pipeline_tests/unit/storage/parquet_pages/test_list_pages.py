"""Lists read from Parquet pages: what Arrow reads, or nothing; also from damaged pages."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.storage.parquet_pages.list_pages import read_lists
from drug_pipeline.storage.parquet_pages.page_headers import PageFormError, read_header

COLUMNS = ("genes", "expressions")
N_ROWS = 60


def table_of(seed: int = 0, n_rows: int = N_ROWS, mean_length: int = 30) -> pa.Table:
    """Cells with lists of unequal length; some longer than a run, one of a single entry."""
    rng = np.random.default_rng(seed)
    lengths = [1, *rng.integers(1, 2 * mean_length, n_rows - 2).tolist(), 600]
    genes = [[1, *np.sort(rng.choice(3_000, n - 1, replace=False) + 3).tolist()] for n in lengths]
    values = [[-2.0, *(rng.geometric(0.7, n - 1)).tolist()] for n in lengths]
    return pa.table(
        {
            "genes": pa.array(genes, pa.list_(pa.int64())),
            "expressions": pa.array(values, pa.list_(pa.float32())),
            "name": pa.array([f"cell {row}" for row in range(n_rows)]),
        }
    )


def written(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def lists_of(
    data: bytes, column: str, group: int = 0, metadata: pq.FileMetaData | None = None
) -> pa.ListArray | None:
    stream = pa.BufferReader(data)
    return read_lists(pq.ParquetFile(stream, metadata=metadata), stream, group, column)


def decoded(lists: pa.ListArray | None) -> pa.Array:
    assert lists is not None
    assert pa.types.is_dictionary(lists.type.value_type)
    lists.validate(full=True)
    return pa.ListArray.from_arrays(lists.offsets, lists.values.dictionary_decode())


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("page_bytes", [64, 700, 2**20], ids="pages-of-{}-bytes".format)
@pytest.mark.parametrize("codec", ["snappy", "zstd", "none"])
def test_what_is_read_is_what_arrow_reads(codec: str, page_bytes: int, column: str) -> None:
    table = table_of()
    data = written(
        table, compression=codec, data_page_size=page_bytes, row_group_size=25, write_batch_size=16
    )

    groups = [decoded(lists_of(data, column, group)) for group in range(3)]

    expected = table.column(column).combine_chunks()
    assert pa.chunked_array(groups).combine_chunks().equals(expected)


@pytest.mark.parametrize("n_distinct", [2, 3, 5, 200, 257, 70_000])
def test_indices_of_every_width_are_read(n_distinct: int) -> None:
    rng = np.random.default_rng(n_distinct)
    values = np.concatenate([np.arange(n_distinct), rng.integers(0, n_distinct, 5_000)])
    lists = pa.ListArray.from_arrays(pa.array([0, 7, len(values)], pa.int32()), pa.array(values))
    data = written(pa.table({"genes": lists}), dictionary_pagesize_limit=2**21)

    assert decoded(lists_of(data, "genes")).equals(lists)


@pytest.mark.parametrize("is_nullable", [True, False])
def test_runs_of_one_value_and_columns_without_nulls_are_read(*, is_nullable: bool) -> None:
    element = pa.field("element", pa.int64(), nullable=is_nullable)
    kind = pa.list_(element)
    lists = pa.array([[5] * 3_000, [5, 6] * 40, [7] * 9], kind)
    schema = pa.schema([pa.field("genes", kind, nullable=is_nullable)])
    data = written(pa.table([lists], schema=schema))

    assert decoded(lists_of(data, "genes")).to_pylist() == lists.to_pylist()


def with_list(lists: list[list[int] | None]) -> pa.Table:
    return pa.table({"genes": pa.array(lists, pa.list_(pa.int64()))})


OTHERS: dict[str, tuple[pa.Table, dict[str, Any]]] = {
    "pages of version 2": (table_of(), {"data_page_version": "2.0"}),
    "another codec": (table_of(), {"compression": "gzip"}),
    "no dictionary": (table_of(), {"use_dictionary": False}),
    "a dictionary that grew too large": (
        table_of(),
        {"dictionary_pagesize_limit": 64, "data_page_size": 64, "write_batch_size": 16},
    ),
    "an empty list": (with_list([[1, 3], [], [1, 4]]), {}),
    "no list": (with_list([[1, 3], None, [1, 4]]), {}),
    "no value": (with_list([[1, 3], [1, None]]), {}),  # type: ignore[list-item]
    "narrow integers": (
        pa.table({"genes": pa.array([[1, 3]], pa.list_(pa.int32()))}),
        {},
    ),
    "large lists": (
        pa.table({"genes": pa.array([[1, 3]], pa.large_list(pa.int64()))}),
        {},
    ),
    "lists of lists": (
        pa.table({"genes": pa.array([[[1, 3]]], pa.list_(pa.list_(pa.int64())))}),
        {},
    ),
    "no list column": (pa.table({"genes": [1, 3]}), {}),
}


@pytest.mark.parametrize(("table", "options"), OTHERS.values(), ids=list(OTHERS))
def test_any_other_form_is_left_to_arrow(table: pa.Table, options: dict[str, Any]) -> None:
    assert lists_of(written(table, **options), "genes") is None


def test_more_entries_than_memory_allows_are_left_to_arrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = written(table_of())
    monkeypatch.setattr("drug_pipeline.storage.parquet_pages.list_pages.MAX_ENTRIES", 100)

    assert lists_of(data, "genes") is None


def check_damaged(seed: int, n_damages: int, n_rows: int = N_ROWS) -> dict[str, int]:
    """Read damaged copies of files: each must give what Arrow reads of it, or nothing.

    Returns how often each of the two came out.
    """
    rng = np.random.default_rng(seed)
    outcomes = {"read": 0, "left to Arrow": 0}
    for codec in ("snappy", "zstd", "none"):
        data = written(
            table_of(seed, n_rows), compression=codec, data_page_size=400, write_batch_size=16
        )
        metadata = pq.read_metadata(pa.BufferReader(data))
        end = sum(metadata.row_group(0).column(leaf).total_compressed_size for leaf in (0, 1)) + 4
        for number in range(n_damages):
            damaged = bytearray(data)
            place = int(rng.integers(4, end))
            if number % 10 == 0:  # cut off, what is behind it lost
                damaged[place:end] = bytes(end - place)
            elif number % 10 == 1:
                damaged[place : place + 4] = rng.bytes(4)
            else:
                damaged[place] ^= 1 << int(rng.integers(8))
            for column in COLUMNS:
                lists = lists_of(bytes(damaged), column, metadata=metadata)
                outcomes["left to Arrow" if lists is None else "read"] += 1
                if lists is not None:
                    file = pq.ParquetFile(pa.BufferReader(bytes(damaged)), metadata=metadata)
                    expected = file.read_row_group(0, [column]).column(0).combine_chunks()
                    # compared as bytes: a damaged count may be NaN
                    for ours, theirs in zip(
                        decoded(lists).flatten().buffers(),
                        expected.flatten().buffers(),
                        strict=True,
                    ):
                        assert ours == theirs or (ours is None) != (theirs is None)
                    assert lists.offsets.equals(expected.offsets)
    return outcomes


def test_damaged_pages_give_what_arrow_reads_or_nothing() -> None:
    outcomes = check_damaged(seed=1, n_damages=400)

    assert min(outcomes.values()) > 200, outcomes


def test_no_damage_makes_a_loop_read_past_the_page() -> None:
    """The loops as plain Python, where NumPy refuses an index past the end."""
    code = (
        "import importlib.util, sys; "
        f"spec = importlib.util.spec_from_file_location('t', {__file__!r}); "
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); "
        "print(module.check_damaged(seed=2, n_damages=60, n_rows=12))"
    )
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[3]), *sys.path])
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": paths}

    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr[-2_000:]
    assert "'read'" in run.stdout


@pytest.mark.parametrize("size", range(1, 24))
def test_a_header_that_is_cut_off_is_refused(size: int) -> None:
    data = written(table_of())
    header = memoryview(data)[4 : 4 + size]

    with pytest.raises(PageFormError, match="cut off"):
        read_header(header[: min(size, 16)], 0)


def test_a_file_cut_short_while_it_is_read_is_left_to_arrow(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    path.write_bytes(written(table_of()))
    with pa.OSFile(str(path)) as stream:
        file = pq.ParquetFile(stream)
        os.truncate(path, 300)

        assert read_lists(file, stream, 0, "genes") is None
