"""Predictions of known conditions while they were hidden, where whole compounds or lines are new.

A tenth of the compounds (or one or two lines) says little about which linear model is best or how
its error differs between compounds or lines. Linear models cost seconds: there they are fitted,
with the settings they chose, on four fifths of what is known and predict the last fifth, which is
hidden as the split hides its test, until every compound, line or pair was hidden once.

Shapes: N = hidden conditions, G = genes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear import Predictor
from drug_pipeline.linear.folds import inner_folds, unit_hash
from drug_pipeline.linear.means import join_keys
from drug_pipeline.training.loop import Progress
from drug_pipeline.training.split_data import Part, SplitData

FOLDED_KINDS: Final = ("cell_line", "drug", "scaffold", "both")
"""Kinds of split whose test lines or compounds are new as a whole, so that validation holds few of
them. A dose or a replicate plate that nothing is known of cannot be hidden among those that are."""
N_FOLDS: Final = 5
SEED: Final = 1
"""Other folds than those on which each model chose its settings."""
MOST_JUDGED: Final = 6000
"""Conditions that are predicted; whole pairs of compound and line, so that their wells stay together."""

FitOne = Callable[[Predictor, Mapping[str, Predictor], Part], Predictor]
"""Fits one predictor on a part, given those before it that are fitted there already."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Hidden conditions with what was measured, and what each linear model predicted (N, G)."""

    part: Part
    predicted: dict[str, NDArray[np.float32]]

    def only(self, name: str) -> "HeldOut":
        """The same with the predictions of one model: all of them are large."""
        return HeldOut(part=self.part, predicted={name: self.predicted[name]})


def predict_held_out(
    linear: Mapping[str, Predictor], data: SplitData, fit_one: FitOne, progress: Progress
) -> HeldOut | None:
    """Predictions of training and validation conditions by models that have not seen their unit.

    None where the kind of split does not allow it, or too little is known for folds.
    """
    known, kind = data.known, data.split.kind
    if kind not in FOLDED_KINDS:
        return None
    folds = inner_folds(known.asked, kind, n_folds=N_FOLDS, seed=SEED)
    is_judged_N = _judged(known)
    rows: list[NDArray[np.int64]] = []
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in linear}
    for number, (fit_rows, hidden_rows) in enumerate(folds):
        progress(number, len(folds), "linear models on folds")
        asked_rows = hidden_rows[is_judged_N[hidden_rows]]
        seen, asked = known.take(fit_rows), known.asked.take(asked_rows)
        fitted: dict[str, Predictor] = {}
        for name, one in linear.items():
            fitted[name] = fit_one(one.settled(), fitted, seen)
            found[name].append(fitted[name].predict(asked))
        rows.append(asked_rows)
    if not rows:
        return None
    return HeldOut(
        part=known.take(np.concatenate(rows)),
        predicted={name: np.concatenate(parts) for name, parts in found.items()},
    )


def _judged(known: Part) -> NDArray[np.bool_]:
    """Which conditions are predicted: all, or the pairs of lowest hash."""
    share = MOST_JUDGED / max(len(known), 1)
    if share >= 1.0:
        return np.ones(len(known), dtype=bool)
    pair_N = join_keys(known.asked.parent_N, known.asked.line_N)
    return np.asarray(unit_hash(pair_N, "held out") < share)
