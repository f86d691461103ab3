"""Ranking drugs for a signature by their predicted Δ, also drugs never measured.

What belongs here: the ranker that asks a forward model about a whole gallery. What does not: the
forward model, and how rankers are weighted (``selection/ranker_weights.py``).

Shapes: Q = queries, D = gallery drugs, N = conditions, G = genes, X = gallery drugs × doses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.linear import Conditions, Queries, Ranker
from drug_pipeline.linear.rankers.gallery import unit_rows
from drug_pipeline.linear.rankers.rank_cosine import RankCosine
from drug_pipeline.training.network.encoding import InputEncoder

COMPARED_BY = (names.RANK_COSINE, names.LDA_COSINE)
"""Rankers of measured Δ whose way of comparing predicted ones have too."""
CACHE_BYTES = 256 * 2**20
"""Predictions of a gallery that are kept while several rankers and query sets ask for the same."""


class ScoringRanker(Protocol):
    """Anything that scores gallery drugs for queries; higher is better."""

    @property
    def name(self) -> str:
        """The name in every table."""
        ...

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Score of each gallery drug for each query (Q, D)."""
        ...


def cached(
    predict: Callable[[Conditions], NDArray[np.float32]], *, most_bytes: int = CACHE_BYTES
) -> Callable[[Conditions], NDArray[np.float32]]:
    """The same predictions, each asked for once as long as they fit; later ones are not kept."""
    kept: dict[tuple[bytes, ...], NDArray[np.float32]] = {}
    n_bytes = 0

    def ask(asked: Conditions) -> NDArray[np.float32]:
        nonlocal n_bytes
        key = tuple(
            column.tobytes()
            for column in (asked.drug_N, asked.parent_N, asked.dose_um_N, asked.line_N)
        )
        if key in kept:
            return kept[key]
        answer_NG = predict(asked)
        if n_bytes + answer_NG.nbytes <= most_bytes:
            kept[key] = answer_NG
            n_bytes += answer_NG.nbytes
        return answer_NG

    return ask


class ForwardGalleryRanker:
    """Similarity of the query to the PREDICTED Δ of every drug in the query's line.

    The dose of a query is not known, so the best of a drug's doses counts. They are compared as a
    fitted ranker compares measured Δ, where one is given: by rank cosine, or by the cosine in the
    space of a whitening one; else by the plain cosine. The cosines leave out the line's mean
    response.
    """

    def __init__(
        self,
        predict: Callable[[Conditions], NDArray[np.float32]],
        encoder: InputEncoder,
        *,
        parent_of: Mapping[str, str],
        doses_um: Sequence[float],
        compared_by: Ranker | None = None,
    ) -> None:
        self._predict = predict
        self._encoder = encoder
        self._parent_of = dict(parent_of)
        self._doses_um = tuple(doses_um)
        self._rank_cosine = compared_by if isinstance(compared_by, RankCosine) else None
        self._axes_GK = None
        if compared_by is not None and self._rank_cosine is None:
            self._axes_GK = compared_by.state()["whitened_axes_GK"]

    @property
    def name(self) -> str:
        """The name in every table."""
        if self._rank_cosine is not None:
            return names.RANK_GALLERY
        return names.FORWARD_GALLERY if self._axes_GK is None else names.WHITENED_GALLERY

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Best cosine over doses (Q, D)."""
        scores_QD = np.zeros((len(queries), len(gallery)), dtype=np.float32)
        for line in np.unique(queries.line_Q):
            rows_Q = np.flatnonzero(queries.line_Q == line)
            asked = Conditions.unmeasured(
                np.tile(gallery, len(self._doses_um)),
                line,
                np.repeat(self._doses_um, len(gallery)),
                self._parent_of,
            )
            scores_QX = self._compared(queries.take(rows_Q), self._predict(asked), asked.line_N)
            scores_QD[rows_Q] = scores_QX.reshape(len(rows_Q), -1, len(gallery)).max(axis=1)
        return scores_QD

    def _compared(
        self, queries: Queries, predicted_XG: NDArray[np.float32], line_X: NDArray[np.str_]
    ) -> NDArray[np.float32]:
        if self._rank_cosine is not None:
            return self._rank_cosine.compare(queries, predicted_XG, line_X)
        query_QG = self._encoder.without_line_response(queries.signature_QG, queries.line_Q)
        centred_XG = predicted_XG - self._encoder.line_centre(line_X[:1])
        if self._axes_GK is not None:
            query_QG, centred_XG = query_QG @ self._axes_GK, centred_XG @ self._axes_GK
        return np.asarray(unit_rows(query_QG) @ unit_rows(centred_XG).T, dtype=np.float32)
