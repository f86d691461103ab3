"""MLflow on a real sqlite store."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from drug_pipeline.orchestration.registry import CHAMPION, MODEL_NAME, _champion
from drug_pipeline.query import pyfunc
from drug_pipeline.settings import load_settings, tracking_of
from drug_pipeline.storage.files import write_json
from drug_pipeline.tracking.base import NullTracking, ServedModel, TrackingError
from drug_pipeline.tracking.store import LOCAL_UI, MlflowTracking, code_revision

pytestmark = pytest.mark.filterwarnings(
    # MLflow's own tables use an option that SQLAlchemy 2.1 deprecates.
    "ignore:The ``noload`` loader strategy is deprecated"
)

ENTRY = """
from drug_pipeline.tracking.served import serve


class Echo:
    def load(self, artifacts):
        with open(artifacts["weights"]) as stream:
            self.factor = float(stream.read())

    def answer(self, table, params):
        table = table.copy()
        table["delta"] = self.factor * params.get("times", 1)
        return table


serve(Echo())
"""


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> MlflowTracking:
    return MlflowTracking(
        tmp_path_factory.mktemp("data") / "mlflow",
        ui="http://ui:5000/",
        changed={"training.model.width": "128"},
        settings={"seed": 0, "training": {"model": {"width": 128}}, "file": Path("sets.gmt")},
    )


@pytest.fixture
def served(tmp_path: Path) -> ServedModel:
    (tmp_path / "entry.py").write_text(ENTRY, encoding="utf-8")
    (tmp_path / "weights").write_text("2.5", encoding="utf-8")
    return ServedModel(
        name="echo",
        code=tmp_path / "entry.py",
        artifacts={"weights": tmp_path / "weights"},
        example=pd.DataFrame({"drug": ["Aspirin"]}),
        answer=pd.DataFrame({"drug": ["Aspirin"], "delta": [2.5]}),
        params={"times": 1},
        figures={"pair_drug_mrr": 0.5},
        description="Says the same to everything.",
        tags={"delta_fingerprint": "abc"},
    )


def test_each_asset_is_a_child_of_the_run_with_what_it_recorded(tracking: MlflowTracking) -> None:
    with tracking.step("delta_shards", pipeline_run="run-1") as step:
        step.params({"filter": {"min_cells": 20}})
        step.metrics({"n_conditions": 7.0})
        step.metrics({"loss": 2.0}, step=0)
        step.metrics({"loss": 1.0}, step=1)
        step.input("pseudobulk", "f" * 64)
        step.tags({"outcome": "built"})
    with tracking.step("splits", pipeline_run="run-1") as other:
        other.headline({"pair_drug_mrr": 0.5})
        other.tags({"outcome": "built"})

    runs = {run.info.run_id: run for run in tracking._client.search_runs([tracking._experiment_id])}
    child = runs[step.run_id]
    parent = runs[child.data.tags["mlflow.parentRunId"]]
    assert runs[other.run_id].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.tags["dagster.run_id"] == "run-1"
    assert parent.data.metrics == {"pair_drug_mrr": 0.5}
    assert child.data.params == {"filter.min_cells": "20"}
    assert child.data.metrics == {"n_conditions": 7.0, "loss": 1.0}
    assert child.data.tags["outcome"] == "built"
    assert child.inputs.dataset_inputs[0].dataset.name == "pseudobulk"
    assert [point.value for point in tracking._client.get_metric_history(step.run_id, "loss")] == [
        2.0,
        1.0,
    ]
    assert child.info.status == "FINISHED"
    assert (
        step.url() == f"http://ui:5000/#/experiments/{tracking._experiment_id}/runs/{step.run_id}"
    )


def test_the_run_s_record_has_its_settings(tracking: MlflowTracking) -> None:
    with tracking.step("splits", pipeline_run="run-4") as step:
        step.metrics({"n": 1.0})

    child = tracking._client.get_run(step.run_id)
    parent = tracking._client.get_run(child.data.tags["mlflow.parentRunId"])
    assert parent.data.params == {"training.model.width": "128"}
    path = tracking._client.download_artifacts(parent.info.run_id, "settings.json")
    assert json.loads(Path(path).read_text(encoding="utf-8")) == {
        "seed": 0,
        "training": {"model": {"width": 128}},
        "file": "sets.gmt",
    }


def test_a_step_of_which_nothing_is_recorded_leaves_the_pipeline_run_alone(
    tmp_path: Path,
) -> None:
    tracking = MlflowTracking(tmp_path)
    for asset in ("splits", "model_full"):
        with tracking.step(asset, pipeline_run="run-5") as step:
            pass

    (run,) = tracking._client.search_runs([tracking._experiment_id])
    assert run.data.tags["dagster.run_id"] == "run-5"
    assert run.info.status == "FINISHED"
    assert (
        step.url() == f"{LOCAL_UI}/#/experiments/{tracking._experiment_id}/runs/{run.info.run_id}"
    )


def test_mlflow_s_pages_open_the_experiment_as_one_of_models(tracking: MlflowTracking) -> None:
    experiment = tracking._client.get_experiment(tracking._experiment_id)

    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_step_that_raises_is_recorded_as_failed(tracking: MlflowTracking) -> None:
    with pytest.raises(RuntimeError, match="out of luck"):
        _fail(tracking)

    (run,) = tracking._client.search_runs(
        [tracking._experiment_id], filter_string="tags.asset = 'luckless'"
    )
    assert run.info.status == "FAILED"


def _fail(tracking: MlflowTracking) -> None:
    with tracking.step("luckless", pipeline_run="run-2"):
        msg = "out of luck"
        raise RuntimeError(msg)


def test_a_registered_model_answers_in_another_process_and_an_alias_moves(
    tracking: MlflowTracking, served: ServedModel
) -> None:
    with tracking.step("registered_model", pipeline_run="run-3") as step:
        first = tracking.set_alias(tracking.register(step, served), "champion")
        second = tracking.set_alias(tracking.register(step, served), "champion")

    logged, *_ = tracking._client.search_logged_models([tracking._experiment_id])
    assert {metric.key: metric.value for metric in logged.metrics} == {"pair_drug_mrr": 0.5}
    found = tracking.find_alias("echo", "champion")
    assert (first.version, second.version) == (1, 2)
    assert found is not None
    assert (found.version, found.run_id) == (2, step.run_id)
    assert tracking.artifact_of(second, "weights").read_text(encoding="utf-8") == "2.5"
    with pytest.raises(TrackingError, match="artifact bundle of models:/echo/2 cannot be read"):
        tracking.artifact_of(second, "bundle")
    script = (
        "import mlflow, pandas as pd;"
        f"mlflow.set_tracking_uri({tracking.store_uri!r});"
        f"model = mlflow.pyfunc.load_model({second.uri!r});"
        "answer = model.predict(pd.DataFrame({'drug': ['x']}), params={'times': 3});"
        "print(answer['delta'][0], model.metadata.signature.inputs.input_names())"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert shown.stdout.strip() == "7.5 ['drug']"


def test_a_champion_of_an_older_format_leaves_the_choice_to_the_baselines(
    tracking: MlflowTracking,
    served: ServedModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_json({"format": 1}, tmp_path / "deploy" / "bundle.json")
    artifacts = {**served.artifacts, pyfunc.BUNDLE: tmp_path / "deploy"}
    with tracking.step("registered_model", pipeline_run="run-4") as step:
        version = tracking.register(step, replace(served, name=MODEL_NAME, artifacts=artifacts))
        tracking.set_alias(version, CHAMPION)

    assert _champion(tracking) is None
    assert "compared with no champion, only with baselines" in caplog.text
    assert "has format 1, this code reads 2" in caplog.text


def test_registering_and_loading_a_model_warns_of_nothing(
    tracking: MlflowTracking, served: ServedModel
) -> None:
    import mlflow.pyfunc

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with tracking.step("registered_model", pipeline_run="run-3") as step:
            version = tracking.register(step, served)
        uri = tracking.artifact_of(version, "weights").parents[1]
        mlflow.pyfunc.load_model(str(uri))

    assert [str(one.message) for one in heard if "type hints" in str(one.message)] == []


def test_no_version_has_an_alias_that_was_never_given(tracking: MlflowTracking) -> None:
    assert tracking.find_alias("nobody", "champion") is None


def test_a_copied_folder_works_and_writes_only_there(tmp_path: Path, served: ServedModel) -> None:
    first = MlflowTracking(tmp_path / "first" / "mlflow")
    with first.step("registered_model", pipeline_run="run-1") as step:
        version = first.set_alias(first.register(step, served), "champion")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "first").rglob("*")}
    (tmp_path / "first").rename(tmp_path / "away")

    copy = MlflowTracking(tmp_path / "second" / "mlflow")
    found = copy.find_alias("echo", "champion")
    with copy.step("registered_model", pipeline_run="run-2") as step:
        again = copy.register(step, served)

    assert found is not None
    for one in (found, again):
        path = copy.artifact_of(one, "weights")
        assert path.is_relative_to(tmp_path / "second")
        assert path.read_text(encoding="utf-8") == "2.5"
    (tmp_path / "away").rename(tmp_path / "first")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "first").rglob("*")} == before
    assert first.artifact_of(version, "weights").is_relative_to(tmp_path / "first")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on loopback that hands artifacts on."""
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{home}/server.db", "--workers", "1"),
        *("--artifacts-destination", str(home / "artifacts")),
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=home, start_new_session=True
        )
    try:
        for _ in range(600):
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5),
            ):
                break
            assert process.poll() is None, (home / "log").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


def test_runs_model_and_alias_go_to_a_server_and_nothing_to_sqlite(
    server: str, served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    settings = load_settings(data_dir=tmp_path / "data", preset="tiny")
    tracking = tracking_of(settings)
    with tracking.step("registered_model", pipeline_run="run-1") as step:
        step.metrics({"n": 1.0})
        version = tracking.set_alias(tracking.register(step, served), "champion")

    elsewhere = tracking_of(load_settings(data_dir=tmp_path / "other", preset="tiny"))
    assert elsewhere.find_alias("echo", "champion") == version
    for _ in range(2):  # fetched once, then kept
        path = elsewhere.artifact_of(version, "weights")
        assert path.read_text(encoding="utf-8") == "2.5"
    assert path.is_relative_to(tmp_path / "other")
    assert step.url().startswith(f"{server}/#/experiments/")
    assert tracking.registry == server
    assert not list(tmp_path.rglob("*.db"))
    assert os.environ["MLFLOW_TRACKING_URI"] == server


def test_registering_leaves_no_store_behind_as_mlflow_s_default(
    tmp_path: Path, served: ServedModel
) -> None:
    import mlflow

    before = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    tracking = MlflowTracking(tmp_path)
    with tracking.step("registered_model", pipeline_run="run-1") as step:
        tracking.register(step, served)

    assert (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")) == before


def test_a_server_that_does_not_answer_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = MlflowTracking(tmp_path, tracking_uri="http://127.0.0.1:9")

    with pytest.raises(TrackingError, match=r"127.0.0.1:9 cannot be used: .*Start the server"):
        tracking.find_alias("echo", "champion")


def test_two_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from drug_pipeline.tracking.store import MlflowTracking\n"
        f"tracking = MlflowTracking(Path({str(tmp_path / 'mlflow')!r}), ui='')\n"
        "with tracking.step('a', pipeline_run='shared') as step: print(step.run_id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    ids = {process.communicate(timeout=120)[0].strip() for process in processes}

    assert [process.returncode for process in processes] == [0, 0]
    assert len(ids) == 2
    tracking = MlflowTracking(tmp_path / "mlflow", ui="")
    parents = tracking._client.search_runs(
        [tracking._experiment_id], filter_string="tags.`dagster.run_id` = 'shared'"
    )
    assert len(parents) == 1


RECORD = """
import resource, sys, time
from pathlib import Path
from drug_pipeline.tracking.store import MlflowTracking

if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
with MlflowTracking(Path(sys.argv[1]), ui="").step("a", pipeline_run="r") as step:
    print("recording", step.run_id, flush=True)
    time.sleep(300)
"""
HALF_A_STORE = 400 * 1024
"""Bytes; the whole has more than twice as many."""


def recorder(folder: Path, *largest_file: int) -> subprocess.Popen[str]:
    """A process that makes the store, in files of a limited size, and records for minutes."""
    return subprocess.Popen(
        [sys.executable, "-c", RECORD, str(folder), *map(str, largest_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def statuses(tracking: MlflowTracking) -> dict[str, str]:
    runs = tracking._client.search_runs([tracking._experiment_id])
    return {run.info.run_id: run.info.status for run in runs}


def test_a_process_killed_while_it_makes_the_store_leaves_nothing_that_cannot_be_opened(
    tmp_path: Path,
) -> None:
    with recorder(tmp_path) as maker:
        while sum(file.stat().st_size for file in tmp_path.rglob("mlflow.db")) < HALF_A_STORE:
            assert maker.poll() is None
            time.sleep(0.01)
        maker.kill()

    tracking = MlflowTracking(tmp_path, ui="")
    with tracking.step("a", pipeline_run="r"):
        pass

    assert set(statuses(tracking).values()) == {"FINISHED"}
    assert not list(tmp_path.glob(".store*"))


def test_no_room_for_the_store_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with recorder(tmp_path, HALF_A_STORE) as maker:
        _, said = maker.communicate(timeout=120)

    assert "TrackingError: MLflow's store" in said
    assert "Make room if the disk is full" in said
    assert not list(tmp_path.rglob("*mlflow.db*"))


def test_what_a_killed_process_recorded_is_closed_by_the_next_and_what_goes_on_is_not(
    tmp_path: Path,
) -> None:
    ours = MlflowTracking(tmp_path, ui="")
    with ours.step("b", pipeline_run="s") as here, recorder(tmp_path) as killed:
        assert killed.stdout is not None
        gone, goes_on = killed.stdout.readline().split()[1], here.run_id
        killed.kill()
        killed.wait()

        found = statuses(MlflowTracking(tmp_path, ui=""))

        parent = ours._client.get_run(gone).data.tags["mlflow.parentRunId"]
        assert {run: found[run] for run in (gone, parent, goes_on)} == {
            gone: "KILLED",
            parent: "KILLED",
            goes_on: "RUNNING",
        }
    assert not list((tmp_path / "running").iterdir())


def test_a_store_that_is_no_database_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1_000)

    with pytest.raises(TrackingError, match=r"mlflow.db cannot be used: .*move it away"):
        MlflowTracking(tmp_path, ui="").find_alias("a", "champion")


def test_the_null_tracker_takes_everything_and_keeps_nothing(served: ServedModel) -> None:
    tracking = NullTracking()
    with tracking.step("a", pipeline_run="r") as step:
        step.params({"a": 1})
        step.metrics({"b": 1.0})
        step.input("c", "d")
        step.tags({"e": "f"})
        version = tracking.set_alias(tracking.register(step, served), "candidate")

    assert (version.version, version.alias) == (0, "candidate")
    assert tracking.find_alias("echo", "candidate") is None
    assert step.url() == ""


def test_the_code_revision_is_a_commit() -> None:
    tags = code_revision()

    assert not tags or len(tags["git_revision"]) == 40
