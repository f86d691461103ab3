"""Inputs of the published ``cell-eval`` package, written from predictions.

``cell-eval`` compares a real and a predicted AnnData in which every row carries the name of a
perturbation and one of them is the control. It knows neither lines nor plates, so there is one pair
of files for each (cell line, plate): what shares a control is compared, nothing else. Rows are
pseudobulk profiles, control + Δ (mean log1p_cp10k); a perturbation is ``drug|dose in µM``.

``cell-eval run`` refuses values below 0, which a prediction of control + Δ may be. Such a gene is
raised by one constant in all rows of both files, so that no difference between rows moves: neither
Δ nor any error. The constant stands in column ``raised_by`` of ``var``, 0 for the other genes.

Shapes: N = conditions, G = genes.
"""

from collections.abc import Sequence
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
RAISED_BY: Final = "raised_by"
"""Column of ``var``: what was added to a gene in every row of both files, natural log."""


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
        deltas = {REAL: np.asarray(measured_NG[rows]), PREDICTED: np.asarray(predicted_NG[rows])}
        raised_by_G = _raised_by(control_G, list(deltas.values()))
        for name, delta_NG in deltas.items():
            _write(target / name, conditions.iloc[rows], genes, control_G, delta_NG, raised_by_G)
        folders.append(target)
    return folders


def command_of(folder: Path) -> list[str]:
    """The command line, word by word, that compares one pair of files."""
    files = ["-ap", str(folder / PREDICTED), "-ar", str(folder / REAL)]
    columns = ["--pert-col", PERTURBATION, "--control-pert", names.CONTROL_DRUG]
    return ["cell-eval", "run", *files, *columns]


def _raised_by(
    control_G: NDArray[np.float32], deltas: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """What each gene must be raised by for no profile to be below 0 (G,)."""
    lowest_G = np.minimum(0.0, np.min([delta_NG.min(axis=0) for delta_NG in deltas], axis=0))
    return np.asarray(np.maximum(0.0, -(control_G + lowest_G)), dtype=np.float32)


def _write(
    path: Path,
    conditions: pd.DataFrame,
    genes: pd.DataFrame,
    control_G: NDArray[np.float32],
    delta_NG: NDArray[np.float32],
    raised_by_G: NDArray[np.float32],
) -> None:
    import anndata

    doses = conditions[names.DOSE_UM].map("{:g}".format)
    perturbations = [names.CONTROL_DRUG, *(conditions[names.DRUG] + "|" + doses)]
    obs = pd.DataFrame(
        {PERTURBATION: perturbations}, index=[str(row) for row in range(len(perturbations))]
    )
    profiles = np.vstack([control_G[None, :], control_G[None, :] + delta_NG]) + raised_by_G
    table = anndata.AnnData(
        X=np.maximum(profiles, 0.0).astype(np.float32),  # -1e-8 where rounding leaves that
        obs=obs,
        var=pd.DataFrame(
            {RAISED_BY: raised_by_G}, index=genes[names.ENSEMBL_ID].to_numpy(dtype=str)
        ),
    )
    with replacing(path) as temporary:
        table.write_h5ad(temporary)
