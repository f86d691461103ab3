"""Gate 5, the negative control of retrieval: queries that tell nothing of a response.

What belongs here: the gate and its idea of chance. What does not: the other gates (``gates``); a
ranker is handed over as a function, so that this room knows no network.

Shapes: G = genes, Q = queries, D = gallery drugs, P = identities (parent compounds), S = shuffles.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.evaluation.gates.gates import SHUFFLED_GENES_GATE
from drug_pipeline.evaluation.gates.verdicts import GateResult, judged
from drug_pipeline.evaluation.scoring import ranking_inputs
from drug_pipeline.evaluation.scoring.bootstrap import LEVEL

Rank = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SMALLEST_LEAK: Final = 0.05
"""Normalised rank above chance that counts as a leak."""
N_SHUFFLES: Final = 32
"""Shuffles of every query: the error of their mean is the luck of the draw, and all there is."""


def shuffled_genes_find_nothing(
    rank: Rank,
    query_QG: NDArray[np.float32],
    groups: Sequence[str],
    wanted_Q: NDArray[Any],
    *,
    within_Q: NDArray[Any] | None = None,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> GateResult:
    """Gate 5: with the genes of every query shuffled, the right drug is found by chance alone.

    Each query becomes a random order of the same values (the mean sorted query), so that neither
    genes nor strength, mean or shape of the response are left. Chance is what a ranker knows of
    drugs without a query (popular ones first): the rank that the right drug gets in the shuffled
    queries of *other* drugs. Red where the difference is over :data:`SMALLEST_LEAK` and above 0
    with its interval.

    Parameters
    ----------
    rank
        Scores (Q, D) of a fitted ranker for queries (Q, G).
    groups
        Identity of each of the D gallery entries.
    wanted_Q
        Identity of each query.
    within_Q
        What a query tells besides its genes (its cell line): chance is taken within it.
    n_shuffles
        Shuffles, each a draw of its own; at least 2.

    Notes
    -----
    Where nothing leaks the shuffles alone make the difference other than 0, and one shuffle's mean
    over queries is independent of the next one's: the interval is Student's over shuffles, for
    these very queries. One over compounds does not know the shuffles' luck, and is too narrow
    (decision 11).
    """
    rng = np.random.default_rng(seed)
    query_QG = np.asarray(query_QG, dtype=np.float32)
    wanted_Q = np.asarray(wanted_Q, dtype=str)
    within_Q = np.zeros(len(wanted_Q)) if within_Q is None else np.asarray(within_Q)
    values_G = np.sort(query_QG, axis=1).mean(axis=0) if len(query_QG) else np.zeros(0)
    chance, excess = [], []
    for _ in range(n_shuffles if len(query_QG) else 0):
        shuffled_QG = rng.permuted(np.tile(values_G, (len(query_QG), 1)), axis=1)
        best_QP, identities_P = ranking_inputs.by_identity(rank(shuffled_QG), groups)
        share_QP = 1.0 - (ranking_inputs.ranks(best_QP) - 1.0) / max(len(identities_P) - 1, 1)
        own_Q, chance_Q = _own_and_chance(share_QP, identities_P, wanted_Q, within_Q)
        excess.append(own_Q - chance_Q)
        chance.append(chance_Q)
    n = int(np.isfinite(excess[0]).sum()) if excess else 0
    value, low, high = _over_shuffles([_mean(excess_Q) for excess_Q in excess])
    holds = not (low > 0 and value > SMALLEST_LEAK)
    return judged(
        SHUFFLED_GENES_GATE,
        holds=holds,
        n=n,
        figure=value,
        interval=(low, high),
        explanation=f"Normalised rank of queries with shuffled genes minus chance "
        f"({_mean(np.array(chance)):.3f}) is {value:+.3f} [{low:+.3f}, {high:+.3f}], n = {n}, "
        f"{n_shuffles} shuffles"
        + ("." if holds else ": something other than the signature gives the drug away."),
        otherwise=f"None of {len(query_QG)} queries has its drug in the gallery and, in its line, a "
        "query of another drug to compare with.",
    )


def _over_shuffles(mean_S: Sequence[float]) -> tuple[float, float, float]:
    """Mean over independent shuffles with its 95 % Student interval; NaN without shuffles."""
    from scipy.stats import t  # takes a second, and definitions import this file

    n_shuffles = len(mean_S)
    if n_shuffles < 2:
        return float("nan"), float("nan"), float("nan")
    half = t.ppf(0.5 + 0.5 * LEVEL, n_shuffles - 1) * np.std(mean_S, ddof=1) / np.sqrt(n_shuffles)
    value = float(np.mean(mean_S))
    return value, value - float(half), value + float(half)


def _own_and_chance(
    share_QP: NDArray[np.float64],
    identities_P: NDArray[np.str_],
    wanted_Q: NDArray[np.str_],
    within_Q: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised rank of each right answer in its own query, and its mean in those of others."""
    own_Q, chance_Q = np.full(len(wanted_Q), np.nan), np.full(len(wanted_Q), np.nan)
    for query, wanted in enumerate(wanted_Q):
        place = np.flatnonzero(identities_P == wanted)
        others = (within_Q == within_Q[query]) & (wanted_Q != wanted)
        if len(place) and others.any():
            own_Q[query] = share_QP[query, place[0]]
            chance_Q[query] = share_QP[others, place[0]].mean()
    return own_Q, chance_Q


def _mean(values_N: NDArray[np.float64]) -> float:
    known_N = values_N[np.isfinite(values_N)]
    return float(known_N.mean()) if len(known_N) else float("nan")
