"""Gates are green on honest work, and each planted leak turns its own gate red."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.gates import gates, shuffled_genes

CLUSTERS = np.repeat(np.arange(20), 3).astype(str)


def _split(table: DeltaTable, kind: str, is_test: np.ndarray) -> Split:
    return Split(name=kind, kind=kind, roles_N=np.where(is_test, "test", "train"), fingerprint="f")


def test_a_model_that_never_sees_treated_cells_is_blind_and_one_that_does_is_caught() -> None:
    ones = {"ridge": np.ones((5, 8), np.float32), "network": np.ones((5, 8), np.float32)}
    moved = {**ones, "ridge": np.nextafter(ones["ridge"], np.float32(2))}

    honest = gates.predicts_blind("blind", ones, dict(ones))
    leaking = gates.predicts_blind("blind", ones, moved)
    unknown = gates.predicts_blind("blind", ones, {"network": ones["network"]})

    assert (honest.state, honest.figure, honest.n) == ("green", 0.0, 5)
    assert leaking.state == "red"
    assert "1 of 2 models predict otherwise (by up to 1.19e-07)" in leaking.explanation
    assert unknown.state == "red"


def test_permuted_targets_that_still_teach_something_are_caught() -> None:
    rng = np.random.default_rng(1)
    mean = rng.normal(size=60) * 0.1

    nothing = gates.permuted_targets_teach_nothing(
        "permuted", mean + 0.05 * rng.normal(size=60), mean, CLUSTERS
    )
    rounding = gates.permuted_targets_teach_nothing("permuted", mean + 1e-9, mean, CLUSTERS)
    slight = gates.permuted_targets_teach_nothing("permuted", mean + 1e-4, mean, CLUSTERS)
    leak = gates.permuted_targets_teach_nothing("permuted", mean + 0.3, mean, CLUSTERS)

    assert nothing.is_green
    assert rounding.is_green  # a fit that was shrunk to the mean
    assert not slight.is_green  # small, but more than rounding
    assert not leak.is_green
    assert leak.figure == pytest.approx(0.3)


def test_an_input_that_costs_nothing_is_told_and_red_where_it_is_required() -> None:
    rng = np.random.default_rng(2)
    full = rng.normal(size=60)
    without = {"shuffled drug": full + 0.01 * rng.normal(size=60), "no cell line": full - 0.2}

    told = gates.inputs_matter(full, without, CLUSTERS, required=["shuffled drug"])

    assert [gate.state for gate in told] == ["red", "reported"]
    assert "does not lean on it" in told[0].explanation
    assert told[1].figure == pytest.approx(0.2)
    costly = gates.inputs_matter(full, without, CLUSTERS, required=["no cell line"])
    assert [gate.state for gate in costly] == ["reported", "green"]
    assert not any(gate.bars for gate in costly)


def test_a_gate_that_measured_nothing_is_neither_green_nor_red(
    table: DeltaTable, plate_split: Split
) -> None:
    few = np.array(["P1", "P1", "P2"])  # no interval over two compounds
    score = np.arange(3.0)
    nobody = _split(table, "pair", np.zeros(len(table.conditions), dtype=bool))
    by_compound = (table.conditions["parent_compound"] == "P05").to_numpy()
    unlooked = _split(table, "scaffold", by_compound)  # without the table that has the scaffolds
    unheard = _split(table, "by_moon", plate_split.roles_N == "test")
    query = np.ones((2, 4), dtype=np.float32)

    told = [
        gates.permuted_targets_teach_nothing("permuted", score, score, few),
        gates.permuted_targets_teach_nothing("permuted", score[:0], score[:0], few[:0]),
        *gates.inputs_matter(score, {"shuffled drug": score - 1}, few, required=["shuffled drug"]),
        gates.predicts_blind("blind", {}, {}),
        gates.predicts_blind("blind", *[{"ridge": np.zeros((0, 4), np.float32)}] * 2),
        gates.sides_are_disjoint(table, nobody),
        gates.sides_are_disjoint(table, unheard),
        gates.sides_are_disjoint(table, unlooked),
        gates.controls_are_own(table, nobody),
        gates.panel_is_from_controls([7], [], also_allowed=[7]),
        # one drug alone, or a drug that is no candidate: there is no other query to compare with
        shuffled_genes.shuffled_genes_find_nothing(
            lambda _: query, query, list("abcd"), np.array(["a"] * 2)
        ),
        shuffled_genes.shuffled_genes_find_nothing(
            lambda _: query, query, list("abcd"), np.array(["x", "y"])
        ),
        shuffled_genes.shuffled_genes_find_nothing(
            lambda _: query[:0], query[:0], list("abcd"), few[:0]
        ),
    ]

    assert [gate.state for gate in told] == ["not measured"] * len(told)
    assert all(gate.bars and gate.n == 0 for gate in told)
    assert all(gate.explanation.startswith("Nothing was measured. ") for gate in told)
    assert "hold out more compounds" in told[0].explanation


def test_honest_sides_are_disjoint(table: DeltaTable, plate_split: Split) -> None:
    by_compound = table.conditions["parent_compound"].isin(["P00", "P01"]).to_numpy()

    assert gates.sides_are_disjoint(table, plate_split).is_green
    assert gates.sides_are_disjoint(table, _split(table, "drug", by_compound)).is_green


def test_a_test_compound_in_training_as_its_salt_is_caught(table: DeltaTable) -> None:
    by_name = (table.conditions["drug"] == "drug 00").to_numpy()  # its salt stays in training

    for kind, unit in (("drug", "P00"), ("pair", "P00|CVCL_1")):
        found = gates.sides_are_disjoint(table, _split(table, kind, by_name))
        assert not found.is_green
        assert unit in found.explanation


def test_a_test_scaffold_in_training_under_another_compound_is_caught(
    table: DeltaTable,
) -> None:
    parents = sorted(set(table.conditions["parent_compound"]))
    is_test = (table.conditions["parent_compound"] == parents[0]).to_numpy()
    split = _split(table, "scaffold", is_test)
    drugs = table.conditions[["drug", "parent_compound"]].drop_duplicates("drug")
    drugs = drugs.assign(scaffold="S-" + drugs["parent_compound"])
    shared = drugs.assign(scaffold=drugs["scaffold"].replace(f"S-{parents[1]}", f"S-{parents[0]}"))

    assert gates.sides_are_disjoint(table, split, drugs).is_green
    found = gates.sides_are_disjoint(table, split, shared)
    assert not found.is_green
    assert f"1 units are on both sides; first: S-{parents[0]}" in found.explanation
    unknown = gates.sides_are_disjoint(table, split, shared.assign(scaffold=None))
    assert unknown.is_green  # a drug without a scaffold is one of its own


def test_a_test_dose_of_a_compound_in_training_in_another_line_is_caught(
    table: DeltaTable,
) -> None:
    first = table.conditions.iloc[0]
    is_dose = (table.conditions["parent_compound"] == first["parent_compound"]) & (
        table.conditions["dose_um"] == first["dose_um"]
    )
    is_line = table.conditions["cell_line_id"] == first["cell_line_id"]

    assert gates.sides_are_disjoint(table, _split(table, "dose", is_dose.to_numpy())).is_green
    found = gates.sides_are_disjoint(table, _split(table, "dose", (is_dose & is_line).to_numpy()))
    assert not found.is_green


def test_a_line_of_a_test_organ_in_training_is_caught(table: DeltaTable) -> None:
    lines = sorted(set(table.conditions["cell_line_id"]))
    is_test = (table.conditions["cell_line_id"] == lines[0]).to_numpy()
    split = _split(table, "organ", is_test)
    apart = pd.DataFrame({"cell_line_id": lines, "organ": [f"organ {line}" for line in lines]})
    shared = apart.assign(organ=["Lung", "Lung", *[None] * (len(lines) - 2)])

    assert gates.sides_are_disjoint(table, split, cell_lines=apart).is_green
    assert gates.sides_are_disjoint(table, split, cell_lines=shared.iloc[1:]).is_green
    assert gates.sides_are_disjoint(table, split).state == "not measured"
    found = gates.sides_are_disjoint(table, split, cell_lines=shared)
    assert not found.is_green
    assert "1 units are on both sides; first: Lung" in found.explanation


def test_one_well_of_a_test_drug_left_in_training_is_caught(table: DeltaTable) -> None:
    is_test = (table.conditions["parent_compound"] == "P05").to_numpy()
    is_test[np.flatnonzero(is_test)[0]] = False

    assert not gates.sides_are_disjoint(table, _split(table, "drug", is_test)).is_green


def test_a_test_measurement_copied_into_training_under_another_name_is_caught(
    table: DeltaTable, plate_split: Split
) -> None:
    delta = table.delta_NG.copy()
    train, test = plate_split.rows("train"), plate_split.rows("test")
    delta[train[3]] = delta[test[5]]

    found = gates.sides_are_disjoint(replace(table, delta_NG=delta), plate_split)

    assert not found.is_green
    assert found.figure == 1
    assert "test measurements are also in training" in found.explanation


def test_rows_of_zeros_are_no_copies(table: DeltaTable, plate_split: Split) -> None:
    delta = table.delta_NG.copy()
    delta[[plate_split.rows("train")[0], plate_split.rows("test")[0]]] = 0.0

    assert gates.sides_are_disjoint(replace(table, delta_NG=delta), plate_split).is_green


def test_controls_from_another_plate_are_caught(table: DeltaTable, plate_split: Split) -> None:
    foreign = np.zeros(len(table.conditions), dtype=bool)
    foreign[plate_split.rows("test")[0]] = True
    leaking = replace(table, conditions=table.conditions.assign(is_fallback_control=foreign))

    assert gates.controls_are_own(table, plate_split).is_green
    found = gates.controls_are_own(leaking, plate_split)
    assert not found.is_green
    assert "1 of 39 test conditions" in found.explanation


def test_a_panel_with_a_gene_that_controls_do_not_choose_is_caught() -> None:
    honest = gates.panel_is_from_controls([5, 3, 9, 70], [5, 3, 9], also_allowed=[70])
    leaking = gates.panel_is_from_controls([5, 8, 9], [5, 3, 9])
    reordered = gates.panel_is_from_controls([3, 5, 9], [5, 3, 9])

    assert honest.is_green
    assert not leaking.is_green
    assert "8" in leaking.explanation
    assert not reordered.is_green


def _queries() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(3)
    profiles = rng.normal(size=(20, 50)).astype(np.float32)
    wanted = np.repeat(np.arange(20), 4).astype(str)
    queries = np.repeat(profiles, 4, axis=0) + 0.1 * rng.normal(size=(80, 50)).astype(np.float32)
    return profiles, queries, wanted, [str(i) for i in range(20)]


def test_shuffled_genes_find_nothing_where_only_the_signature_counts() -> None:
    profiles, queries, wanted, groups = _queries()
    strength = np.repeat(np.linspace(0.1, 9, 20), 4)[:, None].astype(np.float32)

    honest = shuffled_genes.shuffled_genes_find_nothing(
        lambda query: query @ profiles.T, strength * queries, groups, wanted
    )

    assert honest.is_green
    assert abs(honest.figure) < 0.1


def test_knowing_which_drugs_are_popular_is_chance() -> None:
    profiles, queries, wanted, groups = _queries()
    asked = np.flatnonzero(np.isin(wanted, ["0", "1", "2", "3", "4", "5"]))
    popular = np.where(np.arange(20) < 6, 100.0, 0.0)

    found = shuffled_genes.shuffled_genes_find_nothing(
        lambda query: query @ profiles.T + popular, queries[asked], groups, wanted[asked]
    )

    assert found.is_green
    assert "chance (0.8" in found.explanation


def test_a_ranker_that_knows_the_drug_without_the_signature_is_caught() -> None:
    _, queries, wanted, groups = _queries()
    known = 5.0 * (wanted[:, None] == np.array(groups)[None, :])

    leaking = shuffled_genes.shuffled_genes_find_nothing(lambda _: known, queries, groups, wanted)

    assert not leaking.is_green
    assert leaking.figure > 0.4
    assert "gives the drug away" in leaking.explanation


def test_what_the_line_alone_says_is_chance_within_the_line() -> None:
    _, queries, wanted, groups = _queries()
    line = np.where(wanted.astype(int) < 10, "L1", "L2")
    by_line = np.where(
        (line == "L1")[:, None] == (np.arange(20) < 10)[None, :], 1.0, 0.0
    ) + 1e-3 * np.random.default_rng(0).normal(size=(80, 20))

    blind = shuffled_genes.shuffled_genes_find_nothing(lambda _: by_line, queries, groups, wanted)
    within = shuffled_genes.shuffled_genes_find_nothing(
        lambda _: by_line, queries, groups, wanted, within_Q=line
    )

    assert not blind.is_green
    assert within.is_green


def test_the_interval_of_shuffled_genes_holds_what_it_states_with_few_queries() -> None:
    """24 queries of 12 compounds in 4 lines, as on a small screen: nothing leaks, so chance it is.

    Simulated 200 times. At 95 % about 10 intervals miss 0, 5 of them above; 20 or 12 would be luck
    three and five times in a thousand. Intervals over compounds from 8 shuffles missed 0 20 times.
    """
    missed, above = 0, 0
    wanted, line = np.repeat(np.arange(12), 2).astype(str), np.tile(np.arange(4), 6)
    groups = [str(i) for i in range(60)]
    for seed in range(200):
        rng = np.random.default_rng(seed)
        profiles = rng.normal(size=(60, 40)) + 0.5 * rng.normal(size=40)  # some are near all others
        gate = shuffled_genes.shuffled_genes_find_nothing(
            lambda query, profiles=profiles: query @ profiles.T,
            rng.gamma(2.0, size=(24, 40)).astype(np.float32),
            groups,
            wanted,
            within_Q=line,
            seed=seed,
        )
        missed += gate.ci_low > 0 or gate.ci_high < 0
        above += gate.ci_low > 0
        assert gate.is_green

    assert missed < 20
    assert above < 12


def test_a_small_leak_past_the_signature_is_seen_with_few_queries() -> None:
    """The right drug is lifted by a tenth of the gallery in half of the queries."""
    rng = np.random.default_rng(0)
    wanted, line = np.repeat(np.arange(12), 2).astype(str), np.tile(np.arange(4), 6)
    groups = [str(i) for i in range(60)]
    profiles = rng.normal(size=(60, 40))
    known = wanted[:, None] == np.array(groups)[None, :]

    def leaks(query: np.ndarray) -> np.ndarray:
        scores = query @ profiles.T
        return scores + 0.7 * scores.std() * known

    gate = shuffled_genes.shuffled_genes_find_nothing(
        leaks, rng.gamma(2.0, size=(24, 40)).astype(np.float32), groups, wanted, within_Q=line
    )

    assert gate.state == "red"
    assert gate.figure < 0.3
