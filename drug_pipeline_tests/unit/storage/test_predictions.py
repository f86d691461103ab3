"""Predictions come back as they were written, and wrong ones are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import AlignmentError, StaleInputError
from drug_pipeline.domain.tables import ControlTable, DeltaTable
from drug_pipeline.storage.predictions import (
    Rankings,
    SplitPredictions,
    predicted_splits,
    read_predictions,
    write_h5ad,
    write_predictions,
)


def _conditions(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "drug": [f"drug {i}" for i in range(n)],
            "dose_um": np.full(n, 0.5),
            "cell_line_id": ["CVCL_1"] * n,
            "plate": ["plate1"] * n,
            "parent_compound": [f"P{i}" for i in range(n)],
        }
    )


def _genes(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "token_id": np.arange(3, 3 + n),
            "ensembl_id": [f"ENSG{i}" for i in range(n)],
            "gene_symbol": [f"G{i}" for i in range(n)],
        }
    )


def _split() -> SplitPredictions:
    rng = np.random.default_rng(0)
    rankings = Rankings(
        query_rows_Q=np.array([4, 7], dtype=np.int64),
        gallery=("drug 0", "drug 1", "drug 2"),
        groups=("P0", "P1", "P1"),
        scores={"raw_cosine": np.array([[1, np.nan, 0], [0, 1, 2]], dtype=np.float32)},
        shipped="raw_cosine",
    )
    return SplitPredictions(
        split="pair",
        kind="pair",
        split_fingerprint="s" * 64,
        delta_fingerprint="d" * 64,
        conditions=_conditions(3),
        rows_N=np.array([4, 7, 9], dtype=np.int64),
        predictions={
            "zero": np.zeros((3, 5), dtype=np.float32),
            "blend": rng.normal(size=(3, 5)).astype(np.float32),
        },
        shipped="blend",
        blend="blend",
        rankings={"drug": rankings},
        validation={"blend": {"mse": 0.25}},
        uncertainty_N=np.array([0.1, 0.2, 0.3], dtype=np.float32),
        left_out={"no SMILES": 2},
        notes={"alpha": 0.5},
    )


def _table(fingerprint: str, n_genes: int) -> DeltaTable:
    empty_NG = np.zeros((0, n_genes), dtype=np.float32)
    return DeltaTable(
        conditions=_conditions(0),
        genes=_genes(n_genes),
        delta_NG=empty_NG,
        se_NG=empty_NG,
        half_a_NG=empty_NG,
        half_b_NG=empty_NG,
        controls=ControlTable(
            groups=pd.DataFrame(), control_MG=empty_NG, wells=pd.DataFrame(), well_WG=empty_NG
        ),
        fingerprint=fingerprint,
    )


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = _split()

    files = write_predictions(tmp_path / "pair", written)
    back = read_predictions(tmp_path / "pair")

    assert all(path.is_file() for path in files)
    pd.testing.assert_frame_equal(back.conditions, written.conditions)
    np.testing.assert_array_equal(back.rows_N, written.rows_N)
    assert list(back.predictions) == ["zero", "blend"]
    np.testing.assert_array_equal(back.predictions["blend"], written.predictions["blend"])
    assert isinstance(back.predictions["blend"], np.memmap)
    np.testing.assert_array_equal(
        back.rankings["drug"].scores["raw_cosine"], written.rankings["drug"].scores["raw_cosine"]
    )
    assert back.rankings["drug"].groups == ("P0", "P1", "P1")
    assert back.validation == {"blend": {"mse": 0.25}}
    assert back.left_out == {"no SMILES": 2}
    assert back.uncertainty_N is not None


def test_writing_twice_leaves_no_predictor_of_the_first_time_and_the_same_bytes(
    tmp_path: Path,
) -> None:
    first = write_predictions(tmp_path, _split())
    before = {path: path.read_bytes() for path in first}

    again = write_predictions(tmp_path, _split())
    assert {path: path.read_bytes() for path in again} == before

    only_blend = replace(_split(), predictions={"blend": np.ones((3, 5), dtype=np.float32)})
    assert not any(path.name == "zero.npy" for path in write_predictions(tmp_path, only_blend))


def test_the_predicted_splits_of_a_model_are_listed(tmp_path: Path) -> None:
    write_predictions(tmp_path / "pair", _split())
    write_predictions(tmp_path / "drug", _split())
    (tmp_path / "other").mkdir()

    assert predicted_splits(tmp_path) == ["drug", "pair"]


def test_a_prediction_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    bad = np.zeros((3, 5), dtype=np.float32)
    bad[1, 2] = np.nan
    split = replace(_split(), predictions={"blend": bad})

    with pytest.raises(ValueError, match="1 of 15 values that are not finite"):
        write_predictions(tmp_path, split)


def test_a_predictor_of_another_shape_is_refused() -> None:
    predictions = {
        "blend": np.zeros((3, 5), dtype=np.float32),
        "zero": np.zeros((2, 5), dtype=np.float32),
    }
    with pytest.raises(AlignmentError, match=r"1 of 2 predictors are not \(3, 5\)"):
        replace(_split(), predictions=predictions)


def test_a_shipped_predictor_without_an_array_is_refused() -> None:
    with pytest.raises(AlignmentError, match="'net' is named but has no array"):
        replace(_split(), shipped="net")


def test_a_name_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    odd = {"../up": np.zeros((3, 5), dtype=np.float32)}
    with pytest.raises(ValueError, match="cannot name a file"):
        write_predictions(tmp_path, replace(_split(), predictions=odd, shipped="../up", blend=""))


def test_a_folder_without_predictions_says_what_to_build(tmp_path: Path) -> None:
    with pytest.raises(StaleInputError, match="Materialise model_full first"):
        read_predictions(tmp_path)


def test_predictions_for_another_delta_table_are_refused() -> None:
    with pytest.raises(StaleInputError, match="made for another Δ table"):
        _split().require_table(_table("e" * 64, 5))
    with pytest.raises(AlignmentError, match="has 5 genes, the Δ table 6"):
        _split().require_table(_table("d" * 64, 6))


def test_the_export_is_an_anndata_with_the_measured_layer(tmp_path: Path) -> None:
    import anndata

    split = _split()
    measured_NG = np.arange(15, dtype=np.float32).reshape(3, 5)
    path = tmp_path / "pair" / "blend.h5ad"

    write_h5ad(
        path,
        conditions=split.conditions,
        genes=_genes(5),
        predicted_NG=split.predictions["blend"],
        measured_NG=measured_NG,
    )

    back = anndata.read_h5ad(path)
    np.testing.assert_array_equal(back.X, split.predictions["blend"])
    np.testing.assert_array_equal(back.layers["measured"], measured_NG)
    assert list(back.obs.columns) == ["drug", "dose_um", "cell_line_id", "plate"]
    assert list(back.var.columns) == ["token_id", "ensembl_id", "gene_symbol"]
