"""The oracle of rankings: what the same condition, measured on another plate, finds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.rankings.oracle import ORACLE, replicate_scores
from drug_pipeline.evaluation.rankings.ranking_tasks import drug_tasks
from drug_pipeline.storage.predictions import Rankings


def test_a_drug_scores_by_the_cosine_of_its_replicate_beyond_the_mean_of_the_line(
    table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    queries, train = plate_split.rows("test")[:5], plate_split.rows("train")
    gallery = list(drugs["drug"])
    conditions = table.conditions

    scores_QD, has_own_Q = replicate_scores(table, train, queries, gallery)

    assert has_own_Q.all()
    for place, query in enumerate(queries):
        asked = conditions.iloc[query]
        is_line = (conditions["cell_line_id"] == asked["cell_line_id"]).to_numpy()
        centre_G = table.delta_NG[train][is_line[train]].mean(axis=0)
        for column in (0, 7):
            is_twin = is_line & (conditions["drug"] == gallery[column]).to_numpy()
            is_twin &= (conditions["dose_um"] == 5.0) & (conditions["plate"] == "plate2")
            (row,) = np.flatnonzero(is_twin)
            left_G, right_G = table.delta_NG[query] - centre_G, table.delta_NG[row] - centre_G
            expected = left_G @ right_G / np.linalg.norm(left_G) / np.linalg.norm(right_G)
            assert scores_QD[place, column] == pytest.approx(expected, abs=1e-5)


def test_a_query_is_never_its_own_replicate_and_one_without_any_has_no_oracle(
    table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    gallery = list(drugs["drug"])
    on_plate1 = np.flatnonzero(table.conditions["plate"] == "plate1")[:3]  # the one plate of 0.5
    scores_QD, has_own_Q = replicate_scores(table, plate_split.rows("train"), on_plate1, gallery)

    assert not has_own_Q.any()
    assert np.isnan(scores_QD).all()


def test_it_is_told_over_the_queries_that_have_a_replicate(
    table: DeltaTable, drugs: pd.DataFrame, plate_split: Split
) -> None:
    gallery, train = tuple(drugs["drug"]), plate_split.rows("train")
    queries = np.concatenate(
        [plate_split.rows("test")[:6], np.flatnonzero(table.conditions["plate"] == "plate1")[:4]]
    )
    rankings = Rankings(
        query_rows_Q=queries,
        gallery=gallery,
        groups=tuple(drugs["parent_compound"]),
        scores={"silent": np.zeros((10, 13), dtype=np.float32)},
        shipped="silent",
    )

    told = drug_tasks(
        "drug",
        rankings,
        table.conditions,
        train,
        drugs,
        (1,),
        seed=0,
        oracle=replicate_scores(table, train, queries, gallery),
    )["drug"]
    none = drug_tasks(
        "drug",
        replace(rankings, query_rows_Q=queries[6:], scores={"silent": np.zeros((4, 13))}),
        table.conditions,
        train,
        drugs,
        (1,),
        seed=0,
        oracle=replicate_scores(table, train, queries[6:], gallery),
    )["drug"]

    mrr_Q = told.scores[ORACLE][:, told.keys.index(("mrr", 0))]
    assert np.isfinite(mrr_Q[:6]).all()
    assert np.isnan(told.scores[ORACLE][6:]).all()
    assert mrr_Q[:6].mean() > 0.5
    assert told.n_unanswerable == 0
    assert ORACLE not in none.scores
