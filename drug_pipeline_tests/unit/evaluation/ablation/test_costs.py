"""Costs, gates and verdicts of ablations on predictions made by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.ablation.costs import SplitAblation, figures, gates, rows_of, scores
from drug_pipeline.evaluation.ablation.page import _verdict as verdict
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.storage.predictions import Rankings, SplitPredictions

CONFIG = BootstrapConfig(n_resamples=200)


def predictions(table: DeltaTable, split: Split, blur: float, right: float) -> SplitPredictions:
    """The measurement times ``1 - blur``; the right drug is scored ``right``, all others 0."""
    rows_N = split.rows("test")
    conditions = table.conditions.iloc[rows_N].reset_index(drop=True)
    predicted_NG = np.asarray((1 - blur) * table.delta_NG[rows_N], dtype=np.float32)
    gallery = tuple(sorted(conditions["drug"].unique()))
    parent_of = dict(zip(conditions["drug"], conditions["parent_compound"], strict=True))
    scores_QD = right * (conditions["drug"].to_numpy()[:, None] == np.array(gallery)[None, :])
    return SplitPredictions.of_test(
        table,
        split,
        predictions={
            "network": predicted_NG,
            "panel_ridge": predicted_NG,
            "global_mean": np.broadcast_to(
                table.delta_NG[split.rows("train")].mean(axis=0), predicted_NG.shape
            ).astype(np.float32),
        },
        shipped="network",
        network="network",
        best_linear="panel_ridge",
        rankings={
            names.DRUG_TASK: Rankings(
                query_rows_Q=rows_N,
                gallery=gallery,
                groups=tuple(parent_of[drug] for drug in gallery),
                scores={"combined": scores_QD.astype(np.float32)},
                shipped="combined",
            )
        },
    )


@pytest.fixture
def ablation(table: DeltaTable, plate_split: Split) -> SplitAblation:
    def fit(blur: float, right: float) -> SplitPredictions:
        return predictions(table, plate_split, blur, right)

    return SplitAblation(
        split=plate_split,
        fits={
            "as_configured": [fit(0.0, 1.0)],
            "no_skip": [fit(0.5, 0.0)],
            "shuffled_drug": [fit(2.0, -1.0)],
            "permuted_targets": [fit(1.0, 0.0)],
        },
    )


def found(ablation: SplitAblation, table: DeltaTable) -> pd.DataFrame:
    return figures(ablation, scores(table, ablation, measure_noise(table)), CONFIG)


def test_a_cost_is_what_the_variant_is_worse_by_in_errors_as_in_scores(
    ablation, table, plate_split
):
    frame = found(ablation, table)
    measured = table.delta_NG[plate_split.rows("test")].astype(np.float64)

    mse = rows_of(frame, variant="no_skip", predictor="shipped", metric="mse", stratum="all")
    mrr = rows_of(frame, variant="no_skip", predictor="combined", metric="mrr", stratum="all")

    assert mse["cost"].item() == pytest.approx((0.25 * measured**2).mean(), rel=1e-5)
    n_parents = 12
    assert mrr["cost"].item() == pytest.approx(1 - 1 / ((n_parents + 1) / 2))
    assert mrr["gallery"].item() == n_parents
    assert mse["n"].item() == len(measured)


def test_figures_are_means_over_seeds_and_their_spread_is_told(ablation, table, plate_split):
    good, bad = (predictions(table, plate_split, 0.0, right) for right in (1.0, 0.0))
    two = replace(ablation, fits={**ablation.fits, "as_configured": [good, bad]})

    frame = found(two, table)

    whole = rows_of(frame, variant="as_configured", metric="mrr", stratum="all")["value"].item()
    spread = rows_of(frame, variant="as_configured", metric="mrr_spread", stratum="all")
    tied = 1 / 6.5
    assert whole == pytest.approx((1 + tied) / 2)
    assert spread["value"].item() == pytest.approx((1 - tied) / np.sqrt(2))


def test_a_variant_judged_on_other_conditions_is_refused(ablation, table, plate_split):
    other = replace(plate_split, roles_N=np.where(plate_split.roles_N == "test", "train", "test"))
    fits = {**ablation.fits, "no_skip": [predictions(table, other, 0.0, 1.0)]}

    with pytest.raises(AlignmentError, match="'no_skip' of split 'plate_replicate'"):
        scores(table, replace(ablation, fits=fits), measure_noise(table))


def test_permuted_targets_that_beat_the_mean_turn_the_gate_red(ablation, table, plate_split):
    leaking = predictions(table, plate_split, 0.5, 0.0)
    both = (ablation, replace(ablation, fits={**ablation.fits, "permuted_targets": [leaking]}))

    for one, is_green in zip(both, (True, False), strict=True):
        told = gates(one, scores(table, one, measure_noise(table)), CONFIG)
        permuted = [gate for gate in told if gate.name.startswith("permuted targets")]
        assert [gate.is_green for gate in permuted] == [is_green] * 3


def test_a_shuffled_drug_that_costs_nothing_turns_the_gate_red(ablation, table, plate_split):
    blind = replace(
        ablation, fits={**ablation.fits, "shuffled_drug": ablation.fits["as_configured"]}
    )

    for one, is_green in ((ablation, True), (blind, False)):
        told = gates(one, scores(table, one, measure_noise(table)), CONFIG)
        shipped = [gate for gate in told if "shuffled drug, shipped" in gate.name]
        assert [gate.is_green for gate in shipped] == [is_green]
        assert ("What ships there is Linear + network" in shipped[0].explanation) == (not is_green)


@pytest.mark.parametrize(
    ("cost", "low", "high", "expected"),
    [
        (0.02, 0.01, 0.03, "confirmed"),
        (0.002, 0.001, 0.003, "refuted, the gain is below 0.005"),
        (0.01, -0.01, 0.03, "refuted, no gain is seen"),
        (-0.02, -0.03, -0.01, "refuted, it hurts"),
        (-0.002, -0.003, -0.001, "refuted, no gain is seen"),
    ],
)
def test_a_claim_is_confirmed_by_a_cost_that_matters_with_its_interval(cost, low, high, expected):
    assert verdict(cost, low, high) == expected
