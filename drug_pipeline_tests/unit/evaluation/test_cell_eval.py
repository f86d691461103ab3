"""What others' tool computes from our export is what we compute ourselves."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest

from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import delta_metrics
from drug_pipeline.storage.formats.cell_eval import PERTURBATION, write_cell_eval_inputs

CELL_EVAL_PYTHON = Path(__file__).resolve().parents[3] / ".venv-cell-eval" / "bin" / "python"
SCRIPT = """
import json, sys
import anndata
from cell_eval._types import PerturbationAnndataPair
from cell_eval.metrics import _anndata as metrics
pair = PerturbationAnndataPair(
    real=anndata.read_h5ad(sys.argv[1] + "/real.h5ad"),
    pred=anndata.read_h5ad(sys.argv[1] + "/predicted.h5ad"),
    pert_col="perturbation", control_pert="DMSO_TF",
)
found = {name: getattr(metrics, name)(pair) for name in ("pearson_delta", "mse", "mse_delta", "mae")}
found |= {d: metrics.discrimination_score(pair, metric=d) for d in ("l1", "l2", "cosine")}
print(json.dumps(found))
"""


@pytest.fixture
def exported(
    table: DeltaTable, truth: np.ndarray, tmp_path: Path
) -> tuple[DeltaTable, np.ndarray, list[Path]]:
    rows = np.flatnonzero(table.conditions["plate"] == "plate2")
    predicted = (0.5 * truth[rows] + 0.1).astype(np.float32)
    one = table.take(rows)
    folders = write_cell_eval_inputs(
        tmp_path,
        conditions=one.conditions,
        genes=one.genes,
        predicted_NG=predicted,
        measured_NG=one.delta_NG,
        controls=one.controls,
    )
    return one, predicted, folders


def test_each_line_and_plate_becomes_a_pair_of_files_with_its_own_control(
    exported: tuple[DeltaTable, np.ndarray, list[Path]],
) -> None:
    one, predicted, folders = exported

    assert [folder.name for folder in folders] == [f"CVCL_{i}__plate2" for i in (1, 2, 3)]
    real = anndata.read_h5ad(folders[0] / "real.h5ad")
    assert real.obs[PERTURBATION].tolist()[:2] == ["DMSO_TF", "drug 00|5"]
    rows = np.flatnonzero(one.conditions["cell_line_id"] == "CVCL_1")
    np.testing.assert_allclose(real.X[1:] - real.X[0], one.delta_NG[rows], atol=1e-6)
    guess = anndata.read_h5ad(folders[0] / "predicted.h5ad")
    np.testing.assert_allclose(guess.X[1:] - guess.X[0], predicted[rows], atol=1e-6)


def test_a_line_without_a_control_profile_is_refused(table: DeltaTable, tmp_path: Path) -> None:
    others = table.controls.groups["cell_line_id"] != "CVCL_2"
    controls = replace(
        table.controls,
        groups=table.controls.groups[others].reset_index(drop=True),
        control_MG=table.controls.control_MG[others.to_numpy()],
    )

    with pytest.raises(AlignmentError, match=r"3 of 9 \(line, plate\) groups have no control"):
        write_cell_eval_inputs(
            tmp_path,
            conditions=table.conditions,
            genes=table.genes,
            predicted_NG=table.delta_NG,
            measured_NG=table.delta_NG,
            controls=controls,
        )


@pytest.mark.slow
def test_our_figures_equal_those_of_cell_eval_on_the_export(
    exported: tuple[DeltaTable, np.ndarray, list[Path]],
) -> None:
    if not CELL_EVAL_PYTHON.exists():
        pytest.skip(f"needs cell-eval in an environment of its own: {CELL_EVAL_PYTHON}")
    one, predicted, folders = exported
    for folder in folders:
        line = folder.name.split("__")[0]
        rows = np.flatnonzero(one.conditions["cell_line_id"] == line)
        keys = [f"{drug}|5" for drug in one.conditions["drug"].iloc[rows]]
        ours_predicted, ours_measured = predicted[rows], np.asarray(one.delta_NG[rows])
        each = np.arange(len(rows)).astype(str)
        ours = {
            "pearson_delta": delta_metrics.pearson(ours_predicted, ours_measured),
            "mse": delta_metrics.mse(ours_predicted, ours_measured),
            "mse_delta": delta_metrics.mse(ours_predicted, ours_measured),
            "mae": delta_metrics.mae(ours_predicted, ours_measured),
        }
        for distance in ("l1", "l2", "cosine"):
            ours[distance], _ = delta_metrics.discrimination(
                ours_predicted, ours_measured, np.zeros(len(rows)), each, distance=distance
            )

        ran = subprocess.run(
            [str(CELL_EVAL_PYTHON), "-c", SCRIPT, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )

        theirs = json.loads(ran.stdout.strip().splitlines()[-1])
        for name, values in ours.items():
            expected = np.array([theirs[name][key] for key in keys], dtype=float)
            is_defined = np.isfinite(expected)  # NaN for a constant prediction, 0 with us
            np.testing.assert_allclose(
                values[is_defined], expected[is_defined], atol=2e-6, err_msg=name
            )
            np.testing.assert_array_equal(values[~is_defined], 0.0)
            assert is_defined.sum() >= len(rows) - 3
