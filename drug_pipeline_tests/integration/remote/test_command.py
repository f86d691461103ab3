"""The command line over S3, streamed: settings reach every asset."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drug_pipeline.storage.layout import Layout
from drug_pipeline_tests.integration.remote.fault_proxy import FaultProxy, reset, slow_down


def run(made: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if "DRUG_PIPELINE" not in name}
    call = [sys.executable, "-c", "from drug_pipeline.cli import main; main()", "run"]
    wanted = ["--preset", "tiny", "--select", "*delta_shards", "--data-dir", str(made), *options]
    return subprocess.run(
        [*call, *wanted],
        env={**clean, "DRUG_PIPELINE_TRACKING": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def delta_of(made: Path) -> dict[str, bytes]:
    top = Layout(made).delta_dir
    return {p.relative_to(top).as_posix(): p.read_bytes() for p in top.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_run_over_s3_and_a_bad_network_gives_the_delta_of_a_local_run(
    screen: Path, bucket: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    settings = {
        "AWS_ENDPOINT_URL": proxy.url,
        "DRUG_PIPELINE_REMOTE_BACKOFF_SECONDS": "0.01",
    }
    local = run(here, "--raw-dir", str(screen))
    proxy.misbehave("GET ", reset, slow_down, every=5)

    streamed = run(there, "--raw-dir", f"s3://{bucket}", "--stream", "2", **settings)

    assert (local.returncode, streamed.returncode) == (0, 0), streamed.stderr
    assert proxy.n_broken > 10
    assert delta_of(there) == delta_of(here)
    assert list((there / "spool").glob("*.parquet")) == []
    proxy.misbehave("list-type", slow_down)
    down = run(there, "--raw-dir", f"s3://{bucket}", "--stream", "2", **settings)
    assert down.returncode == 1
    assert "failed 6 times" in down.stderr
    assert "not built: " in down.stderr
