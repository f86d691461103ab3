"""Counting over string columns."""

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from drug_pipeline.domain import schemas
from drug_pipeline.expression.counts import count_cells, count_keys


def test_keys_come_in_order_of_appearance_with_their_first_rows() -> None:
    table = pa.table({"a": ["y", "x", "y", "y"], "b": ["1", "1", "2", "1"]})

    counted = count_keys(table, ("a", "b"))

    assert counted.keys.to_pydict() == {"a": ["y", "x", "y"], "b": ["1", "1", "2"]}
    assert counted.n_K.tolist() == [2, 1, 1]
    assert counted.first_row_K.tolist() == [0, 1, 2]


def test_chunks_with_dictionaries_of_their_own_are_one_column() -> None:
    chunks = [pa.array(["x", "y"]).dictionary_encode(), pa.array(["y", "z"]).dictionary_encode()]

    counted = count_keys(pa.table({"a": pa.chunked_array(chunks)}), ("a",))

    assert counted.keys.column("a").to_pylist() == ["x", "y", "z"]
    assert counted.n_K.tolist() == [1, 2, 1]


def test_a_file_without_cells_counts_nothing() -> None:
    assert count_cells([]).equals(schemas.CELL_COUNTS.empty_table())


WORDS = st.sampled_from(["a", "b", "c "])
CELLS = st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=30)


@given(CELLS, st.integers(0, 30))
def test_blocks_add_up_to_what_pandas_counts(
    cells: list[tuple[str, str, str, str]], cut: int
) -> None:
    columns = ["drug", "sample", "cell_line_id", "plate"]
    frame = pd.DataFrame(cells, columns=columns)
    expected = (
        frame.assign(drug=frame["drug"].str.strip())
        .groupby(schemas.CELL_COUNTS.names[:-1], as_index=False)
        .size()
    )
    parts = [frame.iloc[:cut], frame.iloc[cut:]]

    counted = count_cells([pa.Table.from_pandas(p, preserve_index=False) for p in parts if len(p)])

    assert counted.schema == schemas.CELL_COUNTS
    assert [tuple(row.values()) for row in counted.to_pylist()] == [
        tuple(row) for row in expected.itertuples(index=False)
    ]
