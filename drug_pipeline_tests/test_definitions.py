"""The graph as people see it: a change here is a change of the product, and must be meant."""

import json
import subprocess
import sys

import dagster as dg
import pytest

from drug_pipeline.definitions import build_defs, defs
from drug_pipeline.settings import load_settings

GRAPH = {
    "raw_tahoe": [],
    "tahoe_metadata": [],
    "counts_per_drug": ["raw_tahoe", "tahoe_metadata"],
    "counts_per_cell_line": ["raw_tahoe", "tahoe_metadata"],
    "counts_per_pair": ["raw_tahoe", "tahoe_metadata"],
    "imbalance_report": [
        "counts_per_cell_line",
        "counts_per_drug",
        "counts_per_pair",
        "raw_tahoe",
        "tahoe_metadata",
    ],
    "filtered_pairs": ["counts_per_pair"],
    "gene_panel": ["raw_tahoe", "tahoe_metadata"],
    "pseudobulk": ["gene_panel", "raw_tahoe", "tahoe_metadata"],
    "delta_shards": ["filtered_pairs", "gene_panel", "pseudobulk", "tahoe_metadata"],
    "drug_embeddings": ["tahoe_metadata"],
    "cell_line_embeddings": ["delta_shards", "tahoe_metadata"],
    "splits": ["delta_shards", "tahoe_metadata"],
    "model_prototype": [
        "cell_line_embeddings",
        "delta_shards",
        "drug_embeddings",
        "splits",
        "tahoe_metadata",
    ],
    "model_full": [
        "cell_line_embeddings",
        "delta_shards",
        "drug_embeddings",
        "splits",
        "tahoe_metadata",
    ],
    "gate_fits": [
        "cell_line_embeddings",
        "delta_shards",
        "drug_embeddings",
        "splits",
        "tahoe_metadata",
    ],
    "ablation_report": [
        "cell_line_embeddings",
        "delta_shards",
        "drug_embeddings",
        "gate_fits",
        "model_full",
        "splits",
        "tahoe_metadata",
    ],
    "evaluation_report": [
        "delta_shards",
        "gate_fits",
        "gene_panel",
        "model_full",
        "model_prototype",
        "splits",
        "tahoe_metadata",
    ],
    "registered_model": [
        "delta_shards",
        "evaluation_report",
        "model_full",
        "splits",
        "tahoe_metadata",
    ],
}

GROUPS = {
    "raw": {"raw_tahoe", "tahoe_metadata"},
    "counts": {
        "counts_per_drug",
        "counts_per_cell_line",
        "counts_per_pair",
        "imbalance_report",
        "filtered_pairs",
    },
    "expression": {"gene_panel", "pseudobulk", "delta_shards"},
    "embeddings": {"drug_embeddings", "cell_line_embeddings"},
    "models": {"splits", "model_prototype", "model_full"},
    "evaluation": {"gate_fits", "evaluation_report", "registered_model", "ablation_report"},
}

HEAVY = ["torch", "scanpy", "mlflow", "rdkit", "sklearn", "numba", "duckdb", "matplotlib", "scipy"]


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_graph_is_the_one_chain(specs: dict[str, dg.AssetSpec]) -> None:
    graph = {
        key: sorted(dep.asset_key.to_user_string() for dep in spec.deps)
        for key, spec in specs.items()
    }

    assert graph == GRAPH


def test_each_asset_is_in_the_group_of_its_stage(specs: dict[str, dg.AssetSpec]) -> None:
    groups: dict[str, set[str]] = {}
    for key, spec in specs.items():
        groups.setdefault(str(spec.group_name), set()).add(key)

    assert groups == GROUPS


def test_every_asset_explains_itself(specs: dict[str, dg.AssetSpec]) -> None:
    silent = [key for key, spec in specs.items() if len(spec.description or "") < 60]

    assert not silent


def test_no_asset_is_partitioned(specs: dict[str, dg.AssetSpec]) -> None:
    assert not [key for key, spec in specs.items() if spec.partitions_def is not None]


def test_there_is_a_job_a_group_and_one_for_everything() -> None:
    names = {job.name for job in defs.jobs or []}

    assert names == {"everything"} | {f"{group}_assets" for group in GROUPS}


def test_sensor_and_schedule_are_off_unless_automation_is_on() -> None:
    quiet = build_defs(load_settings(automation=False))
    busy = build_defs(load_settings(automation=True))

    assert quiet.resolve_sensor_def("raw_folder").default_status == dg.DefaultSensorStatus.STOPPED
    assert quiet.resolve_schedule_def("nightly").default_status == dg.DefaultScheduleStatus.STOPPED
    assert busy.resolve_sensor_def("raw_folder").default_status == dg.DefaultSensorStatus.RUNNING
    assert busy.resolve_schedule_def("nightly").default_status == dg.DefaultScheduleStatus.RUNNING


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    script = (
        "import json, sys; import drug_pipeline.definitions; "
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(shown.stdout) == []


def test_definitions_can_be_loaded_and_resolved() -> None:
    dg.Definitions.validate_loadable(defs)  # raises where an asset, job or resource does not fit

    assert {job.name for job in defs.resolve_all_job_defs()} >= {"everything", "models_assets"}
