"""What others' tool computes from our export is what we compute ourselves."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from drug_pipeline.domain import metrics
from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring import de_metrics, delta_metrics
from drug_pipeline.storage.formats.cell_eval import (
    PERTURBATION,
    RAISED_BY,
    command_of,
    write_cell_eval_inputs,
)

ROOT = Path(__file__).resolve().parents[3]
CELL_EVAL_PYTHON = ROOT / ".venv-cell-eval" / "bin" / "python"
CELL_EVAL2_PYTHON = ROOT / ".venv-cell-eval2" / "bin" / "python"
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
    predicted[:, :3] -= table.controls.control_MG[:, :3].max() + 0.5  # below 0 with any control
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


def test_a_gene_below_zero_is_raised_in_every_row_of_both_files_and_no_other_gene(
    exported: tuple[DeltaTable, np.ndarray, list[Path]],
) -> None:
    one, _, folders = exported
    lines = one.controls.groups["cell_line_id"] + "__" + one.controls.groups["plate"]

    for folder in folders:
        real, guess = (anndata.read_h5ad(folder / f"{name}.h5ad") for name in ("real", "predicted"))
        control = np.asarray(one.controls.control_MG[lines[lines == folder.name].index[0]])
        raised_by = real.var[RAISED_BY].to_numpy()
        assert min(real.X.min(), guess.X.min()) >= 0
        assert (raised_by[:3] > 0).all()
        np.testing.assert_array_equal(guess.var[RAISED_BY], raised_by)
        for file in (real, guess):
            np.testing.assert_allclose(file.X[0], control + raised_by, atol=1e-6)
        lowest = np.minimum(real.X, guess.X).min(axis=0)
        np.testing.assert_allclose(lowest[raised_by > 0], 0, atol=1e-6)


@pytest.mark.slow
def test_the_printed_command_ends_well_and_finds_our_figures(
    exported: tuple[DeltaTable, np.ndarray, list[Path]], tmp_path: Path
) -> None:
    if not CELL_EVAL_PYTHON.exists():
        pytest.skip(f"needs cell-eval in an environment of its own: {CELL_EVAL_PYTHON}")
    one, predicted, folders = exported
    program, *words = command_of(folders[0])

    subprocess.run([str(CELL_EVAL_PYTHON.with_name(program)), *words], cwd=tmp_path, check=True)

    theirs = pd.read_csv(tmp_path / "cell-eval-outdir" / "results.csv").set_index("perturbation")
    rows = np.flatnonzero(one.conditions["cell_line_id"] == folders[0].name.split("__")[0])
    keys = [f"{drug}|5" for drug in one.conditions["drug"].iloc[rows]]
    measured = np.asarray(one.delta_NG[rows])
    for name, ours in {
        "pearson_delta": metrics.pearson(predicted[rows], measured),
        "mse": metrics.mse(predicted[rows], measured),
        "mae": delta_metrics.mae(predicted[rows], measured),
    }.items():
        np.testing.assert_allclose(theirs.loc[keys, name], ours, atol=2e-6, err_msg=name)


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
            "pearson_delta": metrics.pearson(ours_predicted, ours_measured),
            "mse": metrics.mse(ours_predicted, ours_measured),
            "mse_delta": metrics.mse(ours_predicted, ours_measured),
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


SCRIPT_2 = """
import sys
import anndata, polars
from cell_eval2 import EvalConfig, aggregate_metrics, compute_metrics
folder = sys.argv[1]
config = EvalConfig(
    metrics=["expr_mse_unbiased", "expr_mse_unbiased_capped", "expr_distance_unbiased",
             "de_wilcoxon_sig_jaccard", "de_wilcoxon_direction_fidelity_yield_raw",
             "de_wilcoxon_lfc_nmae"],
    pert_col="perturbation", control="DMSO_TF", input_type="lognorm", device="cpu",
    target_gene_map={"*": None},  # drugs: no gene of their own to leave out
)
found = compute_metrics(
    anndata.read_h5ad(f"{folder}/predicted.h5ad"), anndata.read_h5ad(f"{folder}/real.h5ad"),
    config=config, de_real=polars.read_csv(f"{folder}/de_real.csv"),
    de_pred=polars.read_csv(f"{folder}/de_pred.csv"),
)
found.write_csv(f"{folder}/found.csv")
aggregate_metrics(found).select("metric", "mean").write_csv(f"{folder}/over_all.csv")
"""
N_CELLS, N_CONTROL, N_GENES, N_DRUGS = 30, 80, 120, 8


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-normalised cells of control and drugs (of the last nothing differs), and predicted Δ."""
    rng = np.random.default_rng(11)
    effect = rng.normal(size=(N_DRUGS, N_GENES)) * np.linspace(0.6, 0.0, N_DRUGS)[:, None]
    level, sd = rng.uniform(3.5, 4.5, size=N_GENES), rng.uniform(0.2, 0.6, size=N_GENES)
    control = level + sd * rng.normal(size=(N_CONTROL, N_GENES))
    treated = (level + effect)[:, None] + sd * rng.normal(size=(N_DRUGS, N_CELLS, N_GENES))
    predicted = 0.7 * effect + 0.15 * rng.normal(size=effect.shape)
    predicted[1] = 0.0  # says nothing
    return control.astype(np.float32), treated.astype(np.float32), predicted


def write_cells(path: Path, control: np.ndarray, by_drug: np.ndarray) -> None:
    labels = ["DMSO_TF"] * len(control) + list(np.repeat(drug_names(), by_drug.shape[1]))
    profiles = np.vstack([control, by_drug.reshape(-1, N_GENES)]).astype(np.float32)
    obs = pd.DataFrame({PERTURBATION: labels}, index=[str(row) for row in range(len(labels))])
    var = pd.DataFrame(index=[f"G{gene}" for gene in range(N_GENES)])
    anndata.AnnData(X=profiles, obs=obs, var=var).write_h5ad(path)


def write_de_table(path: Path, delta: np.ndarray, se: np.ndarray) -> None:
    """The table of a z test per gene as cell-eval2 reads one, by scipy alone."""
    p = 2 * stats.norm.sf(np.abs(delta) / se)
    table = pd.DataFrame(
        {
            "target": np.repeat(drug_names(), N_GENES),
            "feature": np.tile([f"G{gene}" for gene in range(N_GENES)], N_DRUGS),
            "log2_fold_change": (delta / np.log(2)).ravel(),
            "p_value": p.ravel(),
            "p_adj": stats.false_discovery_control(p, axis=1).ravel(),
        }
    )
    table.to_csv(path, index=False)


def drug_names() -> list[str]:
    return [f"drug {drug}" for drug in range(N_DRUGS)]


@pytest.mark.slow
def test_our_figures_equal_those_of_cell_eval2_on_cells(
    cells: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    if not CELL_EVAL2_PYTHON.exists():
        pytest.skip(f"needs cell-eval2 in an environment of its own: {CELL_EVAL2_PYTHON}")
    control, treated, predicted = cells
    treated_variance = treated.astype(float).var(axis=1, ddof=1) / N_CELLS
    control_variance = control.astype(float).var(axis=0, ddof=1) / N_CONTROL
    se = np.sqrt(treated_variance + control_variance)
    profile = control.astype(float).mean(axis=0)
    delta = treated.astype(float).mean(axis=1) - profile
    write_cells(tmp_path / "real.h5ad", control, treated)
    # one profile per drug: a prediction has no cells, and no variance to be corrected for
    write_cells(tmp_path / "predicted.h5ad", control, (profile + predicted)[:, None])
    write_de_table(tmp_path / "de_real.csv", delta, se)
    write_de_table(tmp_path / "de_pred.csv", predicted, se)

    subprocess.run([str(CELL_EVAL2_PYTHON), "-c", SCRIPT_2, str(tmp_path)], check=True)

    found = pd.read_csv(tmp_path / "found.csv")
    theirs = found.pivot_table(index="perturbation", columns="metric", values="value")
    theirs = theirs.reindex(drug_names())
    called = [de_metrics.called_de(one, se) for one in (predicted, delta)]
    corrected = delta_metrics.noise_corrected_mse
    # their profiles share the control, so that its variance is in their distance alone
    mse = corrected(predicted, delta, np.sqrt(treated_variance))
    ours = {
        "expr_mse_unbiased": mse,
        "expr_mse_unbiased_capped": mse,
        "expr_distance_unbiased": corrected(0 * predicted, delta, se),
        "de_wilcoxon_sig_jaccard": de_metrics.de_jaccard(*called),
        "de_wilcoxon_direction_fidelity_yield_raw": de_metrics.sign_fidelity(
            predicted, delta, *called
        ),
        "de_wilcoxon_lfc_nmae": de_metrics.lfc_nmae(predicted, delta, called[1]),
    }
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.isfinite(ours["de_wilcoxon_lfc_nmae"]).sum() >= 3
    assert len(np.unique(ours["de_wilcoxon_sig_jaccard"])) > 1
    over_all = pd.read_csv(tmp_path / "over_all.csv").set_index("metric")["mean"]
    assert over_all["expr_mse_unbiased_capped_norm"] == pytest.approx(
        mse.mean() / ours["expr_distance_unbiased"].mean(), rel=1e-5
    )
