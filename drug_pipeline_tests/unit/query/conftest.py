"""A model small enough to rank by hand: three drugs, two lines, twelve genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions, Features
from drug_pipeline.query.library import Library

N_GENES = 12
LINES = ("CVCL_0001", "CVCL_0002")


@dataclass(frozen=True)
class ToyAnswer:
    delta_NG: NDArray[np.float32]
    expected_error_N: NDArray[np.float32]
    bound_N: NDArray[np.float32]
    split_N: NDArray[np.str_]


@dataclass(frozen=True)
class ToyRanking:
    gallery: tuple[str, ...]
    scores_QD: NDArray[np.float32]
    is_measured_D: NDArray[np.bool_]
    parts: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ToyModel:
    """Drug number d moves gene d by 1; the score of a drug is the query's value at its gene."""

    genes: pd.DataFrame
    features: Features
    parent_of: Mapping[str, str]
    doses_um: tuple[float, ...] = (0.05, 0.5, 5.0)
    asked: list[NDArray[np.float32]] = field(default_factory=list)

    def default_gallery(self) -> tuple[str, ...]:
        return tuple(self.parent_of)

    def answer(self, asked: Conditions) -> ToyAnswer:
        drugs = list(self.parent_of)
        delta_NG = np.zeros((len(asked), N_GENES), dtype=np.float32)
        for row, drug in enumerate(asked.drug_N):
            delta_NG[row, drugs.index(drug)] = -1.0
        ones_N = np.ones(len(asked), dtype=np.float32)
        splits_N = np.full(len(asked), "pair")
        return ToyAnswer(delta_NG, 0.1 * ones_N, 0.2 * ones_N, splits_N)

    def rank(
        self,
        signature_QG: NDArray[np.float32],
        line_Q: NDArray[np.str_],
        *,
        gallery: Sequence[str] | None = None,
        doses_um: Sequence[float] | None = None,
    ) -> ToyRanking:
        self.asked.append(signature_QG)
        drugs = tuple(gallery or self.default_gallery())
        scores_QD = signature_QG[:, : len(drugs)]
        return ToyRanking(drugs, scores_QD, np.array([True, True, False]), {"tower": scores_QD})

    def with_drugs(self, drugs: EmbeddingTable, parent_of: Mapping[str, str]) -> Self:
        return replace(self, parent_of={**self.parent_of, **parent_of})

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        self.asked.append(asked.dose_um_N)
        return self.answer(asked).delta_NG


@pytest.fixture
def panel() -> pd.DataFrame:
    return pd.DataFrame(
        {
            names.TOKEN_ID: range(3, 3 + N_GENES),
            names.ENSEMBL_ID: [f"ENSG{number:011d}" for number in range(N_GENES)],
            names.GENE_SYMBOL: [f"GENE{number}" for number in range(N_GENES)],
        }
    )


@pytest.fixture
def model(panel: pd.DataFrame) -> ToyModel:
    def table(key_name: str, keys: tuple[str, ...]) -> EmbeddingTable:
        return EmbeddingTable(
            key_name=key_name,
            keys=keys,
            vectors_KF=np.zeros((len(keys), 1), dtype=np.float32),
            feature_names=("f",),
            blocks={},
            trained_on="",
        )

    parent_of = {"Aspirin": "A", "Trametinib": "T", "Trametinib (DMSO_TF solvate)": "T"}
    features = Features(
        drugs=table(names.DRUG, tuple(parent_of)),
        cell_lines=table(names.CELL_LINE_ID, LINES),
        lines=LINES,
        control_LG=np.zeros((2, N_GENES), dtype=np.float32),
    )
    return ToyModel(panel, features, parent_of)


@pytest.fixture
def library(model: ToyModel) -> Library:
    drugs = list(model.parent_of)
    return Library(
        drugs=pd.DataFrame(
            {
                names.DRUG: drugs,
                names.PARENT_COMPOUND: list(model.parent_of.values()),
                names.MOA_FINE: ["COX inhibitor", "MEK inhibitor", "MEK inhibitor"],
                names.TARGETS: [["PTGS1"], ["MAP2K1"], ["MAP2K1"]],
            }
        ),
        cell_lines=pd.DataFrame(
            {
                names.CELL_LINE_ID: [*LINES, "CVCL_0003"],
                names.CELL_NAME: ["A-375", "HT115", "absent"],
            }
        ),
        metrics=pd.DataFrame(
            [
                (
                    "pair",
                    "forward",
                    "blend",
                    "all",
                    "all",
                    "pearson_centred",
                    0.42,
                    0.4,
                    0.44,
                    9,
                    0,
                ),
                ("pair", "drug", "combined", "all", "all", "mrr", 0.5, 0.4, 0.6, 9, 3),
            ],
            columns=[
                *("split", "task", "predictor", "stratum_kind", "stratum", "metric"),
                *("value", "ci_low", "ci_high", "n", "gallery"),
            ],
        ),
        shipped={"pair": "blend"},
        measured=frozenset({("Aspirin", "CVCL_0001")}),
        doses_um=model.doses_um,
    )
