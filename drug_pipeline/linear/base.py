"""The interface of all linear models: conditions, features, training records, fit and predict.

What belongs here: the types that every predictor shares, and how a fitted one becomes arrays.
What does not: any model (one family a file), files on disk (``storage/``), networks.

Shapes: N = conditions, G = genes, L = cell lines, M = (line, plate) controls,
Q = queries, D = drugs of a gallery.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.blocks import KERNEL_BLOCKS, BlockChoice
from drug_pipeline.domain.errors import AlignmentError, CheckpointError, EmptyResultError, first_few
from drug_pipeline.domain.tables import ControlTable, EmbeddingTable

# Arrays by kind; the capitals at the end of a name say the shape.
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Texts: TypeAlias = NDArray[np.str_]
State: TypeAlias = dict[str, NDArray[Any]]
"""Everything a fitted predictor needs to predict again, as plain arrays (fit for ``.npz``)."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions that are trained on or asked for: one row each, no measurements.

    ``dose_um_N`` is in µM; ``parent_N`` is the parent compound, shared by salts of one drug.
    """

    drug_N: Texts
    parent_N: Texts
    dose_um_N: Floats
    line_N: Texts
    plate_N: Texts

    def __post_init__(self) -> None:
        lengths = {
            len(column)
            for column in (self.drug_N, self.parent_N, self.dose_um_N, self.line_N, self.plate_N)
        }
        if len(lengths) != 1:
            msg = f"columns of conditions have different lengths: {sorted(lengths)}"
            raise AlignmentError(msg)

    @classmethod
    def from_frame(cls, conditions: pd.DataFrame) -> Self:
        """The conditions of a table that follows ``schemas.CONDITIONS``."""
        return cls(
            drug_N=conditions[names.DRUG].to_numpy(dtype=str),
            parent_N=conditions[names.PARENT_COMPOUND].to_numpy(dtype=str),
            dose_um_N=conditions[names.DOSE_UM].to_numpy(dtype=np.float64),
            line_N=conditions[names.CELL_LINE_ID].to_numpy(dtype=str),
            plate_N=conditions[names.PLATE].to_numpy(dtype=str),
        )

    @classmethod
    def unmeasured(
        cls,
        drugs: ArrayLike,
        lines: ArrayLike,
        dose_um: ArrayLike,
        parent_of: Mapping[str, str] | None = None,
    ) -> Self:
        """Conditions that are asked for: a drug, line and dose each, on no plate.

        A single drug, line or dose stands for all. A drug without a parent compound in
        ``parent_of`` is its own.
        """
        drug_N, line_N, dose_um_N = map(
            np.array,  # of its own: what is broadcast shares memory
            np.broadcast_arrays(
                np.atleast_1d(np.asarray(drugs, dtype=np.str_)),
                np.asarray(lines, dtype=np.str_),
                np.asarray(dose_um, dtype=np.float64),
            ),
        )
        known = parent_of or {}
        return cls(
            drug_N=drug_N,
            parent_N=np.array([known.get(drug, drug) for drug in drug_N.tolist()], dtype=np.str_),
            dose_um_N=dose_um_N,
            line_N=line_N,
            plate_N=np.full(len(drug_N), "", dtype=np.str_),
        )

    def __len__(self) -> int:
        return len(self.drug_N)

    def take(self, rows: NDArray[Any]) -> "Conditions":
        """Some of the conditions: row numbers or a mask."""
        return Conditions(
            drug_N=self.drug_N[rows],
            parent_N=self.parent_N[rows],
            dose_um_N=self.dose_um_N[rows],
            line_N=self.line_N[rows],
            plate_N=self.plate_N[rows],
        )


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of drugs and cell lines, none of them computed from a treated cell.

    ``drugs`` and ``cell_lines`` hold blocks of ``domain/blocks.py``; a drug or line without a vector
    in any block is not in them. ``control_LG`` is the mean vehicle profile of each line of
    ``lines`` (natural log1p_cp10k, mean over plates). ``annotations`` is optional: targets and
    mechanisms of drugs, multi-hot. ``kernel_blocks`` are those that linear models may read.
    """

    drugs: EmbeddingTable
    cell_lines: EmbeddingTable
    lines: tuple[str, ...]
    control_LG: NDArray[np.float32]
    annotations: EmbeddingTable | None = None
    kernel_blocks: BlockChoice = KERNEL_BLOCKS

    def __post_init__(self) -> None:
        if len(self.lines) != len(self.control_LG):
            msg = f"{len(self.lines)} lines have {len(self.control_LG)} control profiles"
            raise AlignmentError(msg)

    @cached_property
    def drug_blocks(self) -> dict[str, EmbeddingTable]:
        """Feature tables of drugs by block, each with the drugs that have a vector in it."""
        found = {name: self.drugs.block(name) for name in self.drugs.blocks}
        if self.annotations is not None:
            has_any_K = np.asarray(self.annotations.vectors_KF.any(axis=1))
            known = [key for key, has in zip(self.annotations.keys, has_any_K, strict=True) if has]
            vectors_KF = self.annotations.vectors_KF[has_any_K]
            found["annotations"] = replace(
                self.annotations, keys=tuple(known), vectors_KF=vectors_KF
            )
        return found

    @cached_property
    def line_blocks(self) -> dict[str, EmbeddingTable]:
        """Feature tables of lines by block, each with the lines that have a vector in it."""
        return {name: self.cell_lines.block(name) for name in self.cell_lines.blocks}

    def control_rows(self, wanted_L: Texts) -> NDArray[np.float32]:
        """Control profiles of the wanted lines, in their order (L, G).

        Raises
        ------
        AlignmentError
            If a line has no control profile.
        """
        position = {line: row for row, line in enumerate(self.lines)}
        missing = sorted({str(line) for line in wanted_L if line not in position})
        if missing:
            msg = (
                f"{len(missing)} cell lines have no control profile; first: {first_few(missing)}. "
                "A line needs vehicle cells before its response can be predicted."
            )
            raise AlignmentError(msg)
        return self.control_LG[[position[line] for line in wanted_L]]


@dataclass(frozen=True, kw_only=True)
class MeasuredConditions:
    """Conditions with their measured Δ and a weight each: what a model can be fitted on.

    ``delta_NG`` is a difference of natural logs, or what :meth:`with_delta` puts in its place;
    ``weight_N`` is evidence per condition, ≥ 0, mean near 1.

    Raises
    ------
    EmptyResultError
        If there is no condition, or none with a positive weight.
    AlignmentError
        If lengths differ.
    ValueError
        If Δ is not finite or a weight is negative or not finite.
    """

    conditions: Conditions
    delta_NG: NDArray[Any]
    weight_N: Floats

    def __post_init__(self) -> None:
        lengths = (len(self.conditions), len(self.delta_NG), len(self.weight_N))
        if len(set(lengths)) != 1:
            msg = "{} conditions, {} rows of Δ, {} weights".format(*lengths)
            raise AlignmentError(msg)
        if not np.any(self.weight_N > 0):
            msg = "no condition to train on. Check the split: its training side is empty."
            raise EmptyResultError(msg)
        if np.any(self.weight_N < 0) or not np.all(np.isfinite(self.weight_N)):
            msg = "evidence weights must be finite and not negative"
            raise ValueError(msg)
        bad_N = ~np.isfinite(self.delta_NG).all(axis=1)
        if bad_N.any():
            msg = (
                f"{bad_N.sum()} of {len(bad_N)} conditions have a Δ that is not finite; "
                f"rows: {first_few(np.flatnonzero(bad_N))}"
            )
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.conditions)

    def take(self, rows: NDArray[Any]) -> Self:
        """Some of the conditions: row numbers or a mask. Weights stay as they are."""
        return replace(
            self,
            conditions=self.conditions.take(rows),
            delta_NG=self.delta_NG[rows],
            weight_N=self.weight_N[rows],
        )

    def with_delta(self, values_NG: NDArray[Any]) -> Self:
        """The same conditions with other values: residuals of Δ, or its scores on gene axes."""
        return replace(self, delta_NG=values_NG)


@dataclass(frozen=True, kw_only=True)
class TrainingRecord(MeasuredConditions):
    """Training set of a predictor: measured conditions, and the features of drugs and lines."""

    features: Features


class Predictor(ABC):
    """A model of Δ (difference of natural logs) for (drug, dose, line), also never measured ones.

    ``predict`` answers for any condition: where a drug or a line was never seen and the model has
    no way to it, the model falls back to what its docstring says (never NaN). A fit is a dictionary
    of arrays; subclasses write ``_fit`` and ``_predict``. ``name`` stands in every table, in lower
    case with underscores.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._state: State | None = None
        self._features: Features | None = None

    def fit(self, train: TrainingRecord) -> Self:
        """The predictor itself, fitted."""
        self._features = train.features
        self._state = self._fit(train)
        return self

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        """Predicted Δ of the conditions asked (N, G)."""
        if self._state is None or self._features is None:
            msg = f"{self.name} was asked before it was fitted; call fit or restore first"
            raise CheckpointError(msg)
        return self._predict(asked, self._state, self._features).astype(np.float32, copy=False)

    def state(self) -> State:
        """The fitted numbers as plain arrays."""
        if self._state is None:
            msg = f"{self.name} has no state before it is fitted; call fit first"
            raise CheckpointError(msg)
        return dict(self._state)

    def restore(self, state: State, features: Features) -> Self:
        """The predictor itself, fitted as the one whose :meth:`state` this is."""
        self._state = dict(state)
        self._features = features
        return self

    def with_chosen_settings(self) -> Self:
        """An unfitted predictor with the hyperparameters that this fitted one chose."""
        state = self.state()
        again = copy.copy(self)
        again._state, again._features = None, None
        again._take_settings(state)
        return again

    def _take_settings(self, state: State) -> None:  # noqa: B027 - most predictors choose nothing
        """Take the settings of a fitted state; nothing to do where nothing is chosen."""

    @abstractmethod
    def _fit(self, train: TrainingRecord) -> State: ...

    @abstractmethod
    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]: ...


Factory: TypeAlias = Callable[[], Predictor]


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Query signatures of a retrieval: Δ (Q, G), the cell line, and the plate where it is known.

    Of any unit and size: no ranker's answer depends on it. NaN is a gene that is not known.

    ``plate_Q`` is read by the plate-only ranker alone; an empty text means not known.
    """

    signature_QG: NDArray[np.float32]
    line_Q: Texts
    plate_Q: Texts

    def __len__(self) -> int:
        return len(self.signature_QG)

    def take(self, rows: NDArray[Any]) -> "Queries":
        """Some of the queries: row numbers or a mask."""
        return Queries(
            signature_QG=self.signature_QG[rows],
            line_Q=self.line_Q[rows],
            plate_Q=self.plate_Q[rows],
        )


class Ranker(Protocol):
    """A retrieval method: ranks gallery drugs for query signatures; higher is better, never NaN."""

    @property
    def name(self) -> str:
        """The name in every table."""
        ...

    def fit(self, measured: MeasuredConditions) -> Self:
        """The ranker itself, fitted on measured conditions; these are also its gallery."""
        ...

    def scores(self, queries: Queries, gallery: Sequence[str]) -> NDArray[np.float32]:
        """Score of each gallery drug for each query (Q, D), drugs in the order of ``gallery``.

        A drug that the ranker knows nothing of gets a score below all that it knows.
        """
        ...

    def state(self) -> State:
        """The fitted numbers as plain arrays."""
        ...

    def restore(self, state: State, features: Features) -> Self:
        """The ranker itself, fitted as the one whose :meth:`state` this is."""
        ...


def mean_control(controls: ControlTable) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Vehicle profile of each line: mean over its plates, weighted by cells (L, G); lines sorted."""
    line_M = controls.groups[names.CELL_LINE_ID].to_numpy(dtype=str)
    n_cells_M = controls.groups[names.N_CELLS].to_numpy(dtype=np.float64)
    lines_L, row_M = np.unique(line_M, return_inverse=True)
    total_LG = np.zeros((len(lines_L), controls.control_MG.shape[1]))
    np.add.at(total_LG, row_M, controls.control_MG * n_cells_M[:, None])
    n_cells_L = np.bincount(row_M, weights=n_cells_M)
    return tuple(map(str, lines_L)), (total_LG / n_cells_L[:, None]).astype(np.float32)


def evidence_weight(n_cells_N: NDArray[Any], *, half_weight_cells: float = 10.0) -> NDArray[Any]:
    """Weight of conditions by number of cells, mean 1: cells / (cells + half_weight_cells).

    Counting noise falls with 1 / cells but well noise does not, so the weight saturates:
    a condition of 1,400 cells is not worth 70 of 20.

    Notes
    -----
    Inverse variance with a part that cells do not lower, as in random-effects meta-analysis:
    DerSimonian & Laird (1986), "Meta-analysis in clinical trials".
    """
    raw_N = n_cells_N / (n_cells_N + half_weight_cells)
    return np.asarray(raw_N / raw_N.mean(), dtype=np.float64)


def nested(prefix: str, state: State) -> State:
    """The state of a part, its keys under a prefix, to stand within the state of the whole."""
    return {f"{prefix}.{key}": value for key, value in state.items()}


def part(prefix: str, state: State) -> State:
    """The state of a part out of the state of the whole; the reverse of :func:`nested`."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}
