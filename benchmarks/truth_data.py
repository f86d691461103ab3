"""Data sets whose noiseless Δ is known: the pipeline's Δ table of each, and the truth beside it.

What belongs here: making the Δ table through the pipeline itself, and reading the truth, which no
step of the pipeline ever does. What does not: fitting and judging (``truth_scores.py``).

Shapes: N = conditions, G = genes of the panel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.definitions import build_defs
from drug_pipeline.domain.tables import DeltaTable, EmbeddingTable
from drug_pipeline.linear import Features
from drug_pipeline.orchestration.launch import launch, open_history, select_assets
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.synthetic import SyntheticConfig, generate
from drug_pipeline.training.model_assets import read_features

INPUTS = "*splits,*drug_embeddings,*cell_line_embeddings"
"""Everything that training reads."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """A Δ table, what is known of drugs and lines, and the noiseless Δ of each row (N, G)."""

    table: DeltaTable
    features: Features
    drugs: pd.DataFrame
    truth_NG: NDArray[np.float32]


def generated(folder: Path, *, seed: int) -> Path:
    """The raw folder of the generated demo screen of a seed, written where it is missing."""
    if not (folder / "truth" / "config.json").exists():
        generate(folder, SyntheticConfig.preset("demo", seed=seed))
    return folder


def known(raw_dir: Path, data_dir: Path, *, n_genes: int | None) -> Known:
    """The Δ table of a raw folder, made by the pipeline, and its truth."""
    layout = chain(raw_dir, data_dir, {"n_genes": n_genes})
    return read_known(layout, raw_dir / "truth")


def chain(raw_dir: Path, data_dir: Path, changes: Mapping[str, Any]) -> Layout:
    """The data folder of a raw folder, with everything that training reads in it.

    Raises
    ------
    SystemExit
        If the pipeline failed; it says why.
    """
    settings = load_settings(
        raw_dir=str(raw_dir), data_dir=data_dir, preset="demo", tracking=False, **changes
    )
    defs = build_defs(settings)
    with open_history(settings.layout) as history:
        outcome = launch(defs, history, select_assets(defs, INPUTS))
    if not outcome.is_success:
        raise SystemExit("; ".join(f"{one.about}: {one.reason}" for one in outcome.failures))
    return settings.layout


def read_known(layout: Layout, truth_dir: Path) -> Known:
    """The Δ table and features of a data folder, with the truth of its rows."""
    table = read_delta(layout)
    return Known(
        table=table,
        features=read_features(layout, table),
        drugs=pq.read_table(layout.metadata_dir / "drugs.parquet").to_pandas(),
        truth_NG=_aligned(truth_dir, table),
    )


def _aligned(truth_dir: Path, table: DeltaTable) -> NDArray[np.float32]:
    """The truth of the table's conditions and genes; every one of them must be there."""
    if (truth_dir / "delta.npz").exists():
        stored = np.load(truth_dir / "delta.npz")
        keys = _keys(stored["drug"], stored["dose_um"], stored["cell_line_id"])
        tokens, delta = stored["token_id"], stored["delta"]
    else:
        conditions = pq.read_table(truth_dir / "conditions.parquet").to_pandas()
        keys = _keys(conditions["drug"], conditions["dose_um"], conditions["cell_line_id"])
        tokens = pq.read_table(truth_dir / "genes.parquet")["token_id"].to_numpy()
        delta = np.load(truth_dir / "delta.npy", mmap_mode="r")
    row_of = {key: row for row, key in enumerate(keys)}
    column_of = {int(token): column for column, token in enumerate(tokens)}
    asked = table.conditions
    rows = [row_of[key] for key in _keys(asked["drug"], asked["dose_um"], asked["cell_line_id"])]
    columns = [column_of[int(token)] for token in table.genes["token_id"]]
    return np.asarray(delta[rows][:, columns], dtype=np.float32)


def _keys(
    drugs: Sequence[str], doses_um: Sequence[float], lines: Sequence[str]
) -> list[tuple[str, str, str]]:
    return [
        (str(drug), f"{float(dose):.4g}", str(line))
        for drug, dose, line in zip(drugs, doses_um, lines, strict=True)
    ]


def shuffled_drugs(features: Features, seed: int) -> Features:
    """The features with what is known of drugs dealt out anew; each drug keeps its identity.

    Structure, targets and mechanism move together: a drug gets all of another one's.
    """
    keys = features.drugs.keys
    order = np.random.default_rng(seed).permutation(len(keys))
    other = dict(zip(keys, np.array(keys)[order].tolist(), strict=True))

    def dealt(table: EmbeddingTable) -> EmbeddingTable:
        wanted = [other.get(key, key) for key in table.keys]
        return replace(table, vectors_KF=table.rows(wanted))

    annotations = features.annotations
    return replace(
        features,
        drugs=dealt(features.drugs),
        annotations=None if annotations is None else dealt(annotations),
    )


def centre_within(values_NG: NDArray[Any], group_N: NDArray[Any]) -> NDArray[np.float64]:
    """Rows minus the mean of their group."""
    _, code_N = np.unique(group_N, return_inverse=True)
    total = np.zeros((int(code_N.max()) + 1, values_NG.shape[1]))
    np.add.at(total, code_N, values_NG)
    return np.asarray(values_NG - (total / np.bincount(code_N)[:, None])[code_N])
