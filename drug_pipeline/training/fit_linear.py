"""Linear models of one split, and the base that its network corrects.

Shapes: N = conditions, V = validation conditions, G = genes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.linear import Factory, Predictor, predictors_for
from drug_pipeline.linear.average import Average
from drug_pipeline.linear.means import join_keys
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.network.loop import Hooks
from drug_pipeline.training.selection.cross_fitting import (
    HeldOut,
    few_shot_folds,
    out_of_fold,
    predict_held_out,
    unit_folds,
)
from drug_pipeline.training.selection.select_predictor import across_wells, preferred_linear
from drug_pipeline.training.split_data import Part, SplitData

NETWORK_BASE = "line_mean"
"""What the network corrects where the drug was never seen: kernels on structure join by blending."""
MEANS = ("zero", "global_mean", "line_mean", "drug_mean")
"""Linear models that cost nothing and are always fitted."""
MIN_LINES_OUT_OF_FOLD = 30
"""With fewer training lines, folds of lines are too noisy and the in-sample base works better."""


@dataclass(frozen=True, kw_only=True)
class LinearFit:
    """The linear models of a split with their predictions, and the base that the network corrects.

    ``base_train_NG`` is the base on the training rows as the network is to see it, ``weight_N``
    what each of these rows then counts. Nothing here depends on any network. ``final`` are the
    same models with the settings they chose, fitted on training and validation together: they
    predict the test side (``test``) and are what is used. ``held_out`` are predictions of known
    conditions by the best of them while they were hidden, where validation is too small to choose.
    """

    linear: dict[str, Predictor]
    final: dict[str, Predictor]
    validation: dict[str, NDArray[np.float32]]
    test: dict[str, NDArray[np.float32]]
    held_out: HeldOut | None
    best_linear: str
    base: str
    base_train_NG: NDArray[np.float32]
    weight_N: NDArray[np.float64]
    seconds: dict[str, float]


def fit_linear_stage(data: SplitData, config: TrainConfig, hooks: Hooks) -> LinearFit:
    """The linear models of a split, and the base for the network.

    The best of them is chosen on validation, or where that is small on known conditions that were
    hidden in folds (``selection/cross_fitting.py``).
    """
    clock = StageClock()
    data = replace(data, features=replace(data.features, kernel_blocks=config.kernel_blocks))
    factories = _factories(data, config.linear)
    linear = _fit_linear(factories, data, hooks)
    validation = {}
    if len(data.validation):
        validation = {name: one.predict(data.validation.asked) for name, one in linear.items()}
    clock.lap("linear")
    held_out = predict_held_out(
        linear, data, lambda one, fitted, part: _fit_one(one, fitted, part, data), hooks.progress
    )
    judged = (validation, data.validation)
    if held_out is not None:
        judged = (held_out.predicted, held_out.part)
    best_linear = preferred_linear(*judged, data.split.kind) or list(linear)[-1]
    if held_out is not None:
        held_out = held_out.only(best_linear)
    clock.lap("folds")
    base = NETWORK_BASE
    if not kind_of(data.split.kind).is_drug_new:
        base = across_wells(validation, data.validation) or best_linear
    base_NG, weight_N = _training_base(linear[base], data, config, hooks)
    clock.lap("base")
    final = _refitted(linear, data, hooks)
    clock.lap("refit")
    return LinearFit(
        linear=linear,
        final=final,
        validation=validation,
        test={name: one.predict(data.test.asked) for name, one in final.items()},
        held_out=held_out,
        best_linear=best_linear,
        base=base,
        base_train_NG=base_NG,
        weight_N=weight_N,
        seconds=clock.laps,
    )


def _factories(data: SplitData, wanted: tuple[str, ...]) -> dict[str, Factory]:
    """Linear models by name: all that suit the split and its data, or the means and the wanted."""
    factories = {make().name: make for make in predictors_for(data.split.kind, data.features)}
    if not wanted:
        return factories
    return {name: make for name, make in factories.items() if name in (*MEANS, *wanted)}


def _fit_linear(
    factories: Mapping[str, Factory], data: SplitData, hooks: Hooks
) -> dict[str, Predictor]:
    fitted: dict[str, Predictor] = {}
    train_part = data.train
    for number, (name, make) in enumerate(factories.items()):
        hooks.progress(number, len(factories), f"linear {name}")
        fitted[name] = _fit_one(make(), fitted, train_part, data)
    return fitted


def _fit_one(
    one: Predictor, fitted: Mapping[str, Predictor], part: Part, data: SplitData
) -> Predictor:
    """The predictor, fitted on a part; an average of such as are fitted there is put together."""
    if isinstance(one, Average) and all(member.name in fitted for _, member in one.members):
        return one.assembled(fitted, data.features)
    return one.fit(part.record(data.features))


def _refitted(
    linear: Mapping[str, Predictor], data: SplitData, hooks: Hooks
) -> dict[str, Predictor]:
    """The linear models with the settings they chose, fitted on training and validation together."""
    if not len(data.validation):
        return dict(linear)
    known = data.known
    fitted: dict[str, Predictor] = {}
    for number, (name, one) in enumerate(linear.items()):
        hooks.progress(number, len(linear), f"linear {name} with validation")
        fitted[name] = _fit_one(one.with_chosen_settings(), fitted, known, data)
    return fitted


def _training_base(
    fitted: Predictor, data: SplitData, config: TrainConfig, hooks: Hooks
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The base on the training rows as the network is to correct it, and each row's weight."""
    train_part, seed = data.train, config.seed
    n_folds = config.forward.n_folds
    n_lines = len(np.unique(train_part.asked.line_N))
    hidden = kind_of(data.split.kind).base_folds
    if hidden == "most_of_lines":
        masks = few_shot_folds(
            train_part.asked, n_folds=n_folds, hidden_frac=config.forward.hidden_frac, seed=seed
        )
    elif hidden == "pairs":
        pair_N = join_keys(train_part.asked.parent_N, train_part.asked.line_N)
        masks = unit_folds(pair_N, n_folds=n_folds, seed=seed)
    elif hidden == "lines" and n_lines >= MIN_LINES_OUT_OF_FOLD:
        masks = unit_folds(train_part.asked.line_N, n_folds=n_folds, seed=seed)
    else:
        return fitted.predict(train_part.asked), train_part.weight_N
    base_NG, has_base_N = out_of_fold(
        fitted.with_chosen_settings,
        train_part.record(data.features),
        masks,
        lambda done, total: hooks.progress(done, total, f"base {fitted.name} out of fold"),
    )
    base_NG[~has_base_N] = train_part.delta_NG[~has_base_N]  # nothing to correct, weight 0
    return base_NG, train_part.weight_N * has_base_N


class StageClock:
    """Seconds of each stage of a fit."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last = now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Book the seconds since the last lap under a name."""
        now = self._now()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
