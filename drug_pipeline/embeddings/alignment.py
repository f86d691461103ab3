"""Vectors meet tables by key, never by position.

What belongs here: the check that an embedding has exactly the keys of a table, in its order, and
the ways of bringing it there. What does not: making vectors (``smiles.py``, ``cell_lines.py``).

Shapes: K = keys, F = features.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.errors import AlignmentError, first_few
from drug_pipeline.domain.tables import EmbeddingTable

NO_OWN_VECTOR: Final = "not in the table of own vectors"
"""Reason of a key that was left out as its user gave it no vector."""


def check_alignment(table: EmbeddingTable, expected: Sequence[str]) -> None:
    """Nothing, where the table has exactly the expected keys, each once, in that order.

    Raises
    ------
    AlignmentError
        If a key is missing, extra, duplicated or out of order.
    """
    check_keys(table.keys, expected, what=f"{table.key_name} embedding")


def check_keys(keys: Sequence[str], expected: Sequence[str], *, what: str) -> None:
    """Nothing, where ``keys`` are exactly ``expected``; ``what`` names them in the error.

    Raises
    ------
    AlignmentError
        If a key is missing, extra, duplicated or out of order.
    """
    remedy = "Rebuild the embeddings from the metadata that are there now."
    for listed, where in ((keys, what), (expected, f"keys expected of the {what}")):
        repeated = sorted(key for key, count in Counter(listed).items() if count > 1)
        if repeated:
            msg = f"{where}: {len(repeated)} keys occur more than once; first: {first_few(repeated)}. {remedy}"
            raise AlignmentError(msg)
    missing = [key for key in expected if key not in set(keys)]
    if missing:
        msg = (
            f"{what}: {len(missing)} of {len(expected)} keys are missing; first: "
            f"{first_few(missing)}. {remedy}"
        )
        raise AlignmentError(msg)
    extra = [key for key in keys if key not in set(expected)]
    if extra:
        msg = f"{what}: {len(extra)} keys are not in the metadata; first: {first_few(extra)}. {remedy}"
        raise AlignmentError(msg)
    for row, (key, wanted) in enumerate(zip(keys, expected, strict=True)):
        if key != wanted:
            msg = (
                f"{what}: keys are in another order than the metadata; first at row {row}: {key} "
                f"where {wanted} is expected. {remedy}"
            )
            raise AlignmentError(msg)


def align(table: EmbeddingTable, wanted: Sequence[str]) -> EmbeddingTable:
    """The same vectors for the wanted keys, in their order.

    Raises
    ------
    AlignmentError
        If a wanted key has no vector, or is wanted twice.
    """
    return EmbeddingTable(
        key_name=table.key_name,
        keys=tuple(wanted),
        vectors_KF=table.rows(list(wanted)),
        feature_names=table.feature_names,
        blocks=table.blocks,
        trained_on=table.trained_on,
    )


def join_blocks(
    key_name: str,
    keys: Sequence[str],
    parts: Sequence[tuple[str, NDArray[np.float32], Sequence[str]]],
    *,
    trained_on: str,
) -> EmbeddingTable:
    """One table from named blocks ``(name, vectors_KF, feature_names)``, side by side.

    Raises
    ------
    AlignmentError
        If a block holds a value that is not a finite number.
    """
    blocks: dict[str, tuple[int, int]] = {}
    feature_names: list[str] = []
    for name, vectors_KF, block_names in parts:
        _check_finite(key_name, keys, name, vectors_KF)
        blocks[name] = (len(feature_names), len(feature_names) + len(block_names))
        feature_names += block_names
    return EmbeddingTable(
        key_name=key_name,
        keys=tuple(keys),
        vectors_KF=np.hstack([vectors_KF for _, vectors_KF, _ in parts]).astype(np.float32),
        feature_names=tuple(feature_names),
        blocks=blocks,
        trained_on=trained_on,
    )


def _check_finite(
    key_name: str, keys: Sequence[str], block: str, vectors_KF: NDArray[np.float32]
) -> None:
    is_bad_K: NDArray[np.bool_] = np.logical_not(np.isfinite(vectors_KF).all(axis=1))
    if is_bad_K.any():
        bad = [key for key, is_bad in zip(keys, is_bad_K, strict=True) if is_bad]
        msg = (
            f"block {block} of the {key_name} embedding is not finite for {len(bad)} of "
            f"{len(keys)} keys; first: {first_few(bad)}. Correct these rows, or leave the block out."
        )
        raise AlignmentError(msg)
