"""Base classes of rankers over measured conditions: gallery, centring, the best match of a drug.

What belongs here: the base class of such rankers and the arrays that make one again. What does
not: any way to compare (``rankers/cosine.py``, ``rankers/whitening.py``).

Shapes: N = measured conditions, Q = queries, D = gallery drugs, P = measured drugs, G = genes,
L = lines, R = reference rows, K = axes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.linear.base import Features, MeasuredConditions, Queries, State
from drug_pipeline.linear.means import group_sums

UNKNOWN_SCORE: Final = -2.0
"""Score of a drug that was never measured: below every cosine."""
QUERIES_AT_ONCE: Final = 512
"""Queries compared in one product: bounds memory to 512 x R float32."""


class BestMatchRanker(ABC):
    """A ranker whose score of a drug is its best match among reference rows of that drug.

    Subclasses fit ``drug_R``, the sorted drugs of the reference rows, and compare.

    Notes
    -----
    The maximum over a drug's rows: CombMAX of Fox & Shaw (1994), "Combination of multiple
    searches".
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._state: State | None = None

    @property
    def name(self) -> str:
        """The name in every table."""
        return self._name

    @abstractmethod
    def fit(self, measured: MeasuredConditions) -> Self:
        """The ranker itself, fitted on measured conditions; these are also its gallery."""

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Best cosine of each gallery drug's rows to each query (Q, D), in [-1, 1].

        A drug that has no row to compare with scores :data:`UNKNOWN_SCORE`.
        """
        state = self.state()
        drugs_P, starts_P = np.unique(state["drug_R"], return_index=True)
        best_QP = np.concatenate(
            [
                np.maximum.reduceat(self._cosines(part, state), starts_P, axis=1)
                for part in _in_parts(queries)
            ]
        )
        column = {str(drug): number for number, drug in enumerate(drugs_P)}
        known = [number for number, drug in enumerate(gallery) if drug in column]
        scores_QD = np.full((len(queries), len(gallery)), UNKNOWN_SCORE, dtype=np.float32)
        scores_QD[:, known] = best_QP[:, [column[gallery[number]] for number in known]]
        return scores_QD

    def state(self) -> State:
        """The fitted numbers as plain arrays."""
        if self._state is None:
            msg = f"{self.name} was asked before it was fitted; call fit or restore first"
            raise CheckpointError(msg)
        return dict(self._state)

    def restore(self, state: State, features: Features) -> Self:
        """The ranker itself, fitted as the one whose :meth:`state` this is."""
        del features
        self._state = dict(state)
        return self

    @abstractmethod
    def _cosines(self, queries: Queries, state: State) -> NDArray[Any]:
        """Cosine of each query to each reference row it may be compared with (Q, R)."""


class GalleryRanker(BestMatchRanker):
    """A ranker by cosine similarity in a feature space of its own.

    Subclasses say what the reference rows are and how a query is brought into their space.

    Parameters
    ----------
    is_elsewhere
        A query is compared with reference rows of other lines alone. Reference rows are then the
        measured conditions.
    """

    def __init__(self, name: str, *, is_elsewhere: bool = False) -> None:
        super().__init__(name)
        self._is_elsewhere = is_elsewhere

    def fit(self, measured: MeasuredConditions) -> Self:
        """The ranker itself, fitted on measured conditions; these are also its gallery."""
        reference_RK, drug_R, state = self._reference(measured)
        order = np.argsort(drug_R, kind="stable")
        self._state = state | {
            "reference_RK": unit_rows(reference_RK)[order].astype(np.float32),
            "drug_R": drug_R[order],
        }
        if self._is_elsewhere:
            self._state["line_R"] = measured.conditions.line_N[order]
        return self

    def _cosines(self, queries: Queries, state: State) -> NDArray[Any]:
        cosine_QR = unit_rows(self._project(queries, state)) @ state["reference_RK"].T
        if not self._is_elsewhere:
            return np.asarray(cosine_QR)
        is_own_QR = queries.line_Q[:, None] == state["line_R"][None, :]
        return np.where(is_own_QR, UNKNOWN_SCORE, cosine_QR)

    @abstractmethod
    def _reference(
        self, measured: MeasuredConditions
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        """Reference rows (R, K), the drug of each, and what :meth:`_project` needs."""

    @abstractmethod
    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        """Queries in the space of the reference rows (Q, K)."""


def line_means(measured: MeasuredConditions) -> State:
    """Weighted mean Δ of each line, and of all conditions for a line without any."""
    weight_N = measured.weight_N
    lines_L, row_N = np.unique(measured.conditions.line_N, return_inverse=True)
    weighted_NG = measured.delta_NG * weight_N[:, None]
    total_LG = group_sums(weighted_NG, row_N, len(lines_L))
    weight_L = np.bincount(row_N, weights=weight_N)
    mean_G = weighted_NG.sum(axis=0) / weight_N.sum()
    mean_LG = np.where(
        weight_L[:, None] > 0, total_LG / np.maximum(weight_L, 1e-12)[:, None], mean_G
    )
    return {"lines_L": lines_L, "line_mean_LG": mean_LG, "mean_G": mean_G}


def centred(
    signature_QG: NDArray[np.float32], line_Q: NDArray[np.str_], means: State
) -> NDArray[np.float64]:
    """Signatures minus the training mean of their line; of all lines where the line is new."""
    position = {str(line): row for row, line in enumerate(means["lines_L"])}
    table = np.vstack([means["line_mean_LG"], means["mean_G"]])
    rows = [position.get(str(line), len(position)) for line in line_Q]
    return np.asarray(signature_QG - table[rows], dtype=np.float64)


def without_line_response(
    signature_QG: NDArray[np.float32], line_Q: NDArray[np.str_], means: State
) -> NDArray[np.float64]:
    """Signatures with the training mean of their line regressed out, whatever their size.

    A mean that is subtracted stays in a query of another unit, or swamps it; regressed out, with
    a coefficient of 0 at least, it is gone from every one.
    """
    nothing_QG = np.zeros(signature_QG.shape, dtype=np.float32)
    return regressed(signature_QG, -centred(nothing_QG, line_Q, means))


def regressed(signature_QG: NDArray[Any], mean_QG: NDArray[Any]) -> NDArray[np.float64]:
    """Signatures with a mean regressed out, its coefficient at least 0; unknown genes become 0."""
    is_known_QG = np.isfinite(signature_QG)
    filled_QG = np.where(is_known_QG, signature_QG, 0.0).astype(np.float64)
    mean_QG = np.where(is_known_QG, mean_QG, 0.0)
    power_Q1 = np.square(mean_QG).sum(axis=1, keepdims=True)
    shared_Q1 = (filled_QG * mean_QG).sum(axis=1, keepdims=True)
    size_Q1 = np.maximum(shared_Q1, 0.0) / np.where(power_Q1 > 0, power_Q1, 1.0)
    return np.asarray(filled_QG - size_Q1 * mean_QG)


def unit_rows(rows_RK: NDArray[Any]) -> NDArray[Any]:
    """Rows scaled to length 1; a row of zeros stays one and matches nothing."""
    length_R = np.linalg.norm(rows_RK, axis=1, keepdims=True)
    return np.asarray(rows_RK / np.where(length_R > 0, length_R, 1.0))


def _in_parts(queries: Queries) -> list[Queries]:
    starts = range(0, max(len(queries), 1), QUERIES_AT_ONCE)
    places = np.arange(len(queries))
    return [queries.take(places[start : start + QUERIES_AT_ONCE]) for start in starts]
