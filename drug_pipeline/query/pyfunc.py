"""The registered model: answers questions from a bundle, or from a linear model on its own.

A question is a table of ``drug, dose_um, cell_line_id``; the answer has one row a question and
gene: ``drug, dose_um, cell_line_id, ensembl_id, gene_symbol, delta`` (natural log). Parameter
``top_genes`` keeps the strongest genes of each question; 0 keeps all, in panel order.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import drug_pipeline
from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.linear import Conditions
from drug_pipeline.query.checks import asked_conditions
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.deployed.linear_model import ABOUT, LinearModel, load_linear

ENTRY: Final = Path(__file__).with_name("pyfunc_entry.py")
"""The script that MLflow runs to load the model."""
BUNDLE: Final = "bundle"
LIBRARY: Final = "library"
"""Names of the artifacts."""
TOP_GENES: Final = "top_genes"
PARAMS: Final = {TOP_GENES: 0}
NEEDED: Final = (
    *("filelock", "mlflow", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "scipy"),
    *("threadpoolctl", "torch"),
)
"""Distributions that loading and answering import."""
QUESTION: Final = [names.DRUG, names.DOSE_UM, names.CELL_LINE_ID]


class Predictions:
    """Answers questions from a model that is read when MLflow loads it."""

    def __init__(self, model: Bundle | LinearModel | None = None) -> None:
        self._model = model

    def load(self, artifacts: Mapping[str, str]) -> None:
        """Read the model that was registered."""
        folder = Path(artifacts[BUNDLE])
        is_linear = (folder / ABOUT).is_file()
        self._model = load_linear(folder) if is_linear else load_bundle(folder)

    def answer(self, table: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        """Predicted Δ of each question, in long form.

        Raises
        ------
        QueryError
            If a column is missing, a drug, dose or line cannot be asked for (see ``checks.py``), or
            ``top_genes`` is no number of genes.
        """
        assert self._model is not None, "MLflow loads the model before it asks"
        missing = [column for column in QUESTION if column not in table.columns]
        if missing:
            msg = f"a question has no column {', '.join(missing)}. Give {', '.join(QUESTION)}."
            raise QueryError(msg)
        asked = asked_conditions(
            self._model,
            drugs=table[names.DRUG].tolist(),
            doses_um=table[names.DOSE_UM].tolist(),
            lines=table[names.CELL_LINE_ID].tolist(),
        )
        delta_NG = self._predicted(asked)
        genes = self._model.genes
        columns_NM = _strongest(delta_NG, _n_wanted(params, len(genes)))
        rows_X, columns_X = np.indices(columns_NM.shape)[0].ravel(), columns_NM.ravel()
        answer = {column: table[column].to_numpy()[rows_X] for column in QUESTION}
        for column in (names.ENSEMBL_ID, names.GENE_SYMBOL):
            answer[column] = genes[column].to_numpy()[columns_X]
        answer["delta"] = delta_NG[rows_X, columns_X].astype(np.float64)
        return pd.DataFrame(answer)

    def _predicted(self, asked: Conditions) -> NDArray[np.float32]:
        """Predicted Δ (N, G); what is asked several times is predicted once."""
        assert self._model is not None, "asked_conditions has asked it"
        keys = pd.DataFrame({"drug": asked.drug_N, "dose": asked.dose_um_N, "line": asked.line_N})
        group_N = keys.groupby(["drug", "dose", "line"], sort=False).ngroup().to_numpy()
        _, first_N = np.unique(group_N, return_index=True)
        return self._model.predict(asked.take(first_N))[group_N]


def requirements() -> list[str]:
    """What ``pip`` must install where the registered model is loaded, at the versions of here."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in NEEDED]


def packages() -> list[Path]:
    """Folders of code that travel with the registered model."""
    return [Path(drug_pipeline.__file__).parent]


def _n_wanted(params: Mapping[str, Any], n_genes: int) -> int:
    wanted = params.get(TOP_GENES, 0)
    if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or wanted < 0:
        msg = f"{TOP_GENES} is {wanted!r}; give a number of genes, or 0 for all."
        raise QueryError(msg)
    return min(int(wanted), n_genes) or n_genes


def _strongest(delta_NG: NDArray[np.float32], n_wanted: int) -> NDArray[np.int64]:
    """Columns of the strongest genes of each question, strongest first; all in panel order."""
    n_genes = delta_NG.shape[1]
    if n_wanted == n_genes:
        return np.broadcast_to(np.arange(n_genes), delta_NG.shape)
    return np.argsort(-np.abs(delta_NG), axis=1, kind="stable")[:, :n_wanted]
