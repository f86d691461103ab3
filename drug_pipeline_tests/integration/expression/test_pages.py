"""The chain with lists read by pages against the chain with lists read by Arrow."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names
from drug_pipeline.expression.pseudobulk import COLUMNS
from drug_pipeline.expression.released.records import as_released_lists
from drug_pipeline.ingest.raw import raw_cells
from drug_pipeline.storage.raw.raw_files import RawFolder
from drug_pipeline_tests.integration.expression.conftest import Chain


def read(raw_dir: Path, name: str) -> list[tuple[int, pa.RecordBatch]]:
    folder = RawFolder(raw_dir)
    plates = pq.read_table(raw_dir / "data" / name, columns=[names.PLATE]).column(0).unique()
    return list(
        raw_cells.read_cells(
            folder, folder.stat(name), columns=COLUMNS, plates=set(plates.to_pylist())
        )
    )


def are_coded(batches: list[tuple[int, pa.RecordBatch]]) -> set[bool]:
    return {
        pa.types.is_dictionary(cells.column(names.GENES).type.value_type) for _, cells in batches
    }


def test_arrow_alone_gives_the_same_bytes(
    chain: Chain, whole: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert are_coded(read(chain.raw_dir, chain.data_files()[0].name)) == {True}
    monkeypatch.setattr(raw_cells, "_coded_batch", lambda *_: None)

    chain.all()

    assert chain.bytes_of() == whole.bytes_of()


def test_a_row_group_of_another_form_is_read_by_arrow_and_the_others_by_pages(
    chain: Chain,
) -> None:
    path = chain.data_files()[0]
    table = pq.read_table(path)
    n_rows = table.num_rows
    field = table.schema.field(names.GENES)
    genes = pa.array([None, *table.column(names.GENES).to_pylist()[1:]], field.type)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.write_table(table.set_column(0, field, genes))
        writer.write_table(table)

    batches = read(chain.raw_dir, path.name)

    assert are_coded(batches) == {True, False}
    rows = [row for row, _ in batches]
    assert rows == sorted(rows)
    assert sum(cells.num_rows for _, cells in batches) == 3 * n_rows
    first = as_released_lists(batches[0][1]).column(names.GENES)
    assert first.equals(table.column(names.GENES).combine_chunks().slice(0, len(first)))
