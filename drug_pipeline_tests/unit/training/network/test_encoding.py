from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.errors import AlignmentError, ConfigurationError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions
from drug_pipeline.training.network.encoding import Components, InputEncoder
from drug_pipeline.training.split_data import prepare
from drug_pipeline_tests.unit.training.conftest import N_DRUGS, N_LINES, drug_split, pair_split


@pytest.fixture(scope="module")
def part(world):
    return prepare(world.table, world.features, pair_split(world)).train


@pytest.fixture(scope="module")
def encoder(part, world, tiny):
    return InputEncoder.fit(part.record(world.features), tiny)


def asked_of(drug: str, line: str, dose_um: float = 5.0) -> Conditions:
    return Conditions.unmeasured(drug, line, dose_um)


def test_a_response_profile_leaves_out_the_line_that_is_asked_about(part, world, tiny):
    line = part.asked.line_N[0]
    drug = part.asked.drug_N[0]
    changed_NG = part.delta_NG.copy()
    is_same = (part.asked.line_N == line) & (part.asked.drug_N == drug)
    # The sign flips: the means over drugs and the components stay what they are only nearly, so
    # the entry itself is changed after the fit.
    encoder = InputEncoder.fit(part.record(world.features).with_delta(changed_NG), tiny)
    state = encoder.state()
    entries = state["profile_entries"].copy()
    entries[is_same] += 100.0
    other = InputEncoder({**state, "profile_entries": entries}, world.features)

    same_line = [e.forward_inputs(asked_of(drug, line)).drug for e in (encoder, other)]
    elsewhere = [
        e.forward_inputs(asked_of(drug, next(x for x in part.asked.line_N if x != line))).drug
        for e in (encoder, other)
    ]

    assert np.array_equal(same_line[0].profile_BP, same_line[1].profile_BP)
    assert not np.array_equal(elsewhere[0].profile_BP, elsewhere[1].profile_BP)


def test_a_drug_never_trained_on_has_structure_but_neither_identity_nor_profile(world, tiny):
    train = prepare(world.table, world.features, drug_split(world)).train
    encoder = InputEncoder.fit(train.record(world.features), tiny)

    drug = encoder.forward_inputs(asked_of("drug01", "CVCL_0001")).drug

    assert drug.drug_id_B.tolist() == [0]
    assert drug.has_profile_B.tolist() == [0.0]
    assert drug.has_chemistry_B.tolist() == [1.0]
    assert not drug.profile_BP.any()


def test_a_drug_without_structure_is_flagged_and_not_made_a_small_molecule(encoder):
    drug = encoder.forward_inputs(asked_of("drug13", "CVCL_0001")).drug

    assert drug.has_chemistry_B.tolist() == [0.0]
    assert not drug.chemistry_BF.any()


def test_features_come_by_key_and_not_by_position(encoder, part, world):
    drugs, lines = world.features.drugs, world.features.cell_lines
    shuffled = replace(
        world.features,
        drugs=replace(drugs, keys=drugs.keys[::-1], vectors_KF=drugs.vectors_KF[::-1]),
        cell_lines=replace(lines, keys=lines.keys[::-1], vectors_KF=lines.vectors_KF[::-1]),
        lines=world.features.lines[::-1],
        control_LG=world.features.control_LG[::-1],
    )

    here = encoder.forward_inputs(part.asked)
    there = encoder.with_features(shuffled).forward_inputs(part.asked)

    assert np.array_equal(here.drug.chemistry_BF, there.drug.chemistry_BF)
    assert np.array_equal(here.cell_BC, there.cell_BC)
    assert np.array_equal(here.control_BT, there.control_BT)


def test_an_encoder_comes_back_from_its_arrays(encoder, part, world):
    restored = InputEncoder(encoder.state(), world.features)

    before, after = encoder.forward_inputs(part.asked), restored.forward_inputs(part.asked)

    assert np.array_equal(before.drug.profile_BP, after.drug.profile_BP)
    assert restored.sizes() == encoder.sizes()


def test_a_line_without_controls_is_refused(encoder):
    with pytest.raises(AlignmentError, match="1 cell lines have no control profile; first: CVCL_X"):
        encoder.forward_inputs(asked_of("drug00", "CVCL_X"))


def test_signatures_lose_their_lines_response_and_have_rms_one_whatever_their_unit(encoder, part):
    line_Q, delta_1G = part.asked.line_N[:1], part.delta_NG[:1]
    centre_1G = encoder.line_centre(line_Q)

    at_centre = encoder.inverse_inputs(7.0 * centre_1G, line_Q).signature_BG
    plain = encoder.inverse_inputs(delta_1G, line_Q).signature_BG.numpy()
    scaled = encoder.inverse_inputs(delta_1G / np.float32(np.log(2)), line_Q).signature_BG.numpy()
    spike_1G = np.where(np.arange(centre_1G.shape[1]) == 0, 1e6, 1e-3).astype(np.float32)
    far = encoder.inverse_inputs(spike_1G[None], line_Q).signature_BG

    assert np.allclose(at_centre, 0.0, atol=1e-5)
    assert np.allclose(scaled, plain, atol=1e-5)
    assert np.isclose(np.sqrt(np.mean(plain**2)), 1.0, atol=0.05)
    assert float(far.abs().max()) <= 6.0


def test_fewer_drugs_than_components_give_as_many_components_as_there_are():
    rows_NF = np.random.default_rng(0).normal(size=(3, 50))

    fitted = Components.fit(rows_NF, 60, is_scaled=False)

    assert fitted.apply(rows_NF).shape == (3, 2)


def test_a_feature_that_never_varies_says_nothing():
    rows_NF = np.ones((5, 2))
    rows_NF[:, 1] = np.arange(5)

    fitted = Components.fit(rows_NF, 2, is_scaled=True)

    assert np.array_equal(fitted.apply(rows_NF + np.array([7.0, 0.0])), fitted.apply(rows_NF))


def test_an_own_table_stands_in_the_tokens_with_a_flag_for_who_is_not_in_it(part, world, tiny):
    rng = np.random.default_rng(1)
    drugs = added(world.features.drugs, "own", rng.normal(size=(N_DRUGS - 1, 5)))
    drugs.vectors_KF[0, -5:] = np.nan  # drug00 is not in the user's table
    lines = added(world.features.cell_lines, "own", rng.normal(size=(N_LINES, 4)))
    features = replace(world.features, drugs=drugs, cell_lines=lines)
    reading = replace(
        tiny, network_blocks=tiny.network_blocks.also(drugs=("own",), cell_lines=("own",))
    )

    plain = InputEncoder.fit(part.record(features), tiny)
    encoder = InputEncoder.fit(part.record(features), reading)

    own_width = 5 + 1  # with the flag of who is in it; the two embedded blocks get one each
    assert encoder.sizes().n_chemistry == plain.sizes().n_chemistry + own_width + 2
    assert encoder.sizes().n_cell == plain.sizes().n_cell + 1 + 4 + 1
    without, told = (
        encoder.forward_inputs(asked_of(drug, "CVCL_0001")).drug.chemistry_BF[0].numpy()
        for drug in ("drug00", "drug01")
    )
    assert without[-1] == 0
    assert (without[-own_width:] == 0).all()
    assert told[-1] == 1
    assert (told[-own_width:-1] != 0).all()
    again = InputEncoder(encoder.state(), features)
    np.testing.assert_array_equal(
        again.inverse_inputs(part.delta_NG[:1], part.asked.line_N[:1]).cell_BC,
        encoder.inverse_inputs(part.delta_NG[:1], part.asked.line_N[:1]).cell_BC,
    )


def test_a_network_that_is_to_read_blocks_nobody_made_is_refused(part, world, tiny):
    reading = replace(tiny, network_blocks=replace(tiny.network_blocks, drugs=("encoder",)))
    with pytest.raises(ConfigurationError, match="to read encoder; stored are morgan, descriptors"):
        InputEncoder.fit(part.record(world.features), reading)


def added(table: EmbeddingTable, name: str, vectors_KF: np.ndarray) -> EmbeddingTable:
    """The table with one more block."""
    start, width = len(table.feature_names), vectors_KF.shape[1]
    return replace(
        table,
        vectors_KF=np.hstack([table.vectors_KF, vectors_KF.astype(np.float32)]),
        feature_names=(*table.feature_names, *(f"{name}{i}" for i in range(width))),
        blocks={**table.blocks, name: (start, start + width)},
    )
