from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import CheckpointError, ConfigurationError, QueryError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions
from drug_pipeline.training.deployed.bundle import Bundle
from drug_pipeline.training.deployed.bundle_files import load_bundle
from drug_pipeline.training.fit_split import FittedSplit, fit_split
from drug_pipeline.training.save_bundle import save_bundle
from drug_pipeline_tests.unit.training.conftest import drug_split, pair_split


@pytest.fixture(scope="module")
def fitted(world, tiny) -> dict[str, FittedSplit]:
    return {
        split.name: fit_split(world.table, world.features, split, tiny)
        for split in (pair_split(world), drug_split(world))
    }


@pytest.fixture(scope="module")
def folder(fitted, world, tmp_path_factory):
    path = tmp_path_factory.mktemp("deploy")
    save_bundle(path, fitted, world.table.genes)
    return path


@pytest.fixture(scope="module")
def bundle(folder) -> Bundle:
    return load_bundle(folder)


def asking(drugs: list[str], lines: list[str], dose_um: float = 5.0) -> Conditions:
    return Conditions.unmeasured(drugs, lines, dose_um)


def new_drug(bundle: Bundle, name: str = "mine", like: str = "drug03") -> EmbeddingTable:
    known = bundle.features.drugs
    return replace(known, keys=(name,), vectors_KF=known.rows([like]))


def test_a_loaded_bundle_predicts_what_evaluation_judged(bundle, fitted):
    pair = fitted["pair"]

    answer = bundle.answer(pair.data.test.asked)

    assert set(answer.split_N) == {"pair"}
    judged_NG = pair.forward.test[pair.forward.shipped_name]
    np.testing.assert_allclose(answer.delta_NG, judged_NG, atol=1e-5)
    assert (answer.bound_N > 0).all()


@pytest.mark.parametrize("name", ["pair", "drug"])
def test_the_error_that_is_told_is_the_one_that_was_calibrated(bundle, fitted, world, name):
    split = fitted[name]
    shipped_NG = split.forward.test[split.forward.shipped_name]

    told_N = bundle.splits[name].expected_error(split.data.test.asked, shipped_NG)

    np.testing.assert_allclose(told_N, split.predictions(world.table).uncertainty_N, rtol=1e-5)


def test_a_network_that_does_not_ship_has_no_part_in_the_error_that_is_told(fitted, world):
    pair = fitted["pair"]
    assert pair.forward.shipped.network is None
    test = pair.forward.test
    loud = replace(pair.forward, test={**test, "network": test["network"] + np.float32(1.0)})

    told_N = replace(pair, forward=loud).predictions(world.table).uncertainty_N

    np.testing.assert_array_equal(told_N, pair.predictions(world.table).uncertainty_N)


def test_a_network_that_does_not_count_is_not_loaded(bundle, fitted):
    for name, split in bundle.splits.items():
        assert (split.shipped.network is None) == (fitted[name].forward.shipped.network is None)
        assert (split.towers is None) == (fitted[name].inverse.weights[names.TOWER] == 0)
    assert bundle.splits["pair"].shipped.network is None


def test_a_bundle_lies_complete_in_its_folder_and_the_same_fit_gives_the_same_bytes(
    fitted, world, folder, tmp_path
):
    again = save_bundle(tmp_path, fitted, world.table.genes)

    for path in again:
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes(), path


def test_a_condition_goes_to_the_models_made_for_such_a_question(bundle):
    wider = bundle.with_drugs(new_drug(bundle), {"mine": "MINE"})

    assert wider.route(asking(["drug00", "mine"], ["CVCL_0001"] * 2)).tolist() == ["pair", "drug"]


def test_a_bundle_of_a_kind_of_split_that_is_not_known_is_refused_with_the_known_ones(bundle):
    split = replace(bundle.splits["pair"], kind="moon")
    foreign = replace(bundle, splits={"pair": split})

    with pytest.raises(ConfigurationError, match=r"'moon' is no kind of split\. There are: pair, "):
        foreign.route(asking(["drug00"], ["CVCL_0001"]))


def test_a_structure_never_measured_gets_a_prediction_of_its_own(bundle):
    wider = bundle.with_drugs(new_drug(bundle), {"mine": "MINE"})

    delta_NG = wider.predict(asking(["mine"], ["CVCL_0002"]))

    assert delta_NG.shape == (1, 24)
    assert np.isfinite(delta_NG).all()


def test_measured_and_new_drugs_are_ranked_together(bundle, fitted):
    wider = bundle.with_drugs(new_drug(bundle), {"mine": "MINE"})
    data = fitted["pair"].data.test

    ranking = wider.rank(data.delta_NG[:4], data.asked.line_N[:4])

    assert "mine" in ranking.gallery
    assert ranking.scores_QD.shape == (4, 15)
    assert np.isfinite(ranking.scores_QD).all()
    assert not ranking.is_measured_D[ranking.gallery.index("mine")]


def test_a_gallery_of_one_and_a_dose_of_ones_own_can_be_asked_for(bundle, fitted):
    data = fitted["pair"].data.test

    ranking = bundle.rank(
        data.delta_NG[:2], data.asked.line_N[:2], gallery=["drug04"], doses_um=[1.0]
    )

    assert ranking.gallery == ("drug04",)
    assert ranking.scores_QD.shape == (2, 1)


def test_a_drug_without_measurements_and_structure_is_refused(bundle):
    with pytest.raises(QueryError, match=r"1 drugs were never measured .* mystery. Give a SMILES"):
        bundle.predict(asking(["mystery"], ["CVCL_0001"]))


def test_a_line_without_controls_is_refused(bundle):
    with pytest.raises(QueryError, match="1 cell lines have no control profile: CVCL_9999"):
        bundle.predict(asking(["drug00"], ["CVCL_9999"]))


def test_a_name_that_is_taken_is_refused(bundle):
    with pytest.raises(QueryError, match="1 names are taken by drugs already known: drug00"):
        bundle.with_drugs(new_drug(bundle, name="drug00"), {"drug00": "X"})


def test_vectors_of_other_features_are_refused(bundle):
    other = replace(new_drug(bundle), feature_names=tuple(f"other{number}" for number in range(43)))

    with pytest.raises(QueryError, match="Embed them with the same settings"):
        bundle.with_drugs(other, {"mine": "MINE"})


@pytest.mark.parametrize(
    ("signature", "line", "gallery", "message"),
    [
        (np.zeros((1, 5)), ["CVCL_0001"], None, "signatures have shape .*the model has 24 genes"),
        (np.zeros((2, 24)), ["CVCL_0001"], None, "2 signatures but 1 cell lines"),
        (np.full((1, 24), np.nan), ["CVCL_0001"], None, "infinite values, or no gene"),
        (np.zeros((1, 24)), ["CVCL_0001"], [], "the gallery is empty"),
        (np.zeros((1, 24)), ["CVCL_0001"], ["mystery"], "never measured and have no structure"),
        (np.zeros((1, 24)), ["CVCL_9999"], None, "no control profile: CVCL_9999"),
    ],
    ids=["genes", "lines", "nan", "gallery", "drug", "line"],
)
def test_a_ranking_that_cannot_be_answered_is_refused(bundle, signature, line, gallery, message):
    with pytest.raises(QueryError, match=message):
        bundle.rank(signature.astype(np.float32), np.array(line), gallery=gallery)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no model in .*Materialise model_full"):
        load_bundle(tmp_path)
