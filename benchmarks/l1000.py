"""What the models are worth on measured L1000 wells, beside the simple baselines.

    python benchmarks/l1000.py --raw-dir data/l1000_wells --work-dir /tmp/l1000

Measured effects throughout (LINCS, CC BY 4.0), one well a condition. Every figure is of
``fit_split``: settings, weights and what ships are chosen on the choosing side of each split, then
fitted on both sides together. Writes ``results/l1000.json``; ``models_report.py`` makes the tables.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from l1000_tasks import A375, HT115, dose_splits, drug_splits, pair_splits
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from truth_data import chain
from truth_scores import BEST_LINEAR, KEYS, SHIPPED
from truth_summary import difference, means

from drug_pipeline.domain import names
from drug_pipeline.domain.metrics import pearson, reciprocal_rank
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.scoring.centring import BY_LINE, training_centre
from drug_pipeline.evaluation.scoring.ranking_inputs import identity_ranks
from drug_pipeline.evaluation.scoring.ranking_metrics import hit_at
from drug_pipeline.linear import Features
from drug_pipeline.linear.dose import DoseInterpolation
from drug_pipeline.linear.rankers.cosine import CentredCosine
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import FittedSplit, fit_split
from drug_pipeline.training.model_assets import read_features

RESULTS = Path(__file__).resolve().parent / "results" / "l1000.json"
TASKS: dict[str, Callable[[pd.DataFrame], Iterable[Split]]] = {
    "a375_dose": dose_splits,
    "a375_drug": lambda conditions: drug_splits(conditions, A375),
    "ht115_drug": lambda conditions: drug_splits(conditions, HT115),
    "panel_pair": pair_splits,
}
RANKERS = ("raw_cosine", "scaled_cosine", "centred_cosine", "lda_cosine", "lda_nearest")
RANKERS = (*RANKERS, "sda_cosine", "tower", "forward_gallery", "whitened_gallery", "combined")
Rows = tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]


def main() -> None:
    """Fit every split of every task, judge, write the results."""
    given = _arguments()
    settings = {"min_cells_per_pair": 1, "min_control_cells": 1, "n_genes": 978}
    layout = chain(given.raw_dir, given.work_dir / "l1000", settings)
    table = read_delta(layout)
    known = (table, read_features(layout, table), active(table))
    results: dict[str, Any] = {"tasks": {}}
    if RESULTS.exists():
        results["tasks"] = json.loads(RESULTS.read_text())["tasks"]
    for task in given.tasks:
        start = time.perf_counter()
        splits = list(TASKS[task](table.conditions))
        with ProcessPoolExecutor(
            given.workers, initializer=threadpool_limits, initargs=(1,)
        ) as pool:
            rows = list(pool.map(_fit, [known] * len(splits), splits, [given.preset] * len(splits)))
        results["tasks"][task] = {"preset": given.preset, **_summary(task, rows)}
        results["tasks"][task]["seconds"] = round(time.perf_counter() - start, 1)
        print(task, len(splits), "fits,", results["tasks"][task]["seconds"], "s", flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--raw-dir", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list(TASKS))
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


def active(table: DeltaTable) -> NDArray[np.bool_]:
    """Conditions whose RMS Δ is above the 95 % quantile of vehicle wells of the same plate (N).

    A vehicle well is compared with the mean of its plate, as a condition is; where there are fewer
    than five of them, every condition counts.
    """
    wells = table.controls.wells
    limit: dict[tuple[str, str], float] = {}
    for (line, plate), rows in wells.groupby([names.CELL_LINE_ID, names.PLATE]).groups.items():
        if len(rows) >= 5:
            well_WG = table.controls.well_WG[wells.index.get_indexer(rows)].astype(np.float64)
            rms_W = np.sqrt(np.mean((well_WG - well_WG.mean(axis=0)) ** 2, axis=1))
            limit[line, plate] = float(np.quantile(rms_W, 0.95))
    rms_N = np.sqrt(np.mean(np.asarray(table.delta_NG, dtype=np.float64) ** 2, axis=1))
    keys = zip(table.conditions[names.CELL_LINE_ID], table.conditions[names.PLATE], strict=True)
    return rms_N > np.array([limit.get(key, -1.0) for key in keys])


def _fit(known: tuple[DeltaTable, Features, NDArray[np.bool_]], split: Split, preset: str) -> Rows:
    table, features, is_active_N = known
    config = replace(TrainConfig.preset(preset), seed=0)
    fitted = fit_split(table, features, split, config)
    forward = _forward_rows(table, fitted, is_active_N).assign(draw=split.name)
    ranks = _rank_rows(table, fitted, is_active_N).assign(draw=split.name)
    about = {
        "shipped": fitted.forward.shipped_name,
        "best_linear": fitted.forward.best_linear,
        "ranker_weights": fitted.inverse.weights,
    }
    return forward, ranks, about


def _forward_rows(
    table: DeltaTable, fitted: FittedSplit, is_active_N: NDArray[np.bool_]
) -> pd.DataFrame:
    """One row a test condition and predictor; centred on what is known of the line."""
    data, forward = fitted.data, fitted.forward
    rows_N = data.test.rows_N
    conditions = table.conditions.iloc[rows_N].reset_index(drop=True)
    centre_NG = training_centre(
        table.delta_NG, table.conditions, data.known.rows_N, rows_N, by=BY_LINE
    ).of(slice(None))
    predicted = dict(forward.test) | _simple_doses(fitted)
    predicted[SHIPPED] = forward.test[forward.shipped_name]
    predicted[BEST_LINEAR] = forward.test[forward.best_linear]
    measured_NG = data.test.delta_NG
    frames = [
        conditions[list(KEYS)].assign(
            predictor=name,
            is_active=is_active_N[rows_N],
            has_structure=np.isin(conditions[names.DRUG], data.features.drugs.keys),
            pearson=pearson(one_NG, measured_NG),
            centred=pearson(one_NG - centre_NG, measured_NG - centre_NG),
            mse=np.mean((one_NG - measured_NG) ** 2, axis=1),
        )
        for name, one_NG in predicted.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _simple_doses(fitted: FittedSplit) -> dict[str, NDArray[np.float32]]:
    """Between measured doses by fixed rules: interpolation, the drug's mean, half of each."""
    data = fitted.data
    if data.split.kind != "dose":
        return {}
    known, shares = data.known, {"interpolation": 1.0, "mean_of_doses": 0.0, "half_and_half": 0.5}
    found = {}
    for name, share in shares.items():
        model = DoseInterpolation(kind="dose")
        model.candidates = (share,)
        model.fit(known.record(data.features))
        found[name] = model.predict(data.test.asked)
    return found


def _rank_rows(
    table: DeltaTable, fitted: FittedSplit, is_active_N: NDArray[np.bool_]
) -> pd.DataFrame:
    """One row a query and ranker, the drugs of the used plates being the gallery."""
    data, test = fitted.data, fitted.data.test
    known = data.known
    drugs = sorted(set(known.asked.drug_N.tolist()) | set(test.asked.drug_N.tolist()))
    gallery = [drug for drug in fitted.inverse.gallery if drug in drugs]
    columns = [fitted.inverse.gallery.index(drug) for drug in gallery]
    groups = [data.parent_of[drug] for drug in gallery]
    scores = {name: one[:, columns] for name, one in fitted.inverse.test.items()}
    scaled = CentredCosine(is_scaled=True).fit(known.record(data.features))
    scores[scaled.name] = scaled.scores(test.queries(), gallery)
    conditions = table.conditions.iloc[test.rows_N].reset_index(drop=True)
    frames = []
    for ranker, scores_QD in scores.items():
        rank_Q, n_Q = identity_ranks(scores_QD, groups, test.parent_N)
        frames.append(
            conditions[list(KEYS)].assign(
                predictor=ranker,
                is_active=is_active_N[test.rows_N],
                n_gallery=n_Q,
                mrr=reciprocal_rank(rank_Q),
                hit1=hit_at(rank_Q, 1),
            )
        )
    return pd.concat(frames, ignore_index=True)


def _summary(task: str, rows: list[Rows]) -> dict[str, Any]:
    forward = pd.concat([one[0] for one in rows], ignore_index=True)
    ranks = pd.concat([one[1] for one in rows], ignore_index=True)
    shipped = pd.Series([one[2]["shipped"] for one in rows]).value_counts().to_dict()
    result: dict[str, Any] = {"n_fits": len(rows), "shipped": shipped}
    if task == "a375_dose":
        top = forward[names.DOSE_UM].max()
        ends = (forward[names.DOSE_UM].min(), top)
        result["interior"] = _figures(forward[~forward[names.DOSE_UM].isin(ends)])
        result["top"] = _figures(forward[forward[names.DOSE_UM] == top])
        result["retrieval"] = _retrieval(ranks)
        result["ranker_weights"] = {
            one[0]["draw"].iloc[0]: one[2]["ranker_weights"] for one in rows
        }
    elif task.endswith("drug"):
        result["with_structure"] = _figures(forward[forward["has_structure"]])
    else:
        result["all"] = _figures(forward.assign(is_active=True))
    return result


def _figures(forward: pd.DataFrame) -> dict[str, Any]:
    """Correlations over active conditions, squared errors over active and over all of them."""
    is_active = forward["is_active"].to_numpy(dtype=bool)
    predictors = list(dict.fromkeys(forward["predictor"]))
    return {
        "pearson": means(forward[is_active], "pearson", predictors),
        "centred": means(forward[is_active], "centred", predictors),
        "mse_active": means(forward[is_active], "mse", predictors),
        "mse": means(forward, "mse", predictors),
        "shipped_minus": {
            reference: {
                figure: difference(part, figure, SHIPPED, reference)
                for figure, part in (("centred", forward[is_active]), ("mse", forward))
            }
            for reference in (BEST_LINEAR, "half_and_half", "drug_mean", "line_mean")
            if reference in predictors
        },
    }


def _retrieval(ranks: pd.DataFrame) -> dict[str, Any]:
    part = ranks[ranks["is_active"].to_numpy(dtype=bool)]
    return {
        "n_gallery": float(part["n_gallery"].median()),
        "mrr": means(part, "mrr", RANKERS),
        "hit1": means(part, "hit1", RANKERS),
        "mrr_all": means(ranks, "mrr", RANKERS),
        "combined_minus": {
            name: difference(part, "mrr", "combined", name)
            for name in ("scaled_cosine", "lda_cosine", "lda_nearest", "sda_cosine")
        },
    }


if __name__ == "__main__":
    main()
