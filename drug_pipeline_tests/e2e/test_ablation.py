"""Gate fits and ablation report of the chain: what they hold, and how a killed run goes on."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names
from drug_pipeline.evaluation.ablation.ablation_report import (
    FIGURES,
    REPORT,
    SUMMARY,
    build_ablation_report,
)
from drug_pipeline.evaluation.ablation.gate_verdicts import read_gate_verdicts
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.gates.gates import BLIND_FIT_GATE, demanded_gates
from drug_pipeline.settings import Settings
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import predicted_splits, read_predictions
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.training.ablation.fits import GATE_VARIANTS, build_ablation_fits
from drug_pipeline_tests.e2e.conftest import Built, build, contents


@pytest.fixture
def unfitted(built: Built, tmp_path: Path) -> Settings:
    """The data folder of the chain without its ablations."""
    shutil.copytree(built.layout.root, tmp_path / "data")
    settings = built.settings.model_copy(update={"data_dir": tmp_path / "data"})
    shutil.rmtree(settings.layout.ablation_fits_dir)
    return settings


def fit(settings: Settings, killed_after: int = 0) -> list[str]:
    """Fit the ablations; the titles of those that were made."""
    made: list[str] = []

    def tell(done: int, total: int, text: str) -> None:
        made.append(text)
        if done == killed_after:
            os._exit(9)

    build_ablation_fits(settings.layout, settings.training(), settings.ablation(), progress=tell)
    return made


def test_the_report_tells_each_variant_against_the_full_model_with_n_and_interval(
    built: Built,
) -> None:
    figures = pq.read_table(built.layout.ablation_dir / FIGURES).to_pandas()

    variants = set(built.settings.ablation().variants["pair"])
    assert set(figures["variant"]) == variants
    costs = figures[figures["variant"] != names.REFERENCE]
    assert costs["cost"].notna().all()
    assert (figures["n"] > 0).all()
    shuffled = figures[
        (figures["variant"] == "shuffled_drug")
        & (figures["predictor"] == "shipped")
        & (figures["metric"] == "pearson_centred")
        & (figures["stratum"] == "all")
    ].iloc[0]
    assert 0 < shuffled["cost_low"] < shuffled["cost"] < shuffled["cost_high"]


def test_report_and_champion_wait_for_gates_and_not_for_ablations(built: Built) -> None:
    assert list(built.outcomes.results)[-2:] == ["registered_model", "ablation_report"]


def test_every_gate_that_a_champion_needs_of_fits_is_run_on_the_split_that_decides(
    built: Built,
) -> None:
    run = {gate.name for gate in read_gate_verdicts(built.layout) if gate.n > 0}

    of_fits = ("when fitted", "permuted targets", "input matters")
    demanded = {one for one in demanded_gates("pair") if any(word in one for word in of_fits)}
    assert len(demanded) == 3
    assert demanded <= run


def test_what_was_fitted_for_the_gates_is_not_fitted_again(
    built: Built, unfitted: Settings
) -> None:
    made = fit(unfitted)

    n_fits = StampStore(built.layout).require("ablation_fits").summary["n_fits"]
    assert len(made) == n_fits - len(GATE_VARIANTS)
    assert contents(unfitted.layout.ablation_fits_dir) == contents(built.layout.ablation_fits_dir)


def test_the_blind_gate_looks_at_the_fit_of_every_split_of_the_model(built: Built) -> None:
    blind = {
        gate.name: gate
        for gate in read_gate_verdicts(built.layout)
        if gate.name.startswith(BLIND_FIT_GATE)
    }

    splits = predicted_splits(built.layout.full_dir)
    assert set(blind) == {f"{BLIND_FIT_GATE}: {split}" for split in splits}
    assert len(splits) > 1
    assert all(gate.is_green and gate.n > 0 for gate in blind.values())


def test_the_page_names_all_three_observations_and_needs_no_network(built: Built) -> None:
    page = (built.layout.ablation_dir / REPORT).read_text()
    summary = (built.layout.ablation_dir / SUMMARY).read_text()

    for claim in ("Cell tokens stabilise ranking", "Warm-up of the ranking loss helps"):
        assert f"{claim}: " in page
        assert f"**{claim}: " in summary
    assert "Gene embeddings form a manifold: not decided: no gene sets were given" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_killed_run_keeps_the_fits_that_were_done_and_makes_the_others(
    built: Built, unfitted: Settings
) -> None:
    process = multiprocessing.get_context("spawn").Process(target=fit, args=(unfitted, 3))
    process.start()
    process.join(timeout=300)
    assert process.exitcode == 9
    kept = [
        path.parent.name for path in sorted(unfitted.layout.ablation_fits_dir.glob("*/*/fit.json"))
    ]

    made = fit(unfitted)

    n_fits = StampStore(built.layout).require("ablation_fits").summary["n_fits"]
    assert len(kept) == 3 + len(GATE_VARIANTS)
    assert len(made) == n_fits - len(kept)
    fits = (layout.ablation_fits_dir for layout in (built.layout, unfitted.layout))
    ours, theirs = (contents(folder) for folder in fits)
    assert ours == theirs


def test_the_full_model_is_not_fitted_again_where_the_model_itself_is_that_fit(
    built: Built, unfitted: Settings
) -> None:
    config = built.settings.ablation()
    whole = type(config)(variants={"pair": (names.REFERENCE,)}, n_seeds=1, max_test=20)

    build_ablation_fits(unfitted.layout, unfitted.training(), whole)

    own = read_predictions(unfitted.layout.full_dir / "pair")
    kept = read_predictions(unfitted.layout.ablation_fits_dir / "pair" / f"{names.REFERENCE}-0")
    assert len(kept.rows_N) == 20 < len(own.rows_N)
    same = own.of_rows(kept.rows_N)
    assert same.predictions.keys() == kept.predictions.keys()
    for name, made_NG in same.predictions.items():
        assert (made_NG == kept.predictions[name]).all()
    (ours, theirs) = (one.rankings[names.DRUG_TASK] for one in (same, kept))
    assert ours.gallery == theirs.gallery
    assert (ours.scores["combined"] == theirs.scores["combined"]).all()


def test_gene_sets_that_know_too_few_genes_are_said_to(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.layout.root, tmp_path / "data")
    layout = Layout(tmp_path / "data")
    (tmp_path / "few.gmt").write_text("MADE_UP\tno link\tTOP1\tNOT_A_GENE\n")

    build_ablation_report(
        layout, built.settings.section(EvaluationConfig), gene_sets=tmp_path / "few.gmt"
    )

    assert (
        "fewer than 50 genes are in one of the 1 gene sets given"
        in (layout.ablation_dir / REPORT).read_text()
    )


def test_the_ablations_alone_can_be_asked_for_again(built: Built, raw_dir: Path) -> None:
    again = build(raw_dir, built.layout.root, "ablation_report")

    assert again.outcome.is_success
    assert again.outcomes.built == set()
