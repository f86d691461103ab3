"""A linear model registered alone: MLflow loads it in another process, and it answers as fitted."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import BAD_USAGE, FAILED
from drug_pipeline.domain.errors import CheckpointError, ForeignFileError, QueryError
from drug_pipeline.linear import Conditions, predictors_for
from drug_pipeline.storage.files import HASHES_FILE, write_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.linear_model import fit_linear, load_linear, save_linear
from drug_pipeline.training.model_assets import build_linear_model, build_model_full, read_features
from drug_pipeline_tests.integration.models.conftest import LINES

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated"  # MLflow's own tables
)

IN_ANOTHER_PROCESS = """
import json, sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
question = pd.DataFrame({"drug": ["alpha", "kappa"], "dose_um": [5.0, 0.5],
                         "cell_line_id": ["CVCL_0001", "CVCL_0004"]})
delta = model.predict(question)["delta"].tolist()
try:
    model.predict(question.replace("kappa", "omega"))
except mlflow.MlflowException as error:
    refusal = json.loads(error.serialize_as_json()) | {"status": error.get_http_status_code()}
print(json.dumps([delta, refusal]))
"""


def register(layout: Layout, *arguments: str) -> int:
    return run_command(["register", *arguments, "--data-dir", str(layout.root)])


def questions() -> Conditions:
    return Conditions.unmeasured(
        ["alpha", "kappa"],
        [LINES[1], LINES[4]],
        [5.0, 0.5],
        {"alpha": "P-alpha", "kappa": "P-kappa"},
    )


def test_a_registered_linear_model_answers_from_mlflow_what_it_answers_here(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register(layout, "--linear", "tanimoto_knn", "--split", "drug") == 0
    assert register(layout, "--linear", "tanimoto_knn", "--split", "drug") == 0

    shown = capsys.readouterr().out
    assert "drug-pipeline-drug-tanimoto-knn version 1, candidate" in shown
    assert "models:/drug-pipeline-drug-tanimoto-knn/2" in shown
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            IN_ANOTHER_PROCESS,
            f"sqlite:///{layout.mlflow_dir}/mlflow.db",
            "models:/drug-pipeline-drug-tanimoto-knn@candidate",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    model = load_linear(layout.linear_dir / "drug" / "tanimoto_knn")
    expected_NG = model.predict(questions())
    assert expected_NG.any()
    delta, refusal = json.loads(said.stdout)
    np.testing.assert_allclose(delta, expected_NG.ravel(), rtol=1e-6)
    assert refusal["status"] == 400  # what MLflow's server answers: a sentence and no stack trace
    assert "there is no drug 'omega'" in refusal["message"]
    assert "stack_trace" not in refusal


def test_alone_it_predicts_what_it_predicts_beside_the_network(
    layout: Layout, brief: TrainConfig
) -> None:
    build_model_full(layout, replace(brief, linear=("additive", "line_ridge", "pair_ridge")))
    judged = read_predictions(layout.full_dir / "pair")
    asked = Conditions.from_frame(judged.conditions)

    for name in ("drug_mean", "additive", "line_ridge"):
        assert build_linear_model(layout, "pair", name).is_new
        alone_NG = load_linear(layout.linear_dir / "pair" / name).predict(asked)
        np.testing.assert_allclose(alone_NG, judged.predictions[name], atol=1e-6, err_msg=name)
    assert not build_linear_model(layout, "pair", "additive").is_new


@pytest.mark.parametrize("kind", ["pair", "drug", "cell_line", "dose"])
def test_every_linear_model_can_be_saved_and_read_alone(layout: Layout, kind: str) -> None:
    table = read_delta(layout)
    features, split = read_features(layout, table), read_splits(layout, table.conditions)[kind]
    for name in [make().name for make in predictors_for(kind)]:
        model = fit_linear(table, features, split, name)
        save_linear(layout.root / name, model)

        again = load_linear(layout.root / name)

        np.testing.assert_array_equal(again.predict(questions()), model.predict(questions()), name)
        assert again.default_gallery() == model.default_gallery()


def test_nothing_of_the_test_side_reaches_it(layout: Layout) -> None:
    table = read_delta(layout)
    features, split = read_features(layout, table), read_splits(layout, table.conditions)["pair"]
    noise_NG = np.array(table.delta_NG)
    noise_NG[split.rows("test")] = 9.0

    clean, noisy = (
        fit_linear(one, features, split, "product_kernel_ridge")
        for one in (table, replace(table, delta_NG=noise_NG))
    )

    np.testing.assert_array_equal(clean.predict(questions()), noisy.predict(questions()))


def test_what_nothing_is_known_of_is_refused(layout: Layout) -> None:
    build_linear_model(layout, "pair", "line_mean")
    model = load_linear(layout.linear_dir / "pair" / "line_mean")

    with pytest.raises(
        QueryError, match="1 drugs were never measured and have no structure: omega"
    ):
        model.predict(replace(questions(), drug_N=np.array(["alpha", "omega"])))
    with pytest.raises(QueryError, match="1 cell lines have no control profile: CVCL_X"):
        model.predict(replace(questions(), line_N=np.array(["CVCL_X", LINES[0]])))


def test_files_that_do_not_belong_together_are_refused(layout: Layout) -> None:
    build_linear_model(layout, "pair", "line_mean")
    folder = layout.linear_dir / "pair" / "line_mean"
    document = json.loads((folder / "linear.json").read_text())
    identity = document["identity"]

    write_json(
        {**document, "identity": {**identity, "drug_vectors": "others"}}, folder / "linear.json"
    )
    with pytest.raises(ForeignFileError, match=r"1 of 3 files .*first: linear\.json"):
        load_linear(folder)
    (folder / HASHES_FILE).unlink()
    with pytest.raises(CheckpointError, match="of other drug vectors than asked for"):
        load_linear(folder)
    (folder / "model.npz").unlink()
    with pytest.raises(CheckpointError, match=r"no linear model in .*: model.npz not there"):
        load_linear(folder)


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "message"),
    [
        (("--linear", "magic"), {}, BAD_USAGE, "no linear model 'magic' for split 'pair'; there"),
        (("--linear", "panel_ridge", "--split", "drug"), {}, BAD_USAGE, "for split 'drug'; there"),
        (("--linear", "zero", "--split", "moon"), {}, BAD_USAGE, "there is no split 'moon'"),
        (("--linear", "zero"), {"DRUG_PIPELINE_TRACKING": "false"}, BAD_USAGE, "tracking is off"),
    ],
)
def test_what_cannot_be_registered_is_refused_and_what_there_is_is_named(
    layout: Layout,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert register(layout, *arguments) == code
    assert message in capsys.readouterr().err


def test_without_a_screen_it_says_what_to_build(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register(Layout(tmp_path / "empty"), "--linear", "additive") == FAILED
    assert "delta_shards has not been built" in capsys.readouterr().err
