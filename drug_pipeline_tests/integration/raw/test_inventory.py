"""The inventory of real files: what is fit, what is quarantined, and that each is read once."""

import math
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import (
    BadCellError,
    ConfigurationError,
    EmptyResultError,
    MetadataError,
    RawDataError,
    StaleInputError,
)
from drug_pipeline.ingest.raw import inspection, inventory
from drug_pipeline.ingest.raw.inventory import InventoryConfig, build_raw_tahoe, quarantine_content
from drug_pipeline.orchestration.status import raw_state
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import ok_files, quarantined_files, read_inventory
from drug_pipeline.storage.raw.raw_files import RawFolder

STRINGS_ONLY = InventoryConfig(validation="while_reducing")


def entry_of(layout: Layout, name: str) -> pd.Series:
    files = read_inventory(layout).set_index("file")
    return files.loc[f"{name}.parquet"]


def test_fit_files_are_listed_with_rows_plates_and_content_hash(
    screen: Any, layout: Layout
) -> None:
    screen.write_default()

    stamp = build_raw_tahoe(layout, screen.folder).stamp

    files = read_inventory(layout)
    assert files["file"].tolist() == ["a.parquet", "b.parquet", "c.parquet"]
    assert files["state"].tolist() == ["ok"] * 3
    assert files["n_rows"].tolist() == [3, 2, 4]
    assert [list(plates) for plates in files["plates"]] == [["plate1"], ["plate1"], ["plate2"]]
    assert files["sha256"].tolist() == [
        RawFolder(screen.folder).sha256(name) for name in files["file"]
    ]
    assert (stamp.summary["n_ok"], stamp.summary["n_rows"]) == (3, 9)


def make_zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def make_text(path: Path) -> None:
    path.write_text("genes,expressions\n1,2\n")


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def cut_footer_length(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-8] + b"\xff\xff\xff\x7f" + content[-4:])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (make_zero_bytes, "empty"),
        (make_text, "not a Parquet file"),
        (cut_short, "truncated"),
        (cut_footer_length, "not readable as Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_quarantined_and_the_rest_proceeds(
    screen: Any, layout: Layout, damage: Callable[[Path], None], reason: str
) -> None:
    screen.write_default()
    damage(screen.path("b"))

    stamp = build_raw_tahoe(layout, screen.folder).stamp

    entry = entry_of(layout, "b")
    assert (entry.state, entry.n_rows, entry.row) == ("quarantined", 0, -1)
    assert reason in entry.reason
    assert entry.remedy
    assert stamp.summary["n_ok"] == 2
    assert list(stamp.summary["quarantined"]) == ["b.parquet"]


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"genes": [3, 5], "expressions": [4.0, 1.0]}, "genes", "no marker"),
        ({"expressions": [-2.0, 4.0]}, "expressions", "3 genes but 2 expressions"),
        ({"genes": [1, 3, 8]}, "genes", "token 8 is not in the gene table"),
        ({"expressions": [-2.0, 4.0, -1.0]}, "expressions", "-1.0 is negative"),
        ({"expressions": [-2.0, 4.0, 1.5]}, "expressions", "1.5 is not a whole number"),
        ({"expressions": [-2.0, 4.0, math.nan]}, "expressions", "nan is not finite"),
        ({"expressions": [-2.0, 4.0, math.inf]}, "expressions", "inf is not finite"),
        ({"genes": None}, "genes", "the list is null"),
        ({"drug": None}, "drug", "drug is null"),
        ({"cell_line_id": None}, "cell_line_id", "cell_line_id is null"),
        ({"plate": None}, "plate", "plate is null"),
        ({"sample": " "}, "sample", "sample is ' '"),
        ({"BARCODE_SUB_LIB_ID": None}, "BARCODE_SUB_LIB_ID", "is null"),
        ({"sample": "w9"}, "sample", "well 'w9' is not in sample_metadata"),
        ({"drug": "Beta"}, "drug", "drug 'Beta' is not in drug_metadata"),
        ({"drug": "DMSO_TF"}, "drug", "holds 'DMSO_TF' here but 'Alpha' in sample_metadata"),
        ({"plate": "plate2"}, "plate", "on plate 'plate2' here but on 'plate1'"),
        ({"cell_line_id": "CVCL_9"}, "cell_line_id", "'CVCL_9' is not in cell_line_metadata"),
    ],
    ids=str,
)
def test_a_file_with_one_bad_cell_is_quarantined_by_column_and_row(
    screen: Any, layout: Layout, changes: dict[str, Any], column: str, reason: str
) -> None:
    screen.write_default()
    good = [screen.cell("w2") for _ in range(4)]
    screen.write("bad", *good[:3], screen.cell(**{"sample": "w2"} | changes), good[3])

    build_raw_tahoe(layout, screen.folder)

    entry = entry_of(layout, "bad")
    assert (entry.state, entry.column, entry.row) == ("quarantined", column, 3)
    assert reason in entry.reason
    assert entry.remedy
    assert read_inventory(layout)["state"].tolist() == ["ok", "ok", "quarantined", "ok"]


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        (lambda t: t.drop_columns(["plate"]), "plate", "the column is missing"),
        (
            lambda t: t.rename_columns(
                [n.replace("cell_line_id", "celline_id") for n in t.column_names]
            ),
            "cell_line_id",
            "did you mean it by 'celline_id'",
        ),
        (
            lambda t: t.set_column(0, "genes", t.column("genes").cast(pa.list_(pa.string()))),
            "genes",
            "has type list<",
        ),
        (lambda t: t.slice(0, 0), "", "no cells"),
    ],
    ids=["missing", "misspelt", "wrong-type", "no-rows"],
)
def test_a_file_of_another_schema_is_quarantined(
    screen: Any, layout: Layout, change: Callable[[pa.Table], pa.Table], column: str, reason: str
) -> None:
    screen.write_default()
    pq.write_table(change(screen.table(screen.cell())), screen.path("bad"))

    build_raw_tahoe(layout, screen.folder)

    entry = entry_of(layout, "bad")
    assert (entry.state, entry.column) == ("quarantined", column)
    assert reason in entry.reason


def test_rows_are_counted_through_all_blocks_of_a_long_file(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "BLOCK_ROWS", 2)
    screen.write_default()
    for name, n_good, bad in (
        ("null", 5, {"drug": None}),
        ("well", 4, {"sample": "w9"}),
        ("line", 3, {"cell_line_id": "CVCL_9"}),
    ):
        good = [screen.cell("w2") for _ in range(n_good)]
        screen.write(name, *good, screen.cell(**{"sample": "w2"} | bad))

    build_raw_tahoe(layout, screen.folder)

    assert [entry_of(layout, name).row for name in ("null", "well", "line")] == [5, 4, 3]


def test_large_and_dictionary_encoded_columns_are_read(screen: Any, layout: Layout) -> None:
    table = screen.table(screen.cell(), screen.cell())
    for position, name, kind in (
        (0, "genes", pa.large_list(pa.int32())),
        (1, "expressions", pa.large_list(pa.float32())),
        (2, "drug", pa.dictionary(pa.int32(), pa.string())),
        (5, "cell_line_id", pa.large_string()),
    ):
        table = table.set_column(position, name, table.column(name).cast(kind))
    pq.write_table(table, screen.path("odd"))

    build_raw_tahoe(layout, screen.folder)

    assert entry_of(layout, "odd").state == "ok"


def test_the_same_content_under_two_names_counts_once(screen: Any, layout: Layout) -> None:
    screen.write_default()
    screen.path("copy").write_bytes(screen.path("b").read_bytes())

    stamp = build_raw_tahoe(layout, screen.folder).stamp

    assert entry_of(layout, "copy").reason == "same content as b.parquet, which is counted"
    assert (entry_of(layout, "b").state, stamp.summary["n_rows"]) == ("ok", 9)


def test_nothing_fit_is_an_error_with_the_first_reasons(screen: Any, layout: Layout) -> None:
    make_zero_bytes(screen.path("a"))
    make_text(screen.path("b"))

    with pytest.raises(
        EmptyResultError, match=r"none of 2 raw files.*a\.parquet \(the file is empty"
    ):
        build_raw_tahoe(layout, screen.folder)


def test_a_missing_or_empty_raw_folder_says_what_to_do(screen: Any, layout: Layout) -> None:
    with pytest.raises(RawDataError, match="does not exist"):
        build_raw_tahoe(layout, screen.folder / "nowhere")
    with pytest.raises(RawDataError, match=r"no \.parquet file"):
        build_raw_tahoe(layout, screen.folder)


def test_missing_metadata_are_named(screen: Any, layout: Layout) -> None:
    screen.write_default()
    (screen.folder / "metadata" / "sample_metadata.parquet").unlink()

    with pytest.raises(MetadataError, match=r"sample_metadata\.parquet is missing"):
        build_raw_tahoe(layout, screen.folder)


def test_a_second_run_reads_no_file_and_changes_no_byte(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()}
    monkeypatch.setattr(RawFolder, "sha256", refuse_to_read)
    monkeypatch.setattr(inventory, "inspect_file", refuse_to_read)

    result = build_raw_tahoe(layout, screen.folder)

    after = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*") if path.is_file()}
    assert not result.is_new
    assert {p: t for p, t in after.items() if p.name != ".lock"} == {
        p: t for p, t in before.items() if p.name != ".lock"
    }


def refuse_to_read(*_: Any, **__: Any) -> None:
    msg = "a known file was read again"
    raise AssertionError(msg)


def test_only_a_new_file_is_inspected(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    n_inspected = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal n_inspected
        n_inspected += 1
        return original(*args, **kwargs)

    original = inventory.inspect_file
    monkeypatch.setattr(inventory, "inspect_file", counting)
    screen.write("d", screen.cell("w4", "CVCL_2"))
    result = build_raw_tahoe(layout, screen.folder)

    assert result.is_new
    assert n_inspected == 1


def test_the_inventory_is_the_same_bytes_in_another_folder_and_with_more_workers(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    make_text(screen.path("d"))
    other = Layout(tmp_path / "other")

    build_raw_tahoe(layout, screen.folder, InventoryConfig(workers=1))
    build_raw_tahoe(other, screen.folder, InventoryConfig(workers=3))

    assert layout.raw_manifest.read_bytes() == other.raw_manifest.read_bytes()


def test_added_metadata_release_a_file_without_reading_it_again(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.write_default()
    screen.write("new", screen.cell("w9", plate="plate2", drug="DMSO_TF"))
    build_raw_tahoe(layout, screen.folder)
    was = entry_of(layout, "new").state
    wells = pq.read_table(screen.folder / "metadata" / "sample_metadata.parquet").to_pydict()
    for column, value in zip(
        wells, ["w9", "plate2", "DMSO_TF", "[('DMSO_TF', 0.0, 'uM')]"], strict=True
    ):
        wells[column].append(value)
    screen.write_metadata(sample_metadata=wells)
    monkeypatch.setattr(inventory, "inspect_file", refuse_to_read)

    build_raw_tahoe(layout, screen.folder)

    assert (was, entry_of(layout, "new").state) == ("quarantined", "ok")


def test_bad_records_pass_until_they_are_read_when_validation_waits_for_the_reduction(
    screen: Any, layout: Layout
) -> None:
    screen.write_default()
    screen.write("bad", screen.cell(expressions=[-2.0, 0.5, 1.0]))
    screen.write("null", screen.cell(drug=None))

    build_raw_tahoe(layout, screen.folder, STRINGS_ONLY)
    quick = entry_of(layout, "bad").state, entry_of(layout, "null").state
    build_raw_tahoe(layout, screen.folder)

    assert quick == ("ok", "quarantined")
    assert entry_of(layout, "bad").state == "quarantined"


def test_a_content_found_bad_while_reduced_is_quarantined_from_then_on(
    screen: Any, layout: Layout
) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder, STRINGS_ONLY)
    error = BadCellError(column="genes", row=7, problem="token 9 is unknown", remedy="Correct it")
    passing = BadCellError(column="", row=-1, problem="it changed", remedy="Run again")

    quarantine_content(layout, entry_of(layout, "b").sha256, error)
    quarantine_content(layout, entry_of(layout, "c").sha256, passing)
    result = build_raw_tahoe(layout, screen.folder, STRINGS_ONLY)

    assert result.is_new
    assert quarantined_files(layout).to_dict("records") == [
        {
            "file": "b.parquet",
            "column": "genes",
            "row": 7,
            "reason": "token 9 is unknown",
            "remedy": "Correct it",
        }
    ]


@pytest.mark.parametrize("event", ["vanishes", "changes"])
def test_a_file_that_vanishes_or_changes_while_it_is_read_is_out_for_this_run_only(
    screen: Any, layout: Layout, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    screen.write_default()
    original = inventory.inspect_file
    path, content = screen.path("b"), screen.path("b").read_bytes()

    def disturbed(stream: pa.NativeFile, **kwargs: Any) -> Any:
        if stream.size() == len(content) and path.exists():
            if event == "vanishes":
                path.unlink()
            else:
                path.write_bytes(content + b"more")
        return original(stream, **kwargs)

    monkeypatch.setattr(inventory, "inspect_file", disturbed)
    build_raw_tahoe(layout, screen.folder, InventoryConfig(workers=1))
    during = entry_of(layout, "b")
    monkeypatch.undo()
    path.write_bytes(content)
    build_raw_tahoe(layout, screen.folder)

    assert during.state == "quarantined"
    assert ("no longer" if event == "vanishes" else "changed while") in during.reason
    assert entry_of(layout, "b").state == "ok"


def test_readers_refuse_files_that_moved_on_since_the_inventory(
    screen: Any, layout: Layout
) -> None:
    screen.write_default()
    build_raw_tahoe(layout, screen.folder)
    fit = ok_files(layout, RawFolder(screen.folder))
    screen.write("b", screen.cell("w1"), screen.cell("w1"), screen.cell("w1"))

    assert [(file.raw.name, file.n_rows, file.plates) for file in fit] == [
        ("a.parquet", 3, ("plate1",)),
        ("b.parquet", 2, ("plate1",)),
        ("c.parquet", 4, ("plate2",)),
    ]
    with pytest.raises(StaleInputError, match=r"1 raw files .* b\.parquet.*raw_tahoe again"):
        ok_files(layout, RawFolder(screen.folder))
    screen.path("b").unlink()
    with pytest.raises(StaleInputError, match=r"b\.parquet"):
        ok_files(layout, RawFolder(screen.folder))


def test_an_inventory_that_was_damaged_is_told_by_status_and_made_again(
    screen: Any, layout: Layout
) -> None:
    build_raw_tahoe(layout, screen.write_default().folder)
    content = layout.raw_manifest.read_bytes()
    layout.raw_manifest.write_bytes(content[: len(content) // 2])

    state = raw_state(layout, screen.folder)
    build_raw_tahoe(layout, screen.folder)

    assert "raw.parquet, cannot be read" in state.sentence
    assert "Materialise raw_tahoe again" in state.sentence
    assert layout.raw_manifest.read_bytes() == content


def test_a_url_gives_the_same_inventory_as_the_path(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    root = f"/{uuid.uuid4().hex}"
    fsspec.filesystem("memory").put(str(screen.folder), root, recursive=True)
    other = Layout(tmp_path / "other")

    build_raw_tahoe(layout, screen.folder)
    build_raw_tahoe(other, f"memory:/{root}")

    assert layout.raw_manifest.read_bytes() == other.raw_manifest.read_bytes()


def test_progress_names_each_file_and_its_state(screen: Any, layout: Layout) -> None:
    screen.write_default()
    make_text(screen.path("d"))
    told: list[tuple[int, int, str]] = []

    build_raw_tahoe(layout, screen.folder, progress=lambda *step: told.append(step))

    assert told[0] == (1, 4, "a.parquet: ok")
    assert told[-1] == (4, 4, "d.parquet: quarantined")


@pytest.mark.parametrize(
    "changes", [{"validation": "none"}, {"workers": 0}], ids=["validation", "workers"]
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        InventoryConfig(**changes)


def test_the_measured_wells_are_fit_to_read(shared_data: Path, layout: Layout) -> None:
    stamp = build_raw_tahoe(layout, shared_data / "l1000_pseudocells").stamp

    assert (stamp.summary["n_ok"], stamp.summary["n_quarantined"]) == (3, 0)
    assert (stamp.summary["n_rows"], stamp.summary["n_plates"]) == (25_160, 46)
