"""Vectors meet tables by key, never by position.

What belongs here: the check that an embedding has exactly the keys of a table, in its order, and
joining blocks of vectors. What does not: making vectors (``smiles.py``, ``cell_lines.py``).

Shapes: K = keys, F = features.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.errors import AlignmentError, first_few
from drug_pipeline.domain.tables import EmbeddingTable

logger = logging.getLogger(__name__)

NO_OWN_VECTOR: Final = "not in the table of own vectors"
"""Reason of a key that was left out as its user gave it no vector, and nothing else says what it is."""
OwnMissing: TypeAlias = Literal["fall_back", "refuse"]
"""What happens to keys without an own vector: known by their other blocks alone, or an error."""


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


def join_blocks(
    key_name: str,
    keys: Sequence[str],
    parts: Sequence[tuple[str, NDArray[np.float32], Sequence[str]]],
    *,
    trained_on: str,
) -> EmbeddingTable:
    """One table from named blocks ``(name, vectors_KF, feature_names)``, side by side.

    A key that has no vector in a block has NaN in its whole row of it.

    Raises
    ------
    AlignmentError
        If a vector holds a value that is not a finite number.
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
    has_vector_K = ~is_absent(vectors_KF)
    is_bad_K: NDArray[np.bool_] = has_vector_K & ~np.isfinite(vectors_KF).all(axis=1)
    if is_bad_K.any():
        bad = [key for key, is_bad in zip(keys, is_bad_K, strict=True) if is_bad]
        msg = (
            f"block {block} of the {key_name} embedding is not finite for {len(bad)} of "
            f"{len(keys)} keys; first: {first_few(bad)}. Correct these rows, or leave the block out."
        )
        raise AlignmentError(msg)


def is_absent(vectors_KF: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which keys have no vector: nothing but NaN (K)."""
    return np.asarray(np.isnan(vectors_KF).all(axis=1) & (vectors_KF.shape[1] > 0))


def own_block(
    own: EmbeddingTable, wanted: Sequence[str], missing: OwnMissing
) -> tuple[NDArray[np.float32], list[str]]:
    """A user's vectors of the wanted keys, NaN where there is none (K, F), and feature names.

    A column that is the same for all of these keys tells none from another and is left out.

    Raises
    ------
    AlignmentError
        If no wanted key has a vector, or one has none and ``missing`` is ``"refuse"``, or no
        column differs between them.
    """
    has_vector_K = ~is_absent(own.vectors_KF)
    row_of = {key: row for row, key in enumerate(own.keys) if has_vector_K[row]}
    without = [key for key in wanted if key not in row_of]
    lacking = f"{len(without)} of {len(wanted)} keys have no vector in {own.trained_on}; first: "
    if len(without) == len(wanted) or (without and missing == "refuse"):
        msg = (
            f"{lacking}{first_few(without)}. Its own keys are {first_few(row_of)}. Add these rows, or "
            f"key the table by {own.key_name} as it stands in the metadata."
        )
        raise AlignmentError(msg)
    if without:
        logger.warning("%s%s. They are known by other blocks alone.", lacking, first_few(without))
    unused = sorted(set(row_of) - set(wanted))
    if unused:
        logger.warning(
            "%d of %d keys of %s are not in the metadata and are not used; first: %s",
            *(len(unused), len(row_of), own.trained_on, first_few(unused)),
        )
    vectors_KF = np.full((len(wanted), own.vectors_KF.shape[1]), np.nan, dtype=np.float32)
    is_used_K = np.array([key in row_of for key in wanted])
    vectors_KF[is_used_K] = own.vectors_KF[[row_of[key] for key in wanted if key in row_of]]
    _check_finite(own.key_name, wanted, "own", vectors_KF)
    varies_F = _varying(own, vectors_KF[is_used_K])
    kept = [name for name, varies in zip(own.feature_names, varies_F, strict=True) if varies]
    return vectors_KF[:, varies_F], [f"own_{name}" for name in kept]


def _varying(own: EmbeddingTable, used_KF: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Columns that are not the same for all keys used (F); all of them where one key is used."""
    if len(used_KF) == 1:
        return np.ones(used_KF.shape[1], dtype=bool)
    varies_F: NDArray[np.bool_] = (used_KF != used_KF[0]).any(axis=0)
    constant = [name for name, one in zip(own.feature_names, varies_F, strict=True) if not one]
    if not varies_F.any():
        msg = (
            f"no column of {own.trained_on} differs between the {len(used_KF)} keys that are used. "
            "Give columns that tell them apart."
        )
        raise AlignmentError(msg)
    if constant:
        logger.warning(
            "%d of %d columns of %s are the same for all %d keys that are used and are left out; "
            "first: %s",
            *(len(constant), len(varies_F), own.trained_on, len(used_KF), first_few(constant)),
        )
    return varies_F
