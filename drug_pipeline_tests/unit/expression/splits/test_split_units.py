"""The hash behind the splits, and what happens when a side would be empty."""

import hashlib

from drug_pipeline.domain import names
from drug_pipeline.expression.splits.split_units import draw_roles, hash_position, hash_positions

HELD_OUT = {names.TEST: 0.2, names.VALIDATION: 0.1}


def test_the_position_is_the_first_64_bits_of_sha256_over_2_to_the_64():
    digest = hashlib.sha256(b"7|drug|AAAA").hexdigest()
    assert hash_position(7, "drug", "AAAA") == int(digest[:16], 16) / 2**64


def test_positions_differ_by_seed_and_by_split():
    positions = {
        hash_position(seed, split, "AAAA") for seed in (0, 1) for split in ("drug", "pair")
    }
    assert len(positions) == 4


def test_lowest_positions_are_test_the_next_validation_and_a_bound_belongs_to_the_next_role():
    positions = {"a": 0.0, "b": 0.19, "c": 0.2, "d": 0.29, "e": 0.31, "f": 0.99}
    draw = draw_roles(positions, HELD_OUT, unit_name="lines")
    assert draw.roles == {
        "a": names.TEST,
        "b": names.TEST,
        "c": names.VALIDATION,
        "d": names.VALIDATION,
        "e": names.TRAIN,
        "f": names.TRAIN,
    }
    assert draw.notes == ()


def test_empty_held_out_sides_get_the_units_nearest_in_hash_order_and_a_note_each():
    draw = draw_roles({"a": 0.9, "b": 0.5, "c": 0.6}, HELD_OUT, unit_name="lines")
    assert draw.roles == {"b": names.TEST, "c": names.VALIDATION, "a": names.TRAIN}
    assert [note.split(", so ")[0] for note in draw.notes] == [
        "the hash put none of 3 lines into test",
        "the hash put none of 3 lines into validation",
    ]


def test_an_empty_training_side_gets_the_unit_with_the_highest_position():
    draw = draw_roles({"a": 0.01, "b": 0.02, "c": 0.25}, HELD_OUT, unit_name="lines")
    assert draw.roles == {"a": names.TEST, "b": names.TEST, "c": names.TRAIN}


def test_a_lone_validation_unit_becomes_test_when_there_is_no_test():
    draw = draw_roles({"a": 0.25, "b": 0.6, "c": 0.9}, HELD_OUT, unit_name="lines")
    assert draw.roles == {"a": names.TEST, "b": names.VALIDATION, "c": names.TRAIN}


def test_two_units_are_a_test_and_a_training_unit_without_validation():
    draw = draw_roles({"a": 0.6, "b": 0.9}, HELD_OUT, unit_name="lines")
    assert draw.roles == {"a": names.TEST, "b": names.TRAIN}


def test_shares_are_close_to_what_was_asked_for_with_many_units():
    positions = hash_positions(0, "pair", (f"unit{number}" for number in range(4000)))
    roles = list(draw_roles(positions, HELD_OUT, unit_name="pairs").roles.values())
    assert abs(roles.count(names.TEST) / 4000 - 0.2) < 0.02
    assert abs(roles.count(names.VALIDATION) / 4000 - 0.1) < 0.02
