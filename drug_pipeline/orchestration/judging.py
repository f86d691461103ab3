"""The gates that need a fitted model, and whether a model may become champion.

What belongs here: handing a deployed bundle to the gates of ``evaluation``, which knows no network.
What does not: the gates themselves, and what is done with the verdict (``registry.py``).

Shapes: N = conditions, G = genes, Q = queries, D = gallery drugs.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import DrugPipelineError, StaleInputError
from drug_pipeline.domain.split_kinds import deciding_split, kind_of
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluate import SIMPLE
from drug_pipeline.evaluation.evaluation_report import GATES
from drug_pipeline.evaluation.gates.gates import (
    BLIND_GATE,
    PANEL_GATE,
    demanded_gates,
    panel_is_from_controls,
    predicts_blind,
)
from drug_pipeline.evaluation.gates.shuffled_genes import shuffled_genes_find_nothing
from drug_pipeline.evaluation.gates.verdicts import GateResult, judged, promotion
from drug_pipeline.evaluation.scoring.per_condition import ForwardTask
from drug_pipeline.expression.genes import IS_TARGET, PanelConfig
from drug_pipeline.ingest.panel import rechosen_panel
from drug_pipeline.linear import Conditions
from drug_pipeline.storage.build import BuildOutput, build_once
from drug_pipeline.storage.files import read_json, write_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.training.ablation.one_fit import with_noise_in_test
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.network.forward_gallery import cached

CODE_VERSION: Final = "3"
MOST_QUERIES: Final = 100
"""Test conditions that the gates try; more change the interval little and cost seconds."""


def model_gates(layout: Layout, panel: PanelConfig) -> list[GateResult]:
    """The gates on the deployed model and on its genes; run once a model, then read."""
    path = layout.root / "models" / "gates.json"

    def build() -> BuildOutput:
        with threadpool_limits(1):
            gates = [*_run_gates(layout), panel_gate(layout, panel)]
        write_json([gate.as_json() for gate in gates], path)
        return BuildOutput(files=[path], summary={"n_gates": len(gates)})

    build_once(
        layout,
        "model_gates",
        code_version=CODE_VERSION,
        upstream=("model_full", "gene_panel", "delta_shards", "splits"),
        config={"panel": asdict(panel)},
        build=build,
    )
    return [GateResult.from_json(gate) for gate in read_json(path)]


def panel_gate(layout: Layout, config: PanelConfig) -> GateResult:
    """Whether the panel in use is the one that vehicle cells alone choose, drug targets apart."""
    used = pq.read_table(layout.gene_panel).to_pandas()
    try:
        again = rechosen_panel(layout, config)
    except StaleInputError as error:
        return judged(
            PANEL_GATE, holds=False, n=0, figure=float("nan"), explanation="", otherwise=str(error)
        )
    targets = [
        *used.loc[used[IS_TARGET], names.TOKEN_ID],
        *again.loc[again[IS_TARGET], names.TOKEN_ID],
    ]
    return panel_is_from_controls(
        used[names.TOKEN_ID].tolist(), again[names.TOKEN_ID].tolist(), also_allowed=targets
    )


def may_be_champion(
    layout: Layout, bundle: Bundle, champion: Bundle | None, config: EvaluationConfig
) -> GateResult:
    """Whether the built model may be champion: all gates green, and better on the frozen test.

    Parameters
    ----------
    champion
        The present one; where it cannot answer for the test conditions of today (another gene
        panel, unknown drugs) the baselines alone decide.
    """
    table = read_delta(layout)
    split = _deciding_split(layout, table, bundle)
    predictions = read_predictions(layout.full_dir / split.name)
    asked = Conditions.from_frame(predictions.conditions)
    contenders = {
        name: predictions.predictions[name] for name in SIMPLE if name in predictions.predictions
    }
    contenders["candidate"] = predictions.predictions[predictions.shipped]
    if champion is not None and (delta_NG := _answer_of(champion, bundle, asked)) is not None:
        contenders["champion"] = delta_NG
    task = ForwardTask.of(table, split.rows(names.TRAIN), predictions.rows_N, config.de_genes)
    column = task.keys.index((kind_of(split.kind).main_metric, 0))
    scores = {name: values[:, column] for name, values in task.scores(contenders).items()}
    gates = pq.read_table(layout.evaluation_dir / GATES).to_pylist()
    return promotion(
        [GateResult.from_json(gate) for gate in gates],
        scores.pop("candidate"),
        {name: values for name, values in scores.items() if name != "champion"},
        predictions.conditions[names.PARENT_COMPOUND].to_numpy(),
        demanded=demanded_gates(split.name),
        champion_N=scores.get("champion"),
    )


def _run_gates(layout: Layout) -> list[GateResult]:
    table = read_delta(layout)
    bundle = load_bundle(layout.deploy_dir)
    split = _deciding_split(layout, table, bundle)
    rows_Q = _spread(split.rows(names.TEST))
    conditions = table.conditions.iloc[rows_Q]
    asked = Conditions.from_frame(conditions)
    measured_QG = np.asarray(table.delta_NG[rows_Q])
    gallery = bundle.default_gallery()
    of_gallery = cached(bundle.predict)

    def predict(of: DeltaTable) -> dict[str, NDArray[np.float32]]:
        return {"deployed": bundle.predict(Conditions.from_frame(of.conditions.iloc[rows_Q]))}

    def rank(query_QG: NDArray[np.float32]) -> NDArray[np.float32]:
        ranked = bundle.rank(query_QG, asked.line_N, gallery=gallery, predict=of_gallery)
        return ranked.scores_QD

    return [
        predicts_blind(BLIND_GATE, predict(table), predict(with_noise_in_test(table, split))),
        shuffled_genes_find_nothing(
            rank,
            measured_QG,
            [bundle.parent_of.get(drug, drug) for drug in gallery],
            asked.parent_N,
            within_Q=asked.line_N,
        ),
    ]


def _deciding_split(layout: Layout, table: DeltaTable, bundle: Bundle) -> Split:
    splits = read_splits(layout, table.conditions)
    return splits[deciding_split(bundle.splits)]


def _answer_of(
    champion: Bundle, candidate: Bundle, asked: Conditions
) -> NDArray[np.float32] | None:
    """The champion's answer, or None where it was made for other genes, drugs or lines."""
    tokens = [bundle.genes[names.TOKEN_ID].tolist() for bundle in (champion, candidate)]
    if tokens[0] != tokens[1]:
        return None
    try:
        return champion.predict(asked)
    except DrugPipelineError:
        return None


def _spread(rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """At most :data:`MOST_QUERIES` of the rows, evenly."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), MOST_QUERIES)).round().astype(np.int64)
    return np.asarray(rows, dtype=np.int64)[places]
