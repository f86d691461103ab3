"""Vectors follow their keys: no result depends on the order of rows, and a wrong key is refused."""

import numpy as np
import pytest

from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.alignment import check_alignment, join_blocks

KEYS = ("Abacavir", "Bortezomib", "Cisplatin", "Dasatinib")


def table_of(keys: tuple[str, ...]) -> EmbeddingTable:
    """A table in which the vector of a key says which key it is."""
    vectors_KF = np.array([[float(ord(key[0])), 1.0] for key in keys], dtype=np.float32)
    return join_blocks("drug", keys, [("letter", vectors_KF, ["code", "one"])], trained_on="tests")


def test_the_same_keys_in_the_same_order_pass():
    check_alignment(table_of(KEYS), KEYS)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (KEYS[:3], "1 of 4 keys are missing; first: Dasatinib"),
        ((*KEYS, "Erlotinib"), "1 keys are not in the metadata; first: Erlotinib"),
        (
            ("Bortezomib", "Abacavir", *KEYS[2:]),
            "another order than the metadata; first at row 0: Bortezomib where Abacavir",
        ),
    ],
    ids=["missing", "extra", "reordered"],
)
def test_keys_that_differ_are_refused_and_named(keys: tuple[str, ...], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        check_alignment(table_of(keys), KEYS)


def test_a_duplicated_key_is_refused_in_the_table_and_in_what_is_expected():
    with pytest.raises(AlignmentError, match="1 keys of the drug embedding occur more than once"):
        table_of((*KEYS, "Abacavir"))
    with pytest.raises(AlignmentError, match="1 keys occur more than once; first: Abacavir"):
        check_alignment(table_of(KEYS), (*KEYS, "Abacavir"))


def test_shuffling_a_table_changes_no_vector_that_is_asked_for_by_key():
    rng = np.random.default_rng(5)
    shuffled = tuple(np.array(KEYS)[rng.permutation(4)].tolist())
    assert shuffled != KEYS
    np.testing.assert_array_equal(table_of(shuffled).rows(KEYS), table_of(KEYS).vectors_KF)
    np.testing.assert_array_equal(
        table_of(shuffled).rows(["Dasatinib"]), table_of(KEYS).rows(["Dasatinib"])
    )


def test_a_key_without_vector_is_refused():
    with pytest.raises(AlignmentError, match="1 keys have no drug embedding; first: Imatinib"):
        table_of(KEYS).rows([*KEYS, "Imatinib"])


def test_blocks_stand_side_by_side_under_their_names():
    table = join_blocks(
        "drug",
        KEYS,
        [
            ("a", np.ones((4, 2), dtype=np.float32), ["a0", "a1"]),
            ("none", np.zeros((4, 0), dtype=np.float32), []),
            ("b", np.full((4, 1), 7.0, dtype=np.float32), ["b0"]),
        ],
        trained_on="tests",
    )
    assert table.blocks == {"a": (0, 2), "none": (2, 2), "b": (2, 3)}
    assert table.feature_names == ("a0", "a1", "b0")
    np.testing.assert_array_equal(table.block("b").vectors_KF, np.full((4, 1), 7.0))


def test_a_value_that_is_no_finite_number_is_refused_and_named():
    vectors_KF = np.ones((4, 2), dtype=np.float32)
    vectors_KF[2, 1] = np.inf
    with pytest.raises(AlignmentError, match="not finite for 1 of 4 keys; first: Cisplatin"):
        join_blocks("drug", KEYS, [("a", vectors_KF, ["a0", "a1"])], trained_on="tests")
