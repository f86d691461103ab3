"""Count tables and filtered pairs in a real warehouse, from real files."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from drug_pipeline.domain.errors import (
    ConfigurationError,
    EmptyResultError,
    RawDataError,
    StaleInputError,
)
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.raw import inspection
from drug_pipeline.ingest.raw.inventory import build_raw_tahoe
from drug_pipeline.storage import counts_db
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.counts_db import DuckDBConfig, read_table
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawFolder
from drug_pipeline.storage.stamps import StampStore


def count_all(layout: Layout, screen: Any) -> BuildResult:
    build_raw_tahoe(layout, screen.folder)
    build_tahoe_metadata(layout, screen.folder)
    return build_counts(layout, screen.folder)


def as_dict(table: pd.DataFrame) -> dict[Any, int]:
    """``n_cells`` by key, for tables of one or two key columns."""
    keys = [column for column in table.columns if not column.startswith("n_")]
    return table.set_index(keys)["n_cells"].to_dict()


def test_cells_are_counted_by_drug_line_pair_and_condition(screen: Any, layout: Layout) -> None:
    screen.write_default()

    summary = count_all(layout, screen).stamp.summary

    assert as_dict(read_table(layout, "counts_per_drug")) == {
        "Alpha": 3,
        "DMSO_TF": 3,
        "Trametinib (DMSO_TF solvate)": 3,
    }
    assert as_dict(read_table(layout, "counts_per_cell_line")) == {"CVCL_1": 7, "CVCL_2": 2}
    assert as_dict(read_table(layout, "counts_per_pair")) == {
        ("Alpha", "CVCL_1"): 2,
        ("Alpha", "CVCL_2"): 1,
        ("DMSO_TF", "CVCL_1"): 2,
        ("DMSO_TF", "CVCL_2"): 1,
        ("Trametinib (DMSO_TF solvate)", "CVCL_1"): 3,
    }
    conditions = as_dict(read_table(layout, "counts_per_condition"))
    assert conditions["Alpha", 0.05, "CVCL_1", "plate1"] == 2
    assert conditions["DMSO_TF", 0.0, "CVCL_1", "plate2"] == 1
    assert (summary["n_cells"], summary["n_files"], summary["n_new_files"]) == (9, 3, 3)


def test_a_drug_with_a_trailing_space_in_the_records_is_the_same_drug(
    screen: Any, layout: Layout
) -> None:
    screen.write("a", screen.cell("w2"), screen.cell("w2", drug="Alpha "))

    count_all(layout, screen)

    assert as_dict(read_table(layout, "counts_per_drug")) == {"Alpha": 2}


def test_files_added_one_by_one_in_any_order_give_what_all_at_once_give(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    at_once = count_all(layout, screen).stamp
    contents = {name: screen.path(name).read_bytes() for name in "abc"}
    growing = Layout(tmp_path / "growing")
    for name in "abc":
        screen.path(name).unlink()

    for name in "cab":
        screen.path(name).write_bytes(contents[name])
        last = count_all(growing, screen).stamp

    assert last.fingerprint == at_once.fingerprint
    assert last.summary["n_new_files"] == 1


def test_a_file_removed_again_takes_its_cells_with_it(screen: Any, layout: Layout) -> None:
    screen.write_default()
    before = count_all(layout, screen).stamp
    screen.write("d", screen.cell("w3", "CVCL_2"))
    during = count_all(layout, screen).stamp
    screen.path("d").unlink()

    after = count_all(layout, screen).stamp

    assert during.fingerprint != before.fingerprint
    assert (after.fingerprint, after.summary["n_new_files"]) == (before.fingerprint, 0)


def test_quarantined_files_are_not_counted(screen: Any, layout: Layout) -> None:
    screen.write_default()
    screen.path("b").write_bytes(b"")

    assert count_all(layout, screen).stamp.summary["n_cells"] == 7


def test_a_second_run_opens_no_raw_file_and_leaves_the_warehouse_alone(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    count_all(layout, screen)
    before = layout.warehouse.read_bytes()

    def refuse(*_: Any) -> None:
        msg = "a raw file was opened"
        raise AssertionError(msg)

    monkeypatch.setattr(RawFolder, "open", refuse)

    assert not count_all(layout, screen).is_new
    assert layout.warehouse.read_bytes() == before


@pytest.mark.parametrize("damage", ["deleted", "altered"])
def test_tables_that_are_gone_or_altered_are_built_again(
    screen: Any, layout: Layout, damage: str
) -> None:
    screen.write_default()
    first = count_all(layout, screen).stamp
    if damage == "deleted":
        layout.warehouse.unlink()
    else:
        with duckdb.connect(str(layout.warehouse)) as connection:
            connection.execute("UPDATE counts_per_pair SET n_cells = 1")

    again = count_all(layout, screen)

    assert again.is_new
    assert again.stamp.fingerprint == first.fingerprint
    assert read_table(layout, "counts_per_pair")["n_cells"].sum() == 9


def test_a_raw_file_changed_since_its_inventory_is_refused(screen: Any, layout: Layout) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    build_tahoe_metadata(layout, screen.folder)
    screen.write("b", screen.cell("w1"), screen.cell("w1"))

    with pytest.raises(StaleInputError, match=r"b\.parquet.*raw_tahoe again"):
        build_counts(layout, screen.folder)


def test_a_raw_file_that_vanishes_while_it_is_counted_leaves_no_partial_behind(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    build_tahoe_metadata(layout, screen.folder)
    original = inspection.count_cells

    def vanishing(blocks: Any) -> Any:
        screen.path("b").unlink(missing_ok=True)
        return original(blocks)

    monkeypatch.setattr(inspection, "count_cells", vanishing)
    with pytest.raises(RawDataError, match=r"b\.parquet"):
        build_counts(layout, screen.folder, DuckDBConfig(threads=1))

    assert StampStore(layout).read("counts") is None
    assert not layout.warehouse.exists()


def test_progress_names_each_new_file(screen: Any, layout: Layout) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    build_tahoe_metadata(layout, screen.folder)
    told: list[tuple[int, int, str]] = []

    build_counts(layout, screen.folder, progress=lambda *step: told.append(step))

    assert told[-1] == (3, 3, "c.parquet: 4 cells counted")


def test_counts_before_the_inventory_are_refused(screen: Any, layout: Layout) -> None:
    with pytest.raises(StaleInputError, match="Materialise raw_tahoe first"):
        build_counts(layout, screen.folder)


def test_a_missing_table_is_named(layout: Layout) -> None:
    with pytest.raises(StaleInputError, match="table filtered_pairs is not in"):
        read_table(layout, "filtered_pairs")


def test_a_warehouse_held_by_another_process_is_named(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    count_all(layout, screen)
    monkeypatch.setattr(counts_db, "WAIT_SECONDS", 0.3)

    def held(*_: Any, **__: Any) -> None:
        msg = "Could not set lock on file"
        raise duckdb.IOException(msg)

    monkeypatch.setattr(duckdb, "connect", held)

    with pytest.raises(StaleInputError, match="held open by another process"):
        read_table(layout, "counts_per_pair")


def test_pairs_below_the_threshold_are_dropped_with_their_reason(
    screen: Any, layout: Layout
) -> None:
    screen.write_default()
    count_all(layout, screen)

    result = build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=2))

    pairs = read_table(layout, "filtered_pairs")
    kept = pairs.loc[pairs["is_kept"], ["drug", "cell_line_id"]].to_records(index=False).tolist()
    assert kept == [("Alpha", "CVCL_1"), ("Trametinib (DMSO_TF solvate)", "CVCL_1")]
    assert result.stamp.summary["n_kept"] == 2
    assert result.stamp.summary["dropped"] == {
        "vehicle": 2,
        "cells, fewer than min_cells_per_pair = 2": 1,
    }
    assert not build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=2)).is_new
    assert build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=3)).is_new


def test_no_pair_left_is_an_error_and_keeps_the_last_table(screen: Any, layout: Layout) -> None:
    screen.write_default()
    count_all(layout, screen)
    build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=2))

    with pytest.raises(EmptyResultError, match="none of 3 treated pairs has 50 cells"):
        build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=50))
    assert read_table(layout, "filtered_pairs")["is_kept"].sum() == 2


@pytest.mark.parametrize("changes", [{"threads": 0}, {"memory_limit_mb": 1}], ids=str)
def test_duckdb_without_room_to_work_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="cannot work"):
        DuckDBConfig(**changes)


def test_the_measured_wells_have_508_treated_pairs(shared_data: Path, layout: Layout) -> None:
    raw_dir = shared_data / "l1000_pseudocells"
    build_raw_tahoe(layout, raw_dir)
    build_tahoe_metadata(layout, raw_dir)
    build_counts(layout, raw_dir)

    summary = build_filtered_pairs(layout, PairFilterConfig(min_cells_per_pair=20)).stamp.summary

    assert (summary["n_kept"], summary["dropped"]) == (508, {"vehicle": 44})
    assert (summary["n_drugs_kept"], summary["n_cell_lines_kept"]) == (412, 44)
