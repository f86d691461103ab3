"""Forward fit of one split: networks on the base of the linear models, gate, blend, and which one ships.

Shapes: N = conditions, V = validation conditions, G = genes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import mse, pearson
from drug_pipeline.linear import Predictor
from drug_pipeline.training.deployed.shipped_predictor import ShippedPredictor, expand
from drug_pipeline.training.fit_linear import LinearFit, StageClock
from drug_pipeline.training.network.dataset import LineSampler, forward_dataset
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.fit_run import FitRun
from drug_pipeline.training.network.forward_network import ForwardNetwork, build_network
from drug_pipeline.training.network.tasks import ForwardTask
from drug_pipeline.training.selection.blending import fit_alpha, mix
from drug_pipeline.training.selection.cross_fitting import HeldOut
from drug_pipeline.training.selection.select_predictor import choose
from drug_pipeline.training.split_data import Part

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ForwardFit:
    """Result of the forward stage: predictors, weights, predictions of the test side.

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


def fit_forward_stage(run: FitRun, fitted: LinearFit) -> ForwardFit:
    """The networks on the base of the linear stage, and what ships, chosen on validation."""
    clock, data = StageClock(), run.data
    base, best_linear = fitted.base, fitted.best_linear
    validation, test = dict(fitted.validation), dict(fitted.test)
    network, histories = _fit_networks(run, fitted)
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
        figures=_figures(validation, data.validation, run.encoder),
        histories=histories,
        seconds={**fitted.seconds, **clock.laps},
    )


def _fit_networks(
    run: FitRun, fitted: LinearFit
) -> tuple[ForwardNetwork, list[list[dict[str, float]]]]:
    """The networks that correct the base, from different seeds, and the figures of their epochs."""
    data, encoder, device, forward = run.data, run.encoder, run.runtime.device, run.config.forward
    train_data = forward_dataset(data.train, encoder, fitted.base_train_NG, fitted.weight_N, device)
    validation = None
    if fitted.base in fitted.validation:
        base_VG, weight_V = fitted.validation[fitted.base], data.validation.weight_N
        validation = forward_dataset(data.validation, encoder, base_VG, weight_V, device)
    is_aligned = forward.lambda_align > 0 and forward.align_frac > 0
    align, tower = run.inverse_data() if is_aligned else None, run.tower_inputs()
    members, histories = [], []
    for number in range(run.config.n_members):
        seed = run.config.seed + 1000 * number
        torch.manual_seed(seed)
        task = ForwardTask(
            train=train_data,
            validation=validation,
            align=align,
            tower=tower,
            sampler=LineSampler(train_data.line_N.cpu().numpy(), forward.loop, seed=seed),
            config=forward,
        )
        model = build_network(encoder, run.config.model).to(device)
        state = run.train(model, task, forward.loop, mode="forward", number=number, seed=seed)
        members.append(model)
        histories.append(state.history)
    return ForwardNetwork(members, encoder), histories


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
