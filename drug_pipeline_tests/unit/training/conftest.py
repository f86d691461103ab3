"""A small screen with a response that depends on structure, line and dose."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from drug_pipeline.domain.tables import ControlTable, DeltaTable, EmbeddingTable, Split
from drug_pipeline.linear import Features, mean_control
from drug_pipeline.model.transformer import DrugTransformer
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.network.dataset import LineSampler, forward_dataset, inverse_dataset
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_network import build_network
from drug_pipeline.training.network.tasks import ForwardTask
from drug_pipeline.training.split_data import prepare

CPU = torch.device("cpu")

N_DRUGS, N_LINES, N_GENES = 14, 5, 24
DOSES_UM = (0.5, 5.0)


@dataclass(frozen=True, kw_only=True)
class World:
    """A Δ table with what is known beforehand, and its cleaned metadata."""

    table: DeltaTable
    features: Features
    drugs: pd.DataFrame
    cell_lines: pd.DataFrame


def drug_names() -> list[str]:
    return [f"drug{number:02d}" for number in range(N_DRUGS)]


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(7)
    drugs, lines = drug_names(), [f"CVCL_{number:04d}" for number in range(N_LINES)]
    # Drugs 11 and 12 are salts of one parent; the last one has no structure.
    parents = [*(f"PARENT{number:02d}" for number in range(11)), "TWIN", "TWIN", "name:drug13"]
    morgan_DF = np.log1p(rng.poisson(0.4, (N_DRUGS, 40))).astype(np.float32)
    descriptors_DF = rng.normal(size=(N_DRUGS, 3)).astype(np.float32)
    morgan_DF[12], descriptors_DF[12] = morgan_DF[11], descriptors_DF[11]
    control_LG = rng.uniform(0.2, 2.0, (N_LINES, N_GENES)).astype(np.float32)
    effect_DG = morgan_DF @ rng.normal(size=(40, N_GENES)) * 0.2
    sensitivity_L = rng.uniform(0.4, 1.6, N_LINES)
    rows, delta = [], []
    for plate, dose_um in zip(("plate1", "plate2"), DOSES_UM, strict=True):
        for line_number, line in enumerate(lines):
            for number, drug in enumerate(drugs):
                rows.append((drug, dose_um, line, plate, parents[number], 30, 60, 9000, False))
                size = sensitivity_L[line_number] * (0.5 if dose_um < 1 else 1.0)
                delta.append(size * effect_DG[number] + rng.normal(scale=0.05, size=N_GENES))
    columns = ["drug", "dose_um", "cell_line_id", "plate", "parent_compound", "n_cells"]
    columns += ["n_control_cells", "total_counts", "is_fallback_control"]
    conditions = pd.DataFrame(rows, columns=columns)
    delta_NG = np.array(delta, dtype=np.float32)
    groups = pd.DataFrame({"cell_line_id": lines, "plate": "plate1", "n_cells": 60})
    controls = ControlTable(
        groups=groups,
        control_MG=control_LG,
        wells=groups.assign(sample="well"),
        well_WG=control_LG,
    )
    table = DeltaTable(
        conditions=conditions,
        genes=pd.DataFrame(
            {
                "token_id": np.arange(3, 3 + N_GENES),
                "ensembl_id": [f"ENSG{number:011d}" for number in range(N_GENES)],
                "gene_symbol": [f"GENE{number}" for number in range(N_GENES)],
            }
        ),
        delta_NG=delta_NG,
        se_NG=np.full_like(delta_NG, 0.05),
        half_a_NG=delta_NG,
        half_b_NG=delta_NG,
        controls=controls,
        fingerprint="world",
    )
    profile_lines, profiles_LG = mean_control(controls)
    features = Features(
        drugs=EmbeddingTable(
            key_name="drug",
            keys=tuple(drugs[:-1]),
            vectors_KF=np.hstack([morgan_DF, descriptors_DF])[:-1],
            feature_names=tuple(f"f{number}" for number in range(43)),
            blocks={"morgan": (0, 40), "descriptors": (40, 43)},
            trained_on="nothing",
        ),
        cell_lines=EmbeddingTable(
            key_name="cell_line_id",
            keys=tuple(lines),
            vectors_KF=rng.normal(size=(N_LINES, 3)).astype(np.float32),
            feature_names=("pc0", "pc1", "pc2"),
            blocks={"control_pca": (0, 3)},
            trained_on="controls",
        ),
        lines=profile_lines,
        control_LG=profiles_LG,
    )
    targets = [[f"GENE{number % 6}"] if number % 3 else [] for number in range(N_DRUGS)]
    return World(
        table=table,
        features=features,
        drugs=pd.DataFrame({"drug": drugs, "targets": targets}),
        cell_lines=pd.DataFrame(
            {"cell_line_id": lines, "organ": ["lung", "lung", "skin"] + ["bowel"] * 2}
        ),
    )


def pair_split(world: World, *, kind: str = "pair") -> Split:
    """A fifth of the (parent, line) pairs to test, a fifth to validation."""
    conditions = world.table.conditions
    units = conditions["parent_compound"] + conditions["cell_line_id"]
    _, unit_N = np.unique(units, return_inverse=True)
    draw = np.random.default_rng(1).permutation(unit_N.max() + 1)[unit_N] % 5
    roles_N = np.array(["test", "validation", "train", "train", "train"])[draw]
    return Split(name=kind, kind=kind, roles_N=roles_N, fingerprint=f"split-{kind}")


def drug_split(world: World) -> Split:
    """Two parents to test, two to validation."""
    parent_N = world.table.conditions["parent_compound"].to_numpy()
    roles_N = np.full(len(parent_N), "train", dtype="<U10")
    roles_N[np.isin(parent_N, ["PARENT01", "PARENT05"])] = "test"
    roles_N[np.isin(parent_N, ["PARENT02", "PARENT07"])] = "validation"
    return Split(name="drug", kind="drug", roles_N=roles_N, fingerprint="split-drug")


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    return replace(TrainConfig.preset("tiny"), n_chemistry=8, device="cpu")


def task_of(
    world: World, tiny: TrainConfig, weight_N: NDArray[np.float64] | None = None, **changes: Any
) -> tuple[ForwardTask, DrugTransformer]:
    """A forward task without validation, and its network with a head that says something."""
    data = prepare(world.table, world.features, pair_split(world))
    part = data.train
    encoder = InputEncoder.fit(part.record(data.features), tiny)
    base_NG = np.zeros_like(part.delta_NG)
    train = forward_dataset(
        part, encoder, base_NG, part.weight_N if weight_N is None else weight_N, CPU
    )
    config = replace(tiny.forward, **changes)
    task = ForwardTask(
        train=train,
        validation=None,
        align=inverse_dataset(data, part, encoder, tiny.inverse, CPU),
        tower=encoder.tower_inputs(list(encoder.drugs)),
        sampler=LineSampler(train.line_N.numpy(), config.loop, seed=0),
        config=config,
    )
    torch.manual_seed(0)
    model = build_network(encoder, tiny.model).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return task, model
