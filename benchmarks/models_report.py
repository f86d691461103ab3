"""The tables of ``docs/benchmarks/models.md``, from what the benchmarks left in ``results/``.

    python benchmarks/models_report.py

Replaces what stands between ``<!-- name -->`` and ``<!-- /name -->``; the words around stay.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks" / "models.md"
TITLES = {
    "pair": "unseen pair",
    "cell_line": "unseen line",
    "drug": "unseen drug",
    "plate_replicate": "another plate",
}
FORWARD = ("drug_mean", "additive", "additive_svd", "panel_ridge", "line_ridge", "kernel_line")
FORWARD = (*FORWARD, "tanimoto_kernel_ridge", "product_kernel_ridge", "best_linear", "network")
FORWARD = (*FORWARD, "blend", "shipped", "measurement", "replicate")
RANKERS = ("raw_cosine", "scaled_cosine", "centred_cosine", "lda_cosine", "lda_nearest", "tower")
RANKERS = (*RANKERS, "sda_cosine", "rank_cosine", "rank_gallery", "whitened_gallery", "combined")
ASKED = ("ships", "rank_cosine", "pearson", "raw_cosine", "centred_cosine")
ASKED = (*ASKED, "weighted_connectivity")
DOSES = ("mean_of_doses", "interpolation", "half_and_half", "dose_interpolation")
DOSES = (*DOSES, "tanimoto_kernel_ridge", "product_kernel_ridge", "best_linear", "shipped")
DRUGS = ("line_mean", "tanimoto_knn", "tanimoto_kernel_ridge", "product_kernel_ridge")
DRUGS = (*DRUGS, "best_linear", "shipped")
PAIRS = ("zero", "global_mean", "line_mean", "drug_mean", "additive", "pair_ridge")
PAIRS = (*PAIRS, "product_kernel_ridge", "best_linear", "shipped")
DATA = {"atlas": "simulated", "generated": "generated"}
Document = Mapping[str, Any]


def main() -> None:
    """Write the tables whose results are there."""
    page = PAGE.read_text(encoding="utf-8")
    for name in ("atlas", "generated"):
        path = HERE / "results" / f"against_truth_{name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            page = _put(page, f"{name}-forward", forward_table(found))
            page = _put(page, f"{name}-mse", error_table(found))
            page = _put(page, f"{name}-ranks", rank_table(found))
            page = _put(page, f"{name}-goals", goal_table(found))
    page = _put(page, "noise-curve", curve_table(_curves("")))
    page = _put(page, "noise-curve-networks", network_table(_curves("_networks")))
    draw_curves(_curves(""))
    path = HERE / "results" / "l1000.json"
    if path.exists():
        page = _put(page, "l1000", l1000_tables(json.loads(path.read_text())))
    path = HERE / "results" / "rankings.json"
    if path.exists():
        page = _put(page, "rankings", ranking_tables(json.loads(path.read_text())))
    PAGE.write_text(page, encoding="utf-8")


def _put(page: str, name: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    assert pattern.search(page), f"{PAGE} has no place named {name}"
    return pattern.sub(lambda found: found[1] + text + "\n" + found[2], page)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(figure: Document | None, *, scale: float = 1.0, digits: int = 3) -> str:
    """``value [low, high]``; a dash where there is none."""
    if figure is None:
        return "–"
    texts = [f"{scale * figure[name]:.{digits}f}" for name in ("value", "low", "high")]
    texts = [re.sub(r"^(-?)0\.", r"\1.", text) if digits == 3 else text for text in texts]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _size(figures: Mapping[str, Document]) -> str:
    first = next(iter(figures.values()))
    return f"n {first['n']:,}, {first['n_compounds']} compounds"


def ranking_tables(found: Document) -> str:
    """MRR of what ships and of plain rankers, one table a task, a row a way of asking."""
    parts = []
    for task, ways in found.items():
        rankers = [name for name in ASKED if name in next(iter(ways.values()))["mrr"]]
        first = next(iter(ways.values()))
        size = f"{_size(first['mrr'])}, gallery of {first['n_gallery']} compounds"
        header = [f"{task} ({size})", *(name.replace("_", " ") for name in rankers)]
        header.append(f"{rankers[0].replace('_', ' ')} - pearson")
        rows = [
            [
                way,
                *(_number(one["mrr"][name]) for name in rankers),
                _number(one["ships_minus"]["pearson"]),
            ]
            for way, one in ways.items()
        ]
        parts.append(_table(header, rows))
    return "\n\n".join(parts)


def forward_table(found: Document) -> str:
    """Centred Pearson with the truth of every predictor, by split."""
    splits = [name for name in TITLES if name in found["splits"]]
    header = ["centred Pearson with the truth"]
    header += [f"{TITLES[one]} ({_size(found['splits'][one]['active']['own'])})" for one in splits]
    rows = []
    for name in FORWARD:
        cells = [found["splits"][one]["active"]["own"].get(name) for one in splits]
        if any(cells):
            rows.append([name.replace("_", " "), *map(_number, cells)])
    for title, figure in (("training centre", "train"), ("strong conditions", None)):
        cells = []
        for one in splits:
            part = found["splits"][one]
            figures = part["active"][figure] if figure else part["strong"]["own"]
            cells.append(_number(figures["shipped"]))
        rows.append([f"shipped, {title}", *cells])
    return _table(header, rows)


def error_table(found: Document) -> str:
    """Squared error on the test side of what ships against the best linear model, by draw."""
    header = ["split", "draw", "best linear model", "shipped"]
    header += ["MSE shipped - best linear × 1000 (measured)", "coverage of the 90 % bound"]
    rows = []
    for name, title in TITLES.items():
        part = found["splits"].get(name)
        for draw, figures in (part["by_draw"] if part else {}).items():
            fit = part["fits"][draw]
            rows.append(
                [
                    *(title, draw, fit["best_linear"], fit["shipped"]),
                    _number(figures["mse"], scale=1000, digits=2),
                    f"{fit['coverage']:.2f}" if fit["coverage"] is not None else "–",
                ]
            )
    return _table(header, rows)


def _curves(ending: str) -> list[Document]:
    """The measured curves of both data sets, those that are there."""
    paths = [
        HERE / "results" / f"noise_curve_{name}{ending}.json" for name in ("atlas", "generated")
    ]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def curve_table(curves: Sequence[Document]) -> str:
    """Centred Pearson with the truth at multiples of the cells, and the gap closed across plates."""
    header = ["data", "cells a condition", *TITLES.values(), "another plate: gap closed"]
    rows = []
    for curve in curves:
        for times in sorted({point["times"] for point in curve["points"]}):
            at = {point["split"]: point for point in curve["points"] if point["times"] == times}
            cells = [
                _number(at[one]["own"][at[one]["best"]]) if one in at else "–" for one in TITLES
            ]
            gap = at["plate_replicate"]["gap_closed"] if "plate_replicate" in at else None
            n_cells = f"{times * curve['cells_a_condition']:,.0f}"
            rows.append([DATA[curve["data"]], n_cells, *cells, _number(gap)])
    return _table(header, rows)


def network_table(curves: Sequence[Document]) -> str:
    """What the network and the blend add to the best linear model where errors are smaller."""
    header = ["data", "cells a condition", "split", "best linear", "ships"]
    header += ["network - best linear", "blend - best linear", "shipped - best linear"]
    rows = []
    for curve in curves:
        for point in curve["points"]:
            n_cells = f"{point['times'] * curve['cells_a_condition']:,.0f}"
            added = [
                _number(point["minus_best_linear"][one]) for one in ("network", "blend", "shipped")
            ]
            linear = _number(point["own"]["best_linear"])
            about = [DATA[curve["data"]], n_cells, TITLES[point["split"]], linear]
            rows.append([*about, point["ships"].replace("_", " "), *added])
    return _table(header, rows)


def draw_curves(curves: Sequence[Document]) -> None:
    """The picture beside the table: one panel a data set, one line a split."""
    figure, axes = plt.subplots(1, len(curves), figsize=(5 * len(curves), 3.6), sharey=True)
    for axis, curve in zip(np.atleast_1d(axes), curves, strict=True):
        for name, title in TITLES.items():
            points = [point for point in curve["points"] if point["split"] == name]
            n_cells = [point["times"] * curve["cells_a_condition"] for point in points]
            figures = [point["own"][point["best"]] for point in points]
            axis.plot(n_cells, [one["value"] for one in figures], marker="o", label=title)
            bounds = ([one[end] for one in figures] for end in ("low", "high"))
            axis.fill_between(n_cells, *bounds, alpha=0.15)
        axis.set(xscale="log", ylim=(0, 1), title=f"{DATA[curve['data']]} data")
        axis.set_xlabel("cells a condition (errors divided by the root)")
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("centred Pearson with the truth")
    np.atleast_1d(axes)[-1].legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(PAGE.parent / "noise_curve.png", dpi=120, metadata={"Software": None})
    plt.close(figure)


def rank_table(found: Document) -> str:
    """Mean reciprocal and normalised rank of the rankers."""
    asked = [("plate_replicate", "panel", "mrr"), ("plate_replicate", "all", "mrr")]
    asked += [("drug", "held_out", "normalised_rank"), ("drug", "all", "normalised_rank")]
    header, columns = ["ranker"], []
    for split, gallery, figure in asked:
        part = found["splits"].get(split, {}).get("ranks", {}).get(gallery)
        if part is not None:
            figures = part[figure]
            title = "MRR" if figure == "mrr" else "normalised rank"
            drugs = f"{gallery.replace('_', ' ')}, about {part['n_gallery']:.0f} compounds"
            header.append(f"{TITLES[split]}: {title} ({drugs}; {_size(figures)})")
            columns.append(figures)
    names = [name for name in RANKERS if any(name in figures for figures in columns)]
    rows = [
        [name.replace("_", " "), *(_number(figures.get(name)) for figures in columns)]
        for name in names
    ]
    return _table(header, rows)


def goal_table(found: Document) -> str:
    """Each goal, its figure, and whether it is met."""
    splits, rows = found["splits"], []

    def told(goal: str, figure: Document | None, least: float) -> None:
        if figure is not None:
            verdict = "met" if figure["value"] >= least else "**missed**"
            rows.append([goal, _number(figure), verdict])

    for name, least in (("pair", 0.70), ("cell_line", 0.65), ("drug", 0.30)):
        if name in splits:
            own = splits[name]["active"]["own"]["shipped"]
            told(f"{TITLES[name]}: centred Pearson ≥ {least:.2f}", own, least)
    if "pair" in splits:
        above = dict(splits["pair"]["own_minus"])
        above["best_linear"] = splits["pair"]["shipped_minus_best_linear"]["own"]
        for name in ("best_linear", "product_kernel_ridge", "additive_svd"):
            figure = above[name]
            verdict = "met" if figure["low"] > 0 else "**missed**"
            goal = f"unseen pair: above {name.replace('_', ' ')}, interval above 0"
            rows.append([goal, _number(figure), verdict])
    if "drug" in splits:
        told(
            "unseen drug: dealing out structures and annotations anew costs ≥ .15",
            _cost(splits),
            0.15,
        )
    if "plate_replicate" in splits:
        part = splits["plate_replicate"]
        for name, figure in part["gap_closed"].items():
            if name.endswith("replicate"):
                continue  # with few cells a replicate scores below additive: no ceiling
            goal = f"another plate: ≥ 80 % of the gap, {name.replace('_', ' ')}"
            told(goal, figure, 0.8)
        panel = part["ranks"]["panel"]
        told(
            "inverse across plates: MRR ≥ .62 in the plate's panel", panel["mrr"]["combined"], 0.62
        )
        told("the same: above the whitened cosine", panel["combined_minus_lda_cosine"], 0.0)
    if "drug" in splits:
        ranks = splits["drug"]["ranks"]
        for gallery in ("held_out", "all"):
            figure = ranks[gallery]["normalised_rank"]["combined"]
            told(
                f"unseen drugs, gallery {gallery.replace('_', ' ')}: normalised rank ≥ .70",
                figure,
                0.7,
            )
    for name, title in TITLES.items():
        if name in splits:
            figure = splits[name]["shipped_minus_best_linear"]["mse"]
            worst = max(one["mse"]["value"] for one in splits[name]["by_draw"].values())
            verdict = "met" if worst <= 0 else "**missed**"
            goal = f"{title}: MSE not above the best linear model on any draw (× 1000)"
            rows.append([goal, _number(figure, scale=1000, digits=2), verdict])
    return _table(["goal", "figure [95 % interval]", ""], rows)


def _cost(splits: Document) -> Document | None:
    cost = splits["drug"].get("shuffle_cost")
    return None if cost is None else cost["cost"]


def l1000_tables(found: Document) -> str:
    """Every task on measured L1000."""
    tasks, parts = found["tasks"], []
    if "a375_dose" in tasks:
        task = tasks["a375_dose"]
        for name, title in (("interior", "an interior dose"), ("top", "the top dose")):
            parts += [f"**A375, {title} never measured**\n", _simple(task[name], DOSES)]
        parts += ["**A375, which drug was it: each dose asks the others**\n", _found(task)]
    for name, title in (("a375_drug", "A375"), ("ht115_drug", "HT115")):
        if name in tasks:
            parts.append(
                f"**{title}, a drug never measured** (3 × 5 folds, drugs with structure)\n"
            )
            parts.append(_simple(tasks[name]["with_structure"], DRUGS))
    if "panel_pair" in tasks:
        parts.append("**14 drugs × 43 lines, a pair never measured** (each pair in turn)\n")
        parts.append(_simple(tasks["panel_pair"]["all"], PAIRS))
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _simple(figures: Document, names: Sequence[str]) -> str:
    active, everything = _size(figures["centred"]), _size(figures["mse"])
    header = ["predictor", f"centred Pearson (active: {active})", "Pearson"]
    header.append(f"MSE × 1000 (all: {everything})")
    rows = [
        [
            name.replace("_", " "),
            _number(figures["centred"][name]),
            _number(figures["pearson"][name]),
            _number(figures["mse"][name], scale=1000, digits=1),
        ]
        for name in names
        if name in figures["centred"]
    ]
    for reference, one in figures["shipped_minus"].items():
        rows.append(
            [
                f"shipped - {reference.replace('_', ' ')}",
                _number(one["centred"]),
                "",
                _number(one["mse"], scale=1000, digits=1),
            ]
        )
    return _table(header, rows)


def _found(task: Document) -> str:
    ranks = task["retrieval"]
    header = ["ranker", f"MRR (active: {_size(ranks['mrr'])}; {ranks['n_gallery']:.0f} drugs)"]
    header += ["Hit@1", "MRR, all queries"]
    rows = [
        [
            name.replace("_", " "),
            _number(ranks["mrr"][name]),
            _number(ranks["hit1"][name]),
            _number(ranks["mrr_all"][name]),
        ]
        for name in RANKERS
        if name in ranks["mrr"]
    ]
    for name, figure in ranks["combined_minus"].items():
        rows.append([f"combined - {name.replace('_', ' ')}", _number(figure), "", ""])
    return _table(header, rows)


if __name__ == "__main__":
    main()
