"""Each column of the scores is the metric that it is called."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.scoring import (
    de_metrics,
    delta_metrics,
    metric_table,
    per_condition,
    ranking_inputs,
    ranking_metrics,
)
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.long_table import long_table
from drug_pipeline.evaluation.scoring.metric import Inputs, Metric, computed
from drug_pipeline.evaluation.scoring.metric_table import BY_NAME, FORWARD, RETRIEVAL
from drug_pipeline.evaluation.scoring.per_condition import ForwardTask
from drug_pipeline.evaluation.scoring.ranking_inputs import of_grades, of_one_answer, of_relevance
from drug_pipeline.evaluation.scoring.strata import strata_of

KS = (1, 5, 10, 20)
AT_K: dict[str, Callable[..., NDArray[np.float64]]] = {
    "precision": ranking_metrics.precision_at,
    "recall": ranking_metrics.recall_at,
    "map": ranking_metrics.average_precision_at,
    "ndcg": ranking_metrics.ndcg_at,
}


def training_means(table: DeltaTable, split: Split, columns: list[str]) -> NDArray[np.float32]:
    """Mean Δ of the training conditions that share these columns with each test condition."""
    train, test = split.rows("train"), split.rows("test")
    of = table.conditions.groupby(columns).indices
    keys = table.conditions.iloc[test][columns].itertuples(index=False, name=None)
    return np.stack(
        [
            table.delta_NG[np.intersect1d(of[key if len(key) > 1 else key[0]], train)].mean(0)
            for key in keys
        ]
    )


def test_every_column_of_predictions_is_the_metric_of_that_name(
    table: DeltaTable, truth: NDArray[np.float32], plate_split: Split
) -> None:
    test = plate_split.rows("test")
    rng = np.random.default_rng(0)
    noise, scale = rng.normal(size=truth[test].shape), rng.uniform(0.2, 5.0, table.se_NG.shape[1])
    table = replace(table, se_NG=(table.se_NG * scale).astype(np.float32))
    task = ForwardTask.of(table, plate_split.rows("train"), test, de_genes=(5,))
    predicted = (0.6 * truth[test] + 1.5 * noise).astype(np.float32)

    got = dict(zip(task.keys, task.scores({"model": predicted})["model"].T, strict=True))

    measured, conditions = table.delta_NG[test], table.conditions.iloc[test]
    by_line = training_means(table, plate_split, ["cell_line_id"])
    by_dose = training_means(table, plate_split, ["cell_line_id", "dose_um"])
    group = (conditions["cell_line_id"] + conditions["plate"]).to_numpy()
    parent = conditions["parent_compound"].to_numpy()
    pair, centred = (predicted, measured), (predicted - by_line, measured - by_line)
    se = table.se_NG[test]
    called = [de_metrics.called_de(delta, se) for delta in pair]
    expected = {
        ("pearson_centred", 0): delta_metrics.pearson(*centred),
        ("pearson", 0): delta_metrics.pearson(*pair),
        ("mse", 0): delta_metrics.mse(*pair),
        ("pearson_centred_dose", 0): delta_metrics.pearson(predicted - by_dose, measured - by_dose),
        ("cosine_centred", 0): delta_metrics.cosine(*centred),
        ("spearman_centred", 0): delta_metrics.spearman(*centred),
        ("cosine", 0): delta_metrics.cosine(*pair),
        ("spearman", 0): delta_metrics.spearman(*pair),
        ("weighted_mse", 0): delta_metrics.weighted_mse(*pair, se),
        ("mae", 0): delta_metrics.mae(*pair),
        ("r2", 0): delta_metrics.r2(*pair),
        ("noise_corrected_mse", 0): delta_metrics.noise_corrected_mse(*pair, se),
        ("overlap", 5): de_metrics.overlap_at(*pair, 5),
        ("direction", 5): de_metrics.direction_at(*pair, 5),
        ("de_jaccard", 0): de_metrics.de_jaccard(*called),
        ("sign_fidelity", 0): de_metrics.sign_fidelity(*pair, *called),
        ("lfc_nmae", 0): de_metrics.lfc_nmae(*pair, called[1]),
        ("pds", 0): delta_metrics.discrimination(*pair, group, parent)[0],
        ("pds_cosine", 0): delta_metrics.discrimination(*centred, group, parent, distance="cosine")[
            0
        ],
    }
    assert got.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(got[key], values, atol=2e-4, err_msg=str(key))
    different = np.stack(list(expected.values())).round(6)
    assert len(np.unique(different, axis=0)) == len(expected)  # a column in another's place is seen


def test_metrics_of_one_right_answer_are_those_of_a_single_relevant_candidate() -> None:
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.tile(np.arange(15.0), (40, 1)), axis=1)
    ranks, right = ranking_inputs.ranks(scores), np.zeros((40, 15), dtype=bool)
    right[np.arange(40), rng.integers(0, 15, size=40)] = True
    rank = ranks[right]

    found = computed(RETRIEVAL, of_one_answer(rank, np.full(40, 15)), KS)

    np.testing.assert_array_equal(found["median_rank", 0], rank)
    np.testing.assert_allclose(found["mrr", 0], 1 / rank)
    np.testing.assert_allclose(found["normalised_rank", 0], (15 - rank) / 14)
    for k in KS:
        np.testing.assert_array_equal(found["hit", k], rank <= k)
        for name, metric in AT_K.items():
            np.testing.assert_allclose(found[name, k], metric(ranks, right, k), err_msg=name)


def test_metrics_of_several_right_answers_are_those_of_the_ranking_and_its_first_one() -> None:
    rng = np.random.default_rng(2)
    ranks = ranking_inputs.ranks(rng.normal(size=(30, 12)))
    right = rng.random((30, 12)) < 0.3
    right[0] = False

    found = computed(RETRIEVAL, of_relevance(ranks, right), KS)

    first = np.array(
        [row[mask].min() if mask.any() else np.nan for row, mask in zip(ranks, right, strict=True)]
    )
    np.testing.assert_array_equal(found["median_rank", 0], first)
    np.testing.assert_array_equal(found["mrr", 0], 1 / first)
    n_right = np.where(right.any(axis=1), right.sum(axis=1), np.nan)
    for k in KS:
        for name, metric in AT_K.items():
            np.testing.assert_array_equal(found[name, k], metric(ranks, right, k), err_msg=name)
        np.testing.assert_allclose(found["recall_ceiling", k], np.minimum(k, n_right) / n_right)
        is_known = np.isfinite(n_right)
        assert (found["recall", k] <= found["recall_ceiling", k])[is_known].all()


def test_graded_relevance_of_a_worked_example() -> None:
    ranks = np.array([[1.0, 2, 3, 4, 5]])
    grade = np.array([[0, 3, 2, 1, 0]], dtype=np.int8)

    scores = computed(RETRIEVAL, of_grades(ranks, grade, Inputs({})), (2, 4))
    found = {key: float(value[0]) for key, value in scores.items()}

    def discount(rank: int) -> float:
        return float(1 / np.log2(1 + rank))

    # gains 0, 7, 3, 1, 0; the best order is 7, 3, 1
    best = 7 * discount(1) + 3 * discount(2)
    assert found["graded_ndcg", 2] == pytest.approx(7 * discount(2) / best)
    reached = 7 * discount(2) + 3 * discount(3) + 1 * discount(4)
    assert found["graded_ndcg", 4] == pytest.approx(reached / (best + discount(3)))
    # without the drug itself the others stand at 1, 2, 3, 4, those at 2 and 3 being related
    assert found["related_precision", 2] == pytest.approx(1 / 2)
    assert found["related_recall", 2] == pytest.approx(1 / 2)
    assert found["related_recall", 4] == pytest.approx(1.0)
    expected = metrics.average_precision_score([0, 1, 1, 0], [4, 3, 2, 1])
    assert found["related_map", 4] == pytest.approx(expected)
    assert expected == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_every_metric_has_one_definition() -> None:
    every = [*FORWARD, *RETRIEVAL]

    assert len(BY_NAME) == len(every)
    assert all(len(one.definition) > 10 and len(one.source) > 10 for one in every)
    assert len({one.definition for one in every}) == len({one.title for one in every}) == len(every)


def test_every_public_function_of_a_metric_names_its_source() -> None:
    functions = {function for one in (*FORWARD, *RETRIEVAL) for function in one.functions.values()}
    public = [one for one in functions if not one.__name__.startswith(("_", "<"))]

    assert len(public) > 15
    assert [one.__name__ for one in public if "Notes\n    -----" not in (one.__doc__ or "")] == []


def test_all_that_a_metric_may_need_is_offered_and_has_the_shape_of_the_rows(
    table: DeltaTable, plate_split: Split
) -> None:
    test = plate_split.rows("test")
    task = ForwardTask.of(table, plate_split.rows("train"), test, de_genes=(5,))
    shapes = {}

    def shape_of(need: str) -> Metric:
        def told(*given: NDArray[np.float32]) -> NDArray[np.float64]:
            shapes[need] = given[0].shape
            return np.zeros(len(given[0]))

        return replace(BY_NAME["mse"], name=need, functions={(need,): told}, ceiling=None)

    needs = [*per_condition.MEASURED, *per_condition.PREDICTED]
    measured = Inputs(per_condition.made(per_condition.MEASURED, task, slice(3, 9)))
    predicted = per_condition.made(per_condition.PREDICTED, task.measured(slice(3, 9)), measured)
    computed([shape_of(need) for need in needs], Inputs(predicted, measured), ())

    of_rows = {"group": (6,), "identity": (6,)}
    assert shapes == {need: of_rows.get(need, (6, len(table.genes))) for need in needs}
    np.testing.assert_array_equal(measured["half_a"], table.half_a_NG[test[3:9]])
    np.testing.assert_array_equal(measured["se"], table.se_NG[test[3:9]])


def test_the_control_of_a_condition_is_that_of_its_line_and_plate(
    table: DeltaTable, plate_split: Split
) -> None:
    profiles = np.arange(len(table.controls.groups), dtype=np.float32)[:, None] * np.ones((1, 4))
    table = replace(table, controls=replace(table.controls, control_MG=profiles))
    test = plate_split.rows("test")
    task = ForwardTask.of(table, plate_split.rows("train"), test, de_genes=())

    found = task.control(slice(None))[:, 0].astype(int)

    keys = ["cell_line_id", "plate"]
    of_control = table.controls.groups[keys].iloc[found].to_numpy()
    np.testing.assert_array_equal(of_control, table.conditions[keys].iloc[test].to_numpy())


def test_a_metric_is_added_by_its_row_alone(
    table: DeltaTable, plate_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = Metric(
        name="largest_error",
        title="Largest error",
        definition="Largest absolute error over genes, natural logs.",
        source="Chebyshev distance",
        functions={("predicted", "measured"): lambda p, m: np.abs(p - m).max(axis=1)},
        is_error=True,
    )
    for name in ("metric_table.FORWARD", "per_condition.FORWARD"):
        monkeypatch.setattr(f"drug_pipeline.evaluation.scoring.{name}", (*FORWARD, largest))
    monkeypatch.setitem(metric_table.BY_NAME, "largest_error", largest)
    test = plate_split.rows("test")
    task = ForwardTask.of(table, plate_split.rows("train"), test, de_genes=(5,))

    scores = task.scores({"zero": np.zeros_like(table.delta_NG[test])})["zero"]
    told = long_table(
        {"zero": scores},
        task.keys,
        strata_of(table.conditions.iloc[test], np.full(len(test), "active")),
        split="s",
        task="forward",
        config=BootstrapConfig(n_resamples=100),
    )

    row = told[(told["metric"] == "largest_error") & (told["stratum_kind"] == "all")].iloc[0]
    assert row["value"] == pytest.approx(np.abs(table.delta_NG[test]).max(axis=1).mean())
    assert row["ci_low"] < row["value"] < row["ci_high"]
