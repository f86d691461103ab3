"""One fitted split, judged row by row against the truth: forward figures and ranks.

What belongs here: one value a test condition and predictor, or a query, ranker and gallery. What
does not: averages and intervals (``truth_summary.py``).

Two centres, both named in every table. ``own``: each side minus its own mean over the test
conditions of the same line and dose (what knowing the line and dose alone would earn is taken out
of both sides). ``train``: both sides minus the TRAINING mean of the line and dose (of the dose,
where the line is new).

Shapes: N = test conditions, G = genes, Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from truth_data import Known, centre_within

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import pearson, reciprocal_rank
from drug_pipeline.domain.tables import Split
from drug_pipeline.evaluation.scoring.centring import BY_LINE_AND_DOSE, training_centre
from drug_pipeline.evaluation.scoring.ranking_inputs import identity_ranks
from drug_pipeline.evaluation.scoring.ranking_metrics import normalised_rank
from drug_pipeline.training.fit_split import FittedSplit
from drug_pipeline.training.split_data import SplitData

SHIPPED, BEST_LINEAR, MEASURED, REPLICATE = "shipped", "best_linear", "measurement", "replicate"
KEYS = (names.DRUG, names.DOSE_UM, names.CELL_LINE_ID, names.PLATE, names.PARENT_COMPOUND)


def forward_rows(known: Known, fitted: FittedSplit) -> pd.DataFrame:
    """One row a test condition and predictor of a fitted split; see :func:`judged_rows`."""
    return judged_rows(known, fitted.data, predictions(known, fitted))


def judged_rows(
    known: Known, data: SplitData, predicted: Mapping[str, NDArray[np.float32]]
) -> pd.DataFrame:
    """One row a test condition and predictor, with its figures.

    ``own``, ``train``: centred Pearson with the truth; ``own_measured``: with the measurement;
    ``mse``, ``mse_truth``: mean squared error against either, natural logs squared.
    """
    rows_N = data.test.rows_N
    truth_NG, measured_NG = known.truth_NG[rows_N], data.test.delta_NG
    conditions = known.table.conditions.iloc[rows_N].reset_index(drop=True)
    group_N = (conditions[names.CELL_LINE_ID] + "|" + conditions[names.DOSE_UM].astype(str)).array
    centre_NG = _training_centre(known, data.split, rows_N)
    own_truth_NG, own_measured_NG = (
        centre_within(side, group_N) for side in (truth_NG, measured_NG)
    )
    frames = []
    for name, predicted_NG in predicted.items():
        own_NG = centre_within(predicted_NG, group_N)
        figures = {
            "own": pearson(own_NG, own_truth_NG),
            "train": pearson(predicted_NG - centre_NG, truth_NG - centre_NG),
            "own_measured": pearson(own_NG, own_measured_NG),
            "mse": np.mean((predicted_NG - measured_NG) ** 2, axis=1),
            "mse_truth": np.mean((predicted_NG - truth_NG) ** 2, axis=1),
        }
        frames.append(conditions[list(KEYS)].assign(predictor=name, **figures))
    true_rms_N = np.sqrt(np.mean(truth_NG.astype(np.float64) ** 2, axis=1))
    return pd.concat([frame.assign(true_rms=true_rms_N) for frame in frames], ignore_index=True)


def predictions(known: Known, fitted: FittedSplit) -> dict[str, NDArray[np.float32]]:
    """Every prediction of the test side; what ships and the best linear model by these names too.

    ``measurement`` is the noisy Δ itself: what its noise leaves of the truth. Where the test plate
    repeats others, ``replicate`` is the mean Δ measured there.
    """
    forward, test = fitted.forward, fitted.data.test
    found = dict(forward.test)
    found[SHIPPED] = forward.test[forward.shipped_name]
    found[BEST_LINEAR] = forward.test[forward.best_linear]
    found[MEASURED] = test.delta_NG
    if fitted.data.split.kind == "plate_replicate":
        found[REPLICATE] = _replicate(fitted)
    return found


def _replicate(fitted: FittedSplit) -> NDArray[np.float32]:
    """Mean Δ of the same drug, dose and line on the training plates (N, G)."""
    train, test = fitted.data.train, fitted.data.test

    def keys(asked: Any) -> pd.MultiIndex:
        return pd.MultiIndex.from_arrays([asked.drug_N, asked.dose_um_N.round(4), asked.line_N])

    means = pd.DataFrame(train.delta_NG).groupby(keys(train.asked)).mean()
    return means.reindex(keys(test.asked)).fillna(0.0).to_numpy(dtype=np.float32)


def _training_centre(known: Known, split: Split, rows_N: NDArray[np.int64]) -> NDArray[np.float32]:
    centre = training_centre(
        known.table.delta_NG,
        known.table.conditions,
        split.rows(names.TRAIN),
        rows_N,
        by=BY_LINE_AND_DOSE,
    )
    return centre.of(slice(None))


def rank_rows(known: Known, fitted: FittedSplit) -> pd.DataFrame:
    """One row a query, ranker and gallery: reciprocal and normalised rank of the right compound.

    Galleries: ``all`` drugs; ``panel``, the drugs of the query's plate; for unseen drugs also
    ``held_out``, the drugs of the test side alone.
    """
    test, inverse = fitted.data.test, fitted.inverse
    conditions = known.table.conditions.iloc[test.rows_N].reset_index(drop=True)
    groups = [fitted.data.parent_of[drug] for drug in inverse.gallery]
    truth_NG = known.truth_NG[test.rows_N].astype(np.float64)
    frames = []
    for gallery, candidates_QD in _galleries(known, fitted).items():
        for ranker, scores_QD in inverse.test.items():
            rank_Q, n_Q = identity_ranks(scores_QD, groups, test.parent_N, candidates_QD)
            frames.append(
                conditions[list(KEYS)].assign(
                    predictor=ranker,
                    gallery=gallery,
                    n_gallery=n_Q,
                    mrr=reciprocal_rank(rank_Q),
                    normalised_rank=normalised_rank(rank_Q, n_Q),
                    true_rms=np.sqrt(np.mean(truth_NG**2, axis=1)),
                )
            )
    return pd.concat(frames, ignore_index=True)


def _galleries(known: Known, fitted: FittedSplit) -> Mapping[str, NDArray[np.bool_]]:
    test, gallery = fitted.data.test, np.array(fitted.inverse.gallery)
    conditions = known.table.conditions
    shape = (len(test), len(gallery))
    panels = {
        plate: np.isin(gallery, list(drugs))
        for plate, drugs in conditions.groupby(names.PLATE)[names.DRUG].unique().items()
    }
    found = {
        "all": np.ones(shape, dtype=bool),
        "panel": np.stack([panels[plate] for plate in test.asked.plate_N]),
    }
    if fitted.data.split.kind == "drug":
        found["held_out"] = np.tile(np.isin(gallery, test.asked.drug_N), (shape[0], 1))
    return found
