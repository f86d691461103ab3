"""What the gates on a deployed model say where they cannot look."""

from pathlib import Path

import pyarrow as pa

from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.panel import PANEL
from drug_pipeline.orchestration.judging import panel_gate
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout


def test_a_panel_frozen_before_its_files_were_kept_is_not_measured_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path)
    write_parquet(pa.Table.from_pylist([], schema=PANEL), layout.gene_panel)

    gate = panel_gate(layout, PanelConfig(policy="frozen"))

    assert (gate.state, gate.bars) == ("not measured", True)
    assert "Choose it once more with DRUG_PIPELINE_PANEL_POLICY=follow" in gate.explanation
    assert "every plate's sums are made anew" in gate.explanation
