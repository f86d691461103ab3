"""Tables of the user's own, from a file named in the settings to the model that is served."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drug_pipeline.embeddings.cell_lines import CellLineEmbeddingConfig
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.ingest.embeddings import build_cell_line_embeddings, build_drug_embeddings
from drug_pipeline.query.predict import NEW_DRUG, with_structure
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.embeddings import read_embeddings
from drug_pipeline.storage.layout import Layout
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.model_assets import build_model_full
from drug_pipeline_tests.integration.models.conftest import DRUGS, LINES
from drug_pipeline_tests.integration.models.test_linear_alone import questions


def test_own_tables_reach_kernels_networks_and_answers_and_a_changed_one_is_read_again(
    layout: Layout, brief: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    drug_table, line_table = tmp_path / "drugs.csv", tmp_path / "lines.npz"
    text = "".join(f"{drug},{rng.normal():.3f},{rng.normal():.3f}\n" for drug in DRUGS[:-1])
    drug_table.write_text("drug,x,y\n" + text)
    np.savez(line_table, cell_line_id=np.array(LINES), state=rng.normal(size=(len(LINES), 3)))
    settings = load_settings(
        data_dir=layout.root, drug_table=str(drug_table), line_table=str(line_table)
    )

    made = build_drug_embeddings(layout, settings.section(DrugEmbeddingConfig))
    build_cell_line_embeddings(layout, settings.section(CellLineEmbeddingConfig))
    training = settings.training()
    config = replace(
        brief,
        linear=("product_kernel_ridge", "kernel_line"),
        kernel_blocks=training.kernel_blocks,
        network_blocks=training.network_blocks,
    )
    summary = build_model_full(layout, config).stamp.summary
    bundle = load_bundle(layout.deploy_dir)

    last = DRUGS[-1]
    assert made.stamp.summary["notes"] == {"no vector in block own, known by others": [last]}
    assert last not in read_embeddings(layout, "drugs").block("own").keys
    assert summary["pair_line_shares"].keys() >= {"control_pca"}
    encoder = bundle.splits["pair"].encoder
    assert {"own.basis", "cell.own.basis"} <= set(encoder.state())
    assert np.isfinite(bundle.predict(questions())).all()
    with caplog.at_level(logging.WARNING):
        wider = with_structure(bundle, "CCCO", settings.section(DrugEmbeddingConfig))
    assert f"{NEW_DRUG}: no vector in block own" in caplog.text
    asked = replace(questions(), drug_N=np.full(len(questions()), NEW_DRUG))
    assert np.isfinite(wider.predict(asked)).all()

    drug_table.write_text("drug,x,y\n" + text.replace("-", ""))
    assert build_drug_embeddings(layout, settings.section(DrugEmbeddingConfig)).is_new
