"""Drugs found by measured profiles: those of the query's own line, and those of other lines."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.rankings.measured_galleries import (
    CROSS_LINE,
    SAME_LINE,
    Scores,
    measured_scores,
)
from drug_pipeline.evaluation.rankings.ranking_tasks import drug_tasks
from drug_pipeline.storage.predictions import Rankings


@pytest.fixture
def gallery(drugs: pd.DataFrame) -> tuple[str, ...]:
    return (*drugs["drug"], "never measured")


def scores(table: DeltaTable, split: Split, gallery: tuple[str, ...]) -> dict[str, Scores]:
    return measured_scores(table, split.rows("train"), split.rows("test"), gallery)


def test_a_drug_scores_its_nearest_profile_in_the_line_or_in_the_others(
    table: DeltaTable, plate_split: Split, gallery: tuple[str, ...]
) -> None:
    found = scores(table, plate_split, gallery)
    train, query = plate_split.rows("train"), plate_split.rows("test")[7]
    line, drug = table.conditions["cell_line_id"], table.conditions["drug"]

    for suffix, is_there in (
        (SAME_LINE, line[train] == line[query]),
        (CROSS_LINE, line[train] != line[query]),
    ):
        rows = train[(is_there & (drug[train] == gallery[3])).to_numpy()]
        expected = max(
            float(np.dot(table.delta_NG[row], table.delta_NG[query]))
            / np.linalg.norm(table.delta_NG[row])
            / np.linalg.norm(table.delta_NG[query])
            for row in rows
        )
        assert set(found[suffix]) == {"raw_cosine", "centred_cosine", "lda_nearest", "lda_cosine"}
        assert found[suffix]["raw_cosine"][7, 3] == pytest.approx(expected, abs=1e-5)
        for scores_QD in found[suffix].values():
            np.testing.assert_array_equal(np.isnan(scores_QD).all(axis=0), [False] * 13 + [True])


def test_profiles_of_the_own_line_do_not_touch_a_ranking_across_lines(
    table: DeltaTable, plate_split: Split, gallery: tuple[str, ...]
) -> None:
    train, query = plate_split.rows("train"), plate_split.rows("test")
    is_line = (table.conditions["cell_line_id"] == "CVCL_2").to_numpy()
    delta = table.delta_NG.copy()
    delta[train[is_line[train]]] = np.random.default_rng(0).normal(size=delta.shape[1])
    asked = is_line[query]

    before, after = (
        scores(one, plate_split, gallery) for one in (table, replace(table, delta_NG=delta))
    )

    for suffix, is_same in ((CROSS_LINE, True), (SAME_LINE, False)):
        one, other = (told[suffix]["raw_cosine"][asked] for told in (before, after))
        assert np.array_equal(one, other, equal_nan=True) == is_same


def test_only_drugs_measured_in_the_line_compete(
    table: DeltaTable, drugs: pd.DataFrame, plate_split: Split, gallery: tuple[str, ...]
) -> None:
    train, query = plate_split.rows("train"), plate_split.rows("test")
    line, drug = table.conditions["cell_line_id"], table.conditions["drug"]
    gone = (line[train] == "CVCL_1") & drug[train].isin(["drug 04", "drug 06"])
    measured = measured_scores(table, train[~gone.to_numpy()], query, gallery)
    rankings = Rankings(
        query_rows_Q=query,
        gallery=gallery,
        groups=(*drugs["parent_compound"], "PX"),
        scores={"silent": np.zeros((len(query), 14), np.float32)},
        shipped="silent",
    )

    tasks = drug_tasks(
        "drug", rankings, table.conditions, train, drugs, (1,), seed=0, by_line=measured
    )

    assert set(tasks) == {"drug", "drug_in_panel", "drug_same_line", "drug_cross_line"}
    is_line = (line[query] == "CVCL_1").to_numpy()
    assert (tasks["drug_same_line"].gallery_Q == np.where(is_line, 10, 12)).all()
    assert tasks["drug_same_line"].n_unanswerable == 2
    assert (tasks["drug_cross_line"].gallery_Q == 12).all()
    assert (tasks["drug"].gallery_Q == 13).all()
