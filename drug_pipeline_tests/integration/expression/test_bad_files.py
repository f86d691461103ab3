"""Files that turn out to be bad while they are reduced: named, set aside, the rest proceeds."""

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import RawDataError
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig
from drug_pipeline.ingest.raw import raw_cells
from drug_pipeline.storage.raw.inventory import quarantined_files
from drug_pipeline_tests.integration.expression.conftest import Chain

FROZEN = PanelConfig(n_genes=60, policy="frozen")
TWO_WORKERS = PseudobulkConfig(backend="processes", workers=2, min_cells_per_worker=1)


def break_cell(path: Path, column: str, row: int, value: list[Any]) -> None:
    """Replace one list of a file; its strings, and so its counts per well, stay."""
    table = pq.read_table(path)
    lists = table.column(column).to_pylist()
    lists[row] = value
    place = table.schema.get_field_index(column)
    broken = table.set_column(place, column, pa.array(lists, table.schema.field(column).type))
    pq.write_table(broken, path, row_group_size=100)


def treated_row(path: Path) -> int:
    """A row beyond the first row group that is no vehicle cell, so that the panel passes it."""
    drugs = pq.read_table(path, columns=[names.DRUG]).column(0).to_pylist()
    return next(row for row, drug in enumerate(drugs) if row > 250 and drug != names.CONTROL_DRUG)


@pytest.mark.parametrize("config", [PseudobulkConfig(), TWO_WORKERS], ids=["one", "two"])
def test_a_bad_record_costs_its_file_and_nothing_else(
    chain: Chain, config: PseudobulkConfig, caplog: pytest.LogCaptureFixture
) -> None:
    bad = chain.data_files()[5]
    row = treated_row(bad)
    break_cell(bad, names.EXPRESSIONS, row, [-2.0, 0.5])
    break_cell(bad, names.GENES, row, [1, 3])
    chain.up_to_panel("while_reducing", FROZEN)

    with caplog.at_level(logging.WARNING):
        summary = chain.pseudobulk(config).stamp.summary

    assert list(summary["refused_files"]) == [bad.name]
    assert f"column 'expressions', row {row}" in caplog.text
    with_bad_file = chain.bytes_of("expression/pseudobulk")
    bad.unlink()
    chain.up_to_panel("while_reducing", FROZEN)
    chain.pseudobulk()
    assert chain.bytes_of("expression/pseudobulk") == with_bad_file


def test_a_bad_file_is_quarantined_by_the_next_inventory(chain: Chain) -> None:
    bad = chain.data_files()[5]
    row = treated_row(bad)
    break_cell(bad, names.GENES, row, [1, 999_999])
    break_cell(bad, names.EXPRESSIONS, row, [-2.0, 1.0])
    chain.up_to_panel("while_reducing", FROZEN)
    chain.pseudobulk()

    chain.raw("while_reducing")

    (entry,) = quarantined_files(chain.layout).to_dict("records")
    assert (entry["file"], entry["column"], entry["row"]) == (bad.name, names.GENES, row)
    assert "999999" in entry["reason"]


def test_a_bad_control_cell_is_found_while_the_panel_is_chosen(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    path = chain.data_files()[0]
    drugs = pq.read_table(path, columns=[names.DRUG]).column(0).to_pylist()
    break_cell(path, names.EXPRESSIONS, drugs.index(names.CONTROL_DRUG), [-2.0, float("nan")])
    break_cell(path, names.GENES, drugs.index(names.CONTROL_DRUG), [1, 3])

    with caplog.at_level(logging.WARNING):
        chain.up_to_panel("while_reducing", FROZEN)

    assert f"{path.name} is left out" in caplog.text
    chain.raw("while_reducing")
    assert quarantined_files(chain.layout)["file"].tolist() == [path.name]


def test_a_file_that_vanishes_while_it_is_read_stops_the_run_and_is_not_called_bad(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = chain.data_files()[3]
    chain.up_to_panel()
    original = raw_cells._batches

    def vanish(parquet: pq.ParquetFile, *arguments: Any) -> Any:
        for position, batch in enumerate(original(parquet, *arguments)):
            if position == 0:
                victim.unlink(missing_ok=True)
            yield batch

    monkeypatch.setattr(raw_cells, "_batches", vanish)
    with pytest.raises(RawDataError, match=victim.name):
        chain.pseudobulk()

    chain.raw()
    assert len(quarantined_files(chain.layout)) == 0


def test_a_file_whose_cells_are_not_those_counted_is_refused(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.up_to_panel()
    original = raw_cells._batches

    def shorter(*arguments: Any) -> Any:
        for first_row, batch in original(*arguments):
            yield first_row, batch.slice(1)

    monkeypatch.setattr(raw_cells, "_batches", shorter)
    with pytest.raises(RawDataError, match="were counted"):
        chain.pseudobulk()
