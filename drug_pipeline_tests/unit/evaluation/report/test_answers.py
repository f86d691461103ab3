"""The four answers that the report begins with, from figures written down by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.evaluation.evaluate import SplitEvaluation
from drug_pipeline.evaluation.gates.gates import demanded_gates
from drug_pipeline.evaluation.gates.verdicts import GateResult, State
from drug_pipeline.evaluation.report.answers import Answer, answers
from drug_pipeline.evaluation.scoring.calibration import Estimate
from drug_pipeline.storage.predictions import Rankings, SplitPredictions

Gap = tuple[float, float, float]
"""A difference and its interval."""
BETTER: Gap = (0.03, 0.01, 0.05)
EVEN: Gap = (0.01, -0.02, 0.04)
WORSE: Gap = (-0.03, -0.05, -0.01)
UNKNOWN: Gap = (0.03, float("nan"), float("nan"))


def gates(split: str = "pair", **states: State) -> list[GateResult]:
    """All gates that are demanded on a split, green but for those named by their first word."""
    found = []
    for name in demanded_gates(split):
        state = states.get(name.split()[0], "green")
        n = int(state != "not measured")
        found.append(GateResult(name=name, state=state, figure=0.0, n=n, explanation="."))
    return found


def judged(
    kind: str = "pair",
    *,
    over_simple: Gap = BETTER,
    over_simple_in_all: Gap = BETTER,
    over_plain: Gap = BETTER,
    over_random: Gap = (0.6, 0.5, 0.7),
    plain: float = 0.5,
) -> SplitEvaluation:
    """A split on which a ridge reaches .5 in its main metric and a ranker .8 in MRR."""
    main = kind_of(kind).main_metric
    zeros = np.zeros((1, 2), dtype=np.float32)
    ranking = Rankings(
        query_rows_Q=np.zeros(1, dtype=np.int64),
        gallery=("a", "b"),
        groups=("a", "b"),
        scores={"combined": zeros},
        shipped="combined",
    )
    predictions = SplitPredictions(
        split=kind,
        kind=kind,
        split_fingerprint="s",
        delta_fingerprint="d",
        conditions=pd.DataFrame({"drug": ["a"]}),
        rows_N=np.zeros(1, dtype=np.int64),
        predictions={"panel_ridge": zeros, "additive": zeros},
        shipped="panel_ridge",
        best_linear="panel_ridge",
        rankings={names.DRUG_TASK: ranking},
    )
    metrics = [
        figure("forward", "panel_ridge", main, 0.5, 0.05),
        figure("forward", "additive", main, 0.4, 0.05),
        figure("drug", "combined", "mrr", 0.8, 0.05),
        figure("drug", "combined", "hit", 0.7, 0.05, k=1),
        figure("drug", "combined", "hit", 0.9, 0.05, k=10),
        figure("drug", "raw_cosine", "mrr", plain, 0.05),
        figure("drug", "random", "mrr", 0.1, 0.05),
    ]
    compared = [
        difference("forward", "additive", main, over_simple, "activity", "active"),
        difference("forward", "additive", main, over_simple_in_all, "all", "all"),
        difference("drug", "raw_cosine", "mrr", over_plain, "activity", "active"),
        difference("drug", "random", "mrr", over_random, "activity", "active"),
    ]
    return SplitEvaluation(
        split=kind,
        kind=kind,
        predictions=predictions,
        metrics=pd.DataFrame(metrics),
        comparisons=pd.DataFrame(compared),
        best_simple="additive",
        rows=pd.DataFrame({"mse": [0.1, 0.2]}),
    )


def figure(
    task: str, predictor: str, metric: str, value: float, half: float, k: int = 0
) -> dict[str, Any]:
    return {
        "task": task,
        "predictor": predictor,
        "metric": metric,
        "k": k,
        "stratum_kind": "activity",
        "stratum": "active",
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "n": 40,
        "gallery": 54,
    }


def difference(
    task: str, reference: str, metric: str, gap: Gap, kind: str, stratum: str
) -> dict[str, Any]:
    value, low, high = gap
    return {
        "task": task,
        "reference": reference,
        "metric": metric,
        "stratum_kind": kind,
        "stratum": stratum,
        "difference": value,
        "ci_low": low,
        "ci_high": high,
        "n": 40 if stratum == "active" else 90,
    }


def asked(
    *evaluations: SplitEvaluation,
    given: list[GateResult] | None = None,
    covered: dict[str, Estimate] | None = None,
) -> dict[str, Answer]:
    bounds = {split: {"covered": told} for split, told in (covered or {}).items()}
    found = answers(evaluations, bounds, gates() if given is None else given)
    return dict(zip(("better", "found", "believed", "champion"), found, strict=True))


@pytest.mark.parametrize(
    ("gap", "verdict", "tone", "words"),
    [
        (BETTER, "Yes", "better", "better than Additive (+0.030 [0.010, 0.050]), n = 40."),
        (
            EVEN,
            "Not shown",
            "",
            "not told apart from Additive (+0.010 [\N{MINUS SIGN}0.020, 0.040]), n = 40.",
        ),
        (
            WORSE,
            "Not shown; worse on unseen pair",
            "worse",
            "worse than Additive (\N{MINUS SIGN}0.030",
        ),
        (UNKNOWN, "Not shown", "", "without an interval (fewer than five compounds) against"),
    ],
    ids=["better", "not-told-apart", "worse", "no-interval"],
)
def test_better_than_simple_baselines_is_said_as_far_as_the_interval_shows_it(
    gap: Gap, verdict: str, tone: str, words: str
) -> None:
    answer = asked(judged(over_simple=gap))["better"]

    assert (answer.verdict, answer.tone) == (verdict, tone)
    start = "Unseen pair: Panel ridge reaches 0.500 [0.450, 0.550] in centred Pearson, "
    assert answer.sentences[0].startswith(start)
    assert words in answer.sentences[0]


def test_the_split_that_decides_speaks_first_and_the_others_are_counted() -> None:
    answer = asked(judged("drug", over_simple=EVEN), judged("pair"))["better"]

    assert answer.verdict == "In part on 1 of 2 splits"
    assert answer.sentences[0].startswith("Unseen pair: ")
    assert answer.more[0].startswith("Unseen drug: Panel ridge reaches 0.500")
    assert "in Pearson centred by line and dose" in answer.more[0]
    assert "For new drugs the dose is centred too: " in answer.more[-1]
    assert "dose" not in asked(judged("pair"))["better"].more[-1]


def test_a_simple_baseline_that_ships_is_not_better_than_itself() -> None:
    one = judged()
    one = replace(
        one, best_simple="additive", predictions=replace(one.predictions, shipped="additive")
    )
    one = replace(one, comparisons=one.comparisons.iloc[2:])

    found = asked(one)

    assert "it is itself the best simple baseline (n = 40)" in found["better"].sentences[0]
    assert found["better"].verdict == "Not shown"
    assert "What ships is itself a simple baseline, Additive." in found["champion"].sentences


@pytest.mark.parametrize(
    ("figures", "verdict", "tone"),
    [
        ({}, "Yes; better than plain correlation", "better"),
        ({"over_plain": EVEN}, "Yes; not better than plain correlation", ""),
        (
            {"over_plain": WORSE},
            "Yes; not better than plain correlation; worse on unseen pair",
            "worse",
        ),
        ({"over_random": EVEN, "over_plain": EVEN}, "Not shown", ""),
    ],
    ids=["better-than-correlation", "no-better", "worse-than-correlation", "no-better-than-chance"],
)
def test_found_drugs_stand_beside_a_random_order_and_plain_correlation(
    figures: dict[str, Any], verdict: str, tone: str
) -> None:
    answer = asked(judged(**figures))["found"]

    assert (answer.verdict, answer.tone) == (verdict, tone)
    for words in (
        "Unseen pair: Hit@1 0.700, Hit@10 0.900, MRR 0.800 [0.750, 0.850], beside ",
        "0.500 by plain correlation (",
        " and 0.100 by a random order; ",
        "gallery 54, n = 40 active queries.",
    ):
        assert words in answer.sentences[0]
    assert "Saturated" not in answer.sentences[0]


def test_a_ranking_that_plain_correlation_solves_is_said_to_tell_nothing() -> None:
    sentence = asked(judged(plain=0.79))["found"].sentences[0]

    assert sentence.endswith("Saturated: plain correlation leaves no room to tell rankers apart.")


def test_a_new_drug_is_not_held_against_plain_correlation_which_cannot_know_it() -> None:
    answer = asked(judged("drug", over_plain=EVEN), given=gates("drug"))["found"]

    assert answer.verdict == "Yes"
    assert answer.more[-1].endswith(
        "A drug that was never measured has none, so that it cannot be found so."
    )


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        ("red", "No, 1 red gate", "Red: permuted targets teach nothing: shipped, pair."),
        ("not measured", "Not known, 1 gate measured nothing", "Not measured: permuted"),
    ],
)
def test_a_gate_that_bars_is_named_and_keeps_the_model_from_being_champion(
    state: State, verdict: str, words: str
) -> None:
    found = asked(judged(), given=gates(permuted=state))

    assert found["believed"].verdict == verdict
    assert "7 of 8 gates are green, 1 " in found["believed"].sentences[0]
    assert words in found["believed"].sentences[0]
    assert found["champion"].verdict == "No, it stays a candidate"
    assert "permuted targets teach nothing: shipped, pair" in found["champion"].sentences[0]


def test_without_gates_nothing_is_believed() -> None:
    found = asked(judged(), given=[])

    assert found["believed"].verdict == "Not known, no gate was run"
    assert found["champion"].sentences[0].startswith("8 gates were not run (")


@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        (Estimate(value=0.9, low=0.85, high=0.95), "Yes", "90 % [85, 95], as it should (n = 2)."),
        (
            Estimate(value=0.81, low=0.75, high=0.87),
            "Yes, but not its bound of error on 1 of 1 splits",
            "81 % [75, 87], too few: the bound is too narrow (n = 2).",
        ),
        (
            Estimate(value=0.97, low=0.95, high=0.99),
            "Yes",
            "97 % [95, 99], more than it says (n = 2).",
        ),
        (
            Estimate(value=0.95, low=float("nan"), high=float("nan")),
            "Yes",
            "95 %, too few compounds for an interval (n = 2).",
        ),
    ],
    ids=["holds", "too-narrow", "too-wide", "no-interval"],
)
def test_the_bound_of_error_is_said_to_hold_or_not(
    told: Estimate, verdict: str, words: str
) -> None:
    answer = asked(judged(), covered={"pair": told})["believed"]

    assert answer.verdict == verdict
    assert answer.sentences[1].endswith(words)


def test_a_model_that_nothing_bars_becomes_champion_at_registration() -> None:
    answer = asked(judged())["champion"]

    assert answer.verdict == "Yes once registered, unless an older champion is as good"
    assert "the closest is Additive (+0.030 [0.010, 0.050], n = 90)." in answer.sentences[0]


def test_a_model_not_better_on_all_test_conditions_stays_candidate() -> None:
    answer = asked(judged(over_simple_in_all=EVEN))["champion"]

    assert answer.sentences == (
        "It is not better than Additive over all test conditions of unseen pair.",
    )


def test_nothing_predicted_or_ranked_is_said_to_be_not_measured() -> None:
    one = judged()
    blank = replace(one.predictions, predictions={}, shipped="", best_linear="", rankings={})
    found = asked(
        replace(
            one,
            predictions=blank,
            metrics=one.metrics.iloc[:0],
            comparisons=one.comparisons.iloc[:0],
        )
    )

    assert found["better"].verdict == "Not measured"
    assert found["found"].verdict == "Not measured"
    assert found["champion"].sentences == ("Nothing was predicted.",)
