"""The whole report on a small screen: files, figures, words, and the second run that does nothing."""

import html
import re
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, EmptyResultError, StaleInputError
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation import evaluation_report as build_module
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluate import evaluate_split
from drug_pipeline.evaluation.evaluation_report import build_evaluation_report
from drug_pipeline.evaluation.gates.verdicts import GateResult
from drug_pipeline.evaluation.scoring import calibration
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, FORWARD
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import Rankings, SplitPredictions, write_predictions
from drug_pipeline.storage.splits import read_splits, write_splits
from drug_pipeline_tests.stored import stamp, store_delta, store_metadata

TINY = EvaluationConfig.preset("tiny")
GREEN = GateResult(
    name="blind to treated cells", state="green", figure=0.0, n=9, explanation="Same."
)


def _predictions(table: DeltaTable, truth: np.ndarray, split: Split) -> SplitPredictions:
    test, train = split.rows("test"), split.rows("train")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(test), truth.shape[1])).astype(np.float32)
    mean = np.broadcast_to(table.delta_NG[train].mean(0), noise.shape).astype(np.float32)
    predictions = {
        "zero": np.zeros_like(mean),
        "line_mean": mean,
        "additive": (0.5 * truth[test] + 0.5 * mean + 0.3 * noise).astype(np.float32),
        "pair_ridge": (0.8 * truth[test] + 0.2 * noise).astype(np.float32),
        "blend": (0.9 * truth[test] + 0.1 * noise).astype(np.float32),
    }
    profiles = table.conditions.iloc[train].groupby("drug").indices
    gallery = tuple(sorted(profiles))
    means = np.stack([table.delta_NG[train][profiles[drug]].mean(0) for drug in gallery])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    query = table.delta_NG[test] / np.linalg.norm(table.delta_NG[test], axis=1, keepdims=True)
    parents = table.conditions.drop_duplicates("drug").set_index("drug")["parent_compound"]
    ranking = Rankings(
        query_rows_Q=test,
        gallery=gallery,
        groups=tuple(parents[drug] for drug in gallery),
        scores={"raw_cosine": (query @ unit.T).astype(np.float32)},
        shipped="raw_cosine",
    )
    return SplitPredictions.of_test(
        table,
        split,
        predictions=predictions,
        shipped="blend",
        best_linear="pair_ridge",
        blend="blend",
        rankings={names.DRUG_TASK: ranking},
        uncertainty_N=np.full(len(test), 0.2, dtype=np.float32),
        left_out={"no SMILES": 1},
        notes={"alpha": 0.5, "weights": {"pair_ridge": 0.6, "network": 0.4}},
    )


def _prepared(
    root: Path, table: DeltaTable, truth: np.ndarray, drugs: pd.DataFrame, plate_split: Split
) -> Layout:
    """A data folder in which everything upstream of the report stands."""
    layout = Layout(root)
    stored = store_delta(layout, table, {"dropped": {"too few vehicle cells": 4}})
    order = stored.conditions.merge(
        table.conditions.reset_index(names="row"),
        on=["plate", "cell_line_id", "drug", "dose_um"],
        sort=False,
    )["row"].to_numpy()
    roles = plate_split.roles_N[order]
    split = replace(plate_split, roles_N=roles)
    files = write_splits(
        layout, stored.conditions, {split.name: split}, notes={}, skipped={"both": "too few"}
    )
    stamp(layout, "splits", files, {})
    lines = pd.DataFrame(
        {
            "cell_line_id": ["CVCL_1", "CVCL_2", "CVCL_3"],
            "cell_name": ["A", "B", "C"],
            "organ": "Lung",
            "driver_mutations": [[], [], []],
        }
    )
    store_metadata(layout, drugs, lines, {"is_generated": True, "notes": {"unmatched": 2}})
    split = read_splits(layout, stored.conditions)[split.name]
    predictions = _predictions(stored, truth[order], split)
    full = write_predictions(layout.full_dir / split.name, predictions)
    stamp(layout, "model_full", full, {})
    target = Rankings(
        query_rows_Q=predictions.rows_N,
        gallery=("T0", "T1", "T2"),
        groups=("T0", "T1", "T2"),
        scores={"head": np.zeros((len(predictions.rows_N), 3), dtype=np.float32)},
        shipped="head",
    )
    prototype = replace(
        predictions,
        predictions={},
        shipped="",
        best_linear="",
        blend="",
        uncertainty_N=None,
        rankings={names.TARGET_TASK: target},
    )
    stamp(
        layout,
        "model_prototype",
        write_predictions(layout.prototype_dir / split.name, prototype),
        {},
    )
    stamp(layout, "gate_fits", [], {})
    stamp(layout, "gene_panel", [], {})
    return layout


@pytest.fixture
def layout(
    tmp_path: Path, table: DeltaTable, truth: np.ndarray, drugs: pd.DataFrame, plate_split: Split
) -> Layout:
    """A data folder of its own, to be built in."""
    return _prepared(tmp_path / "data", table, truth, drugs, plate_split)


@pytest.fixture(scope="module")
def judged(
    tmp_path_factory: pytest.TempPathFactory,
    table: DeltaTable,
    truth: np.ndarray,
    drugs: pd.DataFrame,
    plate_split: Split,
) -> Layout:
    """A data folder with its report, to be read."""
    root = tmp_path_factory.mktemp("judged") / "data"
    layout = _prepared(root, table, truth, drugs, plate_split)
    build_evaluation_report(layout, replace(TINY, gallery_ks=(1, 5, 10, 20)), gates=[GREEN])
    return layout


def test_the_report_is_built_whole_and_a_second_run_changes_nothing(layout: Layout) -> None:
    first = build_evaluation_report(layout, TINY, gates=[GREEN])
    again = build_evaluation_report(layout, TINY, gates=[GREEN])

    assert first.is_new
    assert not again.is_new
    summary = first.stamp.summary
    assert summary["n_splits"] == 1
    assert summary["n_gates_red"] == 0
    assert summary["plate_replicate_shipped_pearson_centred"] > 0.9
    assert summary["plate_replicate_drug_mrr"] > 0.5
    folder = layout.evaluation_dir
    metrics = pq.read_table(folder / "metrics.parquet").to_pandas()
    assert set(metrics["task"]) == {
        "forward",
        "drug",
        "drug_in_panel",
        "drug_same_line",
        "drug_cross_line",
        "prototype_target",
    }
    assert "oracle" in set(metrics.loc[metrics["task"] == "drug", "predictor"])
    assert (folder / "headline.png").read_bytes().startswith(b"\x89PNG")
    back = anndata.read_h5ad(folder / "predictions" / "plate_replicate" / "blend.h5ad")
    assert back.shape == (39, 60)


def test_the_long_table_has_the_columns_that_others_were_promised(judged: Layout) -> None:
    written = pq.read_table(judged.evaluation_dir / "metrics.parquet")
    text, whole, real = "string", "int64", "double"
    assert [(one.name, str(one.type)) for one in written.schema] == [
        ("split", text),
        ("task", text),
        ("predictor", text),
        ("stratum_kind", text),
        ("stratum", text),
        ("metric", text),
        ("k", whole),
        ("value", real),
        ("ci_low", real),
        ("ci_high", real),
        ("n", whole),
        ("gallery", whole),
    ]
    metrics = written.to_pandas()
    key = ["split", "task", "predictor", "stratum_kind", "stratum", "metric", "k"]
    assert not metrics.duplicated(key).any()
    assert (metrics["n"] > 0).all()
    assert ((metrics["gallery"] > 0) == (metrics["task"] != "forward")).all()
    assert {"all", "activity", "line", "dose", "drug"} <= set(metrics["stratum_kind"])
    has_interval = metrics["ci_low"].notna()
    assert (metrics["ci_low"] <= metrics["value"] + 1e-12)[has_interval].all()
    assert (metrics["value"] <= metrics["ci_high"] + 1e-12)[has_interval].all()


def test_the_prototype_tells_its_targets_at_every_k_beside_what_is_possible(
    judged: Layout,
) -> None:
    page = (judged.evaluation_dir / "report.html").read_text(encoding="utf-8")
    prototype = page[page.index('<section id="prototype-') : page.index('<section id="noise">')]
    assert prototype.count("Popular drugs first") == 4  # once a table
    assert prototype.count("Plate alone") == 4
    for k in (5, 10, 20):
        for head in ("Precision", "Recall", "mAP", "NDCG", "Hit"):
            assert f">{head}@{k}</th>" in prototype
        assert f">Recall@{k}, most possible</th>" in prototype
    assert ">Median rank</th>" in prototype
    assert ">MRR</th>" in prototype


def test_each_metric_is_defined_with_its_source_and_told_where_it_can_be(judged: Layout) -> None:
    page = html.unescape((judged.evaluation_dir / "report.html").read_text(encoding="utf-8"))
    definitions = page[page.index('<section id="definitions">') :]
    for metric in BY_NAME.values():
        assert f"<dt>{metric.title} <code>{metric.name}</code></dt>" in definitions
        assert f"<cite>{metric.source}</cite>" in definitions
    metrics = pq.read_table(judged.evaluation_dir / "metrics.parquet").to_pandas()
    assert {metric.name for metric in FORWARD} == set(
        metrics.loc[metrics["task"] == "forward", "metric"]
    )
    assert set(metrics["metric"]) <= set(BY_NAME)


def test_each_metric_says_how_much_of_the_reachable_gap_is_closed(judged: Layout) -> None:
    page = (judged.evaluation_dir / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Can each metric tell predictors apart here?") :]
    table = table[: table.index("</table>")]
    gaps = pq.read_table(judged.evaluation_dir / "gaps.parquet").to_pandas()
    shown = gaps[
        (gaps["predictor"] == "blend")
        & (gaps["stratum"] == "active")
        & (gaps["ceiling"] == "ceiling_plate")
    ].set_index("metric")["value"]
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', table, re.DOTALL))
    for metric, title in (("pearson_centred", "Pearson, centred"), ("mse", "MSE")):
        assert f"<td>{100 * shown[metric]:.0f} %<small>" in rows[title]
    assert " %<small>" not in rows["MAE"]  # no ceiling is known


def test_each_metric_of_rankings_says_whether_it_can_tell_rankers_apart(judged: Layout) -> None:
    page = (judged.evaluation_dir / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Can each metric of rankings tell rankers apart here?") :]
    table = table[: table.index("</table>")]
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th>(.*?)</tr>', table, re.DOTALL))
    assert {"MRR", "Hit@1", "Hit@5", "Normalised rank", "Median rank"} <= set(rows)
    metrics = pq.read_table(judged.evaluation_dir / "metrics.parquet").to_pandas()
    metrics = metrics[(metrics["task"] == "drug") & (metrics["stratum"] == "active")]
    mrr = metrics[metrics["metric"] == "mrr"].set_index("predictor")["value"]
    for ranker in ("random", "raw_cosine"):
        assert f"<td>{mrr[ranker]:.3f}<small>" in rows["MRR"]
    assert mrr["random"] < mrr.max()
    assert f"<td>{mrr.max():.3f}<small>" in rows["MRR"]
    assert "active queries, every drug competes" in page


def test_the_page_is_self_contained_labelled_and_complete(judged: Layout) -> None:
    page = (judged.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "These data are generated" in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert "<script" not in page
    for expected in (
        "too few vehicle cells",
        "no SMILES: 1",
        "Blend, shipped",
        "Ceiling: another plate",
        "blind to treated cells",
        "Not drawn from these data",
        "Plate alone",
        "gallery 12",
        "MSE",
    ):
        assert expected in page
    summary = (judged.evaluation_dir / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("> **These data are generated")
    assert "Across plates" in summary


def test_every_section_of_the_page_stands_in_its_place(judged: Layout) -> None:
    page = (judged.evaluation_dir / "report.html").read_text(encoding="utf-8")
    split = read_splits(judged)["plate_replicate"]
    in_order = (
        "Is the forward model better than simple baselines?",
        "Across plates: Blend reaches 0.9",
        "Are the right drugs found?",
        "Across plates: Hit@1 1.000, ",
        ", beside plain correlation, which ships, and 0.",
        "May it be believed?",
        "3 of 3 gates are green.",
        "Is it champion?",
        "No, it stays a candidate",  # gates that need fits were not run
        "Shipped minus linear",  # headline: linear, network, blend, ceiling
        "Gap closed",
        "Active test conditions, n = 30; points",
        "Pearson, centred by dose",
        "Active test conditions, n = 30 of 9 parent compounds",  # three of twelve do nothing
        "By strength of response, line and drug",
        "Can each metric tell predictors apart here?",
        "Active test conditions, n = 30; 95 % intervals over parent compounds.",
        "Best and worst cases",
        "Ranked drugs",
        "Which drug? (all drugs)",
        "The oracle is no model",
        "Ranked drugs by dose, activity, line and drug",
        "MRR by dose",
        "MRR by activity",
        "MRR by line, ranked drugs",
        "MRR by drug, ranked drugs",
        "measured profiles of the query&#39;s own line alone",
        "measured profiles of other lines alone",
        "Noise",
        "n = 39: expected errors are off by",
        "Ablations",
        "Gates",
        "What data",
        "What was held out",
        split.fingerprint[:12],
        "Definitions",
    )
    main = page[page.index("<main>") :]
    assert [text for text in in_order if text not in main] == []
    place = 0
    for text in in_order:
        place = main.index(text, place)
    assert page.count("</figure>") == page.count("<figcaption>")  # each says n and how to read it
    assert "<th></th>" not in page


def test_a_discrimination_score_that_tells_nothing_is_left_out_and_that_is_said(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def caption(simple_way: float) -> str:
        monkeypatch.setattr(calibration, "SATURATED", simple_way)
        build_evaluation_report(layout, TINY, gates=[GREEN])
        page = (layout.evaluation_dir / "report.html").read_text(encoding="utf-8")
        monkeypatch.setattr(build_module, "CODE_VERSION", "other")
        return page

    telling, saturated = caption(0.999), caption(0.0)

    head = '<th scope="col" title="Perturbation discrimination'
    assert head in telling
    assert "PDS is not shown" not in telling
    assert head not in saturated
    assert "PDS is not shown, since it cannot tell predictors apart here: " in saturated


def test_two_builds_of_the_same_give_the_same_bytes(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_evaluation_report(layout, TINY)
    monkeypatch.setattr(build_module, "CODE_VERSION", "other")

    again = build_evaluation_report(layout, TINY)

    assert again.is_new
    ours = {name: out["sha256"] for name, out in first.stamp.outputs.items()}
    assert {name: out["sha256"] for name, out in again.stamp.outputs.items()} == ours


def test_a_red_gate_is_counted_and_shown_and_its_words_are_escaped(layout: Layout) -> None:
    red = replace(GREEN, state="red", explanation="Predictions moved <img src=x>.")

    built = build_evaluation_report(layout, TINY, gates=[red])

    assert built.stamp.summary["red_gates"] == ["blind to treated cells"]
    page = (layout.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert "RED" in page
    assert "moved &lt;img src=x&gt;" in page


def test_a_gate_that_measured_nothing_is_shown_as_such_everywhere(layout: Layout) -> None:
    blank = replace(GREEN, state="not measured", n=0, explanation="Nothing was measured. No rows.")

    built = build_evaluation_report(layout, TINY, gates=[blank])

    assert built.stamp.summary["n_gates_red"] == 0
    assert built.stamp.summary["gates_not_measured"] == ["blind to treated cells"]
    page = (layout.evaluation_dir / "report.html").read_text(encoding="utf-8")
    assert '<td class="gate not-measured">NOT MEASURED</td>' in page
    summary = (layout.evaluation_dir / "summary.md").read_text(encoding="utf-8")
    assert "- **NOT MEASURED**: blind to treated cells. Nothing was measured. No rows." in summary
    assert "2 of 3 gates are green, 1 not measured." in summary
    gates = pq.read_table(layout.evaluation_dir / "gates.parquet").to_pandas().set_index("name")
    assert gates.loc["blind to treated cells", ["state", "n"]].tolist() == ["not measured", 0]


def test_without_predictions_there_is_nothing_to_judge(layout: Layout) -> None:
    for folder in (layout.full_dir, layout.prototype_dir):
        (folder / "plate_replicate" / "predictions" / "meta.json").unlink()
    stamp(layout, "model_full", [], {})
    stamp(layout, "model_prototype", [], {})
    stamp(layout, "gate_fits", [], {})
    stamp(layout, "gene_panel", [], {})

    with pytest.raises(EmptyResultError, match="no split has predictions"):
        build_evaluation_report(layout, TINY)


def test_predictions_of_another_split_or_table_or_row_are_refused(
    table: DeltaTable, truth: np.ndarray, drugs: pd.DataFrame, plate_split: Split
) -> None:
    predictions = _predictions(table, truth, plate_split)
    noise = measure_noise(table)

    def judge(split: Split, given: SplitPredictions) -> None:
        evaluate_split(table, split, given, drugs, noise, TINY)

    with pytest.raises(AlignmentError, match="another draw of it"):
        judge(replace(plate_split, fingerprint="other"), predictions)
    with pytest.raises(StaleInputError, match="another Δ table"):
        judge(plate_split, replace(predictions, delta_fingerprint="other"))
    moved = predictions.rows_N.copy()
    moved[0] = plate_split.rows("train")[0]
    with pytest.raises(AlignmentError, match="1 of 39 predicted conditions"):
        judge(plate_split, replace(predictions, rows_N=moved))


def test_one_line_one_drug_or_a_gallery_of_one_still_make_a_table(
    table: DeltaTable, truth: np.ndarray, drugs: pd.DataFrame, plate_split: Split
) -> None:
    predictions = _predictions(table, truth, plate_split)
    row = predictions.rows_N[:1]
    one = replace(
        predictions,
        conditions=predictions.conditions.iloc[:1],
        rows_N=row,
        predictions={name: array[:1] for name, array in predictions.predictions.items()},
        uncertainty_N=None,
        rankings={
            names.DRUG_TASK: Rankings(
                query_rows_Q=row,
                gallery=("drug 00",),
                groups=("P00",),
                scores={"raw_cosine": np.ones((1, 1), dtype=np.float32)},
                shipped="raw_cosine",
            )
        },
    )

    found = evaluate_split(table, plate_split, one, drugs, measure_noise(table), TINY)

    assert (found.metrics["n"] == 1).all()
    assert set(found.metrics["task"]) == {"forward"}  # one candidate: nothing to rank
    assert found.metrics["ci_low"].isna().all()
    assert found.n_unanswerable["drug"] == 1
