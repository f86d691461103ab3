"""Vectors come back from disk as they were, and a user's own table is read with care."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    ForeignFileError,
    StaleInputError,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.storage.embeddings import (
    embedding_path,
    encoder_dir,
    fingerprint_of,
    read_embeddings,
    read_left_out,
    read_own_vectors,
    write_embeddings,
    write_encoder,
)
from drug_pipeline.storage.files import sha256_of_file
from drug_pipeline.storage.layout import Layout

TABLE = EmbeddingTable(
    key_name="drug",
    keys=("Imatinib", "Abacavir"),
    vectors_KF=np.array([[1.5, 0.1, -2.0], [0.0, np.pi, 3.0]], dtype=np.float32),
    feature_names=("a", "b", "c"),
    blocks={"ab": (0, 2), "c": (2, 3)},
    trained_on="tests",
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


def test_an_embedding_comes_back_as_it_was(layout: Layout) -> None:
    write_embeddings(layout, "drugs", TABLE, {"Talc": "no SMILES"})
    back = read_embeddings(layout, "drugs")
    assert (back.keys, back.key_name, back.trained_on) == (TABLE.keys, "drug", "tests")
    assert (back.blocks, back.feature_names) == (TABLE.blocks, TABLE.feature_names)
    np.testing.assert_array_equal(back.vectors_KF, TABLE.vectors_KF)
    assert read_left_out(layout, "drugs") == {"Talc": "no SMILES"}


def test_the_key_is_the_first_column_and_a_vector_is_a_list_of_fixed_size(layout: Layout) -> None:
    path = write_embeddings(layout, "drugs", TABLE, {})[0]
    schema = pq.read_schema(path)
    assert schema.names == ["drug", "vector"]
    assert schema.field("vector").type == pa.list_(pa.float32(), 3)


def test_writing_twice_gives_the_same_bytes(layout: Layout) -> None:
    first = [sha256_of_file(path) for path in write_embeddings(layout, "drugs", TABLE, {})]
    assert first == [sha256_of_file(path) for path in write_embeddings(layout, "drugs", TABLE, {})]


def test_a_missing_embedding_says_what_to_build(layout: Layout) -> None:
    with pytest.raises(StaleInputError, match="Materialise cell_line_embeddings first"):
        read_embeddings(layout, "cell_lines")


def test_a_file_with_a_duplicated_key_is_refused(layout: Layout) -> None:
    path = write_embeddings(layout, "drugs", TABLE, {})[0]
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(AlignmentError, match="occur more than once; first: Imatinib"):
        read_embeddings(layout, "drugs")


def test_a_parquet_file_that_does_not_describe_its_vectors_is_refused(layout: Layout) -> None:
    path = embedding_path(layout, "drugs")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"drug": ["a"], "vector": [[1.0]]}), path)
    with pytest.raises(ForeignFileError, match="does not say what its vectors are"):
        read_embeddings(layout, "drugs")


def test_the_arrays_of_the_encoder_lie_under_their_names_and_replace_older_ones(
    layout: Layout,
) -> None:
    write_encoder(layout, {"old": np.zeros(2)})
    state = {"mean": np.array([0.1, 0.2]), "organs": np.array(["Lung", "Bowel"])}
    files = write_encoder(layout, state)
    assert [path.name for path in files] == ["mean.npy", "organs.npy"]
    assert sorted(encoder_dir(layout).iterdir()) == files
    for path in files:
        np.testing.assert_array_equal(np.load(path), state[path.stem])


def test_own_vectors_are_read_from_csv_and_from_lists_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("x,drug,y\n1,Imatinib,0.5\n2,Abacavir,-1\n")
    from_csv = read_own_vectors(tmp_path / "own.csv", ["drug"])
    assert from_csv.keys == ("Imatinib", "Abacavir")
    assert from_csv.feature_names == ("x", "y")
    np.testing.assert_array_equal(from_csv.vectors_KF, [[1.0, 0.5], [2.0, -1.0]])

    listed = pa.table({"drug": ["A", "B"], "state": [[1.0, 2.0], [3.0, 4.0]], "n": [5, 6]})
    pq.write_table(listed, tmp_path / "own.parquet")
    from_parquet = read_own_vectors(tmp_path / "own.parquet", ["drug"])
    assert from_parquet.feature_names == ("state_0", "state_1", "n")
    np.testing.assert_array_equal(from_parquet.vectors_KF, [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]])
    assert from_parquet.trained_on == "the user's own table own.parquet"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("name,x\nA,1\n", ConfigurationError, "own.csv have no column 'drug'; there are name, x"),
        ("drug,x\nA,low\n", ConfigurationError, "column 'x' holds string, not numbers"),
        ("drug\nA\n", ConfigurationError, "no column beside the key"),
        ("drug,x\nA,1\nA,2\n", AlignmentError, "1 keys of the drug embedding occur more than once"),
    ],
    ids=["no-key", "text", "no-vector", "duplicate"],
)
def test_own_vectors_that_cannot_be_used_are_refused(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(error, match=message):
        read_own_vectors(tmp_path / "own.csv", ["drug"])


def test_own_vectors_with_a_null_key_or_vectors_of_unequal_length_are_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"drug": ["A", None], "x": [1.0, 2.0]}), path)
    with pytest.raises(AlignmentError, match="1 rows have no drug"):
        read_own_vectors(path, ["drug"])
    pq.write_table(pa.table({"drug": ["A", "B"], "x": [[1.0, 2.0], [3.0]]}), path)
    with pytest.raises(ConfigurationError, match="column 'x' has vectors of 1 to 2 numbers"):
        read_own_vectors(path, ["drug"])


def test_own_vectors_in_arrays_are_read_and_objects_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    np.savez(path, drug=np.array(["A", "B"]), state=[[1.0, 2.0], [3.0, 4.0]], n=[5, 6])
    from_arrays = read_own_vectors(path, ["drug"])
    assert from_arrays.keys == ("A", "B")
    assert from_arrays.feature_names == ("state_0", "state_1", "n")
    np.testing.assert_array_equal(from_arrays.vectors_KF, [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]])

    np.savez(path, drug=np.array(["A", "B"]), state=[[1.0, 2.0]])
    with pytest.raises(ConfigurationError, match="Give each one a row per key"):
        read_own_vectors(path, ["drug"])
    np.savez(path, drug=np.array(["A", "B"], dtype=object), x=[1.0, 2.0])
    with pytest.raises(ConfigurationError, match="Store keys as text"):
        read_own_vectors(path, ["drug"])


def test_the_key_is_the_first_known_column_and_other_names_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("cell_name,depmap_id,x\nA549,ACH-1,1\nHeLa,ACH-2,2\n")
    own = read_own_vectors(tmp_path / "own.csv", ["cell_line_id", "depmap_id", "cell_name"])
    assert (own.key_name, own.keys, own.feature_names) == ("depmap_id", ("ACH-1", "ACH-2"), ("x",))


def test_own_vectors_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv are not there"):
        read_own_vectors(tmp_path / "nowhere.csv", ["drug"])


def test_the_fingerprint_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("weights")
    before = fingerprint_of(tmp_path)
    (tmp_path / "a").write_text("other weights")
    changed = fingerprint_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({before, changed, fingerprint_of(tmp_path)}) == 3
