"""What the models are worth where the truth is known: generated data, and the simulated atlas.

One command a data set::

    python benchmarks/against_truth.py generated --work-dir /tmp/truth
    python benchmarks/against_truth.py atlas --raw-dir data/atlas_dev --work-dir /tmp/truth

Makes the Δ table through the pipeline, draws each split anew with each of ``--seeds``, fits every
model with ``fit_split``, and judges its test side against the noiseless Δ, which no step of the
pipeline reads. Conditions whose truth earlier choices were looked at on (:data:`LOOKED_AT`) are left out of
every figure on pairs, lines and drugs. Writes
``results/against_truth_<data>.json``; ``models_report.py`` makes the tables of the docs. What each
fit left lies under ``--work-dir/fits`` and is used again by the next call of the same revision.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits
from truth_data import Known, generated, known, shuffled_drugs
from truth_goals import summary
from truth_scores import forward_rows, rank_rows

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import Split, condition_keys
from drug_pipeline.expression.splits.named_splits import SplitConfig, draw_splits
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_split import FittedSplit, fit_split

RESULTS = Path(__file__).resolve().parent / "results"
SPLITS = ("pair", "cell_line", "drug", "plate_replicate")
LOOKED_AT = {"pair": (0, 101), "cell_line": (0, 101), "drug": (0, 101, 102)}
"""Seeds of the draws of the atlas whose test sides were seen against the truth while models and
settings were made, by split."""
SHUFFLED = "drug_shuffled"
"""The drug split with what is known of drugs (structure, targets, mechanism) dealt out anew."""


def main() -> None:
    """Fit what is missing, judge, write the results."""
    given = _arguments()
    raw_dir = given.raw_dir or generated(given.work_dir / "raw", seed=given.data_seed)
    data = known(raw_dir, given.work_dir / given.data, n_genes=given.genes)
    folder = given.work_dir / "fits" / f"{given.data}-{revision()}"
    folder.mkdir(parents=True, exist_ok=True)
    asked = [(name, seed) for seed in given.seeds for name in given.splits]
    asked += [(SHUFFLED, seed) for seed in given.seeds if "drug" in given.splits]
    todo = [one for one in asked if not _paths(folder, *one)[-1].exists()]
    with ProcessPoolExecutor(given.workers, initializer=threadpool_limits, initargs=(1,)) as pool:
        for line in pool.map(
            _fit, [data] * len(todo), [folder] * len(todo), [given.preset] * len(todo), todo
        ):
            print(line, flush=True)
    looked_at = looked_at_keys(data) if given.data == "atlas" else {}
    found = {
        name: _read(folder, name, given.seeds, looked_at.get(name, set()))
        for name in dict.fromkeys(name for name, _ in asked)
    }
    document = {
        "data": given.data,
        "n_conditions": data.table.n_conditions,
        "n_genes": len(data.table.genes),
        "n_drugs": int(data.table.conditions[names.DRUG].nunique()),
        "n_lines": int(data.table.conditions[names.CELL_LINE_ID].nunique()),
        "cells_a_condition": float(data.table.conditions[names.N_CELLS].mean()),
        "preset": given.preset,
        "seeds": given.seeds,
        "looked_at": LOOKED_AT if given.data == "atlas" else {},
        "revision": revision(),
        "splits": summary(found),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"against_truth_{given.data}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(path)


def parser_of(described: str) -> argparse.ArgumentParser:
    """Where the data lie, which splits, how many processes: what every such benchmark asks."""
    parser = argparse.ArgumentParser(description=described.split("\n", maxsplit=1)[0])
    parser.add_argument("data", choices=["generated", "atlas"])
    parser.add_argument("--raw-dir", type=Path, help="with data/, metadata/ and truth/")
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--splits", type=lambda text: text.split(","), default=list(SPLITS))
    parser.add_argument("--data-seed", type=int, default=7, help="of the generator")
    parser.add_argument("--genes", type=int, help="of the panel; default: the preset's")
    parser.add_argument("--workers", type=int, default=1)
    return parser


def numbers(text: str) -> list[int]:
    """Whole numbers separated by commas."""
    return [int(one) for one in text.split(",") if one]


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=numbers, default=[201, 202, 203], help="of the split draws")
    parser.add_argument("--preset", default="demo")
    return parser.parse_args()


def _fit(data: Known, folder: Path, preset: str, asked: tuple[str, int]) -> str:
    """Fit one draw of one split and write its judged rows; one line about it."""
    name, seed = asked
    start = time.perf_counter()
    split = drawn(data, "drug" if name == SHUFFLED else name, seed)
    features = shuffled_drugs(data.features, seed) if name == SHUFFLED else data.features
    config = replace(TrainConfig.preset(preset), seed=seed)
    fitted = fit_split(data.table, features, split, config)
    forward, ranks, about = _paths(folder, name, seed)
    forward_rows(data, fitted).assign(draw=seed).to_parquet(forward)
    rank_rows(data, fitted).assign(draw=seed).to_parquet(ranks)
    described = {**_about(fitted), "seconds": round(time.perf_counter() - start, 1)}
    about.write_text(json.dumps(described, indent=1))
    return f"{name} {seed}: {described['shipped']}, {described['seconds']} s"


def _about(fitted: FittedSplit) -> dict[str, Any]:
    forward = fitted.forward
    kept = (forward.best_linear, forward.shipped_name)
    return {
        **{key: fitted.notes[key] for key in ("n_train", "n_validation", "n_test")},
        "shipped": forward.shipped_name,
        "best_linear": forward.best_linear,
        "base": forward.base,
        "alpha": forward.alpha,
        "weights": forward.weights,
        "ranker_weights": fitted.inverse.weights,
        "coverage": fitted.notes["bound_coverage_test"],
        "seconds_of": forward.seconds,
        "validation": {name: forward.figures.get(name, {}) for name in kept},
    }


def drawn(data: Known, name: str, seed: int) -> Split:
    """A split of the conditions, drawn with a hash seed."""
    config = SplitConfig(seed=seed, names=(name,))
    return draw_splits(data.table.conditions, data.drugs, config).splits[name]


def looked_at_keys(data: Known) -> dict[str, set[str]]:
    """Keys of the conditions whose truth was looked at before, by split."""
    keys = pd.Series(condition_keys(data.table.conditions))
    found = {
        name: {key for seed in seeds for key in keys[drawn(data, name, seed).rows(names.TEST)]}
        for name, seeds in LOOKED_AT.items()
    }
    return {**found, SHUFFLED: found["drug"]}


def _paths(folder: Path, name: str, seed: int) -> tuple[Path, Path, Path]:
    stem = folder / f"{name}-{seed}"
    return tuple(stem.with_suffix(ending) for ending in (".forward", ".ranks", ".json"))


def _read(folder: Path, name: str, seeds: Sequence[int], left_out: set[str]) -> dict[str, Any]:
    """Rows of all draws of a split, without those looked at before."""
    paths = [_paths(folder, name, seed) for seed in seeds]
    frames = [pd.concat([pd.read_parquet(one[i]) for one in paths]) for i in (0, 1)]
    forward, ranks = (
        frame[~pd.Series(condition_keys(frame)).isin(left_out).to_numpy()] for frame in frames
    )
    about = {
        str(seed): json.loads(one[2].read_text()) for seed, one in zip(seeds, paths, strict=True)
    }
    return {"forward": forward, "ranks": ranks, "about": about}


def revision() -> str:
    """The tree of the package at the current commit, and whether it was changed since."""
    here = Path(__file__).resolve().parent
    tree = ["git", "-C", str(here.parent), "rev-parse", "--short", "HEAD:drug_pipeline"]
    changed = ["git", "-C", str(here.parent), "status", "--porcelain", "drug_pipeline"]
    name, dirty = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        for command in (tree, changed)
    )
    return name + ("-changed" if dirty else "")


if __name__ == "__main__":
    main()
