"""Planted leaks turn the audit red, each with what leaked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    AlignmentError,
    EmptyResultError,
    LeakError,
    MetadataError,
)
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.domain.tables import Split
from drug_pipeline.expression.splits.named_splits import SplitConfig, draw_splits
from drug_pipeline.expression.splits.split_audit import audit_split

TEST_ROW = {
    "pair": r"1 pairs of compound and line are in both train and test \(\d+ of \d+ test conditions\)",
    "few_shot": "1 pairs",
    "cell_line": "1 cell lines are in both train and test",
    "organ": "1 organs are in both train and test",
    "drug": "1 parent compounds are in both train and test",
    "scaffold": "1 parent compounds are in both train and test",
    "both": "1 parent compounds are in both train and test",
    "dose": "1 doses of compounds are in both train and test",
    "plate_replicate": "1 plates are in both train and test",
}


@pytest.fixture
def splits(screen: pd.DataFrame, drugs: pd.DataFrame, cell_lines: pd.DataFrame) -> dict[str, Split]:
    return draw_splits(screen, drugs, SplitConfig(), cell_lines).splits


def moved(split: Split, row: int, role: str) -> Split:
    roles_N = split.roles_N.copy()
    roles_N[row] = role
    return replace(split, roles_N=roles_N)


@pytest.mark.parametrize("name", SPLIT_NAMES)
def test_one_test_condition_moved_into_training_is_a_leak(
    name: str,
    splits: dict[str, Split],
    screen: pd.DataFrame,
    drugs: pd.DataFrame,
    cell_lines: pd.DataFrame,
) -> None:
    leaking = moved(splits[name], splits[name].rows(names.TEST)[0], names.TRAIN)
    with pytest.raises(LeakError, match=f"split {name}: {TEST_ROW[name]}"):
        audit_split(leaking, screen, drugs, cell_lines)


@pytest.mark.parametrize("name", sorted(set(SPLIT_NAMES) - {"plate_replicate"}))
def test_validation_and_test_share_no_unit_either(
    name: str,
    splits: dict[str, Split],
    screen: pd.DataFrame,
    drugs: pd.DataFrame,
    cell_lines: pd.DataFrame,
) -> None:
    leaking = moved(splits[name], splits[name].rows(names.TEST)[0], names.VALIDATION)
    with pytest.raises(LeakError, match="are in both validation and test"):
        audit_split(leaking, screen, drugs, cell_lines)


def test_a_test_compound_in_training_under_a_salts_name_is_a_leak(
    splits: dict[str, Split], screen: pd.DataFrame
) -> None:
    base = splits["drug"]
    is_twin = (screen[names.PARENT_COMPOUND] == "PARENT-drug01").to_numpy()
    is_salt = (screen[names.DRUG] == "drug01 hydrochloride").to_numpy()
    roles_N = np.where(is_salt, names.TRAIN, np.where(is_twin, names.TEST, base.roles_N))
    with pytest.raises(LeakError, match="first: PARENT-drug01"):
        audit_split(replace(base, roles_N=roles_N), screen)


def test_a_compound_of_a_test_scaffold_in_training_is_a_leak(
    splits: dict[str, Split], screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    base = splits["scaffold"]
    parent = screen[names.PARENT_COMPOUND].iloc[base.rows(names.TEST)[0]]
    roles_N = base.roles_N.copy()
    roles_N[(screen[names.PARENT_COMPOUND] == parent).to_numpy()] = names.TRAIN
    with pytest.raises(LeakError, match="1 scaffolds are in both train and test"):
        audit_split(replace(base, roles_N=roles_N), screen, drugs)


def test_a_plate_split_with_controls_from_other_plates_is_a_leak(
    splits: dict[str, Split], screen: pd.DataFrame
) -> None:
    screen.loc[splits["plate_replicate"].rows(names.TEST)[:3], names.IS_FALLBACK_CONTROL] = True
    with pytest.raises(LeakError, match="3 conditions are compared with controls of other plates"):
        audit_split(splits["plate_replicate"], screen)


def test_unused_conditions_are_on_no_side(splits: dict[str, Split], screen: pd.DataFrame) -> None:
    row = splits["drug"].rows(names.TEST)[0]
    audit_split(moved(splits["drug"], row, names.UNUSED), screen)
    with pytest.raises(LeakError):  # the same condition on a side is a leak
        audit_split(moved(splits["drug"], row, names.TRAIN), screen)


def test_roles_of_another_table_are_refused(splits: dict[str, Split], screen: pd.DataFrame) -> None:
    with pytest.raises(AlignmentError, match="1152 roles for 1151 conditions"):
        audit_split(splits["pair"], screen.iloc[1:])


def test_an_unknown_role_is_refused(splits: dict[str, Split], screen: pd.DataFrame) -> None:
    roles_N = np.where(splits["pair"].roles_N == names.VALIDATION, "valid", splits["pair"].roles_N)
    with pytest.raises(AlignmentError, match="unknown roles: valid"):
        audit_split(replace(splits["pair"], roles_N=roles_N), screen)


def test_a_split_with_an_empty_side_is_refused(
    splits: dict[str, Split], screen: pd.DataFrame
) -> None:
    roles_N = np.full(len(screen), names.TRAIN)
    with pytest.raises(EmptyResultError, match="split pair has no test condition"):
        audit_split(replace(splits["pair"], roles_N=roles_N), screen)


def test_a_scaffold_split_is_not_passed_without_its_scaffolds(
    splits: dict[str, Split], screen: pd.DataFrame
) -> None:
    with pytest.raises(MetadataError, match="needs the drugs table"):
        audit_split(splits["scaffold"], screen)


def test_an_organ_split_is_not_passed_without_its_organs(
    splits: dict[str, Split], screen: pd.DataFrame, drugs: pd.DataFrame
) -> None:
    with pytest.raises(MetadataError, match="needs the cell_lines table, which has the organs"):
        audit_split(splits["organ"], screen, drugs)
