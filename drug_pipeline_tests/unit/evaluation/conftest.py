"""A small screen with a known truth, as the Δ table that evaluation reads."""

import itertools

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import ControlTable, DeltaTable, Split

N_GENES, CELL_SD = 60, 0.6
LINES, DOSES = ("CVCL_1", "CVCL_2", "CVCL_3"), (0.5, 5.0)
N_COMPOUNDS = 12


@pytest.fixture(scope="session")
def cell_sd() -> float:
    """Standard deviation between cells, the same in every gene."""
    return CELL_SD


@pytest.fixture(scope="session")
def drugs() -> pd.DataFrame:
    """Twelve compounds, the first in two salt forms; pairs of neighbours share targets."""
    drug = [f"drug {i:02d}" for i in range(N_COMPOUNDS)] + ["drug 00 salt"]
    parent = [f"P{i:02d}" for i in range(N_COMPOUNDS)] + ["P00"]
    targets = [[f"T{i // 2}"] for i in range(N_COMPOUNDS)] + [["T0"]]
    moa = [f"moa {i // 3}" if i < 9 else "unclear" for i in range(N_COMPOUNDS)] + ["moa 0"]
    return pd.DataFrame(
        {"drug": drug, "parent_compound": parent, "targets": targets, "moa_fine": moa}
    )


@pytest.fixture(scope="session")
def truth_and_table(drugs: pd.DataFrame) -> tuple[np.ndarray, DeltaTable]:
    """True Δ and its measurement on three plates: 0.5 µM, 5 µM, and 5 µM again."""
    rng = np.random.default_rng(7)
    plates = (("plate1", 0.5), ("plate2", 5.0), ("plate3", 5.0))
    rows = [
        (drug, dose, line, plate)
        for (plate, dose), line, drug in itertools.product(plates, LINES, sorted(drugs["drug"]))
    ]
    conditions = pd.DataFrame(rows, columns=["drug", "dose_um", "cell_line_id", "plate"])
    parent_of = dict(zip(drugs["drug"], drugs["parent_compound"], strict=True))
    conditions["parent_compound"] = conditions["drug"].map(parent_of)
    n_cells = rng.integers(20, 60, size=len(conditions))
    conditions["n_cells"] = n_cells
    conditions["n_control_cells"] = 200
    conditions["total_counts"] = n_cells * 2000
    conditions["is_fallback_control"] = False
    effect = {f"P{i:02d}": rng.normal(size=N_GENES) for i in range(N_COMPOUNDS)}
    effect |= {f"P{i:02d}": np.zeros(N_GENES) for i in (3, 7, 11)}  # no response at all
    shift = {line: 0.2 * rng.normal(size=N_GENES) for line in LINES}
    truth = np.array(
        [
            dose / 5.0 * (effect[parent] * (0.7 + 0.3 * (line == "CVCL_1")))
            + (0.0 if not effect[parent].any() else dose / 5.0) * shift[line]
            for parent, dose, line in zip(
                conditions["parent_compound"],
                conditions["dose_um"],
                conditions["cell_line_id"],
                strict=True,
            )
        ]
    ).astype(np.float32)
    return truth, _measured(truth, conditions, rng)


def _measured(truth: np.ndarray, conditions: pd.DataFrame, rng: np.random.Generator) -> DeltaTable:
    """The truth with the noise of cells; halves share their control."""
    n_rows = len(conditions)
    n_cells = conditions["n_cells"].to_numpy()[:, None]
    n_half = n_cells // 2
    control_error = rng.normal(size=(n_rows, N_GENES)) * CELL_SD / np.sqrt(200)
    half_a = truth + rng.normal(size=truth.shape) * CELL_SD / np.sqrt(n_half) - control_error
    half_b = truth + rng.normal(size=truth.shape) * CELL_SD / np.sqrt(n_cells - n_half)
    half_b -= control_error
    delta = (n_half * half_a + (n_cells - n_half) * half_b) / n_cells
    se = np.sqrt(CELL_SD**2 * (1 / n_cells + 1 / 200)) * np.ones_like(delta)
    groups = conditions[["cell_line_id", "plate"]].drop_duplicates().reset_index(drop=True)
    groups["n_cells"] = 200
    wells = pd.concat([groups.assign(sample=f"well {w}", n_cells=100) for w in (1, 2)])
    wells = wells.sort_values(["plate", "cell_line_id", "sample"]).reset_index(drop=True)
    well_WG = 1.0 + rng.normal(size=(len(wells), N_GENES)) * CELL_SD / 10
    return DeltaTable(
        conditions=conditions,
        genes=pd.DataFrame(
            {
                "token_id": np.arange(3, 3 + N_GENES),
                "ensembl_id": [f"ENSG{i:05d}" for i in range(N_GENES)],
                "gene_symbol": [f"G{i}" for i in range(N_GENES)],
            }
        ),
        delta_NG=delta.astype(np.float32),
        se_NG=se.astype(np.float32),
        half_a_NG=half_a.astype(np.float32),
        half_b_NG=half_b.astype(np.float32),
        controls=ControlTable(
            groups=groups,
            control_MG=np.ones((len(groups), N_GENES), dtype=np.float32),
            wells=wells,
            well_WG=well_WG.astype(np.float32),
        ),
        fingerprint="d" * 64,
    )


@pytest.fixture(scope="session")
def table(truth_and_table: tuple[np.ndarray, DeltaTable]) -> DeltaTable:
    """The measured screen."""
    return truth_and_table[1]


@pytest.fixture(scope="session")
def truth(truth_and_table: tuple[np.ndarray, DeltaTable]) -> np.ndarray:
    """Its true Δ."""
    return truth_and_table[0]


@pytest.fixture(scope="session")
def plate_split(table: DeltaTable) -> Split:
    """Trained on plates 1 and 2, tested on plate 3, which repeats plate 2."""
    is_test = (table.conditions["plate"] == "plate3").to_numpy()
    return Split(
        name="plate_replicate",
        kind="plate_replicate",
        roles_N=np.where(is_test, "test", "train"),
        fingerprint="s" * 64,
    )
