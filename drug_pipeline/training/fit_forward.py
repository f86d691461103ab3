"""Forward fit of one split: networks on the base of the linear models, gate, blend, and which one ships.

Shapes: N = conditions, V = validation conditions, G = genes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import mse, pearson
from drug_pipeline.linear import Predictor
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.shipped_predictor import ShippedPredictor, expand
from drug_pipeline.training.fit_linear import LinearFit, StageClock
from drug_pipeline.training.network.checkpoint import Identity, load_state, save_state
from drug_pipeline.training.network.dataset import LineSampler, forward_dataset, inverse_dataset
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_network import ForwardNetwork, build_network
from drug_pipeline.training.network.loop import Hooks, start_state
from drug_pipeline.training.network.tasks import ForwardTask
from drug_pipeline.training.network.train_network import Training, train_network
from drug_pipeline.training.parallel.runtime import Runtime
from drug_pipeline.training.selection.blending import fit_alpha, mix
from drug_pipeline.training.selection.cross_fitting import (
    HeldOut,
)
from drug_pipeline.training.selection.select_predictor import choose
from drug_pipeline.training.split_data import Part, SplitData

logger = logging.getLogger(__name__)


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
    clock = StageClock()
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
        validation[names.NETWORK] = validation[base] + np.float32(alpha) * residual_NG
    choice = choose(validation, data.validation, best_linear, data.split.kind)
    if len(data.validation):
        validation |= {name: mix(validation, one) for name, one in choice.mixtures.items()}
    test[names.NETWORK] = test[base] + np.float32(alpha) * network.predict(data.test.asked)
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
            hooks_of_member = saving_hooks(hooks, path, identity)
        training = Training(
            state=state, task=task, loop=forward.loop, config=config, seed=seed, text="forward"
        )
        train_network(training, runtime, hooks_of_member)
        members.append(model)
        histories.append(state.history)
    return ForwardNetwork(members, encoder), histories


def saving_hooks(hooks: Hooks, path: Path, identity: Identity) -> Hooks:
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
            "mse": float(mse(predicted_VG, part.delta_NG, axis=None)),
            # a measured Δ that is constant tells nothing of anyone and counts 0
            "centred_pearson": float(
                np.nan_to_num(pearson(predicted_VG - centre_VG, part.delta_NG - centre_VG)).mean()
            ),
        }
        for name, predicted_VG in predicted.items()
    }
