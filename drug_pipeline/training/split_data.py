"""The conditions of one split, ready to train on: rows by role, weights, evidence, datasets.

What belongs here: everything between a Δ table with its split and the datasets of ``network/dataset.py``.

Shapes: N = conditions, G = genes, D = drugs, Q = queries.
"""

import logging
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, EmptyResultError, TrainingError, first_few
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear import Conditions, Features, Queries, TrainingRecord, evidence_weight

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Conditions of one role with what was measured; ``rows_N`` are rows of the Δ table.

    ``asked`` is what models see, ``parent_N`` the true parent compounds (an ablation may make the
    two differ). ``noise_N`` is the mean squared standard error of Δ over genes, ``evidence_N`` the
    signal to
    noise ``mean(Δ²) / noise - 1``, at least 0.
    """

    rows_N: NDArray[np.int64]
    asked: Conditions
    parent_N: NDArray[np.str_]
    delta_NG: NDArray[np.float32]
    weight_N: NDArray[np.float64]
    noise_N: NDArray[np.float64]
    evidence_N: NDArray[np.float64]
    n_cells_N: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows_N)

    def take(self, rows: NDArray[Any]) -> "Part":
        """Some of the conditions: row numbers or a mask. Weights stay as they are."""
        columns = {
            one.name: getattr(self, one.name)[rows] for one in fields(self) if one.name != "asked"
        }
        return Part(asked=self.asked.take(rows), **columns)

    def record(self, features: Features) -> TrainingRecord:
        """What models are fitted on: the conditions as they see them, Δ, weights, features."""
        return TrainingRecord(
            conditions=self.asked,
            delta_NG=self.delta_NG,
            weight_N=self.weight_N,
            features=features,
        )

    def queries(self) -> Queries:
        """Every condition's Δ as a query."""
        return Queries(
            signature_QG=self.delta_NG, line_Q=self.asked.line_N, plate_Q=self.asked.plate_N
        )


@dataclass(frozen=True, kw_only=True)
class SplitData:
    """One split: training, validation and test conditions, and the features of drugs and lines."""

    split: Split
    features: Features
    train: Part
    validation: Part
    test: Part
    se_NG: NDArray[np.float32]
    parent_of: dict[str, str]
    genes: tuple[int, ...]
    data_fingerprint: str

    @cached_property
    def known(self) -> Part:
        """Training and validation conditions together: what the final linear models are fitted on."""
        return joined(self.train, self.validation)

    @property
    def gallery(self) -> list[str]:
        """Drugs that a query is ranked against: measured in training, or with a structure."""
        known = set(self.features.drugs.keys) | set(self.train.asked.drug_N.tolist())
        return sorted(known & set(self.parent_of))


def joined(left: Part, right: Part) -> Part:
    """The conditions of two parts, those of the first one first; weights have mean 1 again."""
    if not len(right):
        return left
    asked = {
        name: np.concatenate([getattr(left.asked, name), getattr(right.asked, name)])
        for name in ("drug_N", "parent_N", "dose_um_N", "line_N", "plate_N")
    }
    columns = {
        name: np.concatenate([getattr(left, name), getattr(right, name)])
        for name in ("rows_N", "parent_N", "delta_NG", "noise_N", "evidence_N", "n_cells_N")
    }
    return Part(
        asked=Conditions(**asked), weight_N=evidence_weight(columns["n_cells_N"]), **columns
    )


def prepare(
    table: DeltaTable, features: Features, split: Split, asked: Conditions | None = None
) -> SplitData:
    """The parts of a split.

    Parameters
    ----------
    asked
        Conditions as the models are to see them, where an ablation shuffles or hides a column.

    Raises
    ------
    EmptyResultError
        If the training or the test side is empty. Without validation conditions a warning is
        logged: nothing is then tuned, and the network gets no say.
    AlignmentError
        If the split was made for another table.
    TrainingError
        If a Δ is not finite.
    """
    if len(split.roles_N) != table.n_conditions:
        msg = (
            f"split {split.name!r} has {len(split.roles_N)} rows, the Δ table "
            f"{table.n_conditions}. Materialise splits again."
        )
        raise AlignmentError(msg)
    bad = np.flatnonzero(~np.isfinite(table.delta_NG).all(axis=1))
    if len(bad):
        msg = (
            f"{len(bad)} of {table.n_conditions} conditions have a Δ that is not finite; rows "
            f"{first_few(bad)}. Materialise delta_shards again."
        )
        raise TrainingError(msg)
    asked = asked or Conditions.from_frame(table.conditions)
    parts = {
        role: _part(table, asked, split.rows(role))
        for role in (names.TRAIN, names.VALIDATION, names.TEST)
    }
    for role in (names.TRAIN, names.TEST):
        if not len(parts[role]):
            msg = (
                f"the {role} side of split {split.name!r} is empty "
                f"({len(split.roles_N)} conditions). Set other shares by splits.test_frac and "
                "splits.validation_frac, or leave it out of training.splits."
            )
            raise EmptyResultError(msg)
    if not len(parts[names.VALIDATION]):
        logger.warning(
            "split %r has no validation conditions: the preferred linear model is shipped as it "
            "is, and the network counts for nothing",
            split.name,
        )
    conditions = table.conditions
    parent_of = dict(zip(conditions[names.DRUG], conditions[names.PARENT_COMPOUND], strict=True))
    return SplitData(
        split=split,
        features=features,
        train=parts[names.TRAIN],
        validation=parts[names.VALIDATION],
        test=parts[names.TEST],
        se_NG=table.se_NG,
        parent_of=parent_of,
        genes=tuple(int(token) for token in table.genes[names.TOKEN_ID]),
        data_fingerprint=table.fingerprint,
    )


def _part(table: DeltaTable, asked: Conditions, rows_N: NDArray[np.int64]) -> Part:
    delta_NG = np.asarray(table.delta_NG[rows_N], dtype=np.float32)
    n_cells_N = table.conditions[names.N_CELLS].to_numpy(dtype=np.float64)[rows_N]
    squared_NG = np.asarray(table.se_NG[rows_N], dtype=np.float64) ** 2
    is_known_NG = np.isfinite(squared_NG)
    n_known_N = is_known_NG.sum(axis=1)
    total_N = np.where(is_known_NG, squared_NG, 0.0).sum(axis=1)
    noise_N = np.where(n_known_N > 0, total_N / np.maximum(n_known_N, 1), np.nan)
    worst = np.nanmax(noise_N) if np.isfinite(noise_N).any() else 1.0
    noise_N = np.maximum(np.where(np.isfinite(noise_N), noise_N, worst), 1e-8)
    signal_N = np.mean(delta_NG.astype(np.float64) ** 2, axis=1)
    return Part(
        rows_N=rows_N,
        asked=asked.take(rows_N),
        parent_N=table.conditions[names.PARENT_COMPOUND].to_numpy(dtype=str)[rows_N],
        delta_NG=delta_NG,
        weight_N=evidence_weight(n_cells_N) if len(rows_N) else np.zeros(0),
        noise_N=noise_N,
        evidence_N=np.maximum(signal_N / noise_N - 1.0, 0.0),
        n_cells_N=n_cells_N,
    )


def is_right(part: Part, gallery: list[str], parent_of: dict[str, str]) -> NDArray[np.bool_]:
    """Relevance: which gallery drugs have each condition's parent compound (Q, D)."""
    parent_D = np.array([parent_of.get(drug, drug) for drug in gallery])
    return np.asarray(part.parent_N[:, None] == parent_D[None, :])
