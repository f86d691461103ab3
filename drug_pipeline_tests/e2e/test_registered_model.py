"""The registered model asked away from the data that it was made of."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import FAILED
from drug_pipeline.domain import names
from drug_pipeline.orchestration.registry import MODEL_NAME, read_registration
from drug_pipeline.query.pyfunc import BUNDLE, QUESTION, requirements
from drug_pipeline.storage.shards import read_conditions, read_delta
from drug_pipeline.tracking.base import ModelVersion
from drug_pipeline.tracking.store import MlflowTracking
from drug_pipeline_tests.e2e.conftest import Built, build

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated"  # MLflow's own tables
)

ANSWER = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
question = pd.DataFrame(json.loads(sys.argv[2]))
answer = model.predict(question, params={"top_genes": 3})
import drug_pipeline
print(json.dumps([drug_pipeline.__file__, answer["delta"].tolist()]))
"""


@pytest.fixture(scope="module")
def built(built: Built, raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The chain in a copy of its folder, with MLflow; everything but the registered model is there."""
    folder = tmp_path_factory.mktemp("tracked") / "data"
    shutil.copytree(built.layout.root, folder)
    return build(raw_dir, folder, tracking=True)


def test_what_was_there_already_is_not_recorded_again(built: Built) -> None:
    tracking = MlflowTracking(built.layout.mlflow_dir)

    runs = tracking._client.search_runs([tracking._experiment_id])

    assert built.outcomes.built == {"registered_model"}
    assert sorted(run.data.tags.get("asset", "") for run in runs) == ["", "registered_model"]


@pytest.fixture(scope="module")
def signature(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measured Δ as a file."""
    table = read_delta(built.layout)
    row = int(np.square(table.delta_NG).mean(axis=1).argmax())
    path = tmp_path_factory.mktemp("asked") / "signature.csv"
    values = {"ensembl_id": table.genes[names.ENSEMBL_ID], "delta": table.delta_NG[row]}
    pd.DataFrame(values).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def line(built: Built) -> str:
    return str(read_conditions(built.layout)[names.CELL_LINE_ID].iloc[0])


def ranked(path: Path, line: str, out: Path, *options: str) -> pd.DataFrame:
    arguments = ["rank", str(path), "--cell-line", line, "--out", str(out), *options]
    assert run_command(arguments) == 0
    return pd.read_csv(out)


def test_an_empty_folder_ranks_by_the_registry_as_the_data_folder_does(
    built: Built,
    signature: Path,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registration = read_registration(built.layout)
    assert registration is not None
    here = ranked(signature, line, tmp_path / "a.csv", "--data-dir", str(built.layout.root))
    expected = capsys.readouterr().out

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{built.layout.mlflow_dir}/mlflow.db")
    address = f"models:/{MODEL_NAME}@{registration.alias}"
    empty = ("--data-dir", str(tmp_path / "empty"), "--model", address)
    there = ranked(signature, line, tmp_path / "b.csv", *empty)

    pd.testing.assert_frame_equal(here, there)
    shown = capsys.readouterr()
    assert shown.out == expected
    assert f"asked: models:/{MODEL_NAME}/{registration.version}" in shown.err
    assert not list((tmp_path / "empty").rglob("*.db"))


def test_a_model_that_nobody_registered_is_one_sentence(
    built: Built, signature: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for address, message in (
        ("models:/nobody@champion", "has no models:/nobody@champion"),
        ("nobody", "is no registered model. Write models:/NAME/VERSION"),
    ):
        code = run_command(
            [
                *("rank", str(signature), "--cell-line", line, "--model", address),
                *("--data-dir", str(built.layout.root)),
            ]
        )
        assert code == FAILED
        assert message in capsys.readouterr().err


def test_a_signature_ranks_the_same_drugs_in_any_unit(
    built: Built, signature: Path, line: str, tmp_path: Path
) -> None:
    table = pd.read_csv(signature)
    given = {
        "delta": 1.0,
        "log2FC": 1.0 / np.log(2),
        "value": 0.1,
        "score": 10.0,
        "zscore": 300.0,
    }
    found = []
    for column, factor in given.items():
        path = tmp_path / f"{column}.csv"
        renamed = table.assign(delta=table["delta"] * factor).rename(columns={"delta": column})
        renamed.to_csv(path, index=False)
        data_dir = ("--data-dir", str(built.layout.root))
        found.append(ranked(path, line, tmp_path / f"{column}_ranked.csv", *data_dir))

    for other in found[1:]:
        assert other[names.DRUG].tolist() == found[0][names.DRUG].tolist()


@pytest.mark.slow
def test_the_registered_model_answers_where_only_its_requirements_are_installed(
    built: Built, tmp_path: Path
) -> None:
    registration = read_registration(built.layout)
    assert registration is not None
    version = ModelVersion(
        name=registration.name, version=registration.version, alias="", run_id=""
    )
    model = MlflowTracking(built.layout.mlflow_dir).artifact_of(version, BUNDLE).parents[1]
    wanted = (model / "requirements.txt").read_text(encoding="utf-8").split()
    assert wanted == requirements()
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    torch = [one for one in wanted if one.startswith("torch==")]
    for packages in (torch, wanted):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    question = read_conditions(built.layout)[QUESTION].head(2).to_dict("list")

    answers = [
        json.loads(
            subprocess.run(
                [one, "-c", ANSWER, model, json.dumps(question)],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
        for one in (python, sys.executable)
    ]

    assert Path(answers[0][0]).is_relative_to(model)
    assert len(answers[0][1]) == 6
    np.testing.assert_allclose(answers[0][1], answers[1][1], rtol=1e-5)
