"""The metadata asset on disk."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import MetadataError
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.storage.layout import Layout


def test_the_tables_on_disk_have_their_schemas(screen: Any, layout: Layout) -> None:
    summary = build_tahoe_metadata(layout, screen.folder).stamp.summary

    for name, schema in {
        "drugs": schemas.DRUGS,
        "cell_lines": schemas.CELL_LINES,
        "genes": schemas.GENES,
        "wells": schemas.WELLS,
    }.items():
        assert pq.read_table(layout.metadata_dir / f"{name}.parquet").schema.equals(schema)
    assert (summary["n_drugs"], summary["n_drugs_with_structure"]) == (2, 1)
    assert (summary["n_wells"], summary["n_control_wells"]) == (4, 2)
    assert summary["first_of_notes"]["stripped_well_drug_names"] == ["Alpha"]
    assert summary["is_generated"] is False


def test_unchanged_metadata_are_nothing_new_and_changed_ones_are(
    screen: Any, layout: Layout
) -> None:
    first = build_tahoe_metadata(layout, screen.folder)
    again = build_tahoe_metadata(layout, screen.folder)
    lines = pq.read_table(screen.folder / "metadata" / "cell_line_metadata.parquet")
    screen.write_metadata(cell_line_metadata=lines.slice(0, 2).to_pydict())

    changed = build_tahoe_metadata(layout, screen.folder)

    assert (first.is_new, again.is_new, changed.is_new) == (True, False, True)
    assert changed.stamp.summary["n_cell_lines"] == 1


def test_a_label_on_the_wells_says_that_the_data_are_generated(screen: Any, layout: Layout) -> None:
    path = screen.folder / "metadata" / "sample_metadata.parquet"
    wells = pq.read_table(path).replace_schema_metadata({names.GENERATED_KEY: b"true"})
    pq.write_table(wells, path)

    assert build_tahoe_metadata(layout, screen.folder).stamp.summary["is_generated"] is True


def test_nothing_is_written_where_the_metadata_cannot_be_used(screen: Any, layout: Layout) -> None:
    screen.write_metadata(drug_metadata={"drug": ["Alpha"]})

    with pytest.raises(MetadataError, match="drug_metadata lacks 5 of 6 columns"):
        build_tahoe_metadata(layout, screen.folder)
    assert not layout.metadata_dir.exists()


def test_two_folders_get_the_same_bytes(screen: Any, layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")

    one = build_tahoe_metadata(layout, screen.folder).stamp
    two = build_tahoe_metadata(other, screen.folder).stamp

    assert one.outputs == two.outputs
