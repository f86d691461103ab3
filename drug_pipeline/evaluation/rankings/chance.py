"""Chance baselines of retrieval, blind to the signature: random, popular drugs, the plate alone.

What belongs here: scores that no retrieval table should be read without. What does not: rankers
that look at the query.

Shapes: Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names

RANDOM: Final = "random"
POPULARITY: Final = "popularity"
PLATE_ONLY: Final = "plate_only"


def panel(
    conditions: pd.DataFrame, query_rows: NDArray[np.int64], gallery: Sequence[str]
) -> NDArray[np.bool_]:
    """Which gallery drugs lie on each query's plate (Q, D), in any line and dose."""
    on_plate = {plate: set(group) for plate, group in conditions.groupby(names.PLATE)[names.DRUG]}
    plates_Q = conditions[names.PLATE].iloc[query_rows].to_numpy()
    row_of = {
        plate: np.array([drug in drugs for drug in gallery]) for plate, drugs in on_plate.items()
    }
    if not len(plates_Q):
        return np.zeros((0, len(gallery)), dtype=bool)
    return np.stack([row_of[plate] for plate in plates_Q])


def targets_of_panel(
    conditions: pd.DataFrame,
    query_rows: NDArray[np.int64],
    gallery: Sequence[str],
    targets_of: Mapping[str, Sequence[str]],
) -> NDArray[np.bool_]:
    """Which gallery targets any drug on each query's plate has (Q, D)."""
    on_plate = {
        plate: {target for drug in set(group) for target in targets_of.get(drug, ())}
        for plate, group in conditions.groupby(names.PLATE)[names.DRUG]
    }
    row_of = {plate: np.isin(gallery, list(targets)) for plate, targets in on_plate.items()}
    plates_Q = conditions[names.PLATE].iloc[query_rows]
    return np.array([row_of[plate] for plate in plates_Q], dtype=bool).reshape(-1, len(gallery))


def chance_scores(
    conditions: pd.DataFrame,
    train_rows: NDArray[np.int64],
    query_rows: NDArray[np.int64],
    gallery: Sequence[str],
    *,
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """Scores (Q, D) of the chance baselines, which never look at the query.

    ``random`` one seeded draw; ``popularity`` the number of training conditions of a drug;
    ``plate_only`` the query's plate panel first, in random order within.
    """
    rng = np.random.default_rng(seed)
    shape = (len(query_rows), len(gallery))
    counts = conditions[names.DRUG].iloc[train_rows].value_counts()
    popularity_D = np.array([counts.get(drug, 0) for drug in gallery], dtype=np.float32)
    on_panel_QD = panel(conditions, query_rows, gallery)
    return {
        RANDOM: rng.random(shape, dtype=np.float32),
        POPULARITY: np.broadcast_to(popularity_D, shape).copy(),
        PLATE_ONLY: on_panel_QD + 0.5 * rng.random(shape, dtype=np.float32),
    }
