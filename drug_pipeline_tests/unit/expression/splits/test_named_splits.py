"""What each split holds out, and what it leaves unused or does not draw."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    MetadataError,
)
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.expression.splits.named_splits import (
    TAHOE_5_HOLDOUT,
    SplitConfig,
    draw_splits,
)
from drug_pipeline.expression.splits.split_audit import audit_split
from drug_pipeline.expression.splits.split_units import hash_position

ConditionsOf = Callable[..., pd.DataFrame]
CONFIG = SplitConfig()


def values(table: pd.DataFrame, roles_N: np.ndarray, role: str, column: str) -> set[str]:
    return set(table.loc[roles_N == role, column])


def test_every_split_is_drawn_and_passes_its_audit(
    screen: pd.DataFrame, drugs: pd.DataFrame, cell_lines: pd.DataFrame
) -> None:
    drawn = draw_splits(screen, drugs, CONFIG, cell_lines)
    assert tuple(drawn.splits) == SPLIT_NAMES
    assert drawn.skipped == {}
    for split in drawn.splits.values():
        audit_split(split, screen, drugs, cell_lines)


def test_the_pair_split_keeps_salts_doses_and_plates_of_a_compound_in_a_line_together(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    split = draw_splits(screen, drugs, CONFIG).splits["pair"]
    unit = screen[names.PARENT_COMPOUND] + "|" + screen[names.CELL_LINE_ID]
    roles_a_unit = pd.Series(split.roles_N).groupby(unit.to_numpy()).nunique()
    assert (roles_a_unit == 1).all()
    is_test = unit.map(lambda one: hash_position(0, "pair", one) < 0.2)
    np.testing.assert_array_equal(split.roles_N == names.TEST, is_test)


@pytest.mark.parametrize(
    ("name", "column"), [("drug", names.PARENT_COMPOUND), ("cell_line", names.CELL_LINE_ID)]
)
def test_drugs_and_lines_are_on_one_side_each(
    name: str, column: str, screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    roles_N = draw_splits(screen, drugs, CONFIG).splits[name].roles_N
    sides = [values(screen, roles_N, role, column) for role in (names.TRAIN, names.VALIDATION)]
    test = values(screen, roles_N, names.TEST, column)
    assert all(sides)
    assert test
    assert not test & set.union(*sides)
    assert not set.intersection(*sides)


def test_few_shot_lines_keep_a_hashed_third_of_their_compounds_and_other_lines_all(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    roles_N = draw_splits(screen, drugs, CONFIG).splits["few_shot"].roles_N
    held_out = values(screen, roles_N, names.TEST, names.CELL_LINE_ID)
    is_held_line = screen[names.CELL_LINE_ID].isin(held_out).to_numpy()
    kept_frac = (roles_N[is_held_line] == names.TRAIN).mean()
    assert 0.15 < kept_frac < 0.45
    validation = values(screen, roles_N, names.VALIDATION, names.CELL_LINE_ID)
    is_other = ~(is_held_line | screen[names.CELL_LINE_ID].isin(validation).to_numpy())
    assert not held_out & validation
    assert set(roles_N[is_other]) == {names.TRAIN}


def test_in_both_a_row_with_one_side_held_out_is_unused(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    roles_N = draw_splits(screen, drugs, CONFIG).splits["both"].roles_N
    test_lines = values(screen, roles_N, names.TEST, names.CELL_LINE_ID)
    test_parents = values(screen, roles_N, names.TEST, names.PARENT_COMPOUND)
    in_line = screen[names.CELL_LINE_ID].isin(test_lines)
    in_parent = screen[names.PARENT_COMPOUND].isin(test_parents)
    assert set(roles_N[in_line ^ in_parent]) == {names.UNUSED}
    assert set(roles_N[in_line & in_parent]) == {names.TEST}


def test_a_held_out_dose_has_another_dose_of_the_same_pair_in_training(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    roles_N = draw_splits(screen, drugs, CONFIG).splits["dose"].roles_N
    pair = screen[names.PARENT_COMPOUND] + screen[names.CELL_LINE_ID]
    assert set(pair[roles_N == names.TEST]) <= set(pair[roles_N == names.TRAIN])


def test_two_scaffolds_of_one_compound_are_held_out_together(conditions_of: ConditionsOf) -> None:
    rows = [(f"drug{i:02}", 1.0, f"line{j}", "p") for i in range(30) for j in range(4)]
    rows += [("drug01 hydrochloride", 1.0, f"line{j}", "p") for j in range(4)]
    table = conditions_of(rows)
    drug = sorted(set(table[names.DRUG]))
    drugs = pd.DataFrame({names.DRUG: drug, names.SCAFFOLD: [f"ring {one}" for one in drug]})
    for seed in range(20):
        split = draw_splits(table, drugs, SplitConfig(seed=seed, names=("scaffold",))).splits[
            "scaffold"
        ]
        twins = table[names.PARENT_COMPOUND] == "PARENT-drug01"
        assert len(set(split.roles_N[twins])) == 1
        audit_split(split, table, drugs)


def test_a_compound_that_joins_two_scaffolds_brings_the_training_one_to_the_test_side(
    conditions_of: ConditionsOf,
) -> None:
    names_of = [f"drug{i:02}" for i in range(40)]
    rows = [(drug, 1.0, f"line{j}", "p") for drug in names_of for j in range(3)]
    before = conditions_of(rows)
    drugs = pd.DataFrame({names.DRUG: names_of, names.SCAFFOLD: names_of})
    roles_N = draw_splits(before, drugs, CONFIG).splits["scaffold"].roles_N
    in_test = before.loc[roles_N == names.TEST, names.DRUG].iloc[0]
    in_train = before.loc[roles_N == names.TRAIN, names.DRUG].iloc[0]

    tautomers = pd.DataFrame({names.DRUG: ["one", "other"], names.SCAFFOLD: [in_test, in_train]})
    joining = conditions_of([("one", 1.0, "line0", "p"), ("other", 1.0, "line0", "p")])
    joining[names.PARENT_COMPOUND] = "one compound"
    grown = pd.concat([before, joining], ignore_index=True)
    after = draw_splits(grown, pd.concat([drugs, tautomers]), CONFIG).splits["scaffold"]

    is_joined = grown[names.DRUG].isin([in_test, in_train, "one", "other"])
    assert set(after.roles_N[is_joined]) == {names.TEST}
    is_other = ~is_joined[: len(before)]
    np.testing.assert_array_equal(after.roles_N[: len(before)][is_other], roles_N[is_other])


def test_a_drug_that_the_metadata_lack_is_a_scaffold_of_its_own(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    split = draw_splits(screen, drugs.iloc[3:], CONFIG).splits["scaffold"]
    audit_split(split, screen, drugs.iloc[3:])  # raises where a scaffold is on two sides
    for drug in drugs[names.DRUG].iloc[:3]:
        roles = set(split.roles_N[(screen[names.DRUG] == drug).to_numpy()]) - {names.UNUSED}
        assert len(roles) == 1


def test_the_later_of_two_plates_that_repeat_each_other_is_the_test(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    drawn = draw_splits(screen, drugs, CONFIG)
    roles_N = drawn.splits["plate_replicate"].roles_N
    on_plate4 = (screen[names.PLATE] == "plate4").to_numpy()
    assert set(roles_N[on_plate4]) == {names.TEST, names.VALIDATION}
    assert set(roles_N[~on_plate4]) == {names.TRAIN}
    assert (
        "test plate plate4: 288 of its conditions (100%) are also on plate3"
        in (drawn.notes["plate_replicate"])
    )


def test_a_second_replicate_plate_is_the_validation(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    some = screen[screen[names.PLATE].isin(["plate1", "plate2"])].iloc[::4]
    mixed = pd.concat([screen, some.assign(plate="plate5")], ignore_index=True)
    roles_N = draw_splits(mixed, drugs, CONFIG).splits["plate_replicate"].roles_N
    assert set(roles_N[mixed[names.PLATE] == "plate5"]) == {names.VALIDATION}
    assert set(roles_N[mixed[names.PLATE] == "plate4"]) == {names.TEST}


def test_a_named_replicate_plate_is_the_test_and_what_training_lacks_is_unused(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    only_here = screen[screen[names.PLATE] == "plate1"].head(40).assign(dose_um=9.0, plate="plate3")
    table = pd.concat([screen, only_here], ignore_index=True)
    split = draw_splits(table, drugs, replace(CONFIG, replicate_plate="plate3")).splits[
        "plate_replicate"
    ]
    assert values(table, split.roles_N, names.TEST, names.PLATE) == {"plate3"}
    assert set(split.roles_N[table[names.DOSE_UM] == 9.0]) == {names.UNUSED}


def test_a_bridge_well_on_all_plates_makes_no_plate_a_replicate(
    conditions_of: ConditionsOf,
) -> None:
    plates = [f"plate{number}" for number in range(1, 5)]
    table = conditions_of(
        [("bridge", 0.05, "line0", plate) for plate in plates]
        + [(f"{plate}-drug", 1.0, "line0", plate) for plate in plates]
    )
    drugs = pd.DataFrame({names.DRUG: [], names.SCAFFOLD: []})
    drawn = draw_splits(table, drugs, SplitConfig(names=("plate_replicate",)))
    assert drawn.splits == {}
    assert drawn.skipped["plate_replicate"].startswith("no plate repeats 50% of its conditions")


def test_rows_with_borrowed_controls_are_left_out_of_the_plate_split(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    is_borrowed = np.arange(len(screen)) % 7 == 0
    table = screen.assign(is_fallback_control=is_borrowed)
    drawn = draw_splits(table, drugs, CONFIG)
    assert set(drawn.splits["plate_replicate"].roles_N[is_borrowed]) == {names.UNUSED}
    assert any("control from elsewhere" in note for note in drawn.notes["plate_replicate"])


def test_a_held_out_pair_whose_compound_was_never_trained_on_is_unused_and_counted(
    conditions_of: ConditionsOf, screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    singles = conditions_of((f"single{i}", 1.0, "CVCL_0000", "plate1") for i in range(50))
    table = pd.concat([screen, singles], ignore_index=True)
    drawn = draw_splits(table, drugs, CONFIG)
    roles = set(drawn.splits["pair"].roles_N[len(screen) :])
    assert roles == {names.TRAIN, names.UNUSED}
    assert any("training lacks: unused" in note for note in drawn.notes["pair"])


def test_lines_of_a_published_split_are_the_test_and_validation_comes_from_the_others(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    lines = ("CVCL_0003", "CVCL_0007")
    drawn = draw_splits(screen, drugs, SplitConfig(holdout_lines={"published": lines}))
    split = drawn.splits["published"]
    assert split.kind == "cell_line"
    assert values(screen, split.roles_N, names.TEST, names.CELL_LINE_ID) == set(lines)
    assert values(screen, split.roles_N, names.VALIDATION, names.CELL_LINE_ID)
    audit_split(split, screen)


def test_a_published_split_whose_lines_are_absent_is_skipped_and_says_which(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    config = SplitConfig(holdout_lines={"tahoe_5_holdout": TAHOE_5_HOLDOUT})
    drawn = draw_splits(screen, drugs, config)
    assert drawn.skipped["tahoe_5_holdout"] == (
        "5 of 5 lines are not in the data: CVCL_0334, CVCL_0480, CVCL_1097 and 2 more"
    )


def test_one_line_gives_no_line_split_but_a_reason(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    table = screen[screen[names.CELL_LINE_ID] == "CVCL_0000"].reset_index(drop=True)
    names_without_pair = tuple(name for name in SPLIT_NAMES if name not in ("pair", "organ"))
    drawn = draw_splits(table, drugs, SplitConfig(names=names_without_pair))
    reason = "a split needs at least two cell lines; there are 1"
    assert drawn.skipped == dict.fromkeys(("few_shot", "cell_line", "both"), reason)


def test_all_lines_of_an_organ_are_on_one_side_and_a_line_without_one_stands_alone(
    screen: pd.DataFrame, drugs: pd.DataFrame, cell_lines: pd.DataFrame
) -> None:
    split = draw_splits(screen, drugs, CONFIG, cell_lines).splits["organ"]
    role_of = dict(zip(screen[names.CELL_LINE_ID], split.roles_N, strict=True))
    unit = cell_lines[names.ORGAN].fillna("name:" + cell_lines[names.CELL_LINE_ID])
    roles = cell_lines[names.CELL_LINE_ID].map(role_of)

    roles_an_organ = roles.groupby(unit).nunique()
    assert (roles_an_organ == 1).all()
    is_test = unit.map(lambda one: hash_position(0, "organ", one) < 0.2)
    np.testing.assert_array_equal(roles == names.TEST, is_test)
    assert is_test.sum() == 6  # three organs of two lines


def test_one_organ_or_none_known_gives_no_organ_split_but_a_reason(
    screen: pd.DataFrame, drugs: pd.DataFrame, cell_lines: pd.DataFrame
) -> None:
    one = draw_splits(screen, drugs, CONFIG, cell_lines.assign(organ="Lung"))
    unknown = draw_splits(screen, drugs, CONFIG)

    assert one.skipped == {"organ": "a split needs at least two organs; there are 1"}
    assert unknown.skipped == {
        "organ": "a split by organs needs the cell_lines table, which has them"
    }


def test_of_one_condition_no_split_can_be_drawn_and_each_says_why(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    drawn = draw_splits(screen.iloc[:1], drugs, CONFIG)

    assert drawn.splits == {}
    assert set(drawn.skipped) == set(CONFIG.names)
    assert drawn.skipped["pair"].startswith("a split needs at least two pairs")


def test_a_repeated_condition_is_refused(screen: pd.DataFrame, drugs: pd.DataFrame) -> None:
    with pytest.raises(AlignmentError, match="2 conditions occur more than once; first: plate1"):
        draw_splits(pd.concat([screen, screen.iloc[:2]]), drugs, CONFIG)


def test_a_condition_without_parent_compound_is_refused(
    screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    screen.loc[5, names.PARENT_COMPOUND] = None
    with pytest.raises(MetadataError, match="1 of 1152 conditions have no parent compound"):
        draw_splits(screen, drugs, CONFIG)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"names": ("pair", "plates")}, "unknown splits plates"),
        ({"test_frac": 0.0}, "test_frac is 0.0; it is a share between 0 and 1"),
        ({"test_frac": 0.6, "validation_frac": 0.5}, "leave nothing to train on"),
        ({"holdout_lines": {"pair": ("a",)}}, "holdout_lines uses the names pair"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SplitConfig(**setting)  # type: ignore[arg-type]
