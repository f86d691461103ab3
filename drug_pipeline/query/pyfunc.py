"""The registered model: answers questions from a bundle, or from a linear model on its own.

A question is a table of ``drug, dose_um, cell_line_id``; the answer has one row a question and
gene: ``drug, dose_um, cell_line_id, ensembl_id, gene_symbol, delta`` (natural log). Parameter
``top_genes`` keeps the strongest genes of each question; 0 keeps all, in panel order.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.linear import Conditions
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.deployed.linear_model import ABOUT, LinearModel, load_linear

ENTRY: Final = Path(__file__).with_name("pyfunc_entry.py")
"""The script that MLflow runs to load the model."""
BUNDLE: Final = "bundle"
"""Name of the artifact."""
PARAMS: Final = {"top_genes": 0}
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
        """Predicted Δ of each question, in long form."""
        assert self._model is not None, "MLflow loads the model before it asks"
        asked = Conditions.unmeasured(
            table[names.DRUG],
            table[names.CELL_LINE_ID],
            table[names.DOSE_UM],
            self._model.parent_of,
        )
        delta_NG = self._model.predict(asked)
        genes = self._model.genes[[names.ENSEMBL_ID, names.GENE_SYMBOL]]
        n_wanted = int(params.get("top_genes", 0)) or len(genes)
        answers = []
        for question, delta_G in zip(table[QUESTION].to_dict("records"), delta_NG, strict=True):
            answer = genes.assign(delta=delta_G.astype(np.float64))
            for column, value in question.items():
                answer[column] = value
            if n_wanted < len(genes):
                strongest = np.argsort(-np.abs(delta_G), kind="stable")[:n_wanted]
                answer = answer.iloc[strongest]
            answers.append(answer[[*QUESTION, names.ENSEMBL_ID, names.GENE_SYMBOL, "delta"]])
        return pd.concat(answers, ignore_index=True)
