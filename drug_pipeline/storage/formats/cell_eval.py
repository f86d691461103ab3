"""Inputs of the published ``cell-eval`` package, written from predictions.

``cell-eval`` compares a real and a predicted AnnData in which every row carries the name of a
perturbation and one of them is the control. It knows neither lines nor plates, so there is one pair
of files for each (cell line, plate): what shares a control is compared, nothing else. Rows are
pseudobulk profiles, control + Δ (mean log1p_cp10k); a perturbation is ``drug|dose in µM``.

Shapes: N = conditions, G = genes.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, first_few
from drug_pipeline.domain.tables import ControlTable
from drug_pipeline.storage.files import replacing

PERTURBATION: Final = "perturbation"
"""Column of ``obs``; cell-eval's ``pert_col``. Its ``control_pert`` is ``names.CONTROL_DRUG``."""
REAL, PREDICTED = "real.h5ad", "predicted.h5ad"


def write_cell_eval_inputs(
    folder: Path,
    *,
    conditions: pd.DataFrame,
    genes: pd.DataFrame,
    predicted_NG: NDArray[np.float32],
    measured_NG: NDArray[np.float32],
    controls: ControlTable,
) -> list[Path]:
    """Write ``<line>__<plate>/real.h5ad`` and ``predicted.h5ad``; returns the folders, sorted.

    Raises
    ------
    AlignmentError
        If a condition's line and plate have no control profile.
    """
    keys = [names.CELL_LINE_ID, names.PLATE]
    control_rows = {
        tuple(pair): row for row, pair in enumerate(controls.groups[keys].to_numpy(dtype=str))
    }
    pair_of_N = [tuple(pair) for pair in conditions[keys].to_numpy(dtype=str)]
    by_group = {
        pair: np.array([row for row, own in enumerate(pair_of_N) if own == pair])
        for pair in sorted(set(pair_of_N))
    }
    missing = sorted(str(pair) for pair in by_group if pair not in control_rows)
    if missing:
        msg = (
            f"{len(missing)} of {len(by_group)} (line, plate) groups have no control profile; "
            f"first: {first_few(missing)}. Materialise delta_shards again."
        )
        raise AlignmentError(msg)
    folders = []
    for pair, rows in by_group.items():
        control_G = np.asarray(controls.control_MG[control_rows[pair]])
        target = folder / "__".join(pair)
        for name, delta_NG in ((REAL, measured_NG), (PREDICTED, predicted_NG)):
            chosen = conditions.iloc[rows]
            _write(target / name, chosen, genes, control_G, np.asarray(delta_NG[rows]))
        folders.append(target)
    return folders


def _write(
    path: Path,
    conditions: pd.DataFrame,
    genes: pd.DataFrame,
    control_G: NDArray[np.float32],
    delta_NG: NDArray[np.float32],
) -> None:
    import anndata

    doses = conditions[names.DOSE_UM].map("{:g}".format)
    perturbations = [names.CONTROL_DRUG, *(conditions[names.DRUG] + "|" + doses)]
    obs = pd.DataFrame(
        {PERTURBATION: perturbations}, index=[str(row) for row in range(len(perturbations))]
    )
    profiles = np.vstack([control_G[None, :], control_G[None, :] + delta_NG])
    table = anndata.AnnData(
        X=profiles.astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=genes[names.ENSEMBL_ID].to_numpy(dtype=str)),
    )
    with replacing(path) as temporary:
        table.write_h5ad(temporary)
