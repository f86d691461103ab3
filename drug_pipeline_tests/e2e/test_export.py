"""Predictions of the built model, exported for others' tools on the command line."""

from pathlib import Path

import anndata
import numpy as np
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import BAD_USAGE, FAILED
from drug_pipeline.domain import names
from drug_pipeline.storage.predictions import read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline_tests.e2e.conftest import Built


def export(built: Built, out_dir: Path, *arguments: str) -> int:
    return run_command(
        ["export", "--out", str(out_dir), "--data-dir", str(built.layout.root), *arguments]
    )


def test_the_export_holds_what_was_predicted_and_what_was_measured(
    built: Built, tmp_path: Path
) -> None:
    code = export(built, tmp_path, "--split", "pair", "--predictor", "drug_mean")

    told = read_predictions(built.layout.full_dir / "pair")
    table = read_delta(built.layout)
    written = anndata.read_h5ad(tmp_path / "pair" / "drug_mean.h5ad")
    assert code == 0
    np.testing.assert_array_equal(written.X, told.predictions["drug_mean"])
    np.testing.assert_array_equal(written.layers["measured"], table.delta_NG[told.rows_N])
    assert written.obs[names.DRUG].tolist() == told.conditions[names.DRUG].tolist()
    assert written.var[names.TOKEN_ID].tolist() == table.genes[names.TOKEN_ID].tolist()


def test_each_line_and_plate_gets_a_pair_of_files_for_cell_eval(
    built: Built, tmp_path: Path
) -> None:
    export(built, tmp_path, "--split", "pair", "--predictor", "drug_mean")

    conditions = read_predictions(built.layout.full_dir / "pair").conditions
    groups = conditions[[names.CELL_LINE_ID, names.PLATE]].drop_duplicates()
    folder = tmp_path / "pair" / "drug_mean" / "cell-eval"
    assert {path.name for path in folder.iterdir()} == {"__".join(row) for row in groups.to_numpy()}
    n_rows = [
        len(anndata.read_h5ad(path / "predicted.h5ad", backed="r")) for path in folder.iterdir()
    ]
    assert sum(n_rows) == len(conditions) + len(groups)  # one control each


def test_without_names_every_split_exports_what_it_ships(built: Built, tmp_path: Path) -> None:
    code = export(built, tmp_path)

    shipped = {
        f"{folder.name}/{read_predictions(folder).shipped}.h5ad"
        for folder in built.layout.full_dir.iterdir()
        if (folder / "predictions").is_dir()
    }
    assert code == 0
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*.h5ad")} == shipped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "moon"], "1 of 1 splits have no predictions; first: moon. There are: "),
        (["--predictor", "oracle"], "has no predictor 'oracle'. There are: shipped, zero"),
    ],
    ids=["split", "predictor"],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    built: Built,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert export(built, tmp_path, *arguments) == BAD_USAGE
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_before_a_model_is_there_the_export_says_what_to_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["export", "--out", str(tmp_path), "--data-dir", str(tmp_path / "made")])

    assert code == FAILED
    assert "Materialise model_full first" in capsys.readouterr().err
