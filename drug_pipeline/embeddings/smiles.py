"""Drug vectors from chemistry: what a drug is, as far as its structure says.

What belongs here: fingerprints and descriptors of parent compounds, a pretrained SMILES encoder,
and a user's own vectors beside them. What does not: desalting (``expression/``), files
(``storage/embeddings.py``), scaling (whoever trains on the vectors does that on training drugs).

Shapes: D = drugs, F = features, B = fingerprint bins, T = tokens of one SMILES, H = hidden width.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import (
    ConfigurationError,
    EmptyResultError,
    MetadataError,
    first_few,
)
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.embeddings.alignment import NO_OWN_VECTOR, join_blocks

DRUG_BLOCKS: Final = ("morgan", "descriptors", "encoder", "own")
"""Blocks that a drug vector can have, in this order."""
SMILES_BLOCKS: Final = ("morgan", "descriptors", "encoder")
"""Blocks that need a structure."""
OWN_KEYS: Final = (names.DRUG, names.PARENT_COMPOUND, names.PUBCHEM_CID)
"""Columns of the drug table by which own vectors can be keyed."""
NO_STRUCTURE: Final = "no SMILES"

DESCRIPTORS: Final = (
    "MolWt",
    "HeavyAtomCount",
    "NumHeteroatoms",
    "MolLogP",
    "MolMR",
    "TPSA",
    "LabuteASA",
    "NumHDonors",
    "NumHAcceptors",
    "NHOHCount",
    "NOCount",
    "NumRotatableBonds",
    "FractionCSP3",
    "RingCount",
    "NumAromaticRings",
    "NumAliphaticRings",
    "NumSaturatedRings",
    "NumAromaticHeterocycles",
    "NumValenceElectrons",
    "BertzCT",
    "BalabanJ",
    "Chi1v",
    "Kappa1",
    "Kappa2",
    "qed",
)
"""RDKit descriptors, by RDKit's names. Partial charges are not among them: they are NaN for boron."""


@dataclass(frozen=True, kw_only=True)
class DrugEmbeddingConfig:
    """Which blocks a drug vector has.

    Parameters
    ----------
    blocks
        Some of :data:`DRUG_BLOCKS`; the linear chemistry models need ``morgan``.
    morgan_radius, morgan_bins
        Count-Morgan fingerprint; 2 bonds and 2,048 bins are what the kernels were measured with.
    encoder_path
        Folder with the weights of a ``transformers`` SMILES encoder, for block ``encoder``.
    own_path, own_key
        Parquet or CSV table of own vectors, for block ``own``, and its key column, one of
        :data:`OWN_KEYS`.
    own_missing
        What happens to drugs without an own vector: an error, or left out and listed.
    """

    blocks: tuple[str, ...] = ("morgan", "descriptors")
    morgan_radius: int = 2
    morgan_bins: int = 2048
    encoder_path: str | None = None
    own_path: str | None = None
    own_key: str = names.DRUG
    own_missing: Literal["refuse", "leave_out"] = "refuse"

    def __post_init__(self) -> None:
        unknown = [block for block in self.blocks if block not in DRUG_BLOCKS]
        if unknown or not self.blocks or len(set(self.blocks)) < len(self.blocks):
            msg = f"blocks are {self.blocks}; give some of {', '.join(DRUG_BLOCKS)}, each once"
            raise ConfigurationError(msg)
        if self.morgan_radius < 0 or self.morgan_bins < 1:
            msg = (
                f"morgan_radius {self.morgan_radius} and morgan_bins {self.morgan_bins}: the radius "
                "is 0 or more bonds, the bins are 1 or more"
            )
            raise ConfigurationError(msg)
        if self.own_key not in OWN_KEYS:
            msg = f"own_key is {self.own_key!r}; give one of {', '.join(OWN_KEYS)}"
            raise ConfigurationError(msg)
        for block, setting in (("encoder", "encoder_path"), ("own", "own_path")):
            if (block in self.blocks) != (getattr(self, setting) is not None):
                msg = f"block {block!r} and {setting} go together: set both, or neither"
                raise ConfigurationError(msg)


def drug_vectors(
    drugs: pd.DataFrame, config: DrugEmbeddingConfig, own: EmbeddingTable | None = None
) -> tuple[EmbeddingTable, dict[str, str]]:
    """Vectors of the drugs, in the order of the table, and the drugs left out with reasons.

    A drug without a structure is left out where a block needs one: never a zero vector, which a
    model would take for a very small molecule.

    Parameters
    ----------
    drugs
        Table of ``schemas.DRUGS``, D rows.
    own
        Vectors for block ``own``, keyed by the values of column ``config.own_key``.

    Raises
    ------
    MetadataError
        If a parent SMILES cannot be read.
    AlignmentError
        If a drug has no vector in ``own`` and ``config.own_missing`` is ``"refuse"``, or a value
        is not finite.
    EmptyResultError
        If no drug is left.
    """
    left_out = _left_out(drugs, config, own)
    kept = drugs[~drugs[names.DRUG].isin(left_out)]
    if kept.empty:
        msg = f"none of {len(drugs)} drugs has a vector; first: {first_few(left_out.items())}"
        raise EmptyResultError(msg)
    keys = kept[names.DRUG].astype(str).tolist()
    smiles_D = kept[names.PARENT_SMILES].tolist()
    parts: list[tuple[str, NDArray[np.float32], Sequence[str]]] = []
    for block in sorted(config.blocks, key=DRUG_BLOCKS.index):
        if block == "own":
            parts.append(_own_block(kept, config.own_key, own))
        elif block == "encoder":
            parts.append(("encoder", *encode_smiles(smiles_D, Path(str(config.encoder_path)))))
        elif block == "morgan":
            vectors_DB = morgan_counts(smiles_D, config.morgan_radius, config.morgan_bins)
            parts.append(
                (block, vectors_DB, [f"morgan_{bin_}" for bin_ in range(config.morgan_bins)])
            )
        else:
            parts.append((block, descriptors(smiles_D), DESCRIPTORS))
    trained_on = _trained_on(config, own)
    return join_blocks(names.DRUG, keys, parts, trained_on=trained_on), left_out


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

    The weights are read from ``path``; nothing is downloaded.

    Raises
    ------
    ConfigurationError
        If ``transformers`` is not installed, or ``path`` is not a folder.
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
            "Run `pip install transformers`, or leave the block out."
        )
        raise ConfigurationError(msg) from error
    import torch

    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    encoder = transformers.AutoModel.from_pretrained(path, local_files_only=True).eval()
    vectors = []
    with torch.inference_mode():
        for one in smiles:  # one at a time: no padding, so a vector does not depend on its batch
            tokens = tokenizer(one, return_tensors="pt", truncation=True)
            hidden_TH = encoder(**tokens).last_hidden_state[0]
            vectors.append(hidden_TH.mean(dim=0).numpy())
    vectors_DH = np.array(vectors, dtype=np.float32)
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


def _left_out(
    drugs: pd.DataFrame, config: DrugEmbeddingConfig, own: EmbeddingTable | None
) -> dict[str, str]:
    left_out: dict[str, str] = {}
    if set(config.blocks) & set(SMILES_BLOCKS):
        smiles = drugs[names.PARENT_SMILES]
        left_out |= dict.fromkeys(
            drugs.loc[smiles.isna() | (smiles == ""), names.DRUG], NO_STRUCTURE
        )
    if own is not None and config.own_missing == "leave_out":
        is_missing = ~drugs[config.own_key].astype(str).isin(own.keys)
        missing = drugs.loc[is_missing, names.DRUG]
        left_out |= {drug: NO_OWN_VECTOR for drug in missing if drug not in left_out}
    return left_out


def _own_block(
    drugs: pd.DataFrame, key: str, own: EmbeddingTable | None
) -> tuple[str, NDArray[np.float32], Sequence[str]]:
    if own is None:
        msg = "block 'own' needs the table of own vectors"
        raise ConfigurationError(msg)
    vectors_DF = own.rows(drugs[key].astype(str).tolist())
    return "own", vectors_DF, [f"own_{name}" for name in own.feature_names]


def _trained_on(config: DrugEmbeddingConfig, own: EmbeddingTable | None) -> str:
    sources = []
    if set(config.blocks) & {"morgan", "descriptors"}:
        sources.append("structures only, nothing fitted (RDKit)")
    if "encoder" in config.blocks:
        sources.append(f"the pretraining of the encoder in {Path(str(config.encoder_path)).name}")
    if own is not None:
        sources.append(own.trained_on)
    return "; ".join(sources)
