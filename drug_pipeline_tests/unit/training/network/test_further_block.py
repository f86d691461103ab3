"""A table of the user's own is read by the network itself, not by the kernels beside it alone."""

from dataclasses import replace

import numpy as np
import torch

from drug_pipeline.domain.blocks import NETWORK_BLOCKS
from drug_pipeline.domain.metrics import mse
from drug_pipeline.linear import Conditions, Features
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.network.dataset import LineSampler, forward_dataset
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_network import ForwardNetwork, build_network
from drug_pipeline.training.network.loop import start_state, train
from drug_pipeline.training.network.tasks import ForwardTask
from drug_pipeline.training.split_data import Part
from drug_pipeline_tests.stored import block_table

N_DRUGS, N_HELD_OUT, N_LINES, N_GENES, N_TRAITS = 80, 20, 3, 8, 2
DRUGS = tuple(f"drug{number:02}" for number in range(N_DRUGS))
LINES = tuple(f"line{number}" for number in range(N_LINES))
TRAITS_DF = np.random.default_rng(3).normal(size=(N_DRUGS, N_TRAITS))
NOISE_DF = np.random.default_rng(4).normal(size=TRAITS_DF.shape)


def features(own_DF: np.ndarray) -> Features:
    """Structures and control profiles that say nothing of Δ, beside the user's own vectors."""
    rng = np.random.default_rng(5)
    return Features(
        drugs=block_table(
            "drug",
            DRUGS,
            morgan=rng.poisson(0.5, (N_DRUGS, 20)),
            descriptors=rng.normal(size=(N_DRUGS, 3)),
            own=own_DF,
        ),
        cell_lines=block_table("cell_line_id", LINES, control_pca=rng.normal(size=(N_LINES, 2))),
        lines=LINES,
        control_LG=rng.uniform(0.5, 2.0, (N_LINES, N_GENES)).astype(np.float32),
    )


def screen() -> Part:
    """Every drug in every line; Δ follows the drug's traits, with a little noise."""
    rng = np.random.default_rng(7)
    drug_N, line_N = (grid.ravel() for grid in np.indices((N_DRUGS, N_LINES)))
    delta_NG = (TRAITS_DF @ rng.normal(size=(N_TRAITS, N_GENES)))[drug_N]
    delta_NG = delta_NG + 0.1 * rng.normal(size=delta_NG.shape)
    names_N, ones_N = np.array(DRUGS)[drug_N], np.ones(len(drug_N))
    return Part(
        rows_N=np.arange(len(drug_N)),
        asked=Conditions(
            drug_N=names_N,
            parent_N=names_N,
            dose_um_N=ones_N,
            line_N=np.array(LINES)[line_N],
            plate_N=np.full(len(drug_N), "plate1"),
        ),
        parent_N=names_N,
        delta_NG=delta_NG.astype(np.float32),
        weight_N=ones_N,
        noise_N=0.01 * ones_N,
        evidence_N=10.0 * ones_N,
        n_cells_N=30.0 * ones_N,
    )


def held_out_error(own_DF: np.ndarray) -> float:
    """MSE on drugs not trained on of a network alone, over that of predicting no effect."""
    part, config = screen(), TrainConfig.preset("tiny")
    is_held_out_N = np.isin(part.asked.drug_N, DRUGS[:N_HELD_OUT])
    seen, held_out = part.take(~is_held_out_N), part.take(is_held_out_N)
    config = replace(config, network_blocks=NETWORK_BLOCKS.also(drugs=("own",)))
    loop = replace(config.forward.loop, n_epochs=30, learning_rate=5e-3)
    encoder = InputEncoder.fit(seen.record(features(own_DF)), config)
    base_NG = np.zeros_like(seen.delta_NG)
    examples = forward_dataset(seen, encoder, base_NG, seen.weight_N, torch.device("cpu"))
    task = ForwardTask(
        train=examples,
        validation=None,
        align=None,
        tower=encoder.tower_inputs(list(encoder.drugs)),
        sampler=LineSampler(examples.line_N.numpy(), loop, seed=0),
        config=replace(config.forward, loop=loop, lambda_rank=0.0, lambda_align=0.0),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_network(encoder, replace(config.model, dropout=0.0))
        train(start_state(model, loop), task, loop)
    predicted_NG = ForwardNetwork([model], encoder).predict(held_out.asked)
    return float(mse(predicted_NG, held_out.delta_NG, axis=None)) / float(
        np.square(held_out.delta_NG).mean()
    )


def test_the_network_alone_predicts_new_drugs_from_an_own_table_with_signal_and_not_from_noise():
    with_signal, with_noise = held_out_error(TRAITS_DF), held_out_error(NOISE_DF)

    assert with_signal < 0.6
    assert with_noise > 0.9
