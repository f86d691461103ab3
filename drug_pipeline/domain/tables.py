"""The in-memory tables that floors hand to each other: Δ, controls, embeddings.

Shapes: N = conditions, G = genes of the panel, M = (line, plate) controls, W = control wells,
D = drugs, L = cell lines, F = features.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, first_few


@dataclass(frozen=True, kw_only=True)
class ControlTable:
    """Control pseudobulk (mean of log1p_cp10k over vehicle cells), natural log.

    ``groups`` has ``cell_line_id, plate, n_cells`` (M rows, the order of ``control_MG``);
    ``wells`` has ``sample, cell_line_id, plate, n_cells`` (W rows, the order of ``well_WG``).
    """

    groups: pd.DataFrame
    control_MG: NDArray[np.float32]
    wells: pd.DataFrame
    well_WG: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DeltaTable:
    """Δexpression of every kept condition: difference of natural logs, condition minus control.

    ``conditions`` follows ``schemas.CONDITIONS`` (N rows, a fresh RangeIndex), ``genes`` follows
    ``schemas.GENES`` (G rows, panel order). ``se_NG`` is the standard error of Δ, NaN where it
    cannot be known (one cell). ``half_a_NG`` and ``half_b_NG`` are Δ of two halves of the treated
    cells against the whole control, NaN rows where a half is empty.
    """

    conditions: pd.DataFrame
    genes: pd.DataFrame
    delta_NG: NDArray[np.float32]
    se_NG: NDArray[np.float32]
    half_a_NG: NDArray[np.float32]
    half_b_NG: NDArray[np.float32]
    controls: ControlTable
    fingerprint: str

    @property
    def n_conditions(self) -> int:
        """Number of conditions N."""
        return len(self.conditions)

    def take(self, rows: NDArray[np.int64]) -> "DeltaTable":
        """The same table with some rows, in the order given."""
        return DeltaTable(
            conditions=self.conditions.iloc[rows].reset_index(drop=True),
            genes=self.genes,
            delta_NG=np.asarray(self.delta_NG[rows]),
            se_NG=np.asarray(self.se_NG[rows]),
            half_a_NG=np.asarray(self.half_a_NG[rows]),
            half_b_NG=np.asarray(self.half_b_NG[rows]),
            controls=self.controls,
            fingerprint=self.fingerprint,
        )


@dataclass(frozen=True, kw_only=True)
class EmbeddingTable:
    """Vectors by key (drug name or cell line id), never by position.

    ``trained_on`` says what data the vectors were computed from, ``feature_names`` has F entries.
    ``blocks`` names column ranges, such as ``{"morgan": (0, 2048), "descriptors": (2048, 2066)}``.
    A key without a vector in a block has NaN in all columns of the block, never zeros.
    """

    key_name: str
    keys: tuple[str, ...]
    vectors_KF: NDArray[np.float32]
    feature_names: tuple[str, ...]
    blocks: dict[str, tuple[int, int]]
    trained_on: str

    def __post_init__(self) -> None:
        duplicated = sorted({key for key in self.keys if self.keys.count(key) > 1})
        if duplicated:
            msg = (
                f"{len(duplicated)} keys of the {self.key_name} embedding occur more than once; "
                f"first: {first_few(duplicated)}. Keep one row a key."
            )
            raise AlignmentError(msg)
        expected = (len(self.keys), len(self.feature_names))
        if self.vectors_KF.shape != expected:
            msg = f"embedding has shape {self.vectors_KF.shape}, its keys and names say {expected}"
            raise AlignmentError(msg)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of keys, features and vectors: equal for tables that say the same."""
        described = json.dumps([self.keys, self.feature_names, sorted(self.blocks.items())])
        digest = hashlib.sha256(described.encode())
        digest.update(np.ascontiguousarray(self.vectors_KF, dtype="<f4").tobytes())
        return digest.hexdigest()

    def rows(self, wanted: list[str]) -> NDArray[np.float32]:
        """Vectors of the wanted keys, in their order.

        Raises
        ------
        AlignmentError
            If a wanted key has no vector.
        """
        position = {key: row for row, key in enumerate(self.keys)}
        missing = sorted({key for key in wanted if key not in position})
        if missing:
            msg = (
                f"{len(missing)} keys have no {self.key_name} embedding; first: "
                f"{first_few(missing)}. Rebuild the embeddings, or leave these out."
            )
            raise AlignmentError(msg)
        return self.vectors_KF[[position[key] for key in wanted]]

    def block(self, name: str) -> "EmbeddingTable":
        """The table of one named block alone, of the keys that have a vector in it."""
        start, stop = self.blocks[name]
        vectors_KF = self.vectors_KF[:, start:stop]
        has_vector_K: NDArray[np.bool_] = np.logical_not(np.isnan(vectors_KF).any(axis=1))
        return EmbeddingTable(
            key_name=self.key_name,
            keys=tuple(key for key, has in zip(self.keys, has_vector_K, strict=True) if has),
            vectors_KF=vectors_KF[has_vector_K],
            feature_names=self.feature_names[start:stop],
            blocks={name: (0, stop - start)},
            trained_on=self.trained_on,
        )


@dataclass(frozen=True, kw_only=True)
class Split:
    """Roles of the conditions of one Δ table under one named split.

    ``roles_N`` holds ``names.TRAIN``, ``VALIDATION``, ``TEST`` or ``UNUSED`` for each row;
    ``kind`` is what the test has never seen: ``pair``, ``drug``, ``cell_line``, ``plate_replicate``…
    """

    name: str
    kind: str
    roles_N: NDArray[np.str_]
    fingerprint: str

    def rows(self, role: str) -> NDArray[np.int64]:
        """Row numbers of one role, ascending."""
        return np.flatnonzero(self.roles_N == role).astype(np.int64)


def condition_keys(conditions: pd.DataFrame) -> list[str]:
    """One text key per condition: ``plate|line|drug|dose``, stable across runs and row orders."""
    return [
        f"{plate}|{line}|{drug}|{dose:g}"
        for plate, line, drug, dose in zip(
            conditions[names.PLATE],
            conditions[names.CELL_LINE_ID],
            conditions[names.DRUG],
            conditions[names.DOSE_UM],
            strict=True,
        )
    ]
