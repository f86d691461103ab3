"""Retrieval tasks: who is right, who competes, and what chance already finds."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.rankings import chance
from drug_pipeline.evaluation.rankings.ranking_tasks import drug_tasks, target_task
from drug_pipeline.evaluation.scoring import ranking_inputs
from drug_pipeline.storage.predictions import Rankings


@pytest.fixture
def rankings(table: DeltaTable, drugs: pd.DataFrame, plate_split: Split) -> Rankings:
    gallery = tuple(drugs["drug"])
    queries = plate_split.rows("test")
    asked = table.conditions["parent_compound"].to_numpy()[queries]
    groups = tuple(drugs["parent_compound"])
    perfect = (asked[:, None] == np.array(groups)[None, :]).astype(np.float32)
    return Rankings(
        query_rows_Q=queries,
        gallery=gallery,
        groups=groups,
        scores={"perfect": perfect, "silent": np.zeros_like(perfect)},
        shipped="perfect",
    )


def test_a_perfect_ranker_finds_each_compound_first_and_twins_are_one(
    rankings: Rankings, table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    found = drug_tasks(
        "drug", rankings, table.conditions, plate_split.rows("train"), drugs, (1, 5), seed=0
    )

    task = found["drug"]
    column = {key: i for i, key in enumerate(task.keys)}
    assert (task.gallery_Q == 12).all()  # thirteen drugs, twelve compounds
    np.testing.assert_array_equal(task.scores["perfect"][:, column["mrr", 0]], 1.0)
    np.testing.assert_array_equal(task.scores["silent"][:, column["median_rank", 0]], 6.5)
    np.testing.assert_array_equal(task.scores["silent"][:, column["hit", 5]], 0.0)
    assert task.n_unanswerable == 0
    assert {chance.RANDOM, chance.POPULARITY, chance.PLATE_ONLY} <= set(task.scores)
    assert (task.scores["perfect"][:, column["graded_ndcg", 5]] > 0.6).all()


def test_related_drugs_leave_the_own_compound_out(
    rankings: Rankings, table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    found = drug_tasks(
        "drug", rankings, table.conditions, plate_split.rows("train"), drugs, (1,), seed=0
    )["drug"]

    column = found.keys.index(("related_precision", 1))
    # apart from the own compound all others are tied: the first place is nobody's
    np.testing.assert_array_equal(found.scores["perfect"][:, column], 0.0)


def test_within_the_plate_only_its_drugs_compete(
    rankings: Rankings, table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    on_plate = ~(
        (table.conditions["plate"] == "plate3")
        & (table.conditions["drug"].isin(["drug 05", "drug 06"]))
    )
    conditions = table.conditions[on_plate].reset_index(drop=True)
    queries = np.flatnonzero(conditions["plate"] == "plate3")
    asked = conditions["parent_compound"].to_numpy()[queries]
    scores = (asked[:, None] == np.array(rankings.groups)[None, :]).astype(np.float32)
    fewer = Rankings(
        query_rows_Q=queries,
        gallery=rankings.gallery,
        groups=rankings.groups,
        scores={"perfect": scores},
        shipped="perfect",
    )

    found = drug_tasks("drug", fewer, conditions, np.arange(10), drugs, (1,), seed=0)

    assert (found["drug"].gallery_Q == 12).all()
    assert (found["drug_in_panel"].gallery_Q == 10).all()


def test_popularity_knows_counts_and_the_plate_knows_its_panel() -> None:
    conditions = pd.DataFrame({"drug": ["a", "a", "b", "c"], "plate": ["p", "p", "p", "q"]})

    scores = chance.chance_scores(
        conditions, np.array([0, 1, 2]), np.array([3]), ("a", "b", "c"), seed=0
    )

    np.testing.assert_array_equal(scores[chance.POPULARITY], [[2, 1, 0]])
    assert scores[chance.PLATE_ONLY].argmax() == 2
    again = chance.chance_scores(
        conditions, np.array([0, 1, 2]), np.array([3]), ("a", "b", "c"), seed=0
    )
    np.testing.assert_array_equal(scores[chance.RANDOM], again[chance.RANDOM])


def test_a_random_order_puts_a_drug_anywhere_and_a_plate_s_drugs_first_in_random_order() -> None:
    conditions = pd.DataFrame(
        {"drug": ["a", "b", "c", "d", "e"], "plate": ["p", "p", "p", "q", "q"]}
    )

    scores = chance.chance_scores(
        conditions, np.arange(5), np.zeros(4000, dtype=np.int64), tuple("abcde"), seed=0
    )

    anywhere = ranking_inputs.ranks(scores[chance.RANDOM])
    np.testing.assert_allclose(anywhere.mean(axis=0), 3.0, atol=0.15)
    np.testing.assert_allclose((1 / anywhere).mean(), np.mean(1 / np.arange(1, 6)))
    on_plate = ranking_inputs.ranks(scores[chance.PLATE_ONLY])
    np.testing.assert_allclose(on_plate.mean(axis=0), [2, 2, 2, 4.5, 4.5], atol=0.1)
    np.testing.assert_array_equal(on_plate[:, :3].max(axis=1), 3)


def test_a_target_is_as_popular_as_it_has_training_drugs_whatever_their_conditions(
    table: DeltaTable, drugs: pd.DataFrame
) -> None:
    gallery = ("T0", "T1", "T2")
    trained = table.conditions["drug"].isin(["drug 00", "drug 00 salt", "drug 01", "drug 04"])
    queries = np.flatnonzero(table.conditions["drug"] == "drug 04")
    rankings = Rankings(
        query_rows_Q=queries,
        gallery=gallery,
        groups=gallery,
        scores={"net": np.zeros((len(queries), 3), dtype=np.float32)},
        shipped="net",
    )

    found = target_task(rankings, table.conditions, np.flatnonzero(trained), drugs, (1,), seed=0)

    rank = found.scores[chance.POPULARITY][:, found.keys.index(("median_rank", 0))]
    np.testing.assert_array_equal(rank, 2)  # T0 has three training drugs, T2 one, T1 none


def test_targets_are_found_and_drugs_without_any_in_the_gallery_left_out(
    table: DeltaTable, drugs: pd.DataFrame
) -> None:
    gallery = ("T0", "T1", "T2")
    queries = np.flatnonzero(
        (table.conditions["plate"] == "plate3") & (table.conditions["cell_line_id"] == "CVCL_1")
    )
    asked = table.conditions["parent_compound"].to_numpy()[queries]
    scores = np.array([[f"T{int(p[1:]) // 2}" == t for t in gallery] for p in asked], np.float32)
    rankings = Rankings(
        query_rows_Q=queries, gallery=gallery, groups=gallery, scores={"net": scores}, shipped="net"
    )

    found = target_task(rankings, table.conditions, np.arange(20), drugs, (1,), seed=0)

    mrr = found.scores["net"][:, found.keys.index(("mrr", 0))]
    n_known = sum(int(p[1:]) < 6 for p in asked)
    assert np.isfinite(mrr).sum() == n_known
    np.testing.assert_array_equal(mrr[np.isfinite(mrr)], 1.0)
    assert found.n_unanswerable == len(queries) - n_known
    assert chance.POPULARITY in found.scores


def test_the_plate_alone_ranks_the_targets_of_its_drugs_first(
    table: DeltaTable, drugs: pd.DataFrame
) -> None:
    is_there = ~(
        (table.conditions["plate"] == "plate3")
        & (~table.conditions["drug"].isin(["drug 02", "drug 03", "drug 06"]))
    )
    conditions = table.conditions[is_there].reset_index(drop=True)
    queries = np.flatnonzero(conditions["plate"] == "plate3")
    gallery = ("T0", "T1", "T2", "T3", "T9")
    rankings = Rankings(
        query_rows_Q=queries,
        gallery=gallery,
        groups=gallery,
        scores={"net": np.zeros((len(queries), 5), dtype=np.float32)},
        shipped="net",
    )

    on_plate = chance.targets_of_panel(
        conditions, queries, gallery, drugs.set_index("drug")["targets"].to_dict()
    )
    found = target_task(rankings, conditions, np.arange(20), drugs, (2,), seed=0)

    np.testing.assert_array_equal(
        on_plate, np.tile([False, True, False, True, False], (len(queries), 1))
    )
    hit = found.keys.index(("hit", 2))
    np.testing.assert_array_equal(found.scores[chance.PLATE_ONLY][:, hit], 1.0)


def test_targets_and_drugs_are_told_at_every_k_with_their_ceiling(
    rankings: Rankings, table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    ks = (5, 10, 20)
    gallery = tuple(f"T{number}" for number in range(6))
    queries = plate_split.rows("test")
    of_targets = Rankings(
        query_rows_Q=queries,
        gallery=gallery,
        groups=gallery,
        scores={"net": np.zeros((len(queries), 6), dtype=np.float32)},
        shipped="net",
    )

    targets = target_task(of_targets, table.conditions, np.arange(20), drugs, ks, seed=0)
    asked = drug_tasks(
        "drug", rankings, table.conditions, plate_split.rows("train"), drugs, ks, seed=0
    )["drug"]

    for metric in ("recall", "recall_ceiling", "precision", "map", "ndcg"):
        assert {k for name, k in targets.keys if name == metric} == set(ks)
    assert {("mrr", 0), ("median_rank", 0)} <= set(targets.keys)
    assert {("mrr", 0), ("median_rank", 0), *(("hit", k) for k in ks)} <= set(asked.keys)
    assert {chance.RANDOM, chance.POPULARITY, chance.PLATE_ONLY, "net"} == set(targets.scores)
