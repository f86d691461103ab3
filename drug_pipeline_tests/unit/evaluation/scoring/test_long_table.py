"""From scores to the long tables: the right rows, n, intervals, and ceilings beside predictors."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.scoring import ceilings, de_metrics, delta_metrics
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.long_table import COLUMNS, differences, gaps, long_table
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.evaluation.scoring.per_condition import ForwardTask, ceiling_scores
from drug_pipeline.evaluation.scoring.strata import strata_of

QUICK = BootstrapConfig(n_resamples=100)


@pytest.fixture(scope="module")
def task(table: DeltaTable, plate_split: Split) -> ForwardTask:
    return ForwardTask.of(
        table, plate_split.rows("train"), plate_split.rows("test"), de_genes=(5, 10, 999)
    )


def test_scores_are_the_metric_functions_on_delta_and_centred_delta(
    task: ForwardTask, table: DeltaTable, truth: np.ndarray, plate_split: Split
) -> None:
    test, train = plate_split.rows("test"), plate_split.rows("train")
    predicted = truth[test]

    got = dict(zip(task.keys, task.scores({"truth": predicted})["truth"].T, strict=True))

    measured = table.delta_NG[test]
    line = table.conditions["cell_line_id"].to_numpy()
    centre = np.stack([table.delta_NG[train][line[train] == line[row]].mean(0) for row in test])
    np.testing.assert_allclose(got["mse", 0], delta_metrics.mse(predicted, measured))
    np.testing.assert_allclose(got["spearman", 0], delta_metrics.spearman(predicted, measured))
    np.testing.assert_allclose(
        got["pearson_centred", 0],
        delta_metrics.pearson(predicted - centre, measured - centre),
        atol=1e-5,
    )
    np.testing.assert_allclose(got["overlap", 5], de_metrics.overlap_at(predicted, measured, 5))
    assert ("overlap", 999) not in got  # k beyond the panel


def test_blocks_of_rows_change_nothing(
    task: ForwardTask, truth: np.ndarray, plate_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = {"truth": truth[plate_split.rows("test")]}
    whole = task.scores(predicted)["truth"]

    monkeypatch.setattr("drug_pipeline.evaluation.scoring.per_condition.BLOCK_ROWS", 5)

    np.testing.assert_allclose(task.scores(predicted)["truth"], whole)


def test_predicting_the_line_mean_scores_nothing_when_centred(
    task: ForwardTask,
) -> None:
    scores = task.scores({"line_mean": task.by_line.of(slice(None))})["line_mean"]

    np.testing.assert_array_equal(scores[:, task.keys.index(("pearson_centred", 0))], 0.0)


def test_the_ceilings_stand_between_the_truth_and_the_replicate(
    task: ForwardTask, table: DeltaTable, truth: np.ndarray, plate_split: Split
) -> None:
    noise = measure_noise(table)
    test = plate_split.rows("test")
    scores = {**task.scores({"truth": truth[test]}), **ceiling_scores(task, noise)}
    strata = strata_of(table.conditions.iloc[test], noise.label_N[test])

    metrics = long_table(scores, task.keys, strata, split="s", task="forward", config=QUICK)

    active = metrics[(metrics["stratum"] == "active") & (metrics["metric"] == "pearson")]
    value = active.set_index("predictor")["value"]
    assert value[ceilings.REPLICATE] < value["truth"]
    assert value[ceilings.PLATE] == pytest.approx(value["truth"], abs=0.006)
    assert value[ceilings.PLATE] == pytest.approx(np.sqrt(value[ceilings.REPLICATE]))
    assert value[ceilings.COUNTING] == pytest.approx(value["truth"], abs=0.03)
    assert value[ceilings.WELL] <= value[ceilings.COUNTING]
    error = metrics[(metrics["stratum"] == "active") & (metrics["metric"] == "mse")]
    floor = error.set_index("predictor")["value"]
    assert floor[ceilings.COUNTING] == pytest.approx(floor["truth"], rel=0.1)
    assert floor[ceilings.PLATE] == pytest.approx(floor["truth"], rel=0.1)


def test_the_long_table_has_every_stratum_and_counts_defined_rows() -> None:
    conditions = pd.DataFrame(
        {
            "drug": ["a", "b", "c", "d", "e", "f"],
            "dose_um": [0.5, 0.5, 0.5, 5.0, 5.0, 5.0],
            "cell_line_id": ["L1", "L2"] * 3,
            "parent_compound": list("ABCDEF"),
        }
    )
    label = np.array(["active", "active", "active", "active", "active", "unknown"])
    scores = {"p": np.array([[1.0], [2.0], [3.0], [4.0], [np.nan], [6.0]])}

    got = long_table(
        scores,
        [("mse", 0)],
        strata_of(conditions, label),
        split="pair",
        task="forward",
        config=QUICK,
    )

    assert list(got.columns) == list(COLUMNS)
    cell = got.set_index(["stratum_kind", "stratum"])
    assert cell.loc[("all", "all"), "n"] == 5
    assert cell.loc[("all", "all"), "value"] == pytest.approx(16 / 5)
    assert np.isfinite(cell.loc[("all", "all"), "ci_low"])
    assert cell.loc[("activity", "active"), "value"] == pytest.approx(10 / 4)
    assert np.isfinite(cell.loc[("activity", "active"), "ci_low"])
    assert np.isnan(cell.loc[("line", "L1"), "ci_low"])  # three compounds
    assert cell.loc[("line", "L1"), "value"] == pytest.approx(2.0)
    assert cell.loc[("active_line", "L2"), "value"] == pytest.approx(3.0)
    assert cell.loc[("dose", "0.5"), "value"] == pytest.approx(2.0)
    assert cell.loc[("drug", "f"), "n"] == 1
    assert ("drug", "e") not in cell.index  # no defined row


def test_active_conditions_of_too_few_compounds_are_no_stratum() -> None:
    conditions = pd.DataFrame(
        {
            "drug": list("abcdef"),
            "dose_um": 0.5,
            "cell_line_id": "L1",
            "parent_compound": list("ABCDEF"),
        }
    )

    def strata(n_active: int) -> set[str]:
        label = np.where(np.arange(6) < n_active, "active", "inactive")
        return {one.name for one in strata_of(conditions, label) if one.kind == "activity"}

    assert strata(4) == {"inactive"}
    assert strata(5) == {"active", "inactive"}


def test_compounds_are_drawn_whole_but_within_one_drug_lines_are() -> None:
    conditions = pd.DataFrame(
        {
            "drug": ["a", "a salt"],
            "dose_um": 1.0,
            "cell_line_id": ["L1", "L2"],
            "parent_compound": "A",
        }
    )

    strata = strata_of(conditions, np.array(["active", "active"]))

    cluster = {(one.kind, one.name): one.cluster.tolist() for one in strata}
    assert cluster["all", "all"] == ["A", "A"]
    assert cluster["drug", "a salt"] == ["L2"]
    assert cluster["active_drug", "a"] == ["L1"]


def test_only_fine_metrics_are_told_by_line_and_median_ranks_are_medians() -> None:
    conditions = pd.DataFrame(
        {
            "drug": list("abcdefg"),
            "dose_um": 1.0,
            "cell_line_id": "L",
            "parent_compound": list("ABCDEFG"),
        }
    )
    values = np.stack([[1.0, 1, 1, 2, 9, 9, 50], np.zeros(7)], axis=1)

    got = long_table(
        {"r": values},
        [("median_rank", 0), ("recall", 5)],
        strata_of(conditions, np.full(7, "active")),
        split="s",
        task="drug",
        config=QUICK,
        gallery_N=np.full(7, 60),
    )

    rank = got[got["metric"] == "median_rank"].set_index("stratum_kind")
    assert rank.loc["all", "value"] == 2.0
    assert rank.loc["all", "gallery"] == 60
    assert rank.loc["line", "value"] == 2.0
    assert "line" not in set(got.loc[got["metric"] == "recall", "stratum_kind"])


def test_differences_are_of_one_predictor_to_every_other() -> None:
    conditions = pd.DataFrame(
        {
            "drug": list("abcdef"),
            "dose_um": 1.0,
            "cell_line_id": "L",
            "parent_compound": list("ABCDEF"),
        }
    )
    base = np.arange(6.0)[:, None]

    got = differences(
        {"own": base + 1, "x": base, "y": base + 2},
        [("pearson", 0)],
        strata_of(conditions, np.full(6, "active")),
        predictor="own",
        split="s",
        task="forward",
        config=QUICK,
    )

    whole = got[got["stratum"] == "all"].set_index("reference")
    np.testing.assert_allclose(whole.loc[["x", "y"], "difference"], [1.0, -1.0])
    np.testing.assert_allclose(whole.loc["x", ["ci_low", "ci_high"]].astype(float), 1.0)
    assert set(got["stratum_kind"]) == {"all", "activity"}


def test_gaps_of_errors_are_shares_too() -> None:
    conditions = pd.DataFrame(
        {
            "drug": list("abcdef"),
            "dose_um": 1.0,
            "cell_line_id": "L",
            "parent_compound": list("ABCDEF"),
        }
    )
    ones = np.ones((6, 1))

    got = gaps(
        {"model": 2 * ones, "zero": 3 * ones, ceilings.COUNTING: ones},
        [("mse", 0)],
        strata_of(conditions, np.full(6, "active")),
        baseline="zero",
        split="s",
        config=QUICK,
    )

    whole = got[got["stratum"] == "all"]
    assert whole["predictor"].tolist() == ["model"]
    assert whole["value"].tolist() == [0.5]
    nothing = gaps({"model": ones}, [("mse", 0)], [], baseline="additive", split="s", config=QUICK)
    assert nothing.empty
