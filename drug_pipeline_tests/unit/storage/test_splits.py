"""Splits come back from disk by key, whatever the row order of the table they are asked for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import AlignmentError, StaleInputError
from drug_pipeline.domain.tables import Split
from drug_pipeline.storage.files import sha256_of_file
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.splits import read_splits, read_splits_index, write_splits

CONDITIONS = pd.DataFrame(
    {
        "drug": ["A", "A", "B", "C"],
        "dose_um": [0.05, 5.0, 0.05, 3.3333],
        "cell_line_id": ["L1", "L1", "L2", "L1"],
        "plate": ["p1", "p2", "p1", "p1"],
    }
)


def split_of(name: str, roles: list[str]) -> Split:
    return Split(name=name, kind="pair", roles_N=np.array(roles), fingerprint=f"hash of {name}")


SPLITS = {
    "pair": split_of("pair", ["train", "train", "test", "validation"]),
    "drug": split_of("drug", ["test", "test", "train", "unused"]),
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


@pytest.fixture
def files(layout: Layout) -> list[Path]:
    return write_splits(
        layout,
        CONDITIONS,
        SPLITS,
        notes={"pair": ("a note",)},
        skipped={"scaffold": "a reason"},
    )


@pytest.mark.usefixtures("files")
def test_splits_come_back_in_the_order_they_were_drawn(layout: Layout) -> None:
    back = read_splits(layout)
    assert list(back) == ["pair", "drug"]
    for name, split in back.items():
        assert (split.name, split.kind, split.fingerprint) == (name, "pair", f"hash of {name}")
        np.testing.assert_array_equal(split.roles_N, SPLITS[name].roles_N)


@pytest.mark.usefixtures("files")
def test_roles_follow_their_conditions_to_another_row_order(layout: Layout) -> None:
    back = read_splits(layout, CONDITIONS.iloc[[3, 1, 0, 2]].reset_index(drop=True))
    assert back["drug"].roles_N.tolist() == ["unused", "test", "test", "train"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (CONDITIONS.iloc[:3], r"4 and 3, 1 in just one of them; first: p1\|L1\|C\|3.3333"),
        (CONDITIONS.assign(plate="p9"), "4 and 4, 8 in just one of them"),
        (pd.concat([CONDITIONS, CONDITIONS.iloc[:1]]), "4 and 5, 0 in just one of them"),
    ],
    ids=["fewer", "other", "repeated"],
)
def test_other_conditions_than_the_splits_were_made_from_are_refused(
    conditions: pd.DataFrame, message: str, layout: Layout
) -> None:
    with pytest.raises(AlignmentError, match=message):
        read_splits(layout, conditions)


@pytest.mark.usefixtures("files")
def test_sizes_notes_and_reasons_stand_in_the_index(layout: Layout) -> None:
    index = read_splits_index(layout)
    assert index["splits"]["drug"]["sizes"] == {
        "train": 1,
        "validation": 0,
        "test": 2,
        "unused": 1,
    }
    assert index["splits"]["pair"]["notes"] == ["a note"]
    assert index["skipped"] == {"scaffold": "a reason"}


def test_writing_twice_gives_the_same_bytes_and_drops_splits_that_are_no_more(
    layout: Layout, files: list[Path]
) -> None:
    before = {path.name: sha256_of_file(path) for path in files}
    again = write_splits(layout, CONDITIONS, {"pair": SPLITS["pair"]}, notes={}, skipped={})
    assert {path.name for path in layout.splits_dir.iterdir()} == {"pair.parquet", "splits.json"}
    assert sha256_of_file(again[0]) == before["pair.parquet"]


def test_missing_splits_say_what_to_build(layout: Layout) -> None:
    with pytest.raises(StaleInputError, match="Materialise splits first"):
        read_splits(layout)
