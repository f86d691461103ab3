"""How much of the truth could be predicted from cleaner measurements: a curve over cells.

One command a data set, after ``against_truth.py`` of the same ``--work-dir`` or by itself::

    python benchmarks/noise_curve.py atlas --raw-dir data/atlas_dev --work-dir /tmp/truth
    python benchmarks/noise_curve.py generated --work-dir /tmp/truth

The measurement errors of the Δ table (measured minus true: counting, vehicle and well error alike)
are divided by √k, standard errors too, and the cells of a condition counted k times, as if every
condition, vehicle and well had been measured k times over. Lines, drugs, doses, splits, genes and
control profiles stay as they are. The linear models of ``--models`` are fitted on each and judged
as in ``against_truth.py``. No step of the pipeline can do this: it needs the truth.
With ``--preset`` whole models are fitted instead, networks too (``..._networks.json``).
Writes ``results/noise_curve_<data>.json``; ``models_report.py`` makes the table.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from against_truth import (
    LOOKED_AT,
    RESULTS,
    drawn,
    looked_at_keys,
    numbers,
    parser_of,
    revision,
)
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from truth_data import Known, generated, known
from truth_goals import ACTIVE_RMS
from truth_scores import BEST_LINEAR, MEASURED, SHIPPED, forward_rows, judged_rows
from truth_summary import difference, gap_closed, means

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import condition_keys
from drug_pipeline.linear import predictors_for
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.split_data import SplitData, prepare

TIMES = (1, 4, 16, 64)
MODELS = ("drug_mean", "additive", "product_kernel_ridge", "pair_average", "line_average")
BEST = {"pair": "pair_average", "plate_replicate": "pair_average", "cell_line": "line_average"}
"""The model whose curve is drawn, by split: what ships on the atlas; elsewhere the product kernel."""


def main() -> None:
    """Fit and judge every split at every multiple of the cells, write the results."""
    given = _arguments()
    raw_dir = given.raw_dir or generated(given.work_dir / "raw", seed=given.data_seed)
    data = known(raw_dir, given.work_dir / given.data, n_genes=given.genes)
    asked = [(name, times) for name in given.splits for times in given.times]
    left_out = looked_at_keys(data) if given.data == "atlas" else {}
    points = []
    with ProcessPoolExecutor(given.workers, initializer=threadpool_limits, initargs=(1,)) as pool:
        jobs = [
            pool.submit(_judged, data, name, given.seed, times, given.preset)
            for name, times in asked
        ]
        for (name, times), job in zip(asked, jobs, strict=True):
            rows = job.result()
            keys = pd.Series(condition_keys(rows))
            rows = rows[~keys.isin(left_out.get(name, set())).to_numpy()]
            points.append({"split": name, "times": times, **_figures(rows, name)})
            print(points[-1], flush=True)
    document = {
        "data": given.data,
        "cells_a_condition": float(data.table.conditions[names.N_CELLS].mean()),
        "seed": given.seed,
        "preset": given.preset,
        "looked_at": LOOKED_AT if given.data == "atlas" else {},
        "revision": revision(),
        "points": points,
    }
    RESULTS.mkdir(exist_ok=True)
    ending = "_networks" if given.preset else ""
    path = RESULTS / f"noise_curve_{given.data}{ending}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(path)


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--times", type=numbers, default=list(TIMES))
    parser.add_argument("--seed", type=int, default=201, help="of the split draw")
    parser.add_argument("--preset", help="of whole models, networks too; default: linear alone")
    return parser.parse_args()


def measured_again(data: Known, times: int) -> Known:
    """The same conditions as if each had been measured ``times`` as well: errors over √times."""
    table, shrink = data.table, np.float32(times**-0.5)
    conditions = table.conditions.assign(**{names.N_CELLS: table.conditions[names.N_CELLS] * times})
    error_NG = table.delta_NG - data.truth_NG
    cleaner = replace(
        table,
        conditions=conditions,
        delta_NG=data.truth_NG + shrink * error_NG,
        se_NG=table.se_NG * shrink,
    )
    return replace(data, table=cleaner)


def _judged(data: Known, name: str, seed: int, times: int, preset: str | None) -> pd.DataFrame:
    """One row a test condition and model, judged against the truth."""
    cleaner, split = measured_again(data, times), drawn(data, name, seed)
    if preset is not None:
        config = replace(TrainConfig.preset(preset), seed=seed)
        fitted = fit_split(cleaner.table, data.features, split, config)
        rows = forward_rows(cleaner, fitted).assign(ships=fitted.forward.shipped_name)
    else:
        prepared = prepare(cleaner.table, data.features, split)
        rows = judged_rows(cleaner, prepared, _linear(prepared))
    return rows.assign(draw=seed)


def _linear(data: SplitData) -> dict[str, NDArray[np.float32]]:
    """What each linear model of the curve predicts of the test side, and the noisy Δ itself."""
    part, found = data.known, {}
    for make in predictors_for(data.split.kind):
        one = make()
        if one.name in MODELS:
            one.fit(part.record(data.features))
            found[one.name] = one.predict(data.test.asked)
    return {**found, MEASURED: data.test.delta_NG}


def _figures(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    active = rows[rows["true_rms"] > ACTIVE_RMS]
    predictors = list(dict.fromkeys(active["predictor"]))
    best = SHIPPED if SHIPPED in predictors else BEST.get(name, "product_kernel_ridge")
    found: dict[str, Any] = {"best": best, "own": means(active, "own", predictors)}
    if name == "plate_replicate":
        found["gap_closed"] = gap_closed(active, "own", name=best, low="additive", high=None)
    if SHIPPED in predictors:
        found["ships"] = str(rows["ships"].iloc[0])
        found["minus_best_linear"] = {
            one: difference(active, "own", one, BEST_LINEAR)
            for one in (SHIPPED, names.NETWORK, names.BLEND)
        }
    return found


if __name__ == "__main__":
    main()
