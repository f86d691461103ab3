"""Signatures: what people have becomes a checked query, or is refused with the reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.domain.tables import ControlTable, DeltaTable
from drug_pipeline.query.signature import as_signature, measured_signature, read_signature

N_GENES = 12
SYMBOLS = [f"GENE{number}" for number in range(N_GENES)]


@pytest.fixture
def panel() -> pd.DataFrame:
    return pd.DataFrame(
        {
            names.TOKEN_ID: range(3, 3 + N_GENES),
            names.ENSEMBL_ID: [f"ENSG{number:011d}" for number in range(N_GENES)],
            names.GENE_SYMBOL: SYMBOLS,
        }
    )


@pytest.fixture
def values() -> np.ndarray:
    return np.linspace(-1.0, 1.2, N_GENES)


@pytest.fixture
def table(panel: pd.DataFrame) -> DeltaTable:
    """Trametinib in one line at 0.5 µM, on two plates."""
    conditions = pd.DataFrame(
        {
            names.DRUG: ["Trametinib", "Trametinib"],
            names.DOSE_UM: [0.5, 0.5],
            names.CELL_LINE_ID: ["CVCL_0132", "CVCL_0132"],
            names.PLATE: ["plate1", "plate2"],
        }
    )
    delta_NG = np.stack([np.full(N_GENES, 1.0), np.full(N_GENES, 3.0)]).astype(np.float32)
    nothing_MG = np.zeros((0, N_GENES), dtype=np.float32)
    empty = pd.DataFrame()
    return DeltaTable(
        conditions=conditions,
        genes=panel,
        delta_NG=delta_NG,
        se_NG=delta_NG,
        half_a_NG=delta_NG,
        half_b_NG=delta_NG,
        controls=ControlTable(groups=empty, control_MG=nothing_MG, wells=empty, well_WG=nothing_MG),
        fingerprint="f",
    )


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".h5ad"])
def test_every_kind_of_file_gives_the_same_signature(
    tmp_path: Path, panel: pd.DataFrame, values: np.ndarray, suffix: str
) -> None:
    path = tmp_path / f"signature{suffix}"
    frame = pd.DataFrame({"gene_symbol": SYMBOLS, "delta": values})
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".h5ad":
        anndata = pytest.importorskip("anndata")
        anndata.AnnData(
            X=values[None, :], var=pd.DataFrame(index=SYMBOLS), obs=pd.DataFrame(index=["one"])
        ).write_h5ad(path)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")

    signature = read_signature(path, panel)

    np.testing.assert_allclose(signature.delta_G, values, rtol=1e-6)
    assert signature.is_given_G.all()


def test_log2_values_become_natural_logs(panel: pd.DataFrame, values: np.ndarray) -> None:
    signature = as_signature(SYMBOLS, values, panel, unit="log2")

    np.testing.assert_allclose(signature.delta_G, values * np.log(2.0), rtol=1e-6)


def test_genes_that_were_not_given_are_marked(panel: pd.DataFrame, values: np.ndarray) -> None:
    signature = as_signature(SYMBOLS[:10], values[:10], panel)

    assert signature.is_given_G.sum() == 10
    assert not signature.delta_G[10:].any()


def test_the_reverse_is_the_opposite_question(panel: pd.DataFrame, values: np.ndarray) -> None:
    signature = as_signature(SYMBOLS, values, panel, name="mine")

    assert signature.reversed().name == "reverse of mine"
    np.testing.assert_array_equal(signature.reversed().delta_G, -signature.delta_G)


def test_values_that_are_not_finite_are_refused_and_named(
    panel: pd.DataFrame, values: np.ndarray
) -> None:
    values[3] = np.nan

    with pytest.raises(QueryError, match=r"1 of 12 values of signature are not finite.*GENE3"):
        as_signature(SYMBOLS, values, panel)


def test_a_signature_of_zeros_is_refused(panel: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match="every value of signature is 0"):
        as_signature(SYMBOLS, np.zeros(N_GENES), panel)


def test_columns_that_cannot_be_told_apart_are_refused(tmp_path: Path, panel: pd.DataFrame) -> None:
    path = tmp_path / "signature.csv"
    pd.DataFrame({"a": SYMBOLS, "b": 1.0, "c": 2.0}).to_csv(path, index=False)

    with pytest.raises(QueryError, match=r"has columns a, b, c\. Name the gene column"):
        read_signature(path, panel)


def test_a_missing_file_and_a_foreign_kind_are_refused(tmp_path: Path, panel: pd.DataFrame) -> None:
    with pytest.raises(QueryError, match="there is no signature file"):
        read_signature(tmp_path / "nowhere.csv", panel)
    (tmp_path / "signature.xlsx").touch()
    with pytest.raises(QueryError, match=r"signature\.xlsx is none of"):
        read_signature(tmp_path / "signature.xlsx", panel)


def test_a_row_of_a_many_rowed_file_must_be_named(tmp_path: Path, panel: pd.DataFrame) -> None:
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "many.h5ad"
    anndata.AnnData(
        X=np.eye(2, N_GENES) - 0.5,
        var=pd.DataFrame(index=SYMBOLS),
        obs=pd.DataFrame(index=["one", "two"]),
    ).write_h5ad(path)

    with pytest.raises(QueryError, match=r"has 2 rows; say which with --row: one, two"):
        read_signature(path, panel)
    with pytest.raises(QueryError, match="has no row 'three'"):
        read_signature(path, panel, row="three")
    assert read_signature(path, panel, row="two").delta_G[1] == 0.5


def test_a_measured_signature_is_the_mean_over_plates(table: DeltaTable) -> None:
    signature = measured_signature(table, "Trametinib@CVCL_0132@0.5")

    assert set(signature.delta_G.tolist()) == {2.0}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("Trametinib", "is not drug@cell_line@dose_um"),
        ("Trametinib@CVCL_0132@much", "is not drug@cell_line@dose_um"),
        (
            "Aspirin@CVCL_0132@0.5",
            r"no Δ of a drug 'Aspirin' was measured; there are 1: Trametinib",
        ),
        ("Trametinib@CVCL_0001@0.5", r"measured in 1 lines, not in 'CVCL_0001': CVCL_0132"),
        ("Trametinib@CVCL_0132@5", r"measured in CVCL_0132 at 0\.5 µM only"),
    ],
)
def test_a_condition_that_was_not_measured_is_refused_with_what_was(
    table: DeltaTable, condition: str, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        measured_signature(table, condition)
