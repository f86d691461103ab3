"""Drug vectors from chemistry: what a drug is, as far as its structure says.

What belongs here: fingerprints and descriptors of parent compounds, a pretrained SMILES encoder,
and a user's own vectors beside them. What does not: desalting (``expression/``), files
(``storage/embeddings.py``), scaling (whoever trains on the vectors does that on training drugs).

Shapes: D = drugs, F = features, B = fingerprint bins, T = tokens of one SMILES, H = hidden width.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.blocks import DRUG_BLOCKS, check_blocks
from drug_pipeline.domain.errors import (
    ConfigurationError,
    EmptyResultError,
    MetadataError,
    first_few,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.alignment import (
    NO_OWN_VECTOR,
    OwnMissing,
    is_absent,
    join_blocks,
    own_block,
)

Made: TypeAlias = tuple[NDArray[np.float32], Sequence[str]]
"""Vectors (D, F) and the names of their features."""
OWN_KEYS: Final = (names.DRUG, names.PARENT_COMPOUND, names.PUBCHEM_CID)
"""Columns of the drug table by which own vectors can be keyed."""
NO_STRUCTURE: Final = "no SMILES"
N_OFFSET: Final = 2
"""Positions that RoBERTa, and so ChemBERTa, keeps for padding: so many tokens fewer fit in."""

DESCRIPTORS: Final = (
    *("MolWt", "HeavyAtomCount", "NumHeteroatoms", "MolLogP", "MolMR", "TPSA", "LabuteASA"),
    *("NumHDonors", "NumHAcceptors", "NHOHCount", "NOCount", "NumRotatableBonds"),
    *("FractionCSP3", "RingCount", "NumAromaticRings", "NumAliphaticRings", "NumSaturatedRings"),
    *("NumAromaticHeterocycles", "NumValenceElectrons", "BertzCT", "BalabanJ", "Chi1v"),
    *("Kappa1", "Kappa2", "qed"),
)
"""RDKit descriptors, by RDKit's names. Partial charges are not among them: they are NaN for boron."""


@dataclass(frozen=True, kw_only=True)
class DrugEmbeddingConfig:
    """Which blocks a drug vector has.

    Parameters
    ----------
    blocks
        Some of ``morgan``, ``descriptors``, ``encoder``, ``own``; the last two are made wherever
        their source is named. Models pass over blocks that are not made.
    morgan_radius, morgan_bins
        Count-Morgan fingerprint; 2 bonds and 2,048 bins are what the kernels were measured with.
    encoder_path
        Folder with the weights of a ``transformers`` SMILES encoder, for block ``encoder``.
    own_path, own_key
        Parquet, CSV or NPZ file of own vectors, for block ``own``, and its key, one of
        :data:`OWN_KEYS`; the first of these that the file has where None.
    own_missing
        What happens to drugs without an own vector: known by their other blocks, or an error.
    """

    blocks: tuple[str, ...] = ("morgan", "descriptors")
    morgan_radius: int = 2
    morgan_bins: int = 2048
    encoder_path: str | None = None
    own_path: str | None = None
    own_key: str | None = None
    own_missing: OwnMissing = "fall_back"

    def __post_init__(self) -> None:
        allowed = {name: DRUG_BLOCKS[name] for name in (*MADE_FROM_SMILES, "own")}
        check_blocks(self.blocks, allowed, what="blocks")
        if self.morgan_radius < 0 or self.morgan_bins < 1:
            msg = (
                f"morgan_radius {self.morgan_radius} and morgan_bins {self.morgan_bins}: the radius "
                "is 0 or more bonds, the bins are 1 or more"
            )
            raise ConfigurationError(msg)
        if self.own_key is not None and self.own_key not in OWN_KEYS:
            msg = f"own_key is {self.own_key!r}; give one of {', '.join(OWN_KEYS)}"
            raise ConfigurationError(msg)
        for block, setting in (("encoder", "encoder_path"), ("own", "own_path")):
            if block in self.blocks and getattr(self, setting) is None:
                msg = f"block {block!r} is asked for, but its source is not named: set drug_embeddings.{setting}"
                raise ConfigurationError(msg)

    @property
    def given(self) -> tuple[str, ...]:
        """Blocks whose source is named."""
        sources = {"encoder": self.encoder_path, "own": self.own_path}
        return tuple(name for name, source in sources.items() if source is not None)

    @property
    def made(self) -> list[str]:
        """Every block that is made, in the order in which they stand side by side."""
        return sorted({*self.blocks, *self.given}, key=list(DRUG_BLOCKS).index)


def drug_vectors(
    drugs: pd.DataFrame, config: DrugEmbeddingConfig, own: EmbeddingTable | None = None
) -> tuple[EmbeddingTable, dict[str, str]]:
    """Vectors of the drugs, in the order of the table, and the drugs left out with reasons.

    A drug without a structure has no vector in the blocks that need one: never a zero vector, which
    a model would take for a very small molecule. It is left out where no block knows it.

    Parameters
    ----------
    drugs
        Table of ``schemas.DRUGS``, D rows.
    own
        Vectors for block ``own``; its ``key_name`` is the column of the table that keys it.

    Raises
    ------
    MetadataError
        If a parent SMILES cannot be read.
    AlignmentError
        If ``own`` cannot be used for these drugs (see ``alignment.own_block``), or a value is not
        finite.
    EmptyResultError
        If no drug is left.
    """
    has_smiles_D = (drugs[names.PARENT_SMILES].fillna("") != "").to_numpy()
    smiles = drugs.loc[has_smiles_D, names.PARENT_SMILES].tolist()
    parts: list[tuple[str, NDArray[np.float32], Sequence[str]]] = []
    for block in config.made:
        if block == "own":
            parts.append((block, *_own_vectors(drugs, config, own)))
        else:
            made, features = MADE_FROM_SMILES[block](smiles, config)
            vectors_DF = np.full((len(drugs), len(features)), np.nan, dtype=np.float32)
            vectors_DF[has_smiles_D] = made
            parts.append((block, vectors_DF, features))
    is_known_D = ~np.all([is_absent(vectors_DF) for _, vectors_DF, _ in parts], axis=0)
    reason = NO_OWN_VECTOR if config.made == ["own"] else NO_STRUCTURE
    left_out = dict.fromkeys(drugs.loc[~is_known_D, names.DRUG].astype(str), reason)
    if not is_known_D.any():
        msg = f"none of {len(drugs)} drugs has a vector; first: {first_few(left_out.items())}"
        raise EmptyResultError(msg)
    table = join_blocks(
        names.DRUG,
        drugs.loc[is_known_D, names.DRUG].astype(str).tolist(),
        [(block, vectors_DF[is_known_D], features) for block, vectors_DF, features in parts],
        trained_on=_trained_on(config, own),
    )
    return table, left_out


def morgan_counts(smiles: Sequence[str], radius: int, n_bins: int) -> NDArray[np.float32]:
    """ln(1 + count) of each hashed atom neighbourhood, (D, B)."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bins)
    counts_DB = np.zeros((len(smiles), n_bins), dtype=np.float64)
    for row, molecule in enumerate(_molecules(smiles)):
        counts_DB[row] = generator.GetCountFingerprintAsNumPy(molecule)
    return np.log1p(counts_DB).astype(np.float32)


def descriptors(smiles: Sequence[str]) -> NDArray[np.float32]:
    """RDKit descriptors in their own units, in the order of :data:`DESCRIPTORS`, (D, F)."""
    from rdkit.Chem import Descriptors

    functions = [getattr(Descriptors, name) for name in DESCRIPTORS]
    rows = [[function(molecule) for function in functions] for molecule in _molecules(smiles)]
    return np.array(rows, dtype=np.float32).reshape(len(smiles), len(DESCRIPTORS))


def encode_smiles(smiles: Sequence[str], path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Mean of the last hidden states over the tokens of each SMILES, (D, H), and feature names.

    The weights are read from ``path``; nothing is downloaded. A SMILES longer than the encoder
    reads is cut at its end.

    Raises
    ------
    ConfigurationError
        If ``transformers`` is not installed, or ``path`` is not a folder with an encoder and its
        tokenizer.
    """
    if not path.is_dir():
        msg = (
            f"drug_embeddings.encoder_path {path} is not a folder. Give one with config.json, "
            "weights, tokenizer."
        )
        raise ConfigurationError(msg)
    try:
        transformers: Any = importlib.import_module("transformers")
    except ModuleNotFoundError as error:
        msg = (
            "block 'encoder' needs the package transformers, which is not installed. "
            "Run `pip install 'drug-pipeline[encoder]'`, or leave the block out."
        )
        raise ConfigurationError(msg) from error
    import torch

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        encoder = transformers.AutoModel.from_pretrained(path, local_files_only=True).eval()
    except (OSError, ValueError) as error:
        msg = (
            f"drug_embeddings.encoder_path {path} holds no encoder that transformers can read: "
            f"{str(error).splitlines()[0]} Save encoder and tokenizer there as Hugging Face's library does."
        )
        raise ConfigurationError(msg) from error
    n_most = min(tokenizer.model_max_length, encoder.config.max_position_embeddings - N_OFFSET)
    vectors_DH = np.zeros((len(smiles), encoder.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for row, one in enumerate(smiles):  # no padding: a vector does not depend on its batch
            tokens = tokenizer(one, return_tensors="pt", truncation=True, max_length=n_most)
            hidden_TH = encoder(**tokens).last_hidden_state[0]
            vectors_DH[row] = hidden_TH.mean(dim=0).numpy()
    return vectors_DH, [f"encoder_{unit}" for unit in range(vectors_DH.shape[1])]


def _molecules(smiles: Sequence[str]) -> list[Any]:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(one) for one in smiles]
    unread = [one for one, molecule in zip(smiles, molecules, strict=True) if molecule is None]
    if unread:
        msg = (
            f"{len(unread)} of {len(smiles)} parent SMILES cannot be read; first: "
            f"{first_few(unread)}. Correct them in the drug metadata."
        )
        raise MetadataError(msg)
    return molecules


def _own_vectors(
    drugs: pd.DataFrame, config: DrugEmbeddingConfig, own: EmbeddingTable | None
) -> tuple[NDArray[np.float32], list[str]]:
    if own is None:
        msg = "block 'own' needs the table of own vectors"
        raise ConfigurationError(msg)
    return own_block(own, drugs[own.key_name].astype(str).tolist(), config.own_missing)


def _morgan(smiles: Sequence[str], config: DrugEmbeddingConfig) -> Made:
    vectors_DB = morgan_counts(smiles, config.morgan_radius, config.morgan_bins)
    return vectors_DB, [f"morgan_{bin_}" for bin_ in range(config.morgan_bins)]


def _descriptors(smiles: Sequence[str], config: DrugEmbeddingConfig) -> Made:
    del config
    return descriptors(smiles), DESCRIPTORS


def _encoder(smiles: Sequence[str], config: DrugEmbeddingConfig) -> Made:
    return encode_smiles(smiles, Path(str(config.encoder_path)))


MADE_FROM_SMILES: Final[Mapping[str, Callable[[Sequence[str], DrugEmbeddingConfig], Made]]] = {
    "morgan": _morgan,
    "descriptors": _descriptors,
    "encoder": _encoder,
}
"""What makes each block that needs a structure, from parent SMILES: vectors and feature names."""


def _trained_on(config: DrugEmbeddingConfig, own: EmbeddingTable | None) -> str:
    sources = []
    if set(config.made) & {"morgan", "descriptors"}:
        sources.append("structures only, nothing fitted (RDKit)")
    if "encoder" in config.made:
        sources.append(f"the pretraining of the encoder in {Path(str(config.encoder_path)).name}")
    if own is not None:
        sources.append(own.trained_on)
    return "; ".join(sources)
