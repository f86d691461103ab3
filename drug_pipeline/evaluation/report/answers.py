"""The four answers that page, summary and terminal begin with, in sentences.

What belongs here: is it better than simple baselines, are the right drugs found, may it be believed,
may it be champion. What does not: new figures; everything said was computed before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import first_few
from drug_pipeline.domain.split_kinds import deciding_split, kind_of
from drug_pipeline.evaluation.evaluate import FORWARD_TASK, SIMPLE, SplitEvaluation
from drug_pipeline.evaluation.gates.gates import demanded_gates
from drug_pipeline.evaluation.gates.verdicts import (
    NOT_MEASURED,
    RED,
    GateResult,
    barred,
    tally,
)
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.report.detail_sections import ranking_ranges
from drug_pipeline.evaluation.report.figures import RAW_COSINE, rows_of
from drug_pipeline.evaluation.report.tables import direction, queries_of, record, select
from drug_pipeline.evaluation.report.wording import (
    METRIC_PHRASES,
    count,
    number,
    percent,
    percent_interval,
    predictor_title,
    signed,
    split_title,
    with_interval,
)
from drug_pipeline.evaluation.scoring.calibration import SATURATED_VERDICT, Estimate
from drug_pipeline.evaluation.scoring.strata import ALL

COVERED: Final = 0.9
"""Share of conditions that the stated bound of error is to hold for."""
BETTER, WORSE = "better", "worse"
WHY_BY_DOSE: Final = (
    "For new drugs the dose is centred too: what a dose does to every drug alike outweighs what one "
    "unseen drug does, and would be scored in its place."
)
PLAIN: Final = "Plain correlation is the raw cosine with measured profiles of other conditions."
NO_PROFILE: Final = "A drug that was never measured has none, so that it cannot be found so."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A question, the answer in a few words, the sentences it rests on, and ``more`` of them.

    ``tone`` is better, worse, or empty where it is neither yes nor no.
    """

    question: str
    verdict: str
    tone: str
    sentences: tuple[str, ...]
    more: tuple[str, ...] = ()


def answers(
    evaluations: Sequence[SplitEvaluation],
    uncertainty: Mapping[str, Mapping[str, Estimate]],
    gates: Sequence[GateResult],
) -> tuple[Answer, ...]:
    """What a reader wants to know first, each with its figures.

    Parameters
    ----------
    uncertainty
        Split → how well its expected errors match actual ones (``detail_sections.uncertainty``).
    """
    fitted = [one.split for one in evaluations if one.predictions.predictions]
    first = deciding_split(fitted) if fitted else ""  # it speaks for all
    evaluations = sorted(evaluations, key=lambda one: one.split != first)
    forward = [one for one in evaluations if one.split in fitted]
    return (
        is_better(forward),
        finds_drugs(evaluations),
        may_be_believed(forward, uncertainty, gates),
        may_be_champion(forward, gates),
    )


def is_better(forward: Sequence[SplitEvaluation]) -> Answer:
    """Whether what ships predicts better than the best simple baseline, split by split."""
    compared = [_against_simple(one) for one in forward]
    ways = [way for way, _ in compared]
    sentences = [sentence for _, sentence in compared] or ["No split has forward predictions."]
    how = "Figures are over active conditions, with 95 % intervals over parent compounds."
    is_any_new = any(kind_of(one.kind).is_drug_new for one in forward)
    return Answer(
        question="Is the forward model better than simple baselines?",
        verdict=_share_of_splits(ways) + _where(WORSE, ways, forward),
        tone=_tone(ways),
        sentences=(sentences[0],),
        more=(*sentences[1:], f"{how} {WHY_BY_DOSE}" if is_any_new else how) if compared else (),
    )


def _against_simple(one: SplitEvaluation) -> tuple[str, str]:
    """Better, worse or neither than the best simple baseline of a split, and the sentence."""
    title, shipped = split_title(one.split, one.kind), one.predictions.shipped
    phrase = METRIC_PHRASES[one.main_metric]
    own = record(rows_of(one, one.main_metric), "predictor", shipped)
    if own is None:
        return "", f"{title}: {phrase} is not defined for what ships, {predictor_title(shipped)}."
    reached = (
        f"{title}: {predictor_title(shipped)} reaches "
        f"{with_interval(number(own['value']), own['ci_low'], own['ci_high'])} in {phrase}"
    )
    compared = select(one.comparisons, task=FORWARD_TASK, metric=one.main_metric)
    found = record(compared, "reference", one.best_simple)
    if found is None:
        return "", f"{reached}; it is itself the best simple baseline (n = {count(own['n'])})."
    way = direction(found["ci_low"], found["ci_high"])
    called = {
        BETTER: "better than",
        WORSE: "worse than",
        "": "not told apart from"
        if np.isfinite(found["ci_low"])
        else "without an interval (fewer than five compounds) against",
    }[way]
    difference = with_interval(signed(found["difference"]), found["ci_low"], found["ci_high"])
    return way, (
        f"{reached}, {called} {predictor_title(one.best_simple)} ({difference}), "
        f"n = {count(found['n'])}."
    )


def finds_drugs(evaluations: Sequence[SplitEvaluation]) -> Answer:
    """Whether the shipped ranker finds the right drugs, beside a random order and the raw cosine."""
    asked = [one for one in evaluations if len(_mrr(one))]
    over_chance = [_way(one, chance.RANDOM) for one in asked]
    known = [one for one in asked if not kind_of(one.kind).is_drug_new]
    over_plain = [_way(one, RAW_COSINE) for one in known]
    of_known = " of known drugs" if 1 < len(known) < len(asked) else ""
    verdict = _share_of_splits(over_chance)
    if BETTER in over_chance and known:
        verdict += (
            f"; better than plain correlation{_on(over_plain)}{of_known}"
            if BETTER in over_plain
            else "; not better than plain correlation"
        ) + _where(WORSE, over_plain, known)
    sentences = [ranking_sentence(one) for one in asked] or ["No ranking of drugs was judged."]
    return Answer(
        question="Are the right drugs found?",
        verdict=verdict,
        tone=_tone([*over_chance, *over_plain]),
        sentences=(sentences[0],),
        more=(*sentences[1:], f"{PLAIN} {NO_PROFILE}") if asked else (),
    )


def ranking_sentence(one: SplitEvaluation) -> str:
    """What the shipped ranker reaches where every drug competes; empty without such a ranking."""
    rows = _mrr(one)
    if rows.empty:
        return ""
    shipped = one.predictions.rankings[names.DRUG_TASK].shipped
    own = record(rows, "predictor", shipped)
    assert own is not None, "the shipped ranker is always scored"
    hits = select(one.metrics, task=names.DRUG_TASK, metric="hit")
    parts = [
        f"Hit@{k} {number(hit['value'])}"
        for k in (1, 10)
        if (hit := record(hits[hits["k"] == k], "predictor", shipped)) is not None
    ]
    parts.append(f"MRR {with_interval(number(own['value']), own['ci_low'], own['ci_high'])}")
    beside = ["plain correlation, which ships,"] if shipped == RAW_COSINE else []
    for name, called in ((RAW_COSINE, "plain correlation"), (chance.RANDOM, "a random order")):
        if (rival := record(rows, "predictor", name)) is not None and name != shipped:
            beside.append(f"{number(rival['value'])} by {called}{_apart(one, name)}")
    return (
        f"{split_title(one.split, one.kind)}: {', '.join(parts)}, beside {' and '.join(beside)}; "
        f"gallery {count(own['gallery'])}, n = {count(own['n'])} {queries_of(rows)}."
        f"{_saturated(one)}"
    )


def _apart(one: SplitEvaluation, ranker: str) -> str:
    """How far what ships is above plain correlation, in brackets; chance needs no difference."""
    compared = select(one.comparisons, task=names.DRUG_TASK, metric="mrr")
    found = record(compared, "reference", ranker)
    if found is None or ranker != RAW_COSINE:
        return ""
    return f" ({with_interval(signed(found['difference']), found['ci_low'], found['ci_high'])})"


def _saturated(one: SplitEvaluation) -> str:
    """Said where MRR tells rankers nothing apart; else empty."""
    mrr = record(ranking_ranges(one), "metric", "mrr")
    if mrr is None or mrr["verdict"] != SATURATED_VERDICT:
        return ""
    return " Saturated: plain correlation leaves no room to tell rankers apart."


def _mrr(one: SplitEvaluation) -> pd.DataFrame:
    return select(one.metrics, task=names.DRUG_TASK, metric="mrr")


def _way(one: SplitEvaluation, reference: str) -> str:
    """Better, worse or neither in MRR than another ranker."""
    found = record(
        select(one.comparisons, task=names.DRUG_TASK, metric="mrr"), "reference", reference
    )
    return "" if found is None else direction(found["ci_low"], found["ci_high"])


def may_be_believed(
    forward: Sequence[SplitEvaluation],
    uncertainty: Mapping[str, Mapping[str, Estimate]],
    gates: Sequence[GateResult],
) -> Answer:
    """What the gates found, and whether stated bounds of error hold."""
    coverages = [
        (one, uncertainty[one.split]["covered"])
        for one in forward
        if "covered" in uncertainty.get(one.split, {})
    ]
    bounds = [_bound_sentence(one, covered) for one, covered in coverages]
    narrow = [one.kind for one, covered in coverages if covered.high < COVERED]
    red, blank = (
        [gate.name for gate in gates if gate.state == state] for state in (RED, NOT_MEASURED)
    )
    verdict, tone, plural = "Yes", BETTER, "s" * (len(red or blank) > 1)
    if red:
        verdict, tone = f"No, {len(red)} red gate{plural}", WORSE
    elif blank:
        verdict, tone = f"Not known, {len(blank)} gate{plural} measured nothing", WORSE
    elif not gates:
        verdict, tone = "Not known, no gate was run", WORSE
    elif narrow:
        verdict, tone = (
            f"Yes, but not its bound of error on {len(narrow)} of {len(coverages)} splits",
            "",
        )
    found = f"{tally(gates)}."
    found += f" Red: {first_few(red)}." if red else ""
    found += f" Not measured: {first_few(blank)}." if blank else ""
    return Answer(
        question="May it be believed?",
        verdict=verdict,
        tone=tone,
        sentences=(found, *(bounds[:1] or ["The model states no bound of its error."])),
        more=tuple(bounds[1:]),
    )


def _bound_sentence(one: SplitEvaluation, covered: Estimate) -> str:
    judged = "as it should"
    if not np.isfinite(covered.low):
        judged = "too few compounds for an interval"
    elif covered.high < COVERED:
        judged = "too few: the bound is too narrow"
    elif covered.low > COVERED:
        judged = "more than it says"
    held = f"{percent(covered.value)} {percent_interval(covered.low, covered.high)}".rstrip()
    return (
        f"{split_title(one.split, one.kind)}: the bound of error for 90 % of conditions holds for "
        f"{held}, {judged} (n = {count(len(one.rows))})."
    )


def may_be_champion(forward: Sequence[SplitEvaluation], gates: Sequence[GateResult]) -> Answer:
    """What the rule of promotion will find, up to the champion of that day.

    The first split decides.
    """
    question = "Is it champion?"
    reasons = ["nothing was predicted"]
    rivals: list[dict[str, Any]] = []
    if forward:
        rivals = _simple_rivals(forward[0])
        reasons = barred(gates, demanded_gates(forward[0].split))
        reasons += _not_beaten(forward[0], rivals)
    if reasons:
        text = "; ".join(reasons)
        return Answer(
            question=question,
            verdict="No, it stays a candidate",
            tone=WORSE,
            sentences=(f"{text[:1].upper()}{text[1:]}.",),
        )
    closest = min(rivals, key=lambda rival: float(rival["ci_low"]))
    difference = with_interval(signed(closest["difference"]), closest["ci_low"], closest["ci_high"])
    return Answer(
        question=question,
        verdict="Yes once registered, unless an older champion is as good",
        tone=BETTER,
        sentences=(
            "No gate bars it, and it is better than each simple baseline over all test conditions "
            f"of {split_title(forward[0].split, forward[0].kind).lower()}; the closest is "
            f"{predictor_title(str(closest['reference']))} ({difference}, "
            f"n = {count(closest['n'])}).",
        ),
    )


def _simple_rivals(one: SplitEvaluation) -> list[dict[str, Any]]:
    """What ships minus each simple baseline over all test conditions, as the promotion compares."""
    rows = one.comparisons
    if rows.empty:
        return []
    rows = rows[(rows["task"] == FORWARD_TASK) & (rows["metric"] == one.main_metric)]
    rows = rows[(rows["stratum_kind"] == ALL) & rows["reference"].isin(SIMPLE)]
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _not_beaten(one: SplitEvaluation, rivals: Sequence[Mapping[str, Any]]) -> list[str]:
    shipped = one.predictions.shipped
    if shipped in SIMPLE:
        return [f"what ships is itself a simple baseline, {predictor_title(shipped)}"]
    if not rivals:
        return ["there is no baseline to be better than"]
    titles = [predictor_title(str(one["reference"])) for one in rivals if not one["ci_low"] > 0]
    over = f"over all test conditions of {split_title(one.split, one.kind).lower()}"
    return [f"it is not better than {', '.join(titles)} {over}"] if titles else []


def _share_of_splits(ways: Sequence[str]) -> str:
    """Yes, in part or not shown, and on how many splits."""
    if not ways:
        return "Not measured"
    if BETTER not in ways:
        return "Not shown"
    return ("Yes" if all(way == BETTER for way in ways) else "In part") + _on(ways)


def _on(ways: Sequence[str]) -> str:
    """On how many splits it is better; nothing of the only one."""
    n_better = ways.count(BETTER)
    if n_better < len(ways):
        return f" on {n_better} of {len(ways)} splits"
    return f" on all {len(ways)} splits" if len(ways) > 1 else ""


def _where(way: str, ways: Sequence[str], splits: Sequence[SplitEvaluation]) -> str:
    titles = [
        split_title(one.split, one.kind).lower()
        for one, own in zip(splits, ways, strict=True)
        if own == way
    ]
    return f"; {way} on {', '.join(titles)}" if titles else ""


def _tone(ways: Sequence[str]) -> str:
    if WORSE in ways:
        return WORSE
    return BETTER if ways and all(way == BETTER for way in ways) else ""
