"""Retrieval by measured profiles alone: those of the query's own line, those of other lines.

What belongs here: which measured conditions a query may be compared with, and the best match of each
drug among them. What does not: ranks and metrics (``ranking_tasks``), the spaces themselves
(``linear/``). None of this is a model: it says what a gallery of measurements holds.

Peak memory: Δ once in float64 and twice in float32.

Shapes: N = conditions, G = genes, K = axes, Q = queries, D = gallery drugs, R = reference rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.rankings.ranking_tasks import Scores
from drug_pipeline.linear import Conditions, MeasuredConditions, evidence_weight
from drug_pipeline.linear.rankers.gallery import centred, line_means, unit_rows
from drug_pipeline.linear.rankers.whitening import space_of

RAW, CENTRED, WHITE, WHITE_MEANS = "raw_cosine", "centred_cosine", "lda_nearest", "lda_cosine"
"""Rankers, called as those that training fits; the last compares with each drug's mean."""
SAME_LINE: Final = "_same_line"
CROSS_LINE: Final = "_cross_line"
"""Suffixes of the retrieval tasks whose gallery holds profiles of the query's line, or of others."""


def measured_scores(
    table: DeltaTable,
    train_rows: NDArray[np.int64],
    query_rows: NDArray[np.int64],
    gallery: Sequence[str],
) -> dict[str, Scores]:
    """Cosines of each query to training profiles of its own line and of other lines, by task suffix.

    Centres and the whitened space come from training conditions alone.
    """
    conditions = table.conditions
    line_N = conditions[names.CELL_LINE_ID].to_numpy(dtype=str)
    drug_N = conditions[names.DRUG].to_numpy(dtype=str)
    is_train_N = np.zeros(len(conditions), dtype=bool)
    is_train_N[train_rows] = True
    weight_N = evidence_weight(conditions[names.N_CELLS].to_numpy())
    shape = (len(query_rows), len(gallery))
    by_line: dict[str, dict[str, NDArray[np.float32]]] = {SAME_LINE: {}, CROSS_LINE: {}}
    for name, unit_NK in _spaces(table, train_rows, weight_N):
        for suffix, found in by_line.items():
            ways = {name: False, WHITE_MEANS: True} if name == WHITE else {name: False}
            for ranker, is_mean in ways.items():
                found[ranker] = np.full(shape, np.nan, dtype=np.float32)
                for line in np.unique(line_N[query_rows]):
                    is_line_N = line_N == line
                    rows = np.flatnonzero(
                        is_train_N & (is_line_N if suffix == SAME_LINE else ~is_line_N)
                    )
                    asked = np.flatnonzero(is_line_N[query_rows])
                    found[ranker][asked] = _best(
                        unit_NK[query_rows[asked]],
                        unit_NK[rows],
                        drug_N[rows],
                        gallery,
                        weight_R=weight_N[rows] if is_mean else None,
                    )
    return dict(by_line)


def _spaces(
    table: DeltaTable, train_rows: NDArray[np.int64], weight_N: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every condition as a row of length 1 in each space (N, K), one space at a time."""
    delta_NG = np.asarray(table.delta_NG)
    yield RAW, unit_rows(delta_NG)
    line_N = table.conditions[names.CELL_LINE_ID].to_numpy(dtype=str)
    train = MeasuredConditions(
        conditions=Conditions.from_frame(table.conditions.iloc[train_rows]),
        delta_NG=delta_NG[train_rows],
        weight_N=weight_N[train_rows],
    )
    centred_NG = centred(delta_NG, line_N, line_means(train))
    yield CENTRED, unit_rows(centred_NG.astype(np.float32))
    axes_GK, _, _ = space_of(train)
    yield WHITE, unit_rows((centred_NG @ axes_GK).astype(np.float32))


def _best(
    query_QK: NDArray[np.float32],
    reference_RK: NDArray[np.float32],
    drug_R: NDArray[np.str_],
    gallery: Sequence[str],
    *,
    weight_R: NDArray[Any] | None = None,
) -> NDArray[np.float32]:
    """Cosine to the nearest row of each drug, or to the weighted mean of its rows (Q, D)."""
    scores_QD = np.full((len(query_QK), len(gallery)), np.nan, dtype=np.float32)
    if not len(drug_R) or not len(query_QK):
        return scores_QD
    order_R = np.argsort(drug_R, kind="stable")
    drugs_P, start_P = np.unique(drug_R[order_R], return_index=True)
    if weight_R is None:
        cosine_QR = query_QK @ reference_RK[order_R].T
        best_QP = np.maximum.reduceat(cosine_QR, start_P, axis=1)
    else:
        weighted_RK = (reference_RK * weight_R[:, None])[order_R]
        best_QP = query_QK @ unit_rows(np.add.reduceat(weighted_RK, start_P, axis=0)).T
    place = {str(drug): number for number, drug in enumerate(drugs_P)}
    known = [number for number, drug in enumerate(gallery) if drug in place]
    scores_QD[:, known] = best_QP[:, [place[gallery[number]] for number in known]]
    return scores_QD
