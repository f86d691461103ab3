"""What the pictures group and mark."""

import numpy as np

from drug_pipeline.orchestration.pictures import MOST_DOSES, _dose_groups


def test_a_few_doses_have_a_curve_each() -> None:
    groups = _dose_groups(np.array([5.0, 0.05, 0.5, 5.0]))

    assert [label for label, _ in groups] == ["0.05 µM", "0.5 µM", "5 µM"]
    assert groups[2][1].tolist() == [True, False, False, True]


def test_many_doses_are_gathered_in_ranges_that_lose_none() -> None:
    doses_N = np.geomspace(0.01, 100, 40)

    groups = _dose_groups(doses_N)

    assert len(groups) == MOST_DOSES
    assert sum(of_group.sum() for _, of_group in groups) == 40
    assert " to " in groups[0][0]
