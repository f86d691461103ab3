"""What a gate may say in every form, and who may be champion."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.evaluation.gates import gates, verdicts
from drug_pipeline.evaluation.gates.verdicts import GateResult, judged, promotion, tally

CLUSTERS = np.repeat(np.arange(20), 3).astype(str)
GREEN = GateResult(name="g", state="green", figure=0.0, n=60, explanation="")


@pytest.fixture
def rival() -> np.ndarray:
    return np.random.default_rng(4).normal(size=60)


@pytest.mark.parametrize("state", ["green", "red"])
def test_a_gate_without_n_cannot_be_green_or_red(state: verdicts.State) -> None:
    with pytest.raises(ValueError, match="it measured nothing"):
        GateResult(name="g", state=state, figure=0.0, n=0, explanation="")


@pytest.mark.parametrize(
    ("holds", "n", "is_demanded", "state", "bars"),
    [
        (True, 3, True, "green", False),
        (False, 3, True, "red", True),
        (True, 0, True, "not measured", True),
        (False, 0, True, "not measured", True),
        (False, 3, False, "reported", False),
        (True, 0, False, "reported", False),
    ],
)
def test_a_verdict_follows_from_what_was_measured_and_demanded(
    holds: bool, n: int, is_demanded: bool, state: str, bars: bool
) -> None:
    gate = judged(
        "g",
        holds=holds,
        n=n,
        figure=1.0,
        explanation="It is so.",
        otherwise="Measure more.",
        is_demanded=is_demanded,
    )

    assert (gate.state, gate.bars, gate.is_green) == (state, bars, state == "green")
    assert gate.explanation == ("It is so." if n else "Nothing was measured. Measure more.")


def test_a_gate_comes_back_from_json_and_from_its_table() -> None:
    whole = replace(GREEN, ci_low=-1.0, ci_high=2.0)
    empty = judged("h", holds=True, n=0, figure=float("nan"), explanation="", otherwise="No rows.")

    assert GateResult.from_json(whole.as_json()) == whole
    assert empty.as_json()["figure"] is None
    assert str(GateResult.from_json(empty.as_json())) == str(empty)  # NaN is not equal to itself
    rows = verdicts.as_frame([whole, empty]).to_dict("records")
    assert GateResult.from_json(rows[0]) == whole
    assert str(GateResult.from_json(rows[1])) == str(empty)


def test_a_tally_counts_what_is_demanded_apart_from_what_is_reported() -> None:
    red, blank, told = (
        judged("x", holds=False, n=n, figure=0, explanation="", otherwise="", is_demanded=wanted)
        for n, wanted in ((1, True), (0, True), (1, False))
    )

    assert tally([GREEN, red, blank, told]) == (
        "1 of 3 gates are green, 1 red, 1 not measured, 1 figures reported without a demand"
    )
    assert tally([GREEN, GREEN]) == "2 of 2 gates are green"


def test_promotion_needs_green_gates_and_every_rival_beaten_with_the_interval(
    rival: np.ndarray,
) -> None:
    better, level = rival + 0.5, rival + 0.05 * np.random.default_rng(5).normal(size=60)
    red = replace(GREEN, name="leaky", state="red")

    assert promotion([GREEN], better, {"mean": rival}, CLUSTERS).is_green
    assert "leaky" in promotion([red], better, {"mean": rival}, CLUSTERS).explanation
    assert not promotion([GREEN], level, {"mean": rival}, CLUSTERS).is_green
    against_champion = promotion([GREEN], better, {"mean": rival}, CLUSTERS, champion_N=better)
    assert not against_champion.is_green
    assert "not better than champion" in against_champion.explanation
    assert not promotion([GREEN], better, {}, CLUSTERS).is_green


def test_a_demanded_gate_that_measured_nothing_or_was_not_run_bars_the_champion(
    rival: np.ndarray,
) -> None:
    blank = replace(GREEN, name="shuffled genes find nothing", state="not measured", n=0)
    told = replace(GREEN, name="input matters: no cell", state="reported")

    def verdict(*found: GateResult) -> GateResult:
        return promotion(found, rival + 0.5, {"mean": rival}, CLUSTERS, demanded=["g", blank.name])

    assert verdict(GREEN, replace(GREEN, name=blank.name), told).is_green
    assert "1 gates measured nothing (" in verdict(GREEN, blank, told).explanation
    assert not verdict(GREEN, blank).is_green
    absent = verdict(GREEN, told)
    assert not absent.is_green
    assert "1 gates were not run (shuffled genes find nothing)" in absent.explanation


def test_without_test_conditions_nobody_is_promoted() -> None:
    nothing = np.zeros(0)

    verdict = promotion([GREEN], nothing, {"mean": nothing}, nothing.astype(str))

    assert verdict.state == "not measured"


def test_each_of_the_five_gates_and_each_guard_is_demanded_of_the_split_that_decides() -> None:
    assert set(gates.demanded_gates("pair")) == {
        "blind to treated cells",
        "blind to treated cells when fitted: pair",
        "permuted targets teach nothing: shipped, pair",
        "input matters: shuffled drug, shipped, pair",
        "sides are disjoint: pair",
        "controls are the plate's own: pair",
        "shuffled genes find nothing",
        "genes chosen on controls",
    }
