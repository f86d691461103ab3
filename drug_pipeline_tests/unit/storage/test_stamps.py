"""What a stamp tells beside the content of what was built."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drug_pipeline.orchestration.status import asset_states
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore


def test_the_time_of_building_is_not_the_time_of_copying(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    layout.manifest_dir.mkdir(parents=True)
    before = datetime.now(UTC) - timedelta(seconds=1)
    stamp = StampStore(layout).write(
        asset="splits", code_version="1", inputs={}, config={}, files=[]
    )
    shutil.copytree(layout.root, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (0, 0))

    copy = Layout(tmp_path / "copy")
    state = next(state for state in asset_states(copy) if state.asset == "splits")

    assert state.built_at is not None
    assert before <= state.built_at <= datetime.now(UTC)
    (copy.manifest_dir / "built_at.json").unlink()
    assert StampStore(copy).built_at(stamp) is None
