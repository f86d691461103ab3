"""Drug vectors: counts of neighbourhoods, descriptors, and drugs that have no structure."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.blocks import DRUG_BLOCKS, Block
from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    EmptyResultError,
    MetadataError,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.smiles import (
    DESCRIPTORS,
    MADE_FROM_SMILES,
    DrugEmbeddingConfig,
    Made,
    drug_vectors,
    encode_smiles,
    morgan_counts,
)

DRUGS = pd.DataFrame(
    {
        "drug": ["Benzene", "Mixture", "Ethanol", "Toluene"],
        "parent_compound": ["P1", "name:Mixture", "P2", "P3"],
        "parent_smiles": ["c1ccccc1", None, "CCO", "Cc1ccccc1"],
    }
)
OWN = DrugEmbeddingConfig(blocks=("own",), own_path="own.csv")


def own_vectors(keys: list[str], key_name: str = "drug") -> EmbeddingTable:
    return EmbeddingTable(
        key_name=key_name,
        keys=tuple(keys),
        vectors_KF=np.arange(len(keys), dtype=np.float32)[:, None],
        feature_names=("x",),
        blocks={"own": (0, 1)},
        trained_on="the user's own table own.csv",
    )


def test_each_neighbourhood_of_benzene_counts_its_six_atoms():
    # Three distinct neighbourhoods (radius 0, 1, 2): the first two occur at six atoms each. At
    # radius 2 each covers bonds that another does not, so all six stay.
    counts = morgan_counts(["c1ccccc1"], 2, 2048)[0]
    np.testing.assert_allclose(np.sort(counts[counts > 0]), np.log1p([6.0, 6.0, 6.0]), rtol=1e-6)


def test_vectors_are_in_the_order_of_the_table_and_blocks_have_their_width():
    table, _ = drug_vectors(DRUGS, DrugEmbeddingConfig())
    assert table.keys == ("Benzene", "Ethanol", "Toluene")
    assert table.blocks == {"morgan": (0, 2048), "descriptors": (2048, 2048 + len(DESCRIPTORS))}
    weight = table.vectors_KF[:, table.feature_names.index("MolWt")]
    np.testing.assert_allclose(weight, [78.114, 46.069, 92.141], atol=1e-3)


def test_a_drug_without_structure_is_left_out_and_never_a_zero_vector():
    table, left_out = drug_vectors(DRUGS, DrugEmbeddingConfig())
    assert left_out == {"Mixture": "no SMILES"}
    assert (np.abs(table.block("morgan").vectors_KF).sum(axis=1) > 0).all()


def test_a_shuffled_table_gives_each_drug_the_same_vector():
    table, _ = drug_vectors(DRUGS, DrugEmbeddingConfig())
    shuffled, _ = drug_vectors(DRUGS.iloc[[3, 1, 0, 2]], DrugEmbeddingConfig())
    assert shuffled.keys == ("Toluene", "Benzene", "Ethanol")
    np.testing.assert_array_equal(shuffled.rows(list(table.keys)), table.vectors_KF)


def test_a_smiles_that_cannot_be_read_is_an_error_that_shows_it():
    broken = DRUGS.assign(parent_smiles=["c1ccccc1", None, "C1CC", "not a molecule"])
    with pytest.raises(MetadataError, match="2 of 3 parent SMILES cannot be read; first: C1CC"):
        drug_vectors(broken, DrugEmbeddingConfig())


def test_a_new_block_is_a_row_of_the_registry_and_the_function_that_makes_it(monkeypatch):
    def n_letters(smiles: list[str], config: DrugEmbeddingConfig) -> Made:
        return np.array([[len(one)] for one in smiles], dtype=np.float32), ["n_letters"]

    monkeypatch.setitem(DRUG_BLOCKS, "letters", Block(title="letters", values="numbers"))
    monkeypatch.setitem(MADE_FROM_SMILES, "letters", n_letters)
    table, _ = drug_vectors(DRUGS, DrugEmbeddingConfig(blocks=("descriptors", "letters")))
    np.testing.assert_array_equal(table.block("letters").vectors_KF[:, 0], [8.0, 3.0, 9.0])


def test_no_drug_with_a_vector_is_an_error():
    with pytest.raises(EmptyResultError, match="none of 1 drugs has a vector"):
        drug_vectors(DRUGS.iloc[[1]], DrugEmbeddingConfig())


def test_own_vectors_are_taken_by_key_also_for_a_drug_without_structure():
    own = own_vectors(["Toluene", "Ethanol", "Unused", "Mixture", "Benzene"])
    table, left_out = drug_vectors(DRUGS, OWN, own)
    assert left_out == {}
    np.testing.assert_array_equal(table.vectors_KF[:, 0], [4.0, 3.0, 1.0, 0.0])
    assert table.trained_on == "the user's own table own.csv"


def test_own_vectors_can_be_keyed_by_another_column_of_the_table():
    config = DrugEmbeddingConfig(
        blocks=("descriptors", "own"), own_path="own.csv", own_key="parent_compound"
    )
    table, _ = drug_vectors(DRUGS, config, own_vectors(["P3", "P2", "P1"], "parent_compound"))
    np.testing.assert_array_equal(table.block("own").vectors_KF[:, 0], [2.0, 1.0, 0.0])


def test_a_drug_without_own_vector_is_known_by_its_structure_or_refused(caplog):
    own = own_vectors(["Benzene", "Ethanol", "Mixture"])
    config = DrugEmbeddingConfig(blocks=("descriptors", "own"), own_path="own.csv")
    with pytest.raises(AlignmentError, match=r"1 of 4 keys have no vector .* first: Toluene"):
        drug_vectors(DRUGS, replace(config, own_missing="refuse"), own)

    table, left_out = drug_vectors(DRUGS, config, own)

    assert left_out == {}
    assert table.block("descriptors").keys == ("Benzene", "Ethanol", "Toluene")
    assert table.block("own").keys == ("Benzene", "Mixture", "Ethanol")
    assert "first: Toluene. They are known by other blocks alone" in caplog.text


def test_a_drug_that_no_block_knows_is_left_out():
    _, left_out = drug_vectors(DRUGS, OWN, own_vectors(["Benzene", "Ethanol", "Mixture"]))
    assert left_out == {"Toluene": "not in the table of own vectors"}


def test_an_own_table_that_cannot_tell_drugs_apart_is_refused_and_a_constant_column_dropped(caplog):
    vectors_KF = np.array([[1, 5], [2, 5], [3, 5], [4, 5]], dtype=np.float32)
    own = replace(
        own_vectors(["Benzene", "Ethanol", "Mixture", "Toluene"]),
        vectors_KF=vectors_KF,
        feature_names=("x", "batch"),
        blocks={"own": (0, 2)},
    )
    table, _ = drug_vectors(DRUGS, OWN, own)
    assert table.feature_names == ("own_x",)
    assert "1 of 2 columns" in caplog.text
    assert "first: batch" in caplog.text
    with pytest.raises(AlignmentError, match=r"no column .* differs between the 4 keys"):
        drug_vectors(DRUGS, OWN, replace(own, vectors_KF=np.full_like(vectors_KF, 5.0)))
    with pytest.raises(
        AlignmentError, match=r"4 of 4 keys have no vector .* Its own keys are cid1"
    ):
        drug_vectors(DRUGS, OWN, replace(own, keys=("cid1", "cid2", "cid3", "cid4")))
    vectors_KF[1, 0] = np.nan
    with pytest.raises(AlignmentError, match="not finite for 1 of 4 keys; first: Ethanol"):
        drug_vectors(DRUGS, OWN, replace(own, vectors_KF=vectors_KF))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": ("morgan", "fingers")}, "give some of morgan, descriptors, encoder, own"),
        ({"blocks": ()}, "give some of"),
        ({"blocks": ("morgan", "morgan")}, "each once"),
        ({"blocks": ("morgan", "encoder")}, "not named: set drug_embeddings.encoder_path"),
        ({"blocks": ("own",)}, "not named: set drug_embeddings.own_path"),
        ({"own_key": "smiles", "blocks": ("own",), "own_path": "x.csv"}, "own_key is 'smiles'"),
        ({"morgan_bins": 0}, "the bins are 1 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DrugEmbeddingConfig(**settings)  # type: ignore[arg-type]


def encoder_config(folder: Path) -> DrugEmbeddingConfig:
    return DrugEmbeddingConfig(blocks=("encoder",), encoder_path=str(folder))


def test_an_encoder_without_the_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'drug-pipeline\[encoder\]'"):
        drug_vectors(DRUGS, encoder_config(tmp_path))


def test_an_encoder_whose_weights_are_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        drug_vectors(DRUGS, encoder_config(tmp_path / "nowhere"))


@pytest.fixture(scope="module")
def chemical_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Hugging Face's layout: a tiny RoBERTa that reads SMILES atom by atom."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    words = {word: number for number, word in enumerate(["<pad>", "<unk>", *"CONcno()=1"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    folder = tmp_path_factory.mktemp("encoder")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(folder)
    size = {"hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 12}
    config = RobertaConfig(
        vocab_size=len(words), num_hidden_layers=1, num_attention_heads=2, pad_token_id=0, **size
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.slow  # transformers takes some ten seconds to import
def test_the_encoder_vector_is_the_mean_over_the_tokens_of_the_smiles(chemical_encoder):
    import torch
    from transformers import AutoModel

    config = DrugEmbeddingConfig(
        blocks=("descriptors", "encoder"), encoder_path=str(chemical_encoder)
    )
    table, left_out = drug_vectors(DRUGS, config)

    assert left_out == {"Mixture": "no SMILES"}
    assert table.blocks["encoder"] == (len(DESCRIPTORS), len(DESCRIPTORS) + 8)
    model = AutoModel.from_pretrained(chemical_encoder, local_files_only=True).eval()
    with torch.inference_mode():
        ethanol_TH = model(torch.tensor([[2, 2, 3]])).last_hidden_state[0]  # C, C, O
    expected_H = ethanol_TH.mean(dim=0).numpy()
    np.testing.assert_allclose(table.block("encoder").rows(["Ethanol"])[0], expected_H, atol=1e-6)
    assert chemical_encoder.name in table.trained_on


@pytest.mark.slow  # transformers takes some ten seconds to import
def test_a_smiles_longer_than_the_encoder_reads_is_cut_and_a_folder_without_one_refused(
    chemical_encoder, tmp_path
):
    vectors_DH, _ = encode_smiles(["C" * 40, "C" * 10, "C" * 9], chemical_encoder)
    np.testing.assert_array_equal(vectors_DH[0], vectors_DH[1])
    assert not np.allclose(vectors_DH[1], vectors_DH[2])
    with pytest.raises(ConfigurationError, match="holds no encoder that transformers can read"):
        encode_smiles(["C"], tmp_path)
