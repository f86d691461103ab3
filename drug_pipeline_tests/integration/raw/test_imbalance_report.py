"""The imbalance report on disk."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.imbalance import build_imbalance_report
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.raw.inventory import build_raw_tahoe
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.files import read_json
from drug_pipeline.storage.layout import Layout

PICTURES = ("histograms.png", "top20.png", "heatmap.png")


def report_all(layout: Layout, screen: Any) -> BuildResult:
    build_raw_tahoe(layout, screen.folder)
    build_tahoe_metadata(layout, screen.folder)
    build_counts(layout, screen.folder)
    return build_imbalance_report(layout)


def test_the_report_has_tables_pictures_and_a_page_of_its_own(screen: Any, layout: Layout) -> None:
    screen.write_default()

    summary = report_all(layout, screen).stamp.summary

    folder = layout.imbalance_dir
    page = (folder / "report.html").read_text()
    assert (summary["n_cells"], summary["n_items_of_pairs"]) == (9, 5)
    assert read_json(folder / "tables.json")["levels"][2]["n_items"] == 5
    assert pq.read_table(folder / "tables.parquet").num_rows == 3
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert "Generated" not in page


def test_quarantined_files_are_listed_with_reason_and_remedy(screen: Any, layout: Layout) -> None:
    screen.write_default()
    screen.write("bad", screen.cell(cell_line_id=None))

    report_all(layout, screen)

    for name in ("report.html", "summary.md"):
        text = (layout.imbalance_dir / name).read_text()
        assert "bad.parquet" in text
        assert "cell_line_id is null" in text
        assert "leave the cell out" in text
    (entry,) = read_json(layout.imbalance_dir / "tables.json")["quarantined"]
    assert (entry["column"], entry["row"]) == ("cell_line_id", 0)


def test_generated_data_are_labelled_on_the_page(screen: Any, layout: Layout) -> None:
    screen.write_default()
    path = screen.folder / "metadata" / "sample_metadata.parquet"
    wells = pq.read_table(path).replace_schema_metadata({names.GENERATED_KEY: b"true"})
    pq.write_table(wells, path)

    summary = report_all(layout, screen).stamp.summary

    assert summary["is_generated"] is True
    assert "Generated data, not measured" in (layout.imbalance_dir / "report.html").read_text()
    assert "Generated data, not measured" in (layout.imbalance_dir / "summary.md").read_text()


def test_a_second_report_is_nothing_new_and_another_folder_gets_the_same_bytes(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    first = report_all(layout, screen)

    again = report_all(layout, screen)
    other = report_all(Layout(tmp_path / "other"), screen)

    assert not again.is_new
    assert other.stamp.outputs == first.stamp.outputs


def test_a_screen_of_hundreds_of_drugs_is_drawn_without_complaint(
    shared_data: Path, layout: Layout
) -> None:
    raw_dir = shared_data / "l1000_wells"
    build_raw_tahoe(layout, raw_dir)
    build_tahoe_metadata(layout, raw_dir)
    build_counts(layout, raw_dir)

    assert build_imbalance_report(layout).stamp.summary["n_quarantined"] == 0
