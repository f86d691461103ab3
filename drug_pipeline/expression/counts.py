"""Cells by well and line: partial counts of one file, and the tables they add up to.

What belongs here: counting over string columns, and the SQL of the merge, over a connection
handed in. What does not: which files (``ingest/counts.py``), the warehouse file
(``storage/counts_db.py``).

Shapes: C = cells, K = distinct keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.expression.released.tahoe import KEY_COLUMNS

if TYPE_CHECKING:
    import duckdb

COUNT_TABLES: Final = {
    "counts_per_condition": """
        SELECT drug, dose_um, cell_line_id, plate,
               count(DISTINCT sample)::BIGINT AS n_wells, sum(n_cells)::BIGINT AS n_cells
        FROM cell_counts JOIN wells USING (sample) GROUP BY ALL
        ORDER BY drug, dose_um, cell_line_id, plate""",
    "counts_per_pair": """
        SELECT drug, cell_line_id, sum(n_cells)::BIGINT AS n_cells
        FROM cell_counts GROUP BY ALL ORDER BY drug, cell_line_id""",
    "counts_per_drug": """
        SELECT drug, count(DISTINCT cell_line_id)::BIGINT AS n_cell_lines,
               sum(n_cells)::BIGINT AS n_cells
        FROM cell_counts GROUP BY ALL ORDER BY drug""",
    "counts_per_cell_line": """
        SELECT cell_line_id, count(DISTINCT drug)::BIGINT AS n_drugs,
               sum(n_cells)::BIGINT AS n_cells
        FROM cell_counts GROUP BY ALL ORDER BY cell_line_id""",
}
"""The count tables, as sums of ``cell_counts``; each sorted by its key."""

_MERGE: Final = """
    CREATE TEMP TABLE cell_counts AS
    SELECT drug, cell_line_id, sample, plate, sum(n_cells)::BIGINT AS n_cells
    FROM partials WHERE sample IN (SELECT sample FROM wells) GROUP BY ALL"""


@dataclass(frozen=True, kw_only=True)
class KeyCounts:
    """Distinct combinations of key columns: K rows, how often each occurs and where first.

    ``keys`` has the key columns as strings; ``n_K`` counts cells, ``first_row_K`` is the row of
    the first of them.
    """

    keys: pa.Table
    n_K: NDArray[np.int64]
    first_row_K: NDArray[np.int64]


def count_keys(table: pa.Table, columns: Sequence[str]) -> KeyCounts:
    """How often each combination of some string columns occurs, sorted by first appearance.

    Works on dictionary codes, so that no string is compared more than once.
    """
    code_C = np.zeros(table.num_rows, dtype=np.int64)
    words, sizes = [], []
    for column in columns:
        encoded = _encoded(table.column(column))
        words.append(encoded.dictionary)
        sizes.append(len(encoded.dictionary))
        code_C = code_C * sizes[-1] + encoded.indices.to_numpy()
    code_K, first_row_K, n_K = np.unique(code_C, return_index=True, return_counts=True)
    order = np.argsort(first_row_K)
    remaining_K = code_K[order]
    keys: dict[str, pa.Array] = {}
    for column, dictionary, size in zip(
        reversed(columns), reversed(words), reversed(sizes), strict=True
    ):
        remaining_K, position_K = np.divmod(remaining_K, size)
        keys[column] = dictionary.take(pa.array(position_K))
    return KeyCounts(
        keys=pa.table({column: keys[column] for column in columns}),
        n_K=n_K[order],
        first_row_K=first_row_K[order],
    )


def count_cells(blocks: Sequence[pa.Table]) -> pa.Table:
    """Partial counts of one file (``schemas.CELL_COUNTS``), sorted by its keys; drugs stripped."""
    parts = []
    for block in blocks:
        counted = count_keys(block, KEY_COLUMNS)
        drug = pc.utf8_trim_whitespace(counted.keys.column(names.DRUG))
        keys = counted.keys.set_column(0, names.DRUG, drug)
        parts.append(keys.append_column(names.N_CELLS, pa.array(counted.n_K)))
    if not parts:
        return schemas.CELL_COUNTS.empty_table()
    summed = (
        pa.concat_tables(parts)
        .group_by(list(KEY_COLUMNS))
        .aggregate([(names.N_CELLS, "sum")])
        .rename_columns([*KEY_COLUMNS, names.N_CELLS])
        .select(schemas.CELL_COUNTS.names)
        .cast(schemas.CELL_COUNTS)
    )
    keys_in_order = [(name, "ascending") for name in schemas.CELL_COUNTS.names[:-1]]
    return summed.sort_by(keys_in_order).combine_chunks()


def merge_counts(
    connection: "duckdb.DuckDBPyConnection", partials: Iterable[pa.Table], wells: pa.Table
) -> dict[str, pa.Table]:
    """The count tables (see ``COUNT_TABLES``) summed from partial files.

    Parameters
    ----------
    connection
        DuckDB, in memory or not; temporary tables are made in it and dropped again.
    partials
        Tables in ``schemas.CELL_COUNTS``, at least one; one at a time is held.
    wells
        ``schemas.WELLS``, for the doses; cells of other wells, which were set aside, do not count.
    """
    batches = (batch for table in partials for batch in table.to_batches())
    reader = pa.RecordBatchReader.from_batches(schemas.CELL_COUNTS, batches)
    connection.register("wells", wells.select([names.SAMPLE, names.DOSE_UM]))
    connection.register("partials", reader)
    connection.execute(_MERGE)
    connection.unregister("partials")
    try:
        return {
            name: connection.sql(query).to_arrow_table() for name, query in COUNT_TABLES.items()
        }
    finally:
        connection.unregister("wells")
        connection.execute("DROP TABLE cell_counts")


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column as one dictionary-encoded array without repeated words."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # a column without chunks
        array = array.chunk(0)
    return array
