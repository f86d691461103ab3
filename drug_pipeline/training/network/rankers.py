"""Ranking drugs for a signature: the expression tower and the forward gallery.

What belongs here: the rankers that need the network. The measured ones (cosines, whitened
cosines) are in ``linear/``; all of them answer ``scores(queries, gallery)``. What does not: how
they are weighted (``selection/ranker_weights.py``).

Shapes: Q = queries, D = gallery drugs, N = conditions, G = genes, K = tower width, R = rankers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from drug_pipeline.domain import names
from drug_pipeline.linear import Conditions, Queries
from drug_pipeline.linear.rankers.gallery import unit_rows
from drug_pipeline.linear.rankers.rank_cosine import RankCosine
from drug_pipeline.model.interface import DrugNetwork
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_network import CHUNK, as_network

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


class TowerRanker:
    """Cosine of query and drug embeddings (two towers); ranks drugs never measured."""

    def __init__(self, members: list[DrugNetwork], encoder: InputEncoder) -> None:
        self.members = [member.eval() for member in members]
        self.encoder = encoder

    @property
    def name(self) -> str:
        """The name in every table."""
        return names.TOWER

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Mean cosine over the members (Q, D)."""
        inputs = self.encoder.inverse_inputs(queries.signature_QG, queries.line_Q)
        tower = self.encoder.tower_inputs(list(gallery))
        totals = [tower_scores(member, inputs, tower) for member in self.members]
        return np.asarray(torch.stack(totals).mean(dim=0).cpu().numpy())

    def with_encoder(self, encoder: InputEncoder) -> "TowerRanker":
        """The same networks over other features."""
        return TowerRanker(self.members, encoder)


@torch.no_grad()
def tower_scores(
    model: nn.Module, inputs: Any, tower: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Cosine of each query to each gallery drug (Q, D), on the model's device."""
    network = as_network(model)
    device = next(network.parameters()).device
    drugs_DK = network.embed_drugs(tower[0].to(device), tower[1].to(device))
    chunks = []
    for start in range(0, len(inputs.cell_BC), CHUNK):
        part = type(inputs)(
            cell_BC=inputs.cell_BC[start : start + CHUNK].to(device),
            signature_BG=inputs.signature_BG[start : start + CHUNK].to(device),
        )
        chunks.append(network.embed_signature(part) @ drugs_DK.T)
    return torch.cat(chunks) if chunks else torch.zeros(0, len(drugs_DK))


def cached(
    predict: Callable[[Conditions], NDArray[np.float32]], *, most_bytes: int = CACHE_BYTES
) -> Callable[[Conditions], NDArray[np.float32]]:
    """Memoised predictions, each computed once as long as they fit; later ones are not kept."""
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

    The dose of a query is not known, so the best of a drug's doses counts. They are compared by
    rank cosine where a fitted one is given, else by the cosine without the line's mean response.
    """

    def __init__(
        self,
        predict: Callable[[Conditions], NDArray[np.float32]],
        encoder: InputEncoder,
        *,
        parent_of: Mapping[str, str],
        doses_um: Sequence[float],
        rank_cosine: RankCosine | None = None,
    ) -> None:
        self._predict = predict
        self._encoder = encoder
        self._parent_of = dict(parent_of)
        self._doses_um = tuple(doses_um)
        self._rank_cosine = rank_cosine

    @property
    def name(self) -> str:
        """The name in every table."""
        return names.FORWARD_GALLERY if self._rank_cosine is None else names.RANK_GALLERY

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
        return np.asarray(unit_rows(query_QG) @ unit_rows(centred_XG).T, dtype=np.float32)
