"""Cells that stand twice, in whatever file and row: counted once, and said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.expression import barcodes
from drug_pipeline.expression.barcodes import SharedCells, shared_cells
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.raw import repeated_cells
from drug_pipeline.ingest.raw.inventory import build_raw_tahoe
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import quarantined_files


def counted(layout: Layout, folder: Path) -> pd.DataFrame:
    build_raw_tahoe(layout, folder)
    build_tahoe_metadata(layout, folder)
    build_counts(layout, folder)
    return read_table(layout, "counts_per_pair")


def write_again(screen: Any) -> None:
    table = pq.read_table(screen.path("c"))
    backwards = table.take(pa.array(range(table.num_rows)[::-1]))
    pq.write_table(backwards, screen.path("again"), compression="zstd", row_group_size=3)


def write_a_part(screen: Any) -> None:
    pq.write_table(pq.read_table(screen.path("c")).slice(1, 2), screen.path("a_part"))


def write_parts_together(screen: Any) -> None:
    tables = [pq.read_table(screen.path(name)) for name in ("a", "b")]
    pq.write_table(pa.concat_tables(tables), screen.path("zz"))


@pytest.mark.parametrize(
    ("write", "out", "reason"),
    [
        (write_again, ["c"], "4 of its 4 cells are also in again.parquet, counted there; first: "),
        (write_a_part, ["a_part"], "2 of its 2 cells are also in c.parquet"),
        (write_parts_together, ["a", "b"], "3 of its 3 cells are also in zz.parquet"),
    ],
)
def test_cells_in_two_files_count_once_and_the_file_that_repeats_them_is_named(
    screen: Any,
    layout: Layout,
    tmp_path: Path,
    write: Callable[[Any], None],
    out: list[str],
    reason: str,
) -> None:
    plain = counted(Layout(tmp_path / "plain"), screen.write_default().folder)
    write(screen)

    pairs = counted(layout, screen.folder)

    assert pairs.equals(plain)
    entries = quarantined_files(layout)
    assert entries["file"].tolist() == [f"{name}.parquet" for name in out]
    assert reason in entries["reason"][0]
    assert "bc" in entries["reason"][0].partition("first: ")[2]
    assert set(entries["column"]) == {"BARCODE_SUB_LIB_ID"}


def test_a_file_of_new_cells_with_one_of_another_is_set_aside_whole_in_any_order_of_files(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    plain = counted(Layout(tmp_path / "plain"), screen.folder)
    repeated = pq.read_table(screen.path("c")).slice(2, 1)
    mixed = pa.concat_tables([screen.table(screen.cell("w1")), repeated])

    for name in ("a0", "zz"):  # before and behind the file that has the cell
        pq.write_table(mixed, screen.path(name))
        pairs = counted(layout, screen.folder)
        (entry,) = quarantined_files(layout).to_dict("records")
        assert (entry["file"], entry["row"]) == (f"{name}.parquet", 1)
        assert entry["reason"].startswith("1 of its 2 cells are also in c.parquet")
        assert pairs.equals(plain)
        screen.path(name).unlink()

    assert counted(layout, screen.folder).equals(plain)
    assert len(quarantined_files(layout)) == 0


def test_a_cell_twice_in_one_file_is_named_by_both_rows(screen: Any, layout: Layout) -> None:
    screen.write_default()
    cell = screen.cell("w2")
    screen.write("bad", screen.cell("w1"), cell, screen.cell("w2"), cell)

    build_raw_tahoe(layout, screen.folder)

    (entry,) = quarantined_files(layout).to_dict("records")
    assert (entry["file"], entry["column"], entry["row"]) == (
        "bad.parquet",
        "BARCODE_SUB_LIB_ID",
        3,
    )
    assert entry["reason"] == "1 cells stand twice in the file; here that of row 1"


def test_files_are_compared_again_only_where_they_differ(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_again(screen.write_default())
    build_raw_tahoe(layout, screen.folder)
    before = quarantined_files(layout)
    monkeypatch.delattr(repeated_cells, "shared_cells")

    result = build_raw_tahoe(layout, screen.folder)

    assert not result.is_new
    assert quarantined_files(layout).equals(before)


def test_codes_that_were_damaged_are_made_again(screen: Any, layout: Layout) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    for path in layout.cell_codes_dir.glob("*.npy"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    write_again(screen)

    build_raw_tahoe(layout, screen.folder)

    assert quarantined_files(layout)["file"].tolist() == ["c.parquet"]


def test_comparing_a_few_cells_at_a_time_finds_what_sets_find(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    universe = rng.integers(0, 2**64, 60, dtype=np.uint64)
    files = [np.sort(rng.choice(universe, 20, replace=False)) for _ in range(5)]
    monkeypatch.setattr(barcodes, "CELLS_AT_A_TIME", 7)

    found = shared_cells(files)

    assert found == {
        (one, other): SharedCells(
            n_cells=len(both), examples=tuple(both[: barcodes.N_EXAMPLES].tolist())
        )
        for one in range(5)
        for other in range(one + 1, 5)
        if len(both := np.intersect1d(files[one], files[other]))
    }
