"""Replicate oracle of retrieval: each drug as it was measured again, on another plate.

What belongs here: a ranker that no model can be, since it reads test conditions: the most that a
ranking by signature can be expected to reach on data this noisy. What does not: rankers that look
at training alone (``linear/``), or at nothing (``rankings/chance.py``).

Shapes: Q = queries, D = gallery drugs, N = conditions, G = genes.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.scoring.centring import training_centre

ORACLE: Final = "oracle"


def replicate_scores(
    table: DeltaTable,
    train_rows: NDArray[np.int64],
    query_rows: NDArray[np.int64],
    gallery: Sequence[str],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cosine of each query to each drug measured at its dose, in its line, on another plate (Q, D).

    Both sides are centred by the training mean of the line; the best of several plates counts. NaN
    where a drug was not measured so. The second array says whose own compound was (Q,): for the
    others there is no replicate, and no oracle.
    """
    from drug_pipeline.linear.rankers.gallery import unit_rows  # heavy: definitions load this file

    conditions = table.conditions
    drug_N = conditions[names.DRUG].to_numpy(dtype=str)
    parent_N = conditions[names.PARENT_COMPOUND].to_numpy(dtype=str)
    plate_N = conditions[names.PLATE].to_numpy(dtype=str)
    here = conditions.groupby([names.CELL_LINE_ID, names.DOSE_UM], sort=False).ngroup().to_numpy()
    column_of = {drug: column for column, drug in enumerate(gallery)}
    scores_QD = np.full((len(query_rows), len(gallery)), np.nan, dtype=np.float32)
    has_own_Q = np.zeros(len(query_rows), dtype=bool)
    used_N = np.flatnonzero(np.isin(here, here[query_rows]))
    centre = training_centre(table.delta_NG, conditions, train_rows, used_N)
    for group in np.unique(here[query_rows]):
        rows_N = np.flatnonzero(here == group)
        places_Q = np.flatnonzero(here[query_rows] == group)
        centre_NG = centre.of(np.searchsorted(used_N, rows_N))
        unit_NG = unit_rows(np.asarray(table.delta_NG[rows_N]) - centre_NG)
        own = np.searchsorted(rows_N, query_rows[places_Q])
        asked_Q = query_rows[places_Q]
        is_elsewhere_QN = plate_N[asked_Q][:, None] != plate_N[rows_N][None, :]
        is_same_QN = parent_N[asked_Q][:, None] == parent_N[rows_N][None, :]
        has_own_Q[places_Q] = (is_elsewhere_QN & is_same_QN).any(axis=1)
        cosine_QN = np.where(is_elsewhere_QN, unit_NG[own] @ unit_NG.T, np.float32(np.nan))
        for number, row in enumerate(rows_N):
            column = column_of.get(drug_N[row])
            if column is not None:
                best_Q = np.fmax(scores_QD[places_Q, column], cosine_QN[:, number])
                scores_QD[places_Q, column] = best_Q
    return scores_QD, has_own_Q
