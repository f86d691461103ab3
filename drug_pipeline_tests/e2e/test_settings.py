"""What is set reaches the assets, and their stamps, and nothing is built again without reason."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import dagster as dg

from drug_pipeline.definitions import build_defs
from drug_pipeline.domain.config_fields import field_values
from drug_pipeline.orchestration.jobs import EVERYTHING
from drug_pipeline.orchestration.launch import select_assets
from drug_pipeline.settings import SECTIONS, load_settings, setting_types
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline_tests.e2e.conftest import Built, build

STAMP_OF = {
    "inventory": "raw_tahoe",
    "pairs": "filtered_pairs",
    "panel": "gene_panel",
    "delta": "delta_shards",
    "drug_embeddings": "drug_embeddings",
    "cell_line_embeddings": "cell_line_embeddings",
    "splits": "splits",
    "training": "model_full",
    "gate_fits": "fits_for_gates",
    "ablation": "ablation_fits",
    "evaluation": "evaluation_report",
}
WHERE_AND_HOW_FAST = {"remote", "spool", "counts", "pseudobulk"}
"""Sections of which nothing changes a byte of a result."""


def stamped(layout: Layout, section: str) -> dict[str, Any]:
    """What the stamp of a section's asset says of it."""
    stamp = StampStore(layout).read(STAMP_OF[section])
    assert stamp is not None
    config: dict[str, Any] = stamp.config.get(section, stamp.config)
    return config


def as_stamped(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, dict):
        return {name: as_stamped(one) for name, one in value.items()}
    return [as_stamped(one) for one in value] if isinstance(value, tuple) else value


def held(config: Any, path: list[str]) -> Any:
    for part in path:
        config = config.get(part, ...) if isinstance(config, dict) else ...
    return config


def test_the_stamps_hold_each_setting_that_changes_a_result(built: Built) -> None:
    resolved = built.settings.resolved()
    missing = set()
    for section in SECTIONS.keys() - WHERE_AND_HOW_FAST:
        config = stamped(built.layout, section)
        for name, value in field_values(resolved[section]).items():
            found = held(config, name.split("."))
            assert found in (..., as_stamped(value)), name
            if found is ...:
                missing.add(f"{section}.{name}")

    assert SECTIONS.keys() == STAMP_OF.keys() | WHERE_AND_HOW_FAST
    assert missing == {"inventory.workers", "training.n_workers"}


def test_the_prototype_s_stamp_leaves_out_only_what_its_fit_does_not_read(built: Built) -> None:
    stamp = StampStore(built.layout).read("model_prototype")

    assert stamp is not None
    left_out = {field.name for field in fields(built.settings.training())} - stamp.config.keys()
    assert left_out == {
        *("model", "forward", "inverse", "splits", "linear", "kernel_blocks"),
        *("n_members", "n_profile", "n_workers", "is_compiled"),
    }


def test_where_and_how_fast_work_runs_rebuilds_nothing(built: Built, raw_dir: Path) -> None:
    elsewhere = {
        "counts.threads": 1,
        "pseudobulk.files_per_unit": 3,
        "pseudobulk.memory_limit_mb": 512,
        "inventory.workers": 2,
        "training.n_workers": 2,
        "remote.retries.n_retries": 1,
    }
    assert elsewhere.keys() <= setting_types().keys()

    again = build(raw_dir, built.layout.root, "*model_full", **elsewhere)

    assert again.outcome.is_success
    assert again.outcomes.built == set()


def test_a_field_set_in_the_launchpad_reaches_its_asset(raw_dir: Path, tmp_path: Path) -> None:
    defs = build_defs(load_settings(data_dir=tmp_path / "unused"))
    launchpad = {
        "raw_dir": str(raw_dir),
        "data_dir": str(tmp_path / "data"),
        "preset": "tiny",
        "overrides": {
            "tracking": False,
            "pairs.min_cells_per_pair": 12,
            "inventory": {"validation": "while_reducing"},
        },
    }
    with dg.DagsterInstance.ephemeral() as history:
        result = defs.resolve_job_def(EVERYTHING).execute_in_process(
            instance=history,
            asset_selection=select_assets(defs, "*filtered_pairs"),
            run_config={"resources": {"pipeline": {"config": launchpad}}},
        )

    assert result.success
    layout = Layout(tmp_path / "data")
    assert stamped(layout, "pairs")["min_cells_per_pair"] == 12
    assert stamped(layout, "inventory")["validation"] == "while_reducing"
