"""What lies in the raw folder is read, quarantined or named; a row that is unfit costs its well."""

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.raw.inventory import build_raw_tahoe
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import read_plate_sums
from drug_pipeline.storage.raw.inventory import quarantined_files, read_inventory


def build(layout: Layout, folder: Path) -> None:
    build_raw_tahoe(layout, folder)
    build_tahoe_metadata(layout, folder)
    build_counts(layout, folder)
    build_gene_panel(layout, folder, PanelConfig(n_genes=2))
    build_pseudobulk(layout, folder, PseudobulkConfig())


def test_whatever_lies_in_the_folder_is_read_or_named(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    data = screen.write_default().folder / "data"
    (data / "lost.parquet").symlink_to(tmp_path / "gone")
    (data / "notes.csv").write_text("a note")
    (data / "d.PARQUET").write_bytes(screen.path("a").read_bytes())
    (data / ".part.parquet").write_bytes(b"PAR1")
    os.mkfifo(data / "pipe.parquet")
    (data / "again").symlink_to(data)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    screen.path("c").rename(elsewhere / "c.parquet")
    (data / "linked").symlink_to(elsewhere)

    build_raw_tahoe(layout, screen.folder)

    inventory = read_inventory(layout).set_index("file")
    fit = inventory.index[inventory["state"] == "ok"]
    assert fit.tolist() == ["a.parquet", "b.parquet", "linked/c.parquet"]
    reasons = quarantined_files(layout).set_index("file")["reason"].to_dict()
    assert set(reasons) == {
        "lost.parquet",
        "notes.csv",
        "d.PARQUET",
        ".part.parquet",
        "pipe.parquet",
        "again",
    }
    assert f"a link to {tmp_path / 'gone'}, where nothing can be opened" in reasons["lost.parquet"]
    assert "not a .parquet file" in reasons["notes.csv"]
    assert "hidden by its name" in reasons[".part.parquet"]
    assert "listed already" in reasons["again"]


def test_cells_of_a_well_that_is_set_aside_are_passed_over_and_come_back_with_it(
    screen: Any, layout: Layout, tmp_path: Path
) -> None:
    screen.write_default()
    plain = Layout(tmp_path / "plain")
    build(plain, screen.folder)
    path = screen.folder / "metadata" / "sample_metadata.parquet"
    good = pq.read_table(path).to_pydict()
    two_drugs = "[('Alpha', 0.05, 'uM'), ('Beta', 1.0, 'uM')]"
    doses = [good["drugname_drugconc"][0], two_drugs, *good["drugname_drugconc"][2:]]

    screen.write_metadata(sample_metadata=good | {"drugname_drugconc": doses})
    build(layout, screen.folder)

    assert read_inventory(layout)["state"].tolist() == ["ok"] * 3
    assert read_table(layout, "counts_per_pair")["n_cells"].sum() == 6
    without = read_plate_sums(layout, "plate1").well_lines
    assert set(without["sample"]) == {"w1"}
    screen.write_metadata(sample_metadata=good)
    build(layout, screen.folder)
    assert read_plate_sums(layout, "plate1").well_lines.equals(
        read_plate_sums(plain, "plate1").well_lines
    )


@pytest.mark.parametrize("name", ["drug=all", "plate=9/x", "a#b", "[1]*", "100%", "a b;ä"])
def test_no_path_is_a_partition_or_a_pattern(screen: Any, tmp_path: Path, name: str) -> None:
    screen.write_default()
    plain, odd = Layout(tmp_path / "plain"), Layout(tmp_path / name / "made")

    build(plain, screen.folder)
    build(odd, screen.folder)

    for table in ("counts_per_pair", "counts_per_condition"):
        assert read_table(odd, table).equals(read_table(plain, table))
    assert odd.gene_panel.read_bytes() == plain.gene_panel.read_bytes()


@pytest.mark.parametrize("name", ["what?", "a%20b"])
def test_a_data_folder_that_is_part_of_an_address_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="Rename the folder") as refused:
        load_settings(data_dir=tmp_path / name)

    assert name in str(refused.value)
