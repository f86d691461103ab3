"""Every kind of split is fitted, predicted and judged; a killed run goes on where it stood."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluate import evaluate_split
from drug_pipeline.evaluation.evaluation_report import data_gates
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.ingest.splits import audit_stored_splits
from drug_pipeline.linear import Conditions
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.model_assets import build_model_full
from drug_pipeline_tests.integration.models.conftest import build_inputs, screen, store_screen

FEW = EvaluationConfig(n_resamples=100, gallery_ks=(1,), de_genes=(5,))


def test_every_split_is_audited_fitted_and_judged(layout: Layout, brief: TrainConfig) -> None:
    assert audit_stored_splits(layout) == list(SPLIT_NAMES)

    built = build_model_full(layout, replace(brief, splits=SPLIT_NAMES, n_workers=1))
    assert built.stamp.summary["skipped"] == []
    bundle = load_bundle(layout.deploy_dir)
    table = read_delta(layout)
    splits, noise = read_splits(layout, table.conditions), measure_noise(table)
    drugs, lines = (
        pq.read_table(layout.metadata_dir / f"{name}.parquet").to_pandas()
        for name in ("drugs", "cell_lines")
    )
    assert all(gate.is_green for gate in data_gates(table, list(splits.values()), drugs, lines))
    for name in SPLIT_NAMES:
        fitted = read_predictions(layout.full_dir / name)
        assert all(np.isfinite(made).all() for made in fitted.predictions.values()), name
        asked = Conditions.from_frame(fitted.conditions)
        again_NG = bundle.splits[name].shipped.predict(asked)
        np.testing.assert_allclose(again_NG, fitted.predictions[fitted.shipped], atol=1e-5)
        metrics = evaluate_split(table, splits[name], fitted, drugs, noise, FEW).metrics
        forward = metrics[metrics["task"] == "forward"]
        assert {"zero", "line_mean", "network", "blend"} <= set(forward["predictor"]), name
        ranked = metrics[metrics["task"] == "drug"]
        assert {"random", "popularity", "plate_only", "raw_cosine", "lda_cosine"} <= set(
            ranked["predictor"]
        ), name
    new_line = table.conditions.iloc[splits["organ"].rows("test")[:1]]
    assert _without(bundle, ["pair", "organ"], new_line).route(
        Conditions.from_frame(new_line)
    ).tolist() == ["organ"]
    # the last one is the replicate plate: all of its conditions were measured on plate 2
    oracle = ranked[(ranked["predictor"] == "oracle") & (ranked["metric"] == "mrr")]
    assert oracle["value"].min() > 0.8


def _without(bundle: Bundle, kept: list[str], conditions: pd.DataFrame) -> Bundle:
    """Some splits of a bundle, none of them trained on the lines of these conditions."""
    lines = frozenset(conditions["cell_line_id"])
    splits = {
        name: replace(split, trained_lines=split.trained_lines - lines)
        for name, split in bundle.splits.items()
        if name in kept
    }
    return replace(bundle, splits=splits)


def test_a_killed_build_goes_on_at_the_last_evaluated_epoch_and_ends_in_the_same_bytes(
    tmp_path, brief: TrainConfig
) -> None:
    loop = replace(brief.forward.loop, n_epochs=4, patience=10)
    config = replace(
        brief,
        forward=replace(brief.forward, loop=loop),
        inverse=replace(brief.inverse, loop=loop),
    )
    layouts = [Layout(tmp_path / name / "data") for name in ("whole", "killed")]
    trained: list[list[int]] = [[], []]
    for layout in layouts:
        store_screen(layout, screen())
        build_inputs(layout)

    def counting(number: int, stop_after: int | None = None):
        def log(figures: dict[str, float], step: int) -> None:
            trained[number] += [step] if "pair_train_loss" in figures else []
            if stop_after is not None and len(trained[number]) > stop_after:
                raise KeyboardInterrupt

        return log

    build_model_full(layouts[0], config, log=counting(0))
    for stop_after in (2, 6):  # in the third forward epoch, then in the third inverse epoch
        with pytest.raises(KeyboardInterrupt):
            build_model_full(layouts[1], config, log=counting(1, stop_after))
    build_model_full(layouts[1], config, log=counting(1))

    assert len(trained[0]) == 8
    assert len(trained[1]) == 10  # each kill costs the epoch it fell into, and no other
    made = [
        {p.relative_to(one.root): p.read_bytes() for p in one.full_dir.rglob("*") if p.is_file()}
        for one in layouts
    ]
    assert made[0] == made[1]
    assert not list(layouts[1].full_dir.parent.glob(".full-resume-*"))
    assert len(read_delta(layouts[1]).conditions) == 150


def test_a_split_that_a_killed_build_had_fitted_is_not_fitted_again(
    tmp_path, brief: TrainConfig
) -> None:
    config = replace(brief, splits=("pair", "drug", "cell_line"))
    layouts = [Layout(tmp_path / name / "data") for name in ("whole", "killed")]
    for layout in layouts:
        store_screen(layout, screen())
        build_inputs(layout)
    trained: set[str] = set()

    def until(last: str | None):
        def log(figures: dict[str, float], step: int) -> None:
            del step
            trained.update(name.partition("_train_")[0] for name in figures if "_train_" in name)
            if last is not None and f"{last}_train_loss" in figures:
                raise KeyboardInterrupt

        return log

    build_model_full(layouts[0], config)
    with pytest.raises(KeyboardInterrupt):
        build_model_full(layouts[1], config, log=until("drug"))
    assert trained == {"pair", "drug"}
    trained.clear()
    build_model_full(layouts[1], config, log=until(None))

    assert trained == {"drug", "cell_line"}
    made = [
        {p.relative_to(one.root): p.read_bytes() for p in one.full_dir.rglob("*") if p.is_file()}
        for one in layouts
    ]
    assert made[0] == made[1]
