"""What stands beside a model when people ask."""

from pathlib import Path

import pandas as pd
import pytest

from drug_pipeline.domain.errors import ForeignFileError
from drug_pipeline.query.open_model import read_metrics
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore


def test_figures_are_told_only_as_the_evaluation_wrote_them(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    path = layout.evaluation_dir / "metrics.parquet"
    path.parent.mkdir(parents=True)
    metrics = pd.DataFrame({"split": ["pair"], "value": [0.7]})
    metrics.to_parquet(path)
    before_the_evaluation_ended = read_metrics(layout)
    StampStore(layout).write(
        asset="evaluation_report", code_version="1", inputs={}, config={}, files=[path]
    )

    assert before_the_evaluation_ended is None
    told = read_metrics(layout)
    assert told is not None
    assert told.equals(metrics)
    metrics.assign(value=[0.8]).to_parquet(path)
    with pytest.raises(ForeignFileError, match=r"evaluation_report .*metrics\.parquet"):
        read_metrics(layout)
