"""From conditions to the networks' inputs: scalers and components, fitted on training rows only.

What belongs here: everything between ``linear.Conditions`` and ``model.ForwardInputs`` /
``InverseInputs``. Chemistry is the principal components of log fingerprint counts beside
standardised descriptors (raw bits memorise), the line the components of its control profile, and
of each further block of ``network_blocks`` the principal components; the response profile of a drug is its centred training Δ over OTHER lines.

Shapes: N = conditions, G = genes, F = chemistry, C = cell features, R = response components,
T = gene tokens, D = drugs, L = lines, M = measured (drug, line, dose) entries of the profiles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.blocks import DRUG_BLOCKS, LINE_BLOCKS, Block
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions, Features, State, TrainingRecord
from drug_pipeline.linear.kernel_ridge.kernels import block_rows
from drug_pipeline.linear.means import GroupMean, line_mean
from drug_pipeline.linear.rankers.gallery import regressed
from drug_pipeline.training.config import TrainConfig

if TYPE_CHECKING:  # where no network ships, none is loaded, and torch neither
    import torch

    from drug_pipeline.model.interface import ForwardInputs, InverseInputs, ModelSizes

CLIP = 6.0
"""Signatures are clipped to so many training RMS."""
ROUNDING = 1e-5
"""Share of a signature's RMS below which what is left of it counts as nothing."""
DOSE_WIDTH = 0.35
"""Width in log10 µM within which doses of a response profile count as the same."""


@dataclass(frozen=True)
class Components:
    """Standardised principal components: ``(x - mean) / scale @ basis``, then unit variance."""

    mean_F: NDArray[np.float64]
    scale_F: NDArray[np.float64]
    basis_FK: NDArray[np.float64]

    @classmethod
    def fit(cls, x_NF: NDArray[Any], n_components: int, *, is_scaled: bool) -> "Components":
        """Components of the rows; fewer where there are fewer rows or dimensions."""
        x_NF = x_NF.astype(np.float64)
        mean_F = x_NF.mean(axis=0)
        scale_F = np.ones(x_NF.shape[1])
        if is_scaled:
            scale_F = x_NF.std(axis=0)
            scale_F[scale_F < 1e-8] = np.inf  # a constant feature says nothing
        _, singular_K, basis_KF = np.linalg.svd((x_NF - mean_F) / scale_F, full_matrices=False)
        tolerance = 1e-6 * max(float(singular_K[0]), 1e-12) if len(singular_K) else 0.0
        n_kept = max(1, min(n_components, int((singular_K > tolerance).sum())))
        # One scale for all components keeps their relative size: the later ones are mostly noise.
        size = max(float(singular_K[0]) / np.sqrt(len(x_NF)), 1e-12) if len(singular_K) else 1.0
        return cls(mean_F, scale_F, basis_KF[:n_kept].T * (2.0 / size))

    def apply(self, x_NF: NDArray[Any]) -> NDArray[np.float64]:
        """Components of other rows (N, K)."""
        return np.asarray((x_NF - self.mean_F) / self.scale_F @ self.basis_FK)

    def state(self, prefix: str) -> State:
        """The arrays, names led by ``prefix``."""
        arrays = {"mean": self.mean_F, "scale": self.scale_F, "basis": self.basis_FK}
        return {f"{prefix}.{name}": array for name, array in arrays.items()}

    @classmethod
    def restore(cls, state: State, prefix: str) -> "Components":
        """The components whose :meth:`state` this is."""
        return cls(*(state[f"{prefix}.{name}"] for name in ("mean", "scale", "basis")))


class InputEncoder:
    """Turns conditions and queries into tensors, the same way in training and in use.

    Fitted by :meth:`fit` on training rows alone; :meth:`with_features` gives the same encoder for
    features that know more drugs (one never measured) or lines.
    """

    def __init__(self, state: State, features: Features) -> None:
        self._state = state
        self.features = features
        self.rms = float(state["rms"])
        self.drugs = tuple(map(str, state["drugs"]))
        self.token_genes_T: NDArray[np.int64] = state["token_genes"]
        centre = {k.removeprefix("centre."): v for k, v in state.items() if k[:7] == "centre."}
        query = {k.removeprefix("query."): v for k, v in state.items() if k[:6] == "query."}
        self.centre = line_mean().restore(centre, features)
        self.query_centre = query_centre().restore(query, features)
        self._chemistry_of = _encoded(features.drug_blocks, state, DRUG_BLOCKS)
        self._cell_of = _encoded(features.line_blocks, state, LINE_BLOCKS)

    @classmethod
    def fit(cls, train: TrainingRecord, config: TrainConfig) -> "InputEncoder":
        """An encoder whose every number comes from the training rows given."""
        features, lines_L = train.features, np.unique(train.conditions.line_N)
        state: State = {"drugs": np.unique(train.conditions.drug_N)}
        for name in _stored(config.network_blocks.drugs, features.drug_blocks):
            state |= _fitted_block(
                _prefix(name, DRUG_BLOCKS),
                *(DRUG_BLOCKS[name], features.drug_blocks[name], state["drugs"]),
                config.n_chemistry,
            )
        features.cell_lines.rows([str(line) for line in lines_L])  # refuses one without a vector
        for name in _stored(config.network_blocks.cell_lines, features.line_blocks):
            state |= _fitted_block(
                _prefix(name, LINE_BLOCKS),
                *(LINE_BLOCKS[name], features.line_blocks[name], lines_L),
                config.n_cell,
            )
        centre, query = line_mean().fit(train), query_centre().fit(train)
        state |= {f"centre.{k}": v for k, v in centre.state().items()}
        state |= {f"query.{k}": v for k, v in query.state().items()}
        centred_NG = train.delta_NG - centre.predict(train.conditions)
        square = float(np.mean(train.delta_NG.astype(float) ** 2))
        state["rms"] = np.array(max(float(np.sqrt(square)), 1e-8))
        variance_G = np.average(centred_NG**2, axis=0, weights=train.weight_N)
        n_tokens = min(config.model.n_gene_tokens, centred_NG.shape[1])
        state["token_genes"] = np.sort(np.argsort(-variance_G, kind="stable")[:n_tokens])
        control_LT = features.control_rows(lines_L)[:, state["token_genes"]]
        state["control_mean"] = control_LT.mean(axis=0)
        state["control_scale"] = control_LT.std(axis=0) + 1e-3
        scaled = train.with_delta(centred_NG / state["rms"])
        state |= _profile_entries(scaled, config.n_profile)
        return cls(state, features)

    def state(self) -> State:
        """The fitted numbers as plain arrays."""
        return dict(self._state)

    def with_features(self, features: Features) -> "InputEncoder":
        """The same encoder over other features: more drugs, more lines."""
        return InputEncoder(self._state, features)

    def sizes(self) -> "ModelSizes":
        """Widths that a network over this encoder must have."""
        from drug_pipeline.model.interface import ModelSizes

        return ModelSizes(
            n_genes=len(self._state["centre.mean_G"]),
            n_chemistry=self._chemistry_of.n_columns,
            n_cell=self._cell_of.n_columns,
            n_profile=2 * self._state["profile_entries"].shape[1],
            n_drugs=len(self.drugs),
        )

    def forward_inputs(self, asked: Conditions) -> "ForwardInputs":
        """Network inputs of conditions (N rows). No field knows the treated cells asked about."""
        from drug_pipeline.model.interface import DrugInputs, ForwardInputs

        drug_id_N = self.drug_ids(asked.drug_N)
        chemistry_NF, has_chemistry_N = self._chemistry_of.rows(asked.drug_N)
        profile_NR, has_profile_N = self._profiles(asked)
        state = self._state
        raw_NT = self._controls(asked.line_N)[:, self.token_genes_T]
        control_NT = (raw_NT - state["control_mean"]) / state["control_scale"]
        drug = DrugInputs(
            chemistry_BF=_tensor(chemistry_NF),
            has_chemistry_B=_tensor(has_chemistry_N),
            dose_B3=_tensor(_dose_features(asked.dose_um_N)),
            drug_id_B=_tensor(drug_id_N, np.int64),
            profile_BP=_tensor(profile_NR),
            has_profile_B=_tensor(has_profile_N),
        )
        return ForwardInputs(
            drug=drug,
            cell_BC=_tensor(self._cell_of.rows(asked.line_N)[0]),
            control_BT=_tensor(control_NT.clip(-CLIP, CLIP)),
        )

    def inverse_inputs(
        self, signature_QG: NDArray[np.float32], line_Q: NDArray[np.str_]
    ) -> "InverseInputs":
        """Network inputs of query signatures: line response regressed out, RMS 1, clipped."""
        from drug_pipeline.model.interface import InverseInputs

        left_QG = self.without_line_response(signature_QG, line_Q)
        return InverseInputs(
            cell_BC=_tensor(self._cell_of.rows(line_Q)[0]),
            signature_BG=_tensor((left_QG / sizes(left_QG, signature_QG)).clip(-CLIP, CLIP)),
        )

    def without_line_response(
        self, signature_QG: NDArray[np.float32], line_Q: NDArray[np.str_]
    ) -> NDArray[np.float64]:
        """Signatures without what the mean Δ of their line explains, whatever their size."""
        lines_L, row_Q = np.unique(line_Q, return_inverse=True)
        return regressed(signature_QG, self.line_centre(lines_L)[row_Q])

    def line_centre(self, line_Q: NDArray[np.str_]) -> NDArray[np.float32]:
        """Mean training Δ of lines, over all drugs and doses; of all lines for one not trained on."""
        return self.query_centre.predict(Conditions.unmeasured("", line_Q, 0.0))

    def tower_inputs(self, drugs: list[str]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Chemistry (D, F) and identities (D,) of gallery drugs."""
        wanted = np.array(drugs, dtype=np.str_)
        ids_D = _tensor(self.drug_ids(wanted), np.int64)
        return _tensor(self._chemistry_of.rows(wanted)[0]), ids_D

    def drug_ids(self, drug_N: NDArray[np.str_]) -> NDArray[np.int64]:
        """Identity of each drug, 1 to D in training order; ``UNKNOWN_DRUG`` where not trained on."""
        from drug_pipeline.model.interface import UNKNOWN_DRUG

        position = {drug: row + 1 for row, drug in enumerate(self.drugs)}
        return np.array([position.get(str(d), UNKNOWN_DRUG) for d in drug_N], dtype=np.int64)

    def _controls(self, line_N: NDArray[np.str_]) -> NDArray[np.float32]:
        lines_L, row_N = np.unique(line_N, return_inverse=True)
        return self.features.control_rows(lines_L)[row_N]

    def _profiles(self, asked: Conditions) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean centred response of the drug over OTHER training lines, near the dose and overall."""
        state = self._state
        entries_MR = state["profile_entries"]
        n_components = entries_MR.shape[1]
        profile_NR = np.zeros((len(asked), 2 * n_components))
        has_profile_N = np.zeros(len(asked))
        log_dose_N = _log_dose(asked.dose_um_N)
        for drug in np.unique(asked.drug_N):
            rows_N = np.flatnonzero(asked.drug_N == drug)
            rows_M = np.flatnonzero(state["profile_drug"] == drug)
            if len(rows_M) == 0:
                continue
            is_other_NM = asked.line_N[rows_N][:, None] != state["profile_line"][rows_M][None, :]
            weight_NM = is_other_NM * state["profile_weight"][rows_M]
            distance_NM = log_dose_N[rows_N][:, None] - state["profile_log_dose"][rows_M]
            near_NM = weight_NM * np.exp(-0.5 * (distance_NM / DOSE_WIDTH) ** 2)
            for block, weights_NM in enumerate((near_NM, weight_NM)):
                total_N = weights_NM.sum(axis=1, keepdims=True)
                mean_NR = weights_NM @ entries_MR[rows_M] / (total_N + 0.5)  # shrunk towards 0
                profile_NR[rows_N, block * n_components : (block + 1) * n_components] = mean_NR
            has_profile_N[rows_N] = is_other_NM.any(axis=1)
        return profile_NR, has_profile_N


class _Lookup:
    """Encoded rows by key; zeros and a 0 flag where a key is not known."""

    def __init__(self, keys: tuple[str, ...], values_KF: NDArray[np.float64]) -> None:
        self._position = {key: row for row, key in enumerate(keys)}
        self._padded = np.vstack([values_KF, np.zeros((1, values_KF.shape[1]))])
        self.n_columns = values_KF.shape[1]

    def rows(self, wanted_N: NDArray[np.str_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values (N, F) and whether each key is known (N,)."""
        row_N = np.array([self._position.get(str(key), -1) for key in wanted_N], dtype=np.int64)
        return self._padded[row_N], (row_N >= 0).astype(np.float64)


def _stored(wanted: Sequence[str], tables: Mapping[str, EmbeddingTable]) -> list[str]:
    """The wanted blocks that the data have.

    Raises
    ------
    ConfigurationError
        If they have none of them.
    """
    stored = [name for name in wanted if name in tables]
    if not stored:
        msg = (
            f"the network is to read {', '.join(wanted)}; stored are {', '.join(tables)}. Name one "
            "of these in training.network_blocks.drugs, or training.network_blocks.cell_lines."
        )
        raise ConfigurationError(msg)
    return stored


def _prefix(name: str, registry: Mapping[str, Block]) -> str:
    """What the arrays of a block are called; those of the control profile lead those of all lines."""
    if registry is DRUG_BLOCKS:
        return name
    return "cell" if name == "control_pca" else f"cell.{name}"


def _fitted_block(
    prefix: str,
    block: Block,
    table: EmbeddingTable,
    trained_K: NDArray[np.str_],
    n_components: int,
) -> State:
    """What turns one block into inputs, from the keys trained on, or all where it knows none."""
    known = [str(key) for key in trained_K if str(key) in set(table.keys)]
    vectors_KF = table.rows(known) if known else table.vectors_KF
    if block.values == "components":
        stop = min(vectors_KF.shape[1], n_components)
        arrays = _standardiser(vectors_KF[:, :stop]).state(prefix)
        return arrays | {f"{prefix}_columns": np.array([0, stop])}
    if not block.is_reduced:
        return _standardiser(vectors_KF).state(prefix)
    if not vectors_KF.shape[1]:
        return {}
    return Components.fit(vectors_KF, n_components, is_scaled=block.values == "numbers").state(
        prefix
    )


def _encoded(
    tables: Mapping[str, EmbeddingTable], state: State, registry: Mapping[str, Block]
) -> "_Lookup":
    """Inputs of every key that a fitted block knows, the blocks side by side.

    Where one of them is given by the user, and so need not know every key, each is followed by 1
    where it knows the key, else 0 beside its zeros.
    """
    used = {name: _prefix(name, registry) for name in registry}
    used = {name: prefix for name, prefix in used.items() if f"{prefix}.basis" in state}
    has_flags = any(registry[name].is_given for name in used)
    keys = tuple(dict.fromkeys(key for name in used for key in tables[name].keys))
    columns: list[NDArray[Any]] = []
    for name, prefix in used.items():
        vectors_KF, is_known_K = block_rows(tables[name], np.array(keys, dtype=np.str_))
        read = slice(*state.get(f"{prefix}_columns", (None,)))
        encoded_KC = Components.restore(state, prefix).apply(vectors_KF[:, read])
        encoded_KC[~is_known_K] = 0.0
        columns += [encoded_KC, is_known_K[:, None]] if has_flags else [encoded_KC]
    return _Lookup(keys, np.hstack(columns).clip(-CLIP, CLIP))


def sizes(left_QG: NDArray[Any], signature_QG: NDArray[Any]) -> NDArray[np.float64]:
    """RMS of what is left of each signature (Q, 1); 1 where that is rounding alone."""
    left_Q1 = np.sqrt(np.mean(np.square(left_QG, dtype=np.float64), axis=1, keepdims=True))
    whole_Q1 = np.sqrt(np.nanmean(np.square(signature_QG, dtype=np.float64), axis=1, keepdims=True))
    return np.where(left_Q1 > ROUNDING * whole_Q1, left_Q1, 1.0)


def query_centre() -> GroupMean:
    """Mean Δ of a line over drugs and doses: what a query is centred on, its dose being unknown."""
    return GroupMean("query_centre", levels=("line",))


def _standardiser(x_NF: NDArray[Any]) -> Components:
    x_NF = x_NF.astype(np.float64)
    scale_F = x_NF.std(axis=0)
    scale_F[scale_F < 1e-8] = np.inf
    return Components(x_NF.mean(axis=0), scale_F, np.eye(x_NF.shape[1]))


def _profile_entries(train: TrainingRecord, n_components: int) -> State:
    """Response components of every training condition, kept to be averaged over other lines.

    Δ is here centred on lines and in units of its RMS.
    """
    basis = Components.fit(train.delta_NG, n_components, is_scaled=False)
    return {
        "profile_entries": basis.apply(train.delta_NG).astype(np.float32),
        "profile_drug": train.conditions.drug_N,
        "profile_line": train.conditions.line_N,
        "profile_log_dose": _log_dose(train.conditions.dose_um_N),
        "profile_weight": train.weight_N,
    }


def _log_dose(dose_um_N: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log10(np.maximum(dose_um_N, 1e-4))


def _dose_features(dose_um_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """log10 µM, its square, and 1 where the dose is known (positive and finite)."""
    is_known_N = np.isfinite(dose_um_N) & (dose_um_N > 0)
    log_N = np.where(is_known_N, _log_dose(np.where(is_known_N, dose_um_N, 1.0)), 0.0)
    return np.stack([log_N, log_N**2, is_known_N.astype(float)], axis=1)


def _tensor(array: NDArray[Any], kind: type = np.float32) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=kind))
