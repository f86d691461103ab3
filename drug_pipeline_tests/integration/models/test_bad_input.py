"""What cannot be fitted, asked or judged, through the builders that the assets call and the CLI.

Each is a clear error, or a fallback that the documents state; none is a wrong figure in silence.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import FAILED
from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    CheckpointError,
    ForeignFileError,
    NoSplitError,
    TrainingError,
)
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.evaluation_report import build_evaluation_report
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.ingest.embeddings import build_drug_embeddings
from drug_pipeline.ingest.splits import build_splits
from drug_pipeline.storage.files import HASHES_FILE
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits, read_splits_index, write_splits
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.deployed.bundle_files import load_bundle, load_towers
from drug_pipeline.training.fit_split import fit_split
from drug_pipeline.training.model_assets import (
    build_model_full,
    build_model_prototype,
    read_features,
)
from drug_pipeline_tests.integration.models.conftest import (
    LINES,
    SMILES,
    build_inputs,
    screen,
    store_screen,
)
from drug_pipeline_tests.stored import stamp

JUDGED = replace(EvaluationConfig.preset("tiny"), is_exported=False)


def judged(layout: Layout, config: TrainConfig, evaluation: EvaluationConfig = JUDGED):
    """The metrics of both models after everything downstream of the splits was built."""
    build_model_full(layout, config)
    build_model_prototype(layout, config)
    stamp(layout, "gate_fits", [])
    stamp(layout, "gene_panel", [])
    build_evaluation_report(layout, evaluation)
    return pq.read_table(layout.evaluation_dir / "metrics.parquet").to_pandas()


def with_roles(layout: Layout, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """The stored pair split with other roles."""
    conditions = read_delta(layout).conditions
    split = read_splits(layout, conditions)["pair"]
    changed = {"pair": replace(split, roles_N=change(split.roles_N), fingerprint="changed")}
    stamp(layout, "splits", write_splits(layout, conditions, changed, notes={}, skipped={}))


def contents(layout: Layout) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(layout.full_dir.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("role", ["train", "test"])
def test_a_split_with_an_empty_side_fails_the_run_and_says_which(
    layout: Layout, role: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_TRACKING", "false")
    with_roles(layout, lambda roles_N: np.where(roles_N == role, "unused", roles_N))

    code = run_command(
        ["run", "--preset", "tiny", "--select", "model_full", "--data-dir", str(layout.root)]
    )

    said = capfd.readouterr().err
    assert code == FAILED
    assert f"failed: model_full: the {role} side of split 'pair' is empty (150 conditions)" in said
    assert not layout.full_dir.exists()


def test_splits_that_were_not_drawn_are_left_out_by_name_and_one_that_was_is_fitted(
    layout: Layout, brief: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with_roles(layout, lambda roles_N: roles_N)

    built = build_model_full(layout, replace(brief, splits=("pair", "scaffold")))

    assert built.stamp.summary["skipped"] == ["scaffold"]
    build_model_full(layout, replace(brief, splits=("drug", "dose")))
    assert "none of the splits drug, dose was drawn; models are fitted on 'pair'" in caplog.text
    conditions = read_delta(layout).conditions
    stamp(layout, "splits", write_splits(layout, conditions, {}, notes={}, skipped={}))
    with pytest.raises(NoSplitError, match="no split was drawn"):
        build_model_full(layout, replace(brief, splits=("drug",)))


def test_a_drug_and_a_line_with_one_condition_each_go_through_to_the_report(
    tmp_path, brief: TrainConfig
) -> None:
    table = screen()
    asked = table.conditions
    is_lone_drug = (asked["drug"] == "alpha").to_numpy()
    is_lone_line = (asked["cell_line_id"] == LINES[0]).to_numpy()
    rows = np.flatnonzero(~is_lone_drug & ~is_lone_line)
    lone = [np.flatnonzero(is_lone_drug & ~is_lone_line)[0]]
    lone.append(np.flatnonzero(is_lone_line & ~is_lone_drug)[0])
    layout = Layout(tmp_path / "data")
    store_screen(layout, table.take(np.sort(np.concatenate([rows, lone]))))
    build_inputs(layout)

    metrics = judged(layout, replace(brief, linear=()))

    answers = load_bundle(layout.deploy_dir)
    assert np.isfinite(metrics["value"]).all()
    conditions = read_delta(layout).conditions
    assert (conditions["drug"] == "alpha").sum() == 1
    assert (conditions["cell_line_id"] == LINES[0]).sum() == 1
    assert "alpha" in answers.default_gallery()


def test_a_response_that_is_the_same_everywhere_goes_through_to_the_report(
    tmp_path, brief: TrainConfig
) -> None:
    table = screen()
    constant = np.full_like(table.delta_NG, 0.25)
    layout = Layout(tmp_path / "data")
    store_screen(layout, replace(table, delta_NG=constant, half_a_NG=constant, half_b_NG=constant))
    build_inputs(layout)

    metrics = judged(layout, replace(brief, linear=()))

    assert np.isfinite(metrics["value"]).all()
    shipped = read_predictions(layout.full_dir / "pair")
    np.testing.assert_allclose(shipped.predictions[shipped.shipped], 0.25, atol=1e-3)


def asked_on_the_command_line(layout: Layout, drug: str, path: Path) -> pd.DataFrame:
    """The drugs that ``rank`` writes for a measured response, and shows at most 500 of."""
    like = f"{drug}@{LINES[0]}@5"
    asked = ["rank", "--like", like, "--top", "500", "--out", str(path)]
    assert run_command([*asked, "--data-dir", str(layout.root)]) == 0
    return pd.read_csv(path)


def test_one_drug_alone_is_predicted_and_a_gallery_of_one_is_ranked_but_not_judged(
    tmp_path, brief: TrainConfig
) -> None:
    layout = Layout(tmp_path / "data")
    store_screen(layout, screen(drugs=("gamma",)))
    build_inputs(layout)
    build_inputs(layout, SplitConfig(names=("cell_line", "drug"), test_frac=0.3))
    skipped = read_splits_index(layout)["skipped"]
    assert skipped["drug"] == "a split needs at least two parent compounds; there are 1"

    new_lines = replace(brief, splits=("cell_line",), prototype_split="cell_line", linear=())
    metrics = judged(layout, new_lines)

    assert set(metrics["task"]) == {"forward"}
    signature_QG = read_delta(layout).delta_NG[:1]
    ranking = load_bundle(layout.deploy_dir).rank(
        signature_QG, np.array([LINES[0]]), gallery=["gamma"]
    )
    assert ranking.scores_QD.shape == (1, 1)
    assert np.isfinite(ranking.scores_QD).all()
    # on the command line the other drugs, which have a structure, are candidates too
    ranked = asked_on_the_command_line(layout, "gamma", tmp_path / "ranked.csv")
    assert len(ranked) == 10
    assert ranked["is_measured"].sum() == 1


def test_k_beyond_the_gallery_means_the_whole_gallery(
    layout: Layout, brief: TrainConfig, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = judged(layout, brief, replace(JUDGED, gallery_ks=(1, 500)))

    drugs = metrics[(metrics["task"] == "drug") & (metrics["k"] == 500)]
    assert set(drugs["gallery"]) == {10}
    for metric, expected in (("hit", 1.0), ("recall", 1.0), ("precision", 0.1)):
        np.testing.assert_allclose(drugs.loc[drugs["metric"] == metric, "value"], expected)
    ranked = asked_on_the_command_line(layout, "alpha", tmp_path / "ranked.csv")
    assert sorted(ranked["drug"]) == sorted(SMILES)
    assert "10 drugs ranked" in capsys.readouterr().out
    targets = metrics[(metrics["task"] == "prototype_target") & (metrics["k"] == 500)]
    np.testing.assert_allclose(targets.loc[targets["metric"] == "recall", "value"], 1.0)
    np.testing.assert_allclose(targets.loc[targets["metric"] == "recall_ceiling", "value"], 1.0)


def test_a_run_that_was_killed_starts_afresh_once_the_vectors_are_others(
    layout: Layout, brief: TrainConfig
) -> None:
    untouched = Layout(layout.root.with_name("untouched"))
    shutil.copytree(layout.root, untouched.root)
    seen = []

    def kill(figures: dict[str, float], step: int) -> None:
        seen.append(step)
        if any("validation_mrr" in name for name in figures) and step > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_model_full(layout, brief, log=kill)
    (left,) = layout.full_dir.parent.glob(".full-resume-*/pair/forward-0.pt")
    other = DrugEmbeddingConfig(morgan_radius=1)
    for one in (layout, untouched):
        assert build_drug_embeddings(one, other).is_new
        build_model_full(one, brief)

    assert not left.exists()
    relative = {
        str(one.root): {path.removeprefix(str(one.root)): c for path, c in contents(one).items()}
        for one in (layout, untouched)
    }
    assert relative[str(layout.root)] == relative[str(untouched.root)]


@pytest.mark.parametrize("what", ["vectors", "split", "genes"])
def test_a_saved_run_of_other_vectors_genes_or_another_split_is_not_taken_up(
    layout: Layout, brief: TrainConfig, what: str, tmp_path
) -> None:
    table = read_delta(layout)
    features, split = read_features(layout, table), read_splits(layout, table.conditions)["pair"]
    fit_split(table, features, split, brief, resume_dir=tmp_path / "resume")
    if what == "vectors":
        drugs = replace(features.drugs, vectors_KF=features.drugs.vectors_KF + 1)
        features = replace(features, drugs=drugs)
    elif what == "split":
        split = replace(split, fingerprint="other")
    else:
        tokens = table.genes[names.TOKEN_ID] + 100
        table = replace(table, genes=table.genes.assign(**{names.TOKEN_ID: tokens}))

    named = {"vectors": "other drug vectors", "split": "other split", "genes": "other genes"}
    with pytest.raises(CheckpointError, match=f"forward-0.pt is of {named[what]} than asked for"):
        fit_split(table, features, split, brief, resume_dir=tmp_path / "resume")


def test_files_of_another_model_in_a_bundle_are_refused(
    layout: Layout, brief: TrainConfig, tmp_path
) -> None:
    build_model_full(layout, replace(brief, splits=("pair", "drug")))
    bundle = layout.deploy_dir
    other = Layout(tmp_path / "other")
    shutil.copytree(layout.root, other.root)
    build_drug_embeddings(other, DrugEmbeddingConfig(morgan_radius=1))
    build_model_full(other, replace(brief, splits=("pair", "drug")))

    kept = (bundle / "features.npz").read_bytes()
    shutil.copy(other.deploy_dir / "features.npz", bundle)
    with pytest.raises(ForeignFileError, match=r"1 of \d+ files .*first: features\.npz"):
        load_bundle(bundle)
    (bundle / HASHES_FILE).unlink()
    with pytest.raises(CheckpointError, match="pair is of other drug vectors than asked for"):
        load_bundle(bundle)
    (bundle / "features.npz").write_bytes(kept)
    for suffix in ("safetensors", "json"):
        shutil.copy(bundle / "drug" / f"inverse-0.{suffix}", bundle / "pair")
    with pytest.raises(CheckpointError, match="inverse-0 is of other split than asked for"):
        load_towers(bundle, "pair")


@pytest.mark.parametrize("asset", ["drug_embeddings", "splits"])
def test_a_model_of_other_vectors_or_splits_than_are_there_answers_no_question(
    layout: Layout, brief: TrainConfig, asset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build_model_full(layout, brief)
    if asset == "splits":
        build_splits(layout, SplitConfig(test_frac=0.3, validation_frac=0.2, seed=1))
    else:
        build_drug_embeddings(layout, DrugEmbeddingConfig(morgan_radius=1))

    code = run_command(["rank", "--like", f"alpha@{LINES[0]}@0.5", "--data-dir", str(layout.root)])

    assert code == FAILED
    said = capsys.readouterr().err
    assert f"model_full was built from another {asset} than the one there now" in said
    assert "Materialise model_full again" in said


def test_a_training_that_diverges_stops_with_its_split_and_batch_and_the_old_model_stays(
    layout: Layout, brief: TrainConfig
) -> None:
    build_model_full(layout, brief)
    before = contents(layout)
    wild = replace(brief.forward.loop, n_epochs=6, learning_rate=1e25, warmup_frac=0.0)
    diverging = replace(brief, forward=replace(brief.forward, loop=wild))

    with pytest.raises(TrainingError, match=r"split 'pair': forward, batch \d+ of \d+: the \w+ is"):
        build_model_full(layout, diverging)

    assert contents(layout) == before
    assert np.isfinite(load_bundle(layout.deploy_dir).predict(_asked(layout))).all()


def _asked(layout: Layout):
    from drug_pipeline.linear import Conditions

    return Conditions.from_frame(read_delta(layout).conditions.head(3))


def test_fewer_drugs_and_lines_than_components_are_no_obstacle(
    layout: Layout, brief: TrainConfig
) -> None:
    many = replace(brief, n_chemistry=500, n_cell=500, n_profile=500)

    build_model_full(layout, many)
    build_model_prototype(layout, many)

    split = load_bundle(layout.deploy_dir).splits["pair"]
    sizes = split.encoder.sizes()
    n_descriptors = np.diff(split.encoder.features.drugs.blocks["descriptors"])[0]
    assert sizes.n_chemistry - n_descriptors < 10  # as many as ten drugs span
    assert sizes.n_cell <= len(LINES)


def test_without_validation_the_preferred_linear_model_ships_and_no_error_is_promised(
    layout: Layout, brief: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with_roles(layout, lambda roles_N: np.where(roles_N == "validation", "unused", roles_N))

    metrics = judged(layout, brief)

    assert "split 'pair' has no validation conditions" in caplog.text
    fitted = read_predictions(layout.full_dir / "pair")
    assert fitted.shipped == fitted.best_linear
    assert fitted.notes["alpha"] == 0.0
    assert fitted.uncertainty_N is None
    answer = load_bundle(layout.deploy_dir).answer(_asked(layout))
    assert np.isfinite(answer.delta_NG).all()
    assert np.isnan(answer.expected_error_N).all()
    assert {"forward", "drug", "prototype_target", "prototype_drug"} <= set(metrics["task"])
