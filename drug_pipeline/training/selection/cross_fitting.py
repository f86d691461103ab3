"""Out-of-fold predictions of known conditions: by models fitted while they were held out.

Two uses. Where whole compounds or lines are new, to choose the best linear model: a tenth of the compounds (or one or two lines) says little about which linear model is best or how
its error differs between compounds or lines. Linear models cost seconds: there they are fitted,
with the settings they chose, on four fifths of what is known and predict the last fifth, which is
hidden as the split hides its test, until every compound, line or pair was hidden once. And for
the base that the network corrects: in-sample residuals of a good base carry no signal, and random
folds mislead where the test hides most drugs of a line, so pairs are hidden as the split's kind
hides them.

Shapes: N = conditions, G = genes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.progress import Progress
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.linear import Conditions, Factory, Predictor, TrainingRecord
from drug_pipeline.linear.means import join_keys
from drug_pipeline.linear.tuning.inner_folds import inner_folds, shuffled_fold, unit_hash
from drug_pipeline.training.split_data import Part, SplitData

N_FOLDS: Final = 5
SEED: Final = 1
"""Other folds than those on which each model chose its settings."""
MOST_JUDGED: Final = 6000
"""Conditions that are predicted; whole pairs of compound and line, so that their wells stay together."""

FitOne = Callable[[Predictor, Mapping[str, Predictor], Part], Predictor]
"""Fits one predictor on a part, given those before it that are fitted there already."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out conditions with measured Δ, and each linear model's out-of-fold predictions (N, G)."""

    part: Part
    predicted: dict[str, NDArray[np.float32]]

    def only(self, name: str) -> "HeldOut":
        """The same with the predictions of one model: all of them are large."""
        return HeldOut(part=self.part, predicted={name: self.predicted[name]})


def predict_held_out(
    linear: Mapping[str, Predictor], data: SplitData, fit_one: FitOne, progress: Progress
) -> HeldOut | None:
    """Out-of-fold predictions of training and validation conditions, unit by unit.

    None where test drugs and lines are known, or too little is known for folds. A dose or a
    replicate plate that nothing is known of cannot be hidden among those that are.

    Notes
    -----
    Cross-validation as in Stone (1974), "Cross-validatory choice and assessment of statistical
    predictions", by whole units.
    """
    known, kind = data.known, data.split.kind
    if kind_of(kind).is_known:
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
            fitted[name] = fit_one(one.with_chosen_settings(), fitted, seen)
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


def unit_folds(units_N: NDArray[Any], *, n_folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Masks of held-out rows (group k-fold): each unit, such as a line, is in exactly one fold."""
    fold_N = shuffled_fold(units_N, n_folds, seed)
    return [fold_N == fold for fold in range(n_folds)]


def few_shot_folds(
    train: Conditions, *, n_folds: int, hidden_frac: float, seed: int
) -> list[NDArray[np.bool_]]:
    """Masks that hold out most drugs of some lines, each line in one group of lines.

    Each group gives two masks, hiding the first and the last ``hidden_frac`` of the shuffled
    parents of its lines, so that with ``hidden_frac >= 0.5`` every row is hidden at least once.
    """
    n_folds = min(n_folds, len(np.unique(train.line_N)))
    _, unit_N = np.unique(join_keys(train.parent_N, train.line_N), return_inverse=True)
    uniform_N = np.random.default_rng([seed, 1]).random(int(unit_N.max()) + 1)[unit_N]
    masks = []
    for is_in_group_N in unit_folds(train.line_N, n_folds=n_folds, seed=seed):
        masks.append(is_in_group_N & (uniform_N < hidden_frac))
        masks.append(is_in_group_N & (uniform_N >= 1.0 - hidden_frac))
    return masks


def out_of_fold(
    make: Factory,
    train: TrainingRecord,
    masks: list[NDArray[np.bool_]],
    on_fold: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Out-of-fold predictions, averaged over the folds that held a row out, and who has one.

    A fold that would hide everything or nothing is skipped.

    Notes
    -----
    What a second stage is fitted on: Wolpert (1992), "Stacked generalization".
    """
    total_NG = np.zeros(train.delta_NG.shape, dtype=np.float32)
    times_N = np.zeros(len(train))
    for number, is_hidden_N in enumerate(masks):
        on_fold(number, len(masks))
        if not is_hidden_N.any() or is_hidden_N.all():
            continue
        hidden = np.flatnonzero(is_hidden_N)
        predictor = make().fit(train.take(~is_hidden_N))
        total_NG[hidden] += predictor.predict(train.conditions.take(hidden))
        times_N[hidden] += 1
    total_NG /= np.maximum(times_N, 1)[:, None]
    return total_NG, times_N > 0
