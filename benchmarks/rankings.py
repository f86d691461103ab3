"""Whether ranked drugs are at least as good as plain correlation, asked as strangers would ask.

    python benchmarks/rankings.py --raw-dir data/l1000_wells --work-dir /tmp/rankings \
        --tahoe-ranks data/tahoe_de_ranks --sciplex-ranks data/sciplex_ranks

Measured wells (LINCS L1000, CC BY 4.0): each task leaves the queries' wells, dose or line out, fits
a model on the rest, and asks it through the bundle that users ask, beside plain correlation on the
same profiles and the connectivity map's weighted score. Queries are asked as they are and in other
units, with noise, with genes missing and as lists. Writes ``results/rankings.json``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from l1000 import active
from l1000_tasks import A375, DOSE_PLATE, HT115
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from truth_data import chain
from truth_summary import difference, means

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.scoring.ranking_inputs import identity_ranks
from drug_pipeline.linear import Conditions, Features, MeasuredConditions, Queries
from drug_pipeline.linear.rankers.cosine import CentredCosine, RawCosine
from drug_pipeline.linear.rankers.gallery import unit_rows
from drug_pipeline.linear.rankers.rank_cosine import RankCosine
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.model_assets import read_features
from drug_pipeline.training.save_bundle import save_bundle

RESULTS = Path(__file__).resolve().parent / "results" / "rankings.json"
SHIPPED, WTCS = "ships", "weighted_connectivity"
RANKERS = (SHIPPED, "rank_cosine", "raw_cosine", "pearson", "centred_cosine", WTCS)
N_TOP = 50
"""Genes of each side of a list in the weighted connectivity score."""
LINE_FOLDS = 11
CLASSES: Mapping[str, tuple[str, ...]] = {
    "MEK": ("Trametinib", "SL-327"),
    "ABL": ("Flumatinib", "Radotinib", "Bosutinib", "Dasatinib", "Nilotinib"),
    "mTOR": ("Everolimus", "Rapamycin", "Temsirolimus"),
    "glucocorticoid": ("Triamcinolone",),
    "cytidine": ("Cytarabine", "Cyclocytidine"),
    "thymidylate": ("Raltitrexed", "Trifluridine", "Fluorouracil", "Carmofur"),
    "anthracycline": ("Idarubicin", "Pirarubicin"),
    "taxane site": ("Docetaxel", "Epothilone", "Patupilone"),
}
"""Close kin by published mechanism, by how their names begin, where sci-Plex and Tahoe share few drugs."""
Change = Callable[[NDArray[np.float64], NDArray[np.float64], np.random.Generator], NDArray[Any]]


def z_scores(delta_QG: NDArray[Any], library_NG: NDArray[Any], _: Any) -> NDArray[Any]:
    """Robust z of each gene over the library: another unit gene by gene."""
    middle_G = np.median(library_NG, axis=0)
    spread_G = 1.4826 * np.median(np.abs(library_NG - middle_G), axis=0)
    return (delta_QG - middle_G) / np.where(spread_G > 0, spread_G, 1.0)


def hard(delta_QG: NDArray[Any], library_NG: NDArray[Any], rng: Any) -> NDArray[Any]:
    """Z with noise of .7, 30 % of the genes missing."""
    z_QG = z_scores(delta_QG, library_NG, rng)
    return without(0.3)(z_QG + 0.7 * rng.normal(size=z_QG.shape), library_NG, rng)


def without(share: float) -> Change:
    """A share of the genes missing, the same ones for all queries."""

    def change(delta_QG: NDArray[Any], _: Any, rng: np.random.Generator) -> NDArray[Any]:
        gone = rng.permutation(delta_QG.shape[1])[: round(share * delta_QG.shape[1])]
        return np.where(np.isin(np.arange(delta_QG.shape[1]), gone), np.nan, delta_QG)

    return change


def only(n_genes: int) -> Change:
    """So many genes, drawn at random, the same ones for all queries."""
    return lambda delta_QG, library_NG, rng: without(1 - n_genes / delta_QG.shape[1])(
        delta_QG, library_NG, rng
    )


def lists(n_genes: int) -> Change:
    """Up and down lists of so many genes each: 1, -1, and 0 elsewhere."""

    def change(delta_QG: NDArray[Any], *_: Any) -> NDArray[Any]:
        order_QG = np.argsort(delta_QG, axis=1)
        found_QG = np.zeros(delta_QG.shape)
        np.put_along_axis(found_QG, order_QG[:, :n_genes], -1.0, axis=1)
        np.put_along_axis(found_QG, order_QG[:, -n_genes:], 1.0, axis=1)
        return found_QG

    return change


WAYS: Mapping[str, Change] = {
    "as it is": lambda delta_QG, *_: delta_QG,
    "× 0.1": lambda delta_QG, *_: 0.1 * delta_QG,
    "× 3": lambda delta_QG, *_: 3.0 * delta_QG,
    "z-scores": z_scores,
    "z, noise, 30 % missing": hard,
    "30 % of genes missing": without(0.3),
    "50 genes": only(50),
    "150 genes": only(150),
    "500 genes": only(500),
    "20 up, 20 down": lists(20),
    "50 up, 50 down": lists(50),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """Splits whose test conditions ask, which of these count, and whether their line is known."""

    splits: list[Split]
    is_asked_N: NDArray[np.bool_]
    is_in_line: bool = True


def tasks(table: DeltaTable) -> dict[str, Task]:
    """Own dose left out in A375; plate against plate in HT115; whole lines left out."""
    conditions, is_active_N = table.conditions, active(table)
    plate_N = conditions[names.PLATE].to_numpy(dtype=str)
    line_N = conditions[names.CELL_LINE_ID].to_numpy(dtype=str)
    dose_N = conditions[names.DOSE_UM].round(2).to_numpy()
    on_plate_N = plate_N == DOSE_PLATE
    doses = np.unique(dose_N[on_plate_N])
    plates = np.unique(plate_N[line_N == HT115])
    lines = np.unique(line_N)
    fold_N = np.searchsorted(lines, line_N) % LINE_FOLDS
    return {
        "A375, own dose left out": Task(
            splits=list(_splits("dose", conditions, [on_plate_N & (dose_N == d) for d in doses])),
            is_asked_N=is_active_N & (line_N == A375),
        ),
        "HT115, other plate": Task(
            splits=list(_splits("pair", conditions, [plate_N == p for p in plates])),
            is_asked_N=is_active_N & (line_N == HT115),
        ),
        "own line left out": Task(
            splits=list(
                _splits("cell_line", conditions, [fold_N == fold for fold in range(LINE_FOLDS)])
            ),
            is_asked_N=is_active_N,
            is_in_line=False,
        ),
    }


def _splits(kind: str, conditions: pd.DataFrame, tests: list[NDArray[np.bool_]]) -> Iterator[Split]:
    """Each test in turn; a seventh of the other conditions chooses, or of the lines where these are new."""
    columns = [names.CELL_LINE_ID]
    if kind != "cell_line":
        columns = [names.PARENT_COMPOUND, names.DOSE_UM, names.CELL_LINE_ID]
    unit_N = conditions.groupby(columns).ngroup().to_numpy()
    chooser_U = np.random.default_rng(0).permutation(unit_N.max() + 1) % 7 == 0
    for number, is_test_N in enumerate(tests):
        roles_N = np.where(chooser_U[unit_N], names.VALIDATION, names.TRAIN).astype("<U12")
        roles_N[is_test_N] = names.TEST
        name = f"{kind}_{number}"
        yield Split(name=name, kind=kind, roles_N=roles_N, fingerprint=name)


def main() -> None:
    """Ask every task in every way, write the figures."""
    given = _arguments()
    settings = {"min_cells_per_pair": 1, "min_control_cells": 1, "n_genes": 978}
    layout = chain(given.raw_dir, given.work_dir / "l1000", settings)
    table = read_delta(layout)
    features = read_features(layout, table)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if given.only else {}
    with threadpool_limits(1):
        if given.tahoe_ranks and given.sciplex_ranks and not given.only:
            rows = _other_laboratory(given.tahoe_ranks, given.sciplex_ranks)
            _keep(results, "sci-Plex against Tahoe", rows)
        for name, task in tasks(table).items():
            if given.only not in (None, name):
                continue
            found = [_ask(table, features, split, task) for split in task.splits]
            _keep(results, name, pd.concat(found, ignore_index=True))


def _keep(results: dict[str, Any], task: str, rows: pd.DataFrame) -> None:
    """The figures of one task, written as soon as they are there."""
    results[task] = _figures(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(task, {way: one["mrr"] for way, one in results[task].items()}, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--raw-dir", type=Path, required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    parser.add_argument("--tahoe-ranks", type=Path)
    parser.add_argument("--sciplex-ranks", type=Path)
    parser.add_argument("--only", metavar="TASK", help="one of the tasks again")
    return parser.parse_args()


def _ask(table: DeltaTable, features: Features, split: Split, task: Task) -> pd.DataFrame:
    """Reciprocal ranks of one split's queries, by ranker and way of asking."""
    rows = np.flatnonzero((split.roles_N == names.TEST) & task.is_asked_N)
    known = np.flatnonzero(split.roles_N != names.TEST)
    conditions = Conditions.from_frame(table.conditions)
    key_N = conditions.parent_N
    if task.is_in_line:  # known in the line that is asked, not in others alone
        key_N = np.char.add(np.char.add(key_N, "|"), conditions.line_N)
    rows = rows[np.isin(key_N[rows], key_N[known])]
    if not len(rows):
        return pd.DataFrame()
    fitted = fit_split(table, features, split, replace(TrainConfig.preset("tiny"), seed=0))
    with tempfile.TemporaryDirectory() as folder:
        save_bundle(Path(folder), {split.name: fitted}, table.genes)
        bundle = load_bundle(Path(folder))
    measured = MeasuredConditions(
        conditions=conditions.take(known),
        delta_NG=np.asarray(table.delta_NG[known]),
        weight_N=np.ones(len(known)),
    )
    weights = bundle.splits[split.name].ranker_weights
    print(split.name, len(rows), {name: one for name, one in weights.items() if one > 0.001})
    plain = {one.name: one.fit(measured) for one in (RawCosine(), CentredCosine(), RankCosine())}
    gallery = sorted(set(measured.conditions.drug_N))
    asked = conditions.take(rows)
    frames = []
    for way, change in WAYS.items():
        signature_QG = change(
            np.asarray(table.delta_NG[rows], dtype=np.float64),
            np.asarray(measured.delta_NG, dtype=np.float64),
            np.random.default_rng(0),
        ).astype(np.float32)
        queries = Queries(
            signature_QG=signature_QG, line_Q=asked.line_N, plate_Q=np.full(len(rows), "")
        )
        scores = {name: one.scores(queries, gallery) for name, one in plain.items()}
        ranked = bundle.rank(signature_QG, asked.line_N, gallery=gallery)
        scores[SHIPPED] = ranked.scores_QD
        scores |= _by_correlation(signature_QG, measured, gallery)
        frames += _rows(scores, gallery, features_parents(measured), asked, split.name, way)
    return pd.concat(frames, ignore_index=True)


def features_parents(measured: MeasuredConditions) -> dict[str, str]:
    """Parent compound of each measured drug."""
    conditions = measured.conditions
    return dict(zip(conditions.drug_N.tolist(), conditions.parent_N.tolist(), strict=True))


def _by_correlation(
    signature_QG: NDArray[Any], measured: MeasuredConditions, gallery: list[str]
) -> dict[str, NDArray[Any]]:
    """Pearson and weighted connectivity to the best row of each drug, on the genes that are given."""
    is_given_G = np.isfinite(signature_QG).all(axis=0)
    query_QG = signature_QG[:, is_given_G].astype(np.float64)
    rows_NG = np.asarray(measured.delta_NG[:, is_given_G], dtype=np.float64)
    pearson_QN = _unit_centred(query_QG) @ _unit_centred(rows_NG).T
    found = {"pearson": pearson_QN, WTCS: weighted_connectivity(query_QG, rows_NG)}
    drug_N = measured.conditions.drug_N
    return {
        name: np.stack([one[:, drug_N == drug].max(axis=1) for drug in gallery], axis=1)
        for name, one in found.items()
    }


def _unit_centred(rows_NG: NDArray[Any]) -> NDArray[Any]:
    return unit_rows(rows_NG - rows_NG.mean(axis=1, keepdims=True))


def weighted_connectivity(query_QG: NDArray[Any], rows_NG: NDArray[Any]) -> NDArray[Any]:
    """Weighted connectivity score (Q, N) of Subramanian et al. (2017), Cell 171, 1437.

    Half the difference of the enrichment scores of the query's top and bottom genes in a profile,
    0 where they have one sign; genes are weighed by their absolute value there.
    """
    n_top = min(N_TOP, query_QG.shape[1] // 4)
    order_NG = np.argsort(-rows_NG, axis=1)
    size_NG = np.abs(np.take_along_axis(rows_NG, order_NG, axis=1))
    order_QG = np.argsort(-query_QG, axis=1)
    found = np.empty((len(query_QG), len(rows_NG)))
    for number, genes_G in enumerate(order_QG):
        up_N, down_N = (
            _enrichment(np.isin(order_NG, genes), size_NG)
            for genes in (genes_G[:n_top], genes_G[-n_top:])
        )
        found[number] = np.where(np.sign(up_N) != np.sign(down_N), (up_N - down_N) / 2, 0.0)
    return found


def _enrichment(is_hit_NG: NDArray[np.bool_], size_NG: NDArray[Any]) -> NDArray[Any]:
    """Largest deviation of the weighted running sum of each profile (N,)."""
    hit_NG = np.where(is_hit_NG, size_NG, 0.0)
    hit_NG = hit_NG / np.maximum(hit_NG.sum(axis=1, keepdims=True), 1e-12)
    running_NG = np.cumsum(hit_NG - ~is_hit_NG / (~is_hit_NG).sum(axis=1, keepdims=True), axis=1)
    place_N = np.abs(running_NG).argmax(axis=1)
    return running_NG[np.arange(len(running_NG)), place_N]


def _rows(
    scores: Mapping[str, NDArray[Any]],
    gallery: list[str],
    parent_of: Mapping[str, str],
    asked: Conditions,
    draw: str,
    way: str,
) -> list[pd.DataFrame]:
    groups = [parent_of[drug] for drug in gallery]
    frames = []
    for name, scores_QD in scores.items():
        rank_Q, n_Q = identity_ranks(scores_QD, groups, asked.parent_N)
        frames.append(
            pd.DataFrame(
                {
                    "draw": draw,
                    "way": way,
                    "predictor": name,
                    names.DRUG: asked.drug_N,
                    names.DOSE_UM: asked.dose_um_N,
                    names.CELL_LINE_ID: asked.line_N,
                    names.PLATE: asked.plate_N,
                    names.PARENT_COMPOUND: asked.parent_N,
                    "n_gallery": n_Q,
                    "mrr": 1.0 / rank_Q,
                }
            )
        )
    return frames


def _figures(rows: pd.DataFrame) -> dict[str, Any]:
    """MRR of every ranker and way of asking, and what ships minus plain correlation."""
    found = {}
    for way, part in rows.groupby("way", sort=False):
        there = [name for name in RANKERS if name in set(part["predictor"])]
        found[str(way)] = {
            "n_gallery": int(part["n_gallery"].median()),
            "mrr": means(part, "mrr", there),
            "ships_minus": {
                name: difference(part, "mrr", there[0], name) for name in there if name != there[0]
            },
        }
    return found


def _other_laboratory(tahoe_dir: Path, sciplex_dir: Path) -> pd.DataFrame:
    """Real sci-Plex lists as queries against real Tahoe lists; best row of any line.

    A drug of the query's own class is right (see ``CLASSES``).
    """
    tahoe, tahoe_NG, tahoe_genes = _ranks_of(tahoe_dir)
    sciplex, sciplex_NG, sciplex_genes = _ranks_of(sciplex_dir)
    genes = [gene for gene in tahoe_genes if gene in set(sciplex_genes)]
    tahoe_NG = tahoe_NG[:, [tahoe_genes.index(gene) for gene in genes]]
    sciplex_NG = sciplex_NG[:, [sciplex_genes.index(gene) for gene in genes]]
    class_Q = np.array([_class_of(drug) for drug in sciplex[names.DRUG]])
    asked = np.array([kind in CLASSES for kind in class_Q])
    sciplex, sciplex_NG, class_Q = sciplex[asked], sciplex_NG[asked], class_Q[asked]
    drug_N = tahoe[names.DRUG].to_numpy(dtype=str)
    measured = MeasuredConditions(
        conditions=Conditions.unmeasured(drug_N, tahoe[names.CELL_LINE_ID].to_numpy(str), 5.0),
        delta_NG=np.nan_to_num(tahoe_NG).astype(np.float32),
        weight_N=np.ones(len(drug_N)),
    )
    line_Q = sciplex[names.CELL_LINE_ID].to_numpy(dtype=str)
    drug_Q = sciplex[names.DRUG].to_numpy(dtype=str)
    asked_for = replace(
        Conditions.unmeasured(drug_Q, line_Q, 5.0, dict(zip(drug_Q, class_Q, strict=True))),
        plate_N=np.full(len(drug_Q), "sci-Plex"),
    )
    gallery = sorted(set(drug_N))
    parent_of = {drug: _class_of(drug) for drug in gallery}
    fitted = RankCosine().fit(measured)
    frames = []
    for number in range(len(drug_Q)):  # each list has genes of its own
        one = np.array([number])
        queries = Queries(
            signature_QG=sciplex_NG[one].astype(np.float32),
            line_Q=line_Q[one],
            plate_Q=np.array([""]),
        )
        scores = _by_correlation(queries.signature_QG, measured, gallery)
        scores[RankCosine().name] = fitted.scores(queries, gallery)
        frames += _rows(scores, gallery, parent_of, asked_for.take(one), "sciplex", "as it is")
    return pd.concat(frames, ignore_index=True)


def _class_of(drug: str) -> str:
    """The class of a drug, or its own name."""
    found = [kind for kind, members in CLASSES.items() if drug.startswith(members)]
    return found[0] if found else drug


def _ranks_of(folder: Path) -> tuple[pd.DataFrame, NDArray[Any], list[str]]:
    """Conditions, scores (N, G; NaN where a gene was not tested), gene ids."""
    with np.load(folder / "scores.npz") as found:
        score_NG = np.where(
            found["score"] == found["missing"], np.nan, found["score"] / found["scale"]
        )
    genes = pd.read_parquet(folder / "genes.parquet")
    conditions = pd.read_parquet(folder / "conditions.parquet")
    return conditions, score_NG, genes[names.ENSEMBL_ID].tolist()


if __name__ == "__main__":
    main()
