"""What is known of a drug besides its structure: its protein targets and fine mechanism.

What belongs here: the multi-hot table of a cleaned drug table. What does not: structure
(``smiles.py``), what the knowledge is worth (``linear/kernel_ridge/likeness.py``).

Shapes: K = drugs, F = targets and mechanisms.
"""

from typing import Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import EmbeddingTable

TRAINED_ON: Final = "published targets and mechanisms of the drug table; no expression"


def annotate_drugs(drugs: pd.DataFrame) -> EmbeddingTable:
    """Targets and mechanisms of every drug (K, F), 1 where it has one; blocks of these names.

    "unclear" is no mechanism: a drug with neither has a row of zeros, and is like no other drug.
    Salts of one parent compound share what is known of any of them, as they are one drug.

    Parameters
    ----------
    drugs
        Follows ``schemas.DRUGS``.
    """
    parents = [str(parent) for parent in drugs[names.PARENT_COMPOUND]]
    targets = _shared([set(map(str, symbols)) for symbols in drugs[names.TARGETS]], parents)
    unclear = {names.UNCLEAR_MOA}
    mechanisms = _shared([{str(moa)} - unclear for moa in drugs[names.MOA_FINE]], parents)
    blocks, columns, features = {}, [], []
    start = 0
    for block, known in (("targets", targets), ("mechanism", mechanisms)):
        vocabulary = sorted(set().union(*known))
        columns.append(np.array([[name in one for name in vocabulary] for one in known]))
        features += [f"{block}:{name}" for name in vocabulary]
        blocks[block] = (start, start + len(vocabulary))
        start += len(vocabulary)
    return EmbeddingTable(
        key_name=names.DRUG,
        keys=tuple(map(str, drugs[names.DRUG])),
        vectors_KF=np.hstack([one.reshape(len(drugs), -1) for one in columns]).astype(np.float32),
        feature_names=tuple(features),
        blocks=blocks,
        trained_on=TRAINED_ON,
    )


def _shared(known: list[set[str]], parents: list[str]) -> list[set[str]]:
    """What is known of each drug or of another form of its parent compound."""
    by_parent: dict[str, set[str]] = {}
    for one, parent in zip(known, parents, strict=True):
        by_parent.setdefault(parent, set()).update(one)
    return [by_parent[parent] for parent in parents]
