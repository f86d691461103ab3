"""What a question needs of a model; the bundle of ``training`` is one.

Shapes: N = conditions asked, G = genes of the panel, Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions, Features


class ModelAnswer(Protocol):
    """Predicted Δ with its expected error, and the split whose models answered."""

    @property
    def delta_NG(self) -> NDArray[np.float32]:
        """Predicted Δ, natural log."""
        ...

    @property
    def expected_error_N(self) -> NDArray[np.float32]:
        """Expected RMS error over genes; NaN where it was not calibrated."""
        ...

    @property
    def bound_N(self) -> NDArray[np.float32]:
        """RMS error that 90 % of such predictions stay under; NaN where not calibrated."""
        ...

    @property
    def split_N(self) -> NDArray[np.str_]:
        """Split whose models answered."""
        ...


class ModelRanking(Protocol):
    """Scores of gallery drugs, larger is better."""

    @property
    def gallery(self) -> tuple[str, ...]:
        """D drugs."""
        ...

    @property
    def scores_QD(self) -> NDArray[np.float32]:
        """Combined scores."""
        ...

    @property
    def is_measured_D(self) -> NDArray[np.bool_]:
        """Whether a drug was trained on."""
        ...

    @property
    def parts(self) -> Mapping[str, NDArray[np.float32]]:
        """Scores (Q, D) of each ranker behind the combination."""
        ...


class Model(Protocol):
    """Predicts and ranks, for known and new drugs and lines."""

    @property
    def genes(self) -> pd.DataFrame:
        """Panel genes (``schemas.GENES``), in the order of every Δ."""
        ...

    @property
    def features(self) -> Features:
        """What is known of drugs and lines."""
        ...

    @property
    def parent_of(self) -> Mapping[str, str]:
        """Drug → parent compound."""
        ...

    def answer(self, asked: Conditions) -> ModelAnswer:
        """Predictions with their expected errors."""
        ...

    def rank(
        self,
        signature_QG: NDArray[np.float32],
        line_Q: NDArray[np.str_],
        *,
        gallery: Sequence[str] | None = None,
        doses_um: Sequence[float] | None = None,
    ) -> ModelRanking:
        """Drugs ranked for wanted signatures."""
        ...

    def default_gallery(self) -> tuple[str, ...]:
        """Every drug that can be ranked."""
        ...

    def with_drugs(self, drugs: EmbeddingTable, parent_of: Mapping[str, str]) -> Self:
        """The same model, which also knows these structures."""
        ...


@dataclass(frozen=True, kw_only=True)
class Library:
    """What stands beside a model when people ask: tables of drugs and lines, and its figures.

    ``metrics`` is the evaluation's long table, or None where there is none yet; ``shipped`` names
    the predictor that each split's model answers with; ``measured`` holds the (drug, cell line) pairs that have a measured Δ.
    """

    drugs: pd.DataFrame
    cell_lines: pd.DataFrame
    metrics: pd.DataFrame | None
    shipped: Mapping[str, str]
    measured: frozenset[tuple[str, str]]
