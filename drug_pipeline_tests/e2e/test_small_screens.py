"""Screens of which little can be held out: one pair, one line, one drug."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.domain import names
from drug_pipeline.orchestration.registry import read_registration
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_conditions

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated"  # MLflow's own tables
)


def part_of(raw_dir: Path, folder: Path, *, n_drugs: int, n_lines: int, n_plates: int) -> Path:
    """The cells of the plates, lines and drugs with most of them, with their vehicles."""
    table = pa.concat_tables([pq.read_table(file) for file in sorted(raw_dir.glob("data/*"))])
    frame = table.select([names.DRUG, names.CELL_LINE_ID, names.PLATE]).to_pandas()
    is_kept = np.ones(len(frame), dtype=bool)
    for column, n_kept in (
        (names.PLATE, n_plates),
        (names.CELL_LINE_ID, n_lines),
        (names.DRUG, n_drugs),
    ):
        treated = is_kept & ~frame[names.DRUG].str.startswith("DMSO")
        first = frame.loc[treated, column].value_counts().index[:n_kept]
        is_vehicle = ~treated if column == names.DRUG else np.zeros(len(frame), dtype=bool)
        is_kept &= frame[column].isin(first).to_numpy() | is_vehicle
    (folder / "data").mkdir(parents=True)
    shutil.copytree(raw_dir / "metadata", folder / "metadata")
    pq.write_table(table.filter(pa.array(is_kept)), folder / "data" / "cells.parquet")
    return folder


def run(raw_dir: Path, data_dir: Path) -> int:
    options = ("--raw-dir", str(raw_dir), "--data-dir", str(data_dir), "--preset", "tiny")
    return run_command(["run", *options, "--select", "*registered_model"])


def test_a_screen_of_one_pair_ends_with_its_delta_and_a_sentence(
    raw_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = part_of(raw_dir, tmp_path / "raw", n_drugs=1, n_lines=1, n_plates=1)

    assert run(one, tmp_path / "data") == 0

    said = capfd.readouterr().err
    assert "model_full            not made: no split was drawn (pair:" in said
    assert "pair: a split needs at least two pairs" in said
    assert "The Δ stand" in said
    conditions = read_conditions(Layout(tmp_path / "data"))
    assert conditions.groupby(list(names.PAIR_KEY)).ngroups == 1


@pytest.mark.parametrize(
    ("n_drugs", "n_lines"), [(16, 1), pytest.param(1, 5, marks=pytest.mark.slow)]
)
def test_one_line_or_one_drug_goes_through_the_whole_chain(
    raw_dir: Path, tmp_path: Path, n_drugs: int, n_lines: int
) -> None:
    some = part_of(raw_dir, tmp_path / "raw", n_drugs=n_drugs, n_lines=n_lines, n_plates=14)

    assert run(some, tmp_path / "data") == 0

    layout = Layout(tmp_path / "data")
    assert read_registration(layout) is not None
    assert (layout.evaluation_dir / "report.html").is_file()
