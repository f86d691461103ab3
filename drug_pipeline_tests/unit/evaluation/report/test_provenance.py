"""What happened to the data before is told from the stamps, whichever way they tell it."""

from pathlib import Path

import pyarrow as pa
import pytest

from drug_pipeline.domain import schemas
from drug_pipeline.evaluation.report.provenance import data_facts
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    summaries = {
        "raw_tahoe": {"n_rows": 1000, "n_ok": 3},
        "tahoe_metadata": {"is_generated": True, "notes": {"names stripped": 2, "none": 0}},
        "filtered_pairs": {"n_pairs": 10, "n_kept": 7, "dropped": {"too few cells": 3}},
        "drug_embeddings": {"n_left_out": 5, "left_out": {"no SMILES": "a, b, c and 2 more"}},
        "delta_shards": {"dropped": {"no control": ["x", "y"]}},
    }
    for asset, summary in summaries.items():
        StampStore(layout).write(
            asset=asset, code_version="1", inputs={}, config={}, files=[], summary=summary
        )
    return layout


def test_facts_and_what_was_left_out_are_told_with_their_numbers(layout: Layout) -> None:
    found = data_facts(layout)

    assert found.is_generated
    assert found.facts == {"Raw cells": "1,000 in 3 files", "Pairs (drug, line)": "7 kept of 10"}
    assert found.dropped == [
        ("metadata", "names stripped", 2),
        ("pairs (drug, line)", "too few cells", 3),
        ("conditions", "no control", 2),
        ("drugs without vectors", "no SMILES: a, b, c and 2 more", 5),
    ]
    assert found.quarantined == {}


def test_the_blocks_that_models_read_are_named_with_the_share_of_the_user_s(layout: Layout) -> None:
    read = {"drugs": ["morgan", "own"], "cell_lines": ["control_pca", "own"]}
    StampStore(layout).write(
        asset="model_full",
        code_version="1",
        inputs={},
        config={"kernel_blocks": read, "network_blocks": {**read, "drugs": ["morgan"]}},
        files=[],
        summary={
            "drug_drug_shares": {"morgan": 0.24, "own": 0.7},
            "drug_line_shares": {"control_pca": 1.0},
        },
    )
    facts = data_facts(layout).facts

    assert facts["Vectors that linear models may read"] == (
        "of drugs: Morgan fingerprint, own drug table; of lines: control profile, own line table"
    )
    assert facts["Vectors that networks may read"].startswith("of drugs: Morgan fingerprint; of")
    assert facts["Share in the product kernel"] == "own drug table on split drug: 0.7"


def test_quarantined_files_come_with_their_reason_and_many_are_summed_up(layout: Layout) -> None:
    rows = [
        {"file": f"train-{i:05d}.parquet", "state": "quarantined", "reason": "truncated"}
        for i in range(22)
    ]
    rows.append({"file": "good.parquet", "state": "ok", "reason": ""})
    write_parquet(pa.Table.from_pylist(rows, schema=schemas.RAW_FILES), layout.raw_manifest)

    quarantined = data_facts(layout).quarantined

    assert len(quarantined) == 21
    assert quarantined["train-00000.parquet"] == "truncated"
    assert "and 2 more" in quarantined["…"]


def test_an_empty_data_folder_says_nothing(tmp_path: Path) -> None:
    found = data_facts(Layout(tmp_path))

    assert not found.is_generated
    assert found.dropped == []
