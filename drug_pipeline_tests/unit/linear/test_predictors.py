"""Every linear predictor through the one interface: fitted, saved, restored, asked for anything."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.split_kinds import KINDS
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import (
    Conditions,
    Features,
    TrainingRecord,
    predictors_for,
    restored,
)
from drug_pipeline.linear.average import line_average, pair_average, pair_ridge
from drug_pipeline.linear.kernel_ridge.likeness import Mix
from drug_pipeline.linear.panel import LineRidge, PanelRidge
from drug_pipeline.linear.product_kernel import ProductKernelRidge
from drug_pipeline.linear.tuning import tuned

N_DRUGS, N_LINES, N_GENES = 9, 4, 16
DRUGS = tuple(f"drug{number}" for number in range(N_DRUGS))
LINES = tuple(f"line{number}" for number in range(N_LINES))
EVERY = [(kind, make) for kind in KINDS for make in predictors_for(kind)]
NAMES = [f"{kind}-{make().name}" for kind, make in EVERY]


def table(
    keys: tuple[str, ...], blocks: dict[str, int], key_name: str, seed: int
) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    edges = np.cumsum([0, *blocks.values()])
    return EmbeddingTable(
        key_name=key_name,
        keys=keys,
        vectors_KF=rng.poisson(0.7, (len(keys), edges[-1])).astype(np.float32),
        feature_names=tuple(f"f{number}" for number in range(edges[-1])),
        blocks={name: (int(edges[i]), int(edges[i + 1])) for i, name in enumerate(blocks)},
        trained_on="a test",
    )


FEATURES = Features(
    # the last drug has no structure
    drugs=table(DRUGS[:-1], {"morgan": 12, "descriptors": 3}, "drug", 0),
    cell_lines=table(LINES, {"control_pca": 3}, "cell_line_id", 1),
    lines=LINES,
    control_LG=np.random.default_rng(2).uniform(0.2, 2.0, (N_LINES, N_GENES)).astype(np.float32),
    annotations=table(DRUGS, {"targets": 4, "mechanism": 3}, "drug", 3),
)


def conditions(drugs: tuple[str, ...] = DRUGS, lines: tuple[str, ...] = LINES) -> Conditions:
    rows = [(drug, dose, line) for drug in drugs for dose in (0.5, 5.0) for line in lines]
    drug_N, dose_N, line_N = zip(*rows, strict=True)
    return Conditions(
        drug_N=np.array(drug_N),
        parent_N=np.array(drug_N),
        dose_um_N=np.array(dose_N),
        line_N=np.array(line_N),
        plate_N=np.where(np.array(dose_N) < 1, "plate1", "plate2"),
    )


def screen() -> TrainingRecord:
    """A screen without the first drug and the first line, which are asked for later."""
    train = conditions(DRUGS[1:], LINES[1:])
    rng = np.random.default_rng(4)
    effect = dict(zip(DRUGS, rng.normal(size=(N_DRUGS, N_GENES)), strict=True))
    delta_NG = np.stack([effect[drug] for drug in train.drug_N]) * train.dose_um_N[:, None] / 5.0
    delta_NG = delta_NG + 0.1 * rng.normal(size=delta_NG.shape)
    return TrainingRecord(
        conditions=train,
        delta_NG=delta_NG.astype(np.float32),
        weight_N=np.ones(len(train)),
        features=FEATURES,
    )


@pytest.mark.parametrize(("kind", "make"), EVERY, ids=NAMES)
def test_every_predictor_answers_for_drugs_and_lines_never_seen_and_is_the_same_when_restored(
    kind, make
):
    fitted = make().fit(screen())
    asked = conditions()

    predicted_NG = fitted.predict(asked)
    again_NG = restored(fitted.name, kind, fitted.state(), FEATURES).predict(asked)

    assert predicted_NG.shape == (len(asked), N_GENES)
    assert np.isfinite(predicted_NG).all()
    np.testing.assert_array_equal(again_NG, predicted_NG)


@pytest.mark.parametrize(("kind", "make"), EVERY, ids=NAMES)
def test_a_drug_and_a_line_with_one_condition_and_a_constant_delta_are_no_obstacle(kind, make):
    record = screen()
    train = record.conditions
    kept = np.flatnonzero(
        ((train.drug_N != "drug1") | ((train.line_N == "line1") & (train.dose_um_N == 0.5)))
        & ((train.line_N != "line2") | ((train.drug_N == "drug3") & (train.dose_um_N == 5.0)))
    )
    few = record.take(kept)

    for part in (few, few.with_delta(np.full_like(few.delta_NG, 0.25))):
        fitted = make().fit(part)
        assert np.isfinite(fitted.predict(conditions())).all()


@pytest.mark.parametrize(("kind", "make"), EVERY, ids=NAMES)
def test_one_line_on_one_plate_is_enough(kind, make):
    record = screen()
    one_line = record.take(record.conditions.line_N == "line1")
    plate_N = np.full(len(one_line), "plate1")
    one_plate = replace(one_line, conditions=replace(one_line.conditions, plate_N=plate_N))

    fitted = make().fit(one_plate)

    assert np.isfinite(fitted.predict(conditions())).all()


@pytest.mark.parametrize("make", [pair_ridge, pair_average, line_average])
def test_an_average_put_together_of_fitted_members_is_the_average_that_is_fitted(make):
    record = screen()
    kind = "cell_line" if make is line_average else "pair"
    average = make(kind=kind)
    members = {
        one.name: one.fit(record)
        for one in (factory() for factory in predictors_for(kind))
        if one.name in {member.name for _, member in average.members}
    }

    put_together = make(kind=kind).assembled(members, FEATURES)

    expected_NG = average.fit(record).predict(conditions())
    np.testing.assert_array_equal(put_together.predict(conditions()), expected_NG)


def test_salts_with_vectors_of_their_own_do_not_break_the_product_kernel():
    record = screen()
    train = record.conditions
    parent_N = np.where(np.isin(train.drug_N, DRUGS[1:6]), "one parent", train.parent_N)
    salts = replace(train, parent_N=parent_N)
    model = ProductKernelRidge(kind="drug", mixes=(Mix(drugs={"morgan": 0.5, "annotations": 0.4}),))

    predicted_NG = model.fit(replace(record, conditions=salts)).predict(salts)

    assert np.isfinite(predicted_NG).all()
    assert np.abs(predicted_NG).max() < 10 * np.abs(record.delta_NG).max()


def test_what_is_known_of_a_new_drug_s_targets_brings_it_nearer_to_drugs_that_share_them():
    record = screen()
    shared = np.zeros((N_DRUGS, 7), dtype=np.float32)
    shared[[0, 2], 0] = 1.0  # the drug never measured has the one target of drug2
    annotations = replace(FEATURES.annotations, vectors_KF=shared)
    model = ProductKernelRidge(
        kind="drug", mixes=(Mix(drugs={"morgan": 0.05, "annotations": 0.9}),)
    )
    asked = conditions(DRUGS[:1], LINES[1:2])

    told = model.fit(replace(record, features=replace(FEATURES, annotations=annotations)))
    told_NG = told.predict(asked)
    untold = model.fit(replace(record, features=replace(FEATURES, annotations=None)))
    untold_NG = untold.predict(asked)

    def likeness(predicted_NG: np.ndarray) -> float:
        train = record.conditions
        theirs_NG = record.delta_NG[(train.drug_N == "drug2") & (train.line_N == "line1")]
        return float(np.corrcoef(predicted_NG.ravel(), theirs_NG.ravel())[0, 1])

    assert likeness(told_NG) > likeness(untold_NG) + 0.2


@pytest.mark.parametrize(("kind", "make"), EVERY, ids=NAMES)
def test_a_settled_predictor_takes_the_settings_that_were_chosen(kind, make, monkeypatch):
    fitted = make().fit(screen())
    settled = fitted.with_chosen_settings()

    def nothing_is_chosen(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr("drug_pipeline.linear.tuning.tuned.choose", nothing_is_chosen)
    monkeypatch.setattr("drug_pipeline.linear.lines.choose", nothing_is_chosen)
    again = settled.fit(screen())

    np.testing.assert_array_equal(again.predict(conditions()), fitted.predict(conditions()))


def test_gene_axes_are_shared_by_fits_on_equal_conditions_and_never_on_others(monkeypatch):
    made = []
    real = tuned.main_axes
    monkeypatch.setattr(tuned, "main_axes", lambda *args: made.append(1) or real(*args))
    monkeypatch.setattr(tuned, "_latest", {})
    record = screen()

    first = PanelRidge(kind="pair").fit(record)
    LineRidge(kind="pair").fit(record.with_delta(record.delta_NG.copy()))
    assert len(made) == 1

    record.delta_NG[0] += 1.0  # in place: the same array object says something else
    changed = PanelRidge(kind="pair").fit(record)
    lighter_N = record.weight_N * record.conditions.dose_um_N
    lighter = PanelRidge(kind="pair").fit(replace(record, weight_N=lighter_N))
    assert len(made) == 3
    for one, other in ((first, changed), (changed, lighter)):
        assert not np.array_equal(one.state()["axes_KG"], other.state()["axes_KG"])
