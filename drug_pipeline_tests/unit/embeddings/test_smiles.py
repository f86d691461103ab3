"""Drug vectors: counts of neighbourhoods, descriptors, and drugs that have no structure."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    EmptyResultError,
    MetadataError,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.smiles import (
    DESCRIPTORS,
    DrugEmbeddingConfig,
    drug_vectors,
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
    assert (np.abs(table.block("morgan")).sum(axis=1) > 0).all()


def test_a_shuffled_table_gives_each_drug_the_same_vector():
    table, _ = drug_vectors(DRUGS, DrugEmbeddingConfig())
    shuffled, _ = drug_vectors(DRUGS.iloc[[3, 1, 0, 2]], DrugEmbeddingConfig())
    assert shuffled.keys == ("Toluene", "Benzene", "Ethanol")
    np.testing.assert_array_equal(shuffled.rows(list(table.keys)), table.vectors_KF)


def test_a_smiles_that_cannot_be_read_is_an_error_that_shows_it():
    broken = DRUGS.assign(parent_smiles=["c1ccccc1", None, "C1CC", "not a molecule"])
    with pytest.raises(MetadataError, match="2 of 3 parent SMILES cannot be read; first: C1CC"):
        drug_vectors(broken, DrugEmbeddingConfig())


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
    np.testing.assert_array_equal(table.block("own")[:, 0], [2.0, 1.0, 0.0])


def test_a_drug_without_own_vector_is_refused_or_left_out_as_asked():
    own = own_vectors(["Benzene", "Ethanol", "Mixture"])
    with pytest.raises(AlignmentError, match="1 keys have no drug embedding; first: Toluene"):
        drug_vectors(DRUGS, OWN, own)
    lenient = DrugEmbeddingConfig(blocks=("own",), own_path="own.csv", own_missing="leave_out")
    _, left_out = drug_vectors(DRUGS, lenient, own)
    assert left_out == {"Toluene": "not in the table of own vectors"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": ("morgan", "fingers")}, "give some of morgan, descriptors, encoder, own"),
        ({"blocks": ()}, "give some of"),
        ({"blocks": ("morgan", "morgan")}, "each once"),
        ({"blocks": ("morgan", "encoder")}, "block 'encoder' and encoder_path go together"),
        ({"own_path": "own.csv"}, "block 'own' and own_path go together"),
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
    with pytest.raises(ConfigurationError, match="pip install transformers"):
        drug_vectors(DRUGS, encoder_config(tmp_path))


def test_an_encoder_whose_weights_are_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        drug_vectors(DRUGS, encoder_config(tmp_path / "nowhere"))


def test_the_encoder_vector_is_the_mean_over_the_tokens_of_the_smiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    class Encoder:
        def eval(self) -> "Encoder":
            return self

        def __call__(self, codes: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=torch.stack([codes, -codes], dim=-1))

    def tokenize(text: str, **_: object) -> dict[str, torch.Tensor]:
        return {"codes": torch.tensor([[float(ord(letter)) for letter in text]])}

    fake = SimpleNamespace(
        AutoTokenizer=SimpleNamespace(from_pretrained=lambda *_, **__: tokenize),
        AutoModel=SimpleNamespace(from_pretrained=lambda *_, **__: Encoder()),
    )
    monkeypatch.setitem(sys.modules, "transformers", fake)
    table, left_out = drug_vectors(DRUGS, encoder_config(tmp_path))
    assert left_out == {"Mixture": "no SMILES"}
    ethanol = np.mean([ord(letter) for letter in "CCO"])
    np.testing.assert_allclose(table.rows(["Ethanol"]), [[ethanol, -ethanol]], rtol=1e-6)
