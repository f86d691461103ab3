"""A generated screen of a few compounds and lines, in a data folder up to its splits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import ControlTable, DeltaTable
from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.ingest.embeddings import build_cell_line_embeddings, build_drug_embeddings
from drug_pipeline.ingest.splits import build_splits
from drug_pipeline.settings import settings_help
from drug_pipeline.storage.layout import Layout
from drug_pipeline.training.config import TrainConfig
from drug_pipeline_tests.stored import store_delta, store_metadata

SMILES = {
    "alpha": "CCO",
    "beta": "CCN",
    "gamma": "c1ccccc1",
    "delta": "Cc1ccccc1",
    "epsilon": "CC(=O)O",
    "zeta": "CCCC",
    "eta": "C1CCCCC1",
    "theta": "OCCO",
    "iota": "c1ccncc1",
    "kappa": "CC(C)N",
}
DRUGS = tuple(SMILES)
LINES = tuple(f"CVCL_{number:04}" for number in range(5))
PLATES = {"plate1": 0.5, "plate2": 5.0, "plate3": 5.0}
N_GENES = 20


def screen(drugs: tuple[str, ...] = DRUGS, lines: tuple[str, ...] = LINES) -> DeltaTable:
    """Every drug in every line on three plates, the third one repeating the second."""
    rng = np.random.default_rng(0)
    effect = dict(zip(DRUGS, rng.normal(size=(len(DRUGS), N_GENES)), strict=True))
    strength = dict(zip(LINES, rng.uniform(0.5, 1.5, len(LINES)), strict=True))
    rows = [(d, dose, line, p) for p, dose in PLATES.items() for line in lines for d in drugs]
    conditions = pd.DataFrame(rows, columns=list(names.CONDITION_KEY))
    conditions[names.PARENT_COMPOUND] = "P-" + conditions[names.DRUG]
    conditions = conditions.assign(
        n_cells=30, n_control_cells=60, total_counts=900, is_fallback_control=False
    )
    delta_NG = np.stack([effect[d] * strength[line] * dose / 5 for d, dose, line, _ in rows])
    delta_NG = (delta_NG + 0.1 * rng.normal(size=delta_NG.shape)).astype(np.float32)
    groups = pd.DataFrame(
        [(line, plate, 60) for plate in PLATES for line in lines],
        columns=[names.CELL_LINE_ID, names.PLATE, names.N_CELLS],
    )
    control_LG = rng.uniform(0.2, 2.0, (len(LINES), N_GENES)).astype(np.float32)
    control_MG = np.stack([control_LG[LINES.index(line)] for line in groups[names.CELL_LINE_ID]])
    return DeltaTable(
        conditions=conditions,
        genes=pd.DataFrame(
            {
                names.TOKEN_ID: np.arange(3, 3 + N_GENES),
                names.ENSEMBL_ID: [f"E{number}" for number in range(N_GENES)],
                names.GENE_SYMBOL: [f"G{number}" for number in range(N_GENES)],
            }
        ),
        delta_NG=delta_NG,
        se_NG=np.full_like(delta_NG, 0.1),
        half_a_NG=delta_NG,
        half_b_NG=delta_NG,
        controls=ControlTable(
            groups=groups,
            control_MG=control_MG,
            wells=groups.assign(sample=groups[names.PLATE] + "-vehicle"),
            well_WG=control_MG,
        ),
        fingerprint="",
    )


def store_screen(layout: Layout, table: DeltaTable) -> None:
    """The Δ shards and the metadata of a screen."""
    store_delta(layout, table)
    drugs = pd.DataFrame(
        {
            names.DRUG: DRUGS,
            names.PARENT_SMILES: list(SMILES.values()),
            names.PARENT_COMPOUND: [f"P-{drug}" for drug in DRUGS],
            names.SCAFFOLD: [f"S-{drug}" for drug in DRUGS],
            names.TARGETS: [[f"G{number % 4}"] for number in range(len(DRUGS))],
            names.MOA_FINE: "unclear",
        }
    )
    organs = ["Lung", "Lung", "Skin", "Bowel", "Bowel"]
    cell_lines = pd.DataFrame(
        {names.CELL_LINE_ID: LINES, names.ORGAN: organs, names.DRIVER_MUTATIONS: [[]] * len(LINES)}
    )
    store_metadata(layout, drugs, cell_lines)


def build_inputs(layout: Layout, plan: SplitConfig | None = None) -> None:
    """Vectors and splits of a stored screen, by the builders of their assets."""
    build_drug_embeddings(layout, DrugEmbeddingConfig())
    build_cell_line_embeddings(layout, CellLineEmbeddingConfig())
    build_splits(layout, plan or SplitConfig(test_frac=0.3, validation_frac=0.2))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*settings_help(), "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A data folder up to its splits."""
    layout = Layout(tmp_path / "data")
    store_screen(layout, screen())
    build_inputs(layout)
    return layout


@pytest.fixture
def brief() -> TrainConfig:
    """One epoch on the pair split, beside one linear model."""
    tiny = TrainConfig.preset("tiny")
    loop = replace(tiny.forward.loop, n_epochs=1)
    return replace(
        tiny,
        forward=replace(tiny.forward, loop=loop),
        inverse=replace(tiny.inverse, loop=loop),
        prototype=replace(tiny.prototype, loop=loop),
        splits=("pair",),
        linear=("additive",),
        device="cpu",
    )
