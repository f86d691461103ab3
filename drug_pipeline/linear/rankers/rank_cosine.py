"""Rank cosine: cosine similarity of normal scores of gene ranks, free of unit and size.

A profile is brought to normal scores, each gene's quantile under the normal distribution; a profile
that is mostly ties, such as a list of up and down genes, to its clipped values instead. Then the
scatter within compounds is whitened by a fixed share, genes are weighed by how well they tell
compounds apart, and what all drugs do to a line is regressed out of the query, never subtracted: a
query of another size keeps its ranks.

What belongs here: the two representations, the space, the comparison. What does not: the best match
of each drug (``rankers/gallery.py``).

Shapes: N = measured conditions, Q = queries, R = reference rows, G = genes, K = covariance axes,
L = lines.

Notes
-----
Normal scores with the plotting position (rank - ½) / n are rankits (Bliss 1967, "Statistics in
Biology"); Beasley, Erickson & Allison (2009), "Rank-based inverse normal transformations are
increasingly used, but are they merited?", set them beside those of van der Waerden (1952), rank /
(n + 1). The scatter within compounds is shrunk towards the identity as in Friedman (1989),
"Regularized discriminant analysis". The share of it that is whitened and the weights of genes were
measured on real wells, with queries as they are, as z-scores, with noise, with genes missing and
from another laboratory: ``docs/benchmarks/models.md``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.utils.extmath import randomized_svd

from drug_pipeline.linear.base import MeasuredConditions, Queries, State, nested, part
from drug_pipeline.linear.means import group_sums
from drug_pipeline.linear.rankers.gallery import BestMatchRanker, unit_rows

IDENTITY_SHARE: Final = 0.8
"""Weight of the identity beside the scatter within compounds (mean eigenvalue 1) that is whitened:
on sparse counts a smaller one lifts genes that are mostly noise."""
LEAST_RELIABILITY: Final = 0.05
"""Least weight of a gene, of a mean weight of 1."""
PRIOR_CONDITIONS: Final = 5
"""Conditions that the mean over all lines counts for in the mean of one line."""
N_AXES: Final = 300
"""Axes of the scatter that are kept; what is left is taken to be the same in every direction."""
MOST_GENES_EXACT: Final = 2500
"""With more genes the axes are found by a randomised decomposition."""
CODE_STEPS: Final = 32
"""A representation is kept as whole numbers of 1/32 in 8 bits: its values lie within ±3.6."""
CLIP: Final = 3.0
"""Clipped values lie within so many RMS of their profile."""
MOST_TIED: Final = 0.5
"""A profile of which a larger share of genes has one value is a list."""
ROWS_AT_ONCE: Final = 4096

Represent = Callable[[NDArray[Any]], NDArray[np.float32]]


def normal_scores(values_NG: NDArray[Any]) -> NDArray[np.float32]:
    """Normal quantile of each value's mid-rank in its row (N, G); ties share one.

    Notes
    -----
    Rankits: Bliss (1967), "Statistics in Biology"; compared with other normal scores in Beasley,
    Erickson & Allison (2009), "Rank-based inverse normal transformations are increasingly used, but
    are they merited?".
    """
    place_NG = (rankdata(values_NG, axis=1) - 0.5) / max(values_NG.shape[1], 1)
    return np.asarray(ndtri(place_NG), dtype=np.float32)


def clipped_values(values_NG: NDArray[Any]) -> NDArray[np.float32]:
    """Values over the RMS of their row, within ±3, minus their mean (N, G).

    Notes
    -----
    Winsorised at a fixed multiple of the RMS; the multiple is ours.
    """
    values_NG = np.asarray(values_NG, dtype=np.float32)
    rms_N1 = np.sqrt(np.mean(np.square(values_NG), axis=1, keepdims=True))
    scaled_NG = np.clip(values_NG / np.where(rms_N1 > 0, rms_N1, 1.0), -CLIP, CLIP)
    return np.asarray(scaled_NG - scaled_NG.mean(axis=1, keepdims=True))


REPRESENTATIONS: Final[Mapping[str, Represent]] = {
    "ranks": normal_scores,
    "clipped": clipped_values,
}


def is_list(values_QG: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether more than half of a profile's genes have one and the same value (Q,)."""
    ordered_QG = np.sort(values_QG, axis=1)
    lag = int(MOST_TIED * values_QG.shape[1])
    if lag < 1:
        return np.zeros(len(values_QG), dtype=np.bool_)
    return np.asarray((ordered_QG[:, lag:] == ordered_QG[:, :-lag]).any(axis=1))


@dataclass(frozen=True, kw_only=True)
class RankSpace:
    """Whitened space with weighted genes for one representation, fitted on measured conditions.

    Parameters
    ----------
    axes_GK, variance_K, rest
        The scatter within compounds: ``axes · variance · axesᵀ + rest · identity``, mean
        eigenvalue 1.
    weight_G
        Square root of each gene's reliability: the share of its variance between compounds.
    lines_L, mean_LG
        Mean representation of each line; a last row of all conditions, for other lines.

    Notes
    -----
    Whitening by a within-class scatter that is shrunk towards the identity: Friedman (1989),
    "Regularized discriminant analysis"; with many genes its axes come from the randomised
    decomposition of Halko, Martinsson & Tropp (2011), "Finding structure with randomness". Weights
    of genes are ours.
    """

    axes_GK: NDArray[np.float32]
    variance_K: NDArray[np.float64]
    rest: float
    weight_G: NDArray[np.float32]
    lines_L: NDArray[np.str_]
    mean_LG: NDArray[np.float32]

    @classmethod
    def of(cls, represented_NG: NDArray[np.float32], measured: MeasuredConditions) -> "RankSpace":
        """The space fitted on some conditions, their representations given."""
        is_used_N = measured.weight_N > 0
        rows_NG = represented_NG[is_used_N]
        conditions = measured.conditions.take(is_used_N)
        lines_L, line_N = np.unique(conditions.line_N, return_inverse=True)
        size_L1 = np.bincount(line_N)[:, None]
        overall_G = rows_NG.mean(axis=0, dtype=np.float64)
        own_LG = group_sums(rows_NG, line_N, len(lines_L)) / size_L1
        mean_LG = overall_G + (own_LG - overall_G) * size_L1 / (size_L1 + PRIOR_CONDITIONS)
        centred_NG = rows_NG - mean_LG.astype(np.float32)[line_N]
        residual_NG, n_free, is_repeated_N = _within(centred_NG, conditions.parent_N)
        axes_GK, variance_K, rest, within_G = _scatter(residual_NG, n_free)
        return cls(
            axes_GK=axes_GK,
            variance_K=variance_K,
            rest=rest,
            weight_G=_reliability(within_G, centred_NG[is_repeated_N]),
            lines_L=lines_L,
            mean_LG=np.vstack([mean_LG, overall_G]).astype(np.float32),
        )

    @classmethod
    def from_state(cls, state: State) -> "RankSpace":
        """The space of :meth:`state`."""
        return cls(
            axes_GK=state["axes_GK"],
            variance_K=state["variance_K"],
            rest=float(state["rest"]),
            weight_G=state["weight_G"],
            lines_L=state["lines_L"],
            mean_LG=state["mean_LG"],
        )

    def state(self) -> State:
        """The space as plain arrays."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    def restricted(self, genes: NDArray[np.int64]) -> "RankSpace":
        """The space of some genes alone, its scatter again of mean eigenvalue 1."""
        spread_K = np.sqrt(np.maximum(self.variance_K, 0.0))
        axes_GK, root_K, _ = np.linalg.svd(self.axes_GK[genes] * spread_K, full_matrices=False)
        variance_K = np.square(root_K)
        scale = variance_K.sum() / max(len(genes), 1) + self.rest
        mean_LG = self.mean_LG[:, genes]
        return RankSpace(
            axes_GK=axes_GK.astype(np.float32),
            variance_K=variance_K / scale,
            rest=self.rest / scale,
            weight_G=self.weight_G[genes],
            lines_L=self.lines_L,
            mean_LG=mean_LG - mean_LG.mean(axis=1, keepdims=True),
        )

    def whitened(self, rows_NG: NDArray[Any]) -> NDArray[Any]:
        """Rows times the inverse root of the scatter with its share of the identity (N, G)."""
        floor = (1.0 - IDENTITY_SHARE) * self.rest + IDENTITY_SHARE
        gain_K = 1.0 / np.sqrt(floor + (1.0 - IDENTITY_SHARE) * self.variance_K)
        gain_K = (gain_K - 1.0 / np.sqrt(floor)).astype(np.float32)
        along_NK = (rows_NG @ self.axes_GK) * gain_K
        return np.asarray(rows_NG / np.float32(np.sqrt(floor)) + along_NK @ self.axes_GK.T)

    def weighed(self, rows_NG: NDArray[Any]) -> NDArray[Any]:
        """Rows in the space: whitened, genes weighed (N, G)."""
        return self.whitened(rows_NG) * self.weight_G

    def means_of(self, line_Q: NDArray[np.str_]) -> NDArray[np.float32]:
        """Mean representation of each line; of all conditions where the line is new (Q, G)."""
        position = {str(line): row for row, line in enumerate(self.lines_L)}
        return self.mean_LG[[position.get(str(line), len(position)) for line in line_Q]]

    def lengths(self, rows_RG: NDArray[Any], line_R: NDArray[np.str_]) -> NDArray[np.float32]:
        """Length of rows in the space, and of what they differ by from their line (R, 2)."""
        lengths_R2 = np.empty((len(rows_RG), 2), dtype=np.float32)
        for at in _blocks(len(rows_RG)):
            rows_BG = _values(rows_RG[at])
            for number, part_BG in enumerate((rows_BG, rows_BG - self.means_of(line_R[at]))):
                lengths_R2[at, number] = np.linalg.norm(self.weighed(part_BG), axis=1)
        return lengths_R2

    def cosines(
        self,
        query_QG: NDArray[np.float32],
        line_Q: NDArray[np.str_],
        rows_RG: NDArray[Any],
        line_R: NDArray[np.str_],
        lengths_R2: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Mean of two cosines of each query to each row (Q, R), in [-1, 1].

        The first compares both as they are; the second the query without its line's mean response,
        however large that is in it, with the row minus the mean of its own line.
        """
        mean_QG = self.means_of(line_Q)
        power_Q1 = np.square(mean_QG).sum(axis=1, keepdims=True)
        shared_Q1 = (query_QG * mean_QG).sum(axis=1, keepdims=True)
        size_Q1 = np.maximum(shared_Q1, 0.0) / np.where(power_Q1 > 0, power_Q1, 1.0)
        # <weighed(q), weighed(b)> = <q', b> with q' weighed twice: rows stay as they are kept.
        whole_QG, rest_QG = (
            self.whitened(unit_rows(self.weighed(part_QG)) * self.weight_G).astype(np.float32)
            for part_QG in (query_QG, query_QG - size_Q1 * mean_QG)
        )
        row_means_LR = rest_QG @ self.mean_LG.T
        position = {str(line): row for row, line in enumerate(self.lines_L)}
        at_R = np.array([position.get(str(line), len(position)) for line in line_R], dtype=np.int64)
        inverse_R2 = 1.0 / np.where(lengths_R2 > 0, lengths_R2, np.inf)
        cosine_QR = np.empty((len(query_QG), len(rows_RG)), dtype=np.float32)
        for at in _blocks(len(rows_RG)):
            rows_BG = _values(rows_RG[at])
            whole_QB = whole_QG @ rows_BG.T * inverse_R2[at, 0]
            rest_QB = (rest_QG @ rows_BG.T - row_means_LR[:, at_R[at]]) * inverse_R2[at, 1]
            cosine_QR[:, at] = (whole_QB + rest_QB) / 2.0
        return cosine_QR


class RankCosine(BestMatchRanker):
    """Rank cosine to every measured condition of a drug; its best one counts.

    A query may leave genes out (NaN): both sides are then compared on the genes that it has.
    """

    def __init__(self) -> None:
        super().__init__("rank_cosine")

    def fit(self, measured: MeasuredConditions) -> "RankCosine":
        """The ranker itself, fitted on measured conditions; these are also its gallery."""
        order = np.argsort(measured.conditions.drug_N, kind="stable")
        measured = measured.take(order)
        conditions = measured.conditions
        state: State = {"drug_R": conditions.drug_N, "line_R": conditions.line_N}
        for name, represent in REPRESENTATIONS.items():
            codes_RG = _codes(represent, measured.delta_NG)
            space = RankSpace.of(_values(codes_RG), measured)
            lengths_R2 = space.lengths(codes_RG, conditions.line_N)
            own: State = {"codes_RG": codes_RG, "lengths_R2": lengths_R2}
            state |= nested(name, own | space.state())
        self._state = state
        return self

    def compare(
        self, queries: Queries, rows_RG: NDArray[Any], line_R: NDArray[np.str_]
    ) -> NDArray[np.float32]:
        """Rank cosine of each query to each of some other Δ, such as predicted ones (Q, R)."""
        cosine_QR = np.empty((len(queries), len(rows_RG)), dtype=np.float32)
        for name, genes, rows in self._kinds(queries):
            space = self._space(name, genes)
            query_QG = queries.signature_QG[np.ix_(rows, genes)]
            rows_G = REPRESENTATIONS[name](rows_RG[:, genes])
            represented_QG = REPRESENTATIONS[name](query_QG)
            lengths_R2 = space.lengths(rows_G, line_R)
            cosine_QR[rows] = space.cosines(
                represented_QG, queries.line_Q[rows], rows_G, line_R, lengths_R2
            )
        return cosine_QR

    def _cosines(self, queries: Queries, state: State) -> NDArray[Any]:
        cosine_QR = np.empty((len(queries), len(state["drug_R"])), dtype=np.float32)
        n_genes = queries.signature_QG.shape[1]
        for name, genes, rows in self._kinds(queries):
            own, space = part(name, state), self._space(name, genes)
            represent = REPRESENTATIONS[name]
            codes_RG, lengths_R2 = own["codes_RG"], own["lengths_R2"]
            if len(genes) < n_genes:
                codes_RG = _codes(represent, codes_RG[:, genes])
                lengths_R2 = space.lengths(codes_RG, state["line_R"])
            query_QG = represent(queries.signature_QG[np.ix_(rows, genes)])
            cosine_QR[rows] = space.cosines(
                query_QG, queries.line_Q[rows], codes_RG, state["line_R"], lengths_R2
            )
        return cosine_QR

    def _kinds(self, queries: Queries) -> list[tuple[str, NDArray[np.int64], NDArray[np.int64]]]:
        """Queries that are answered together: representation, known genes, places of the queries."""
        is_known_QG = np.isfinite(queries.signature_QG)
        patterns_XG, pattern_Q = np.unique(is_known_QG, axis=0, return_inverse=True)
        kinds = []
        for number, is_known_G in enumerate(patterns_XG):
            genes = np.flatnonzero(is_known_G)
            rows = np.flatnonzero(pattern_Q.ravel() == number)
            is_list_Q = is_list(queries.signature_QG[np.ix_(rows, genes)])
            for name, is_kind_Q in (("ranks", ~is_list_Q), ("clipped", is_list_Q)):
                if is_kind_Q.any():
                    kinds.append((name, genes, rows[is_kind_Q]))
        return kinds

    def _space(self, name: str, genes: NDArray[np.int64]) -> RankSpace:
        space = RankSpace.from_state(part(name, self.state()))
        return space if len(genes) == len(space.weight_G) else space.restricted(genes)


def _codes(represent: Represent, values_RG: NDArray[Any]) -> NDArray[np.int8]:
    codes_RG = np.empty(values_RG.shape, dtype=np.int8)
    for at in _blocks(len(values_RG)):
        codes_RG[at] = np.rint(represent(values_RG[at]) * CODE_STEPS)
    return codes_RG


def _values(rows_RG: NDArray[Any]) -> NDArray[np.float32]:
    """Representations as numbers, from their codes or as they are."""
    if rows_RG.dtype == np.int8:
        return rows_RG.astype(np.float32) / np.float32(CODE_STEPS)
    return np.asarray(rows_RG, dtype=np.float32)


def _within(
    centred_NG: NDArray[np.float32], parent_N: NDArray[np.str_]
) -> tuple[NDArray[np.float32], int, NDArray[np.bool_]]:
    """What repeated compounds differ by from their mean, its degrees of freedom, which rows."""
    parents_P, compound_N = np.unique(parent_N, return_inverse=True)
    size_P = np.bincount(compound_N)
    mean_PG = group_sums(centred_NG, compound_N, len(parents_P)) / size_P[:, None]
    is_repeated_N = size_P[compound_N] > 1
    residual_NG = centred_NG[is_repeated_N] - mean_PG.astype(np.float32)[compound_N[is_repeated_N]]
    return residual_NG, int(is_repeated_N.sum() - (size_P > 1).sum()), is_repeated_N


def _scatter(
    residual_NG: NDArray[np.float32], n_free: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], float, NDArray[np.float64]]:
    """Axes, variance along them beyond the rest, the rest, and the variance of each gene.

    Scaled to mean eigenvalue 1. Without repeated compounds there is nothing to whiten by.
    """
    n_genes = residual_NG.shape[1]
    within_G = np.square(residual_NG, dtype=np.float64).sum(axis=0) / max(n_free, 1)
    scale = within_G.mean()
    if not scale > 0:
        return np.zeros((n_genes, 1), np.float32), np.zeros(1), 1.0, within_G
    n_axes = min(N_AXES, n_genes, n_free)
    if n_genes <= MOST_GENES_EXACT:
        values, vectors_GG = np.linalg.eigh(residual_NG.T @ residual_NG)
        values_K, axes_GK = values[::-1][:n_axes], vectors_GG[:, ::-1][:, :n_axes]
    else:
        _, root_K, axes_KG = randomized_svd(residual_NG, n_axes, random_state=0)
        values_K, axes_GK = np.square(root_K), axes_KG.T
    total_K = np.maximum(values_K.astype(np.float64), 0.0) / n_free / scale
    rest = max(n_genes - total_K.sum(), 0.0) / max(n_genes - n_axes, 1)
    return axes_GK.astype(np.float32), np.maximum(total_K - rest, 0.0), float(rest), within_G


def _reliability(
    within_G: NDArray[np.float64], repeated_NG: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Square root of the share of each gene's variance between compounds, of mean 1."""
    if len(repeated_NG) < 2:
        return np.ones(len(within_G), dtype=np.float32)
    total_G = repeated_NG.var(axis=0, dtype=np.float64)
    share_G = np.maximum(1.0 - within_G / np.maximum(total_G, 1e-12), 0.0)
    if not share_G.any():
        return np.ones(len(within_G), dtype=np.float32)
    root_G = np.sqrt(np.maximum(share_G / share_G.mean(), LEAST_RELIABILITY))
    return np.asarray(root_G, dtype=np.float32)


def _blocks(n_rows: int) -> list[slice]:
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, n_rows, ROWS_AT_ONCE)]
