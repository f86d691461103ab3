"""The web UI as the README starts it, in a shell that has the README's exports."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120


def checkout(folder: Path) -> Path:
    """A checkout with a history of its own, in a folder of the kind that shells take apart."""
    home = folder / "a [1]=b" / "checkout"
    home.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "workspace.yaml", "dagster.yaml", "constraints.txt"):
        shutil.copy2(ROOT / name, home / name)
    return home


def test_make_ui_keeps_the_history_in_the_checkout_whatever_its_path(tmp_path: Path) -> None:
    home = checkout(tmp_path)
    dagster = home / ".venv" / "bin" / "dagster"
    dagster.parent.mkdir(parents=True)
    dagster.write_text('#!/bin/sh\necho "home is $DAGSTER_HOME"\n')
    dagster.chmod(0o755)

    shown = subprocess.run(
        ["make", "-o", ".venv/.ready", "ui"], cwd=home, capture_output=True, text=True, check=True
    )

    assert f"home is {home}\n" in shown.stdout


@pytest.mark.slow
def test_make_ui_serves_the_graph_in_a_shell_with_the_exports_of_the_readme(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / ".ready").exists():
        pytest.skip("make ui would set up an environment first; run `make setup`")
    home = checkout(tmp_path)
    (home / ".venv").symlink_to(ROOT / ".venv")
    port = _free_port()
    exports = {"DAGSTER_HOME": str(home), "DAGSTER_MODULE_NAME": "drug_pipeline.definitions"}
    server = subprocess.Popen(
        ["make", "-o", ".venv/.ready", "ui", f"PORT={port}"],
        cwd=home,
        env=os.environ | exports | {"DRUG_PIPELINE_DATA_DIR": str(tmp_path / "data")},
        start_new_session=True,
    )
    try:
        assert "model_full" in _asset_names(port)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _asset_names(port: int) -> list[str]:
    """The assets that the server knows, once it answers."""
    query = json.dumps({"query": "{assetNodes{assetKey{path}}}"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                nodes = json.load(answer)["data"]["assetNodes"]
            return ["/".join(node["assetKey"]["path"]) for node in nodes]
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
