"""Forward fit of one split: linear models, base, networks, gate, blend, and which one ships.

Shapes: N = conditions, V = validation conditions, G = genes.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from drug_pipeline.linear import SEEN_KINDS, Factory, Predictor, predictors_for
from drug_pipeline.linear.average import Average
from drug_pipeline.training.checkpoint import Identity, load_state, save_state
from drug_pipeline.training.choice import across_wells, choose, preferred_linear
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.dataset import LineSampler
from drug_pipeline.training.encoding import InputEncoder
from drug_pipeline.training.folds import few_shot_folds, line_folds, out_of_fold, pair_folds
from drug_pipeline.training.forward import ForwardNetwork, ForwardTask, build_network
from drug_pipeline.training.gate import centred_pearson, fit_alpha, mix, mse
from drug_pipeline.training.held_out import HeldOut, predict_held_out
from drug_pipeline.training.in_step import Training, train_in_step
from drug_pipeline.training.loop import Hooks, start_state
from drug_pipeline.training.runtime import Runtime
from drug_pipeline.training.shipped import NETWORK, ShippedPredictor, expand
from drug_pipeline.training.split_data import Part, SplitData, forward_dataset, inverse_dataset

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, kw_only=True)
class ForwardFit:
    """Everything the forward stage leaves: predictors, weights, predictions of the test side.

    Everything is chosen on validation conditions by models that were fitted on training ones
    (``trained``, ``validation``); then the linear models are fitted once more, with the settings
    they chose, on both together (``linear``, ``shipped``, ``test``).
    """

    linear: dict[str, Predictor]
    network: ForwardNetwork
    shipped: ShippedPredictor
    trained: ShippedPredictor
    shipped_name: str
    best_linear: str
    base: str
    alpha: float
    weights: dict[str, dict[str, float]]
    test: dict[str, NDArray[np.float32]]
    validation: dict[str, NDArray[np.float32]]
    held_out: HeldOut | None
    figures: dict[str, dict[str, float]]
    histories: list[list[dict[str, float]]]
    seconds: dict[str, float]


def fit_linear_stage(data: SplitData, config: TrainConfig, hooks: Hooks) -> LinearFit:
    """The linear models of a split, and the base for the network.

    The best of them is chosen on validation, or where that is small on known conditions that were
    hidden in folds (``held_out.py``).
    """
    clock = _Clock()
    factories = _factories(data.split.kind, config.linear)
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
    if _is_base_chosen(data.split.kind):
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


def fit_forward_stage(
    data: SplitData,
    encoder: InputEncoder,
    fitted: LinearFit,
    config: TrainConfig,
    runtime: Runtime,
    hooks: Hooks,
    *,
    resume_dir: Path | None,
    identity: Identity,
) -> ForwardFit:
    """The networks on the base of the linear stage, and what ships, chosen on validation."""
    clock = _Clock()
    base, best_linear = fitted.base, fitted.best_linear
    validation, test = dict(fitted.validation), dict(fitted.test)
    network, histories = _fit_networks(
        data,
        encoder,
        config,
        runtime,
        hooks,
        base_train_NG=fitted.base_train_NG,
        base_validation_NG=validation.get(base),
        weight_N=fitted.weight_N,
        resume_dir=resume_dir,
        identity=identity,
    )
    clock.lap("network")
    alpha = 0.0
    if len(data.validation):
        residual_NG = network.predict(data.validation.asked)
        alpha = fit_alpha(data.validation.delta_NG - validation[base], residual_NG)
        validation[NETWORK] = validation[base] + np.float32(alpha) * residual_NG
    choice = choose(validation, data.validation, best_linear, data.split.kind)
    if len(data.validation):
        validation |= {name: mix(validation, one) for name, one in choice.mixtures.items()}
    test[NETWORK] = test[base] + np.float32(alpha) * network.predict(data.test.asked)
    test |= {name: mix(test, weights) for name, weights in choice.mixtures.items()}
    shipped_weights = choice.mixtures.get(choice.shipped, {choice.shipped: 1.0})
    linear_weights, network_weight = expand(shipped_weights, base=base, alpha=alpha)
    trained, shipped = (
        ShippedPredictor(
            linear={name: models[name] for name in linear_weights},
            weights=linear_weights,
            network=network if network_weight else None,
            network_weight=network_weight,
        )
        for models in (fitted.linear, fitted.final)
    )
    clock.lap("blend")
    return ForwardFit(
        linear=fitted.final,
        network=network,
        shipped=shipped,
        trained=trained,
        shipped_name=choice.shipped,
        best_linear=best_linear,
        base=base,
        alpha=alpha,
        weights=choice.mixtures,
        test=test,
        validation=validation,
        held_out=fitted.held_out,
        figures=_figures(validation, data.validation, encoder),
        histories=histories,
        seconds={**fitted.seconds, **clock.laps},
    )


def _is_base_chosen(kind: str) -> bool:
    return kind in SEEN_KINDS or kind == "cell_line"


def _factories(kind: str, wanted: tuple[str, ...]) -> dict[str, Factory]:
    """Linear models by name: all that suit the kind of split, or the means and the wanted ones."""
    factories = {make().name: make for make in predictors_for(kind)}
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
    return one.fit(part.asked, part.delta_NG, part.weight_N, data.features)


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
        fitted[name] = _fit_one(one.settled(), fitted, known, data)
    return fitted


def _training_base(
    fitted: Predictor, data: SplitData, config: TrainConfig, hooks: Hooks
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The base on the training rows as the network is to correct it, and each row's weight."""
    train_part, kind, seed = data.train, data.split.kind, config.seed
    n_folds = config.forward.n_folds
    n_lines = len(np.unique(train_part.asked.line_N))
    if kind == "few_shot":
        masks = few_shot_folds(
            train_part.asked, n_folds=n_folds, hidden_frac=config.forward.hidden_frac, seed=seed
        )
    elif kind in SEEN_KINDS:
        masks = pair_folds(train_part.asked, n_folds=n_folds, seed=seed)
    elif kind == "cell_line" and n_lines >= MIN_LINES_OUT_OF_FOLD:
        masks = line_folds(train_part.asked, n_folds=n_folds, seed=seed)
    else:
        return fitted.predict(train_part.asked), train_part.weight_N
    base_NG, has_base_N = out_of_fold(
        fitted.settled,
        train_part.asked,
        train_part.delta_NG,
        train_part.weight_N,
        data.features,
        masks,
        lambda done, total: hooks.progress(done, total, f"base {fitted.name} out of fold"),
    )
    base_NG[~has_base_N] = train_part.delta_NG[~has_base_N]  # nothing to correct, weight 0
    return base_NG, train_part.weight_N * has_base_N


def _fit_networks(
    data: SplitData,
    encoder: InputEncoder,
    config: TrainConfig,
    runtime: Runtime,
    hooks: Hooks,
    *,
    base_train_NG: NDArray[np.float32],
    base_validation_NG: NDArray[np.float32] | None,
    weight_N: NDArray[np.float64],
    resume_dir: Path | None,
    identity: Identity,
) -> tuple[ForwardNetwork, list[list[dict[str, float]]]]:
    device, forward = runtime.device, config.forward
    train_data = forward_dataset(data.train, encoder, base_train_NG, weight_N, device)
    validation = None
    if base_validation_NG is not None:
        validation = forward_dataset(
            data.validation, encoder, base_validation_NG, data.validation.weight_N, device
        )
    align = None
    if forward.lambda_align > 0 and forward.align_frac > 0:
        align = inverse_dataset(data, data.train, encoder, config.inverse, device)
    chemistry, drug_id = encoder.tower_inputs(list(encoder.drugs))
    members, histories = [], []
    for member in range(config.n_members):
        seed = config.seed + 1000 * member
        torch.manual_seed(seed)
        task = ForwardTask(
            train=train_data,
            validation=validation,
            align=align,
            tower=(chemistry.to(device), drug_id.to(device)),
            sampler=LineSampler(train_data.line_N.cpu().numpy(), forward.loop, seed=seed),
            config=forward,
        )
        model = build_network(encoder, config.model).to(device)
        state = start_state(model, forward.loop)
        hooks_of_member = hooks
        if resume_dir is not None:
            path = resume_dir / f"forward-{member}.pt"
            load_state(path, state, identity)
            hooks_of_member = saving(hooks, path, identity)
        training = Training(
            state=state, task=task, loop=forward.loop, config=config, seed=seed, text="forward"
        )
        train_in_step(training, runtime, hooks_of_member)
        members.append(model)
        histories.append(state.history)
    return ForwardNetwork(members, encoder), histories


def saving(hooks: Hooks, path: Path, identity: Identity) -> Hooks:
    """The hooks, which also save the state so that a killed run goes on."""
    return Hooks(
        log=hooks.log,
        progress=hooks.progress,
        save=lambda state: save_state(path, state, identity),
        saved_at=path,
    )


def _figures(
    predicted: Mapping[str, NDArray[np.float32]], part: Part, encoder: InputEncoder
) -> dict[str, dict[str, float]]:
    if not len(part):
        return {}
    centre_VG = encoder.centre.predict(part.asked)
    return {
        name: {
            "mse": mse(predicted_VG, part.delta_NG),
            "centred_pearson": float(
                centred_pearson(predicted_VG, part.delta_NG, centre_VG).mean()
            ),
        }
        for name, predicted_VG in predicted.items()
    }


class _Clock:
    """Seconds of each stage."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last = now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._now()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
