"""What is concluded from what leaving a thing out costs."""

import pytest

from drug_pipeline.evaluation.ablation.page import _verdict


@pytest.mark.parametrize(
    ("cost", "low", "high", "verdict"),
    [
        (0.02, 0.01, 0.03, "confirmed"),
        (0.002, 0.001, 0.003, "refuted, the gain is below 0.005"),
        (0.001, -0.01, 0.02, "refuted, no gain is seen"),
        (-0.02, -0.03, -0.01, "refuted, it hurts"),
        (0.0, 0.0, 0.0, "not decided, nothing changed"),
        (0.0001, -0.00004, 0.0002, "not decided, nothing changed"),
        (0.02, float("nan"), float("nan"), "cannot be told, too few compounds"),
    ],
    ids=["gain", "tiny-gain", "no-gain", "harm", "exactly-nothing", "reads-nothing", "few"],
)
def test_a_thing_whose_absence_changes_nothing_is_neither_confirmed_nor_refuted(
    cost: float, low: float, high: float, verdict: str
) -> None:
    assert _verdict(cost, low, high) == verdict
