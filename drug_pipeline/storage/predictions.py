"""What a model foresaw for the test conditions of one split, on disk and in memory.

What belongs here: the one form in which training hands predictions and rankings to evaluation,
and the AnnData export for others' tools. What does not: metrics, or how a prediction was made.

One folder per split, written whole::

    <folder>/predictions/meta.json                         names, fingerprints, validation figures
                         index.parquet                     the N test conditions and their rows
                         forward/<predictor>.npy           (N, G) predicted Δ, float32
                         uncertainty.npy                   (N,) expected RMS error, optional
                         rankings/<task>/queries.parquet   rows of the Q queries in the Δ table
                         rankings/<task>/gallery.parquet   the D candidates and their groups
                         rankings/<task>/scores/<ranker>.npy   (Q, D) float32, larger is better

Shapes: N = test conditions, G = genes of the panel, Q = queries, D = gallery entries.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import AlignmentError, StaleInputError, first_few
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.storage.files import (
    files_below,
    read_json,
    replacing,
    replacing_folder,
    write_json,
    write_npy,
    write_parquet,
)

FOLDER = "predictions"
"""Name of the folder, below a split's model folder, that ``write_predictions`` replaces."""

_META_FIELDS: Final = (
    *("split", "kind", "split_fingerprint", "delta_fingerprint", "shipped", "network"),
    *("best_linear", "blend", "validation", "left_out", "notes"),
)
"""Fields that stand in ``meta.json`` as they are."""
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


@dataclass(frozen=True, kw_only=True)
class Rankings:
    """Scores of one retrieval task: Q queries against one gallery of D candidates.

    Parameters
    ----------
    query_rows_Q
        Rows of the Δ table that serve as queries, int64.
    gallery
        D candidates: drug names, or gene symbols in the target task.
    groups
        D identities: parent compounds (salts and twins are one answer), or the symbols again.
    scores
        Ranker → (Q, D) float32, larger is better, NaN where the ranker cannot score a candidate
        (such candidates come last, tied).
    shipped
        The ranker chosen on validation data.
    """

    query_rows_Q: NDArray[np.int64]
    gallery: tuple[str, ...]
    groups: tuple[str, ...]
    scores: Mapping[str, NDArray[np.float32]]
    shipped: str

    def __post_init__(self) -> None:
        expected = (len(self.query_rows_Q), len(self.gallery))
        _refuse_shapes("ranker", self.scores, expected)
        _refuse_unknown("ranker", self.shipped, self.scores)
        if len(self.groups) != len(self.gallery):
            msg = f"gallery has {len(self.gallery)} entries but {len(self.groups)} groups"
            raise AlignmentError(msg)


@dataclass(frozen=True, kw_only=True)
class SplitPredictions:
    """Everything evaluation needs to know about one fitted split.

    Parameters
    ----------
    split, kind
        Name of the split, and what its test has never seen (``Split.kind``).
    split_fingerprint, delta_fingerprint
        Of the split and the Δ table that the rows refer to.
    conditions
        The N predicted test conditions (``schemas.CONDITIONS``), a fresh RangeIndex.
    rows_N
        Their row numbers in the Δ table, int64.
    predictions
        Predictor → (N, G) float32 Δ, natural log; every value finite. May be empty for a model
        that only ranks.
    shipped
        The predictor chosen on validation data; empty where ``predictions`` is.
    network, best_linear, blend
        Names of the predictors that the headline compares; empty where there is none.
    rankings
        Retrieval task → scores.
    validation
        Predictor or ranker → metric → figure on the split's own validation conditions.
    uncertainty_N
        Expected RMS error over genes of the shipped prediction against the measurement, noise
        included, natural log; None where the model does not say.
    left_out
        Reason → number of test conditions without a prediction.
    notes
        JSON values for the report, such as the fitted α, blend weights and seconds.
    """

    split: str
    kind: str
    split_fingerprint: str
    delta_fingerprint: str
    conditions: pd.DataFrame
    rows_N: NDArray[np.int64]
    predictions: Mapping[str, NDArray[np.float32]]
    shipped: str = ""
    network: str = ""
    best_linear: str = ""
    blend: str = ""
    rankings: Mapping[str, Rankings] = field(default_factory=dict)
    validation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    uncertainty_N: NDArray[np.float32] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_test(cls, table: DeltaTable, split: Split, **made: Any) -> Self:
        """What was made for the test side of a split of this table: the other fields by name."""
        rows_N = split.rows(names.TEST)
        return cls(
            split=split.name,
            kind=split.kind,
            split_fingerprint=split.fingerprint,
            delta_fingerprint=table.fingerprint,
            conditions=table.conditions.iloc[rows_N].reset_index(drop=True),
            rows_N=rows_N,
            **made,
        )

    def __post_init__(self) -> None:
        if len(self.conditions) != len(self.rows_N):
            msg = f"{len(self.conditions)} test conditions but {len(self.rows_N)} row numbers"
            raise AlignmentError(msg)
        n_genes = {array.shape[-1] for array in self.predictions.values()}
        expected = (len(self.rows_N), max(n_genes, default=0))
        _refuse_shapes("predictor", self.predictions, expected)
        if self.predictions:
            _refuse_unknown("predictor", self.shipped, self.predictions)
        for named in filter(None, (self.network, self.best_linear, self.blend)):
            _refuse_unknown("predictor", named, self.predictions)
        if self.uncertainty_N is not None and self.uncertainty_N.shape != self.rows_N.shape:
            msg = f"{self.uncertainty_N.shape} uncertainties for {self.rows_N.shape} conditions"
            raise AlignmentError(msg)

    def of_rows(self, rows: NDArray[np.int64]) -> Self:
        """The same of some conditions alone, named by their rows of the Δ table."""
        kept_N = np.isin(self.rows_N, rows)
        rankings = {}
        for task, ranked in self.rankings.items():
            kept_Q = np.isin(ranked.query_rows_Q, rows)
            scores = {name: scores_QD[kept_Q] for name, scores_QD in ranked.scores.items()}
            queries_Q = ranked.query_rows_Q[kept_Q]
            rankings[task] = replace(ranked, query_rows_Q=queries_Q, scores=scores)
        return replace(
            self,
            conditions=self.conditions[kept_N].reset_index(drop=True),
            rows_N=self.rows_N[kept_N],
            predictions={name: made_NG[kept_N] for name, made_NG in self.predictions.items()},
            rankings=rankings,
            uncertainty_N=None if self.uncertainty_N is None else self.uncertainty_N[kept_N],
        )

    def require_table(self, table: DeltaTable) -> None:
        """Refuse a Δ table that these predictions were not made for.

        Raises
        ------
        StaleInputError
            If the rows refer to another Δ table.
        AlignmentError
            If the genes differ in number.
        """
        if table.fingerprint != self.delta_fingerprint:
            msg = (
                f"predictions of split {self.split!r} were made for another Δ table "
                f"({self.delta_fingerprint[:12]}, now {table.fingerprint[:12]}). "
                "Materialise model_full again."
            )
            raise StaleInputError(msg)
        for name, predicted_NG in self.predictions.items():
            if predicted_NG.shape[1] != len(table.genes):
                msg = (
                    f"predictor {name!r} of split {self.split!r} has {predicted_NG.shape[1]} "
                    f"genes, the Δ table {len(table.genes)}. Materialise model_full again."
                )
                raise AlignmentError(msg)


def write_predictions(folder: Path, split: SplitPredictions) -> list[Path]:
    """The files written for one split, below ``folder/predictions``, which is replaced whole.

    Raises
    ------
    ValueError
        If a prediction is not finite, or a name cannot be a file name.
    """
    for name, predicted_NG in split.predictions.items():
        n_bad = int(np.count_nonzero(~np.isfinite(predicted_NG)))
        if n_bad:
            msg = (
                f"predictor {name!r} of split {split.split!r} gives {n_bad} of "
                f"{predicted_NG.size} values that are not finite. Fix the fit, not the file."
            )
            raise ValueError(msg)
    with replacing_folder(folder / FOLDER) as target:
        _write_index(split, target / "index.parquet")
        for name, predicted_NG in split.predictions.items():
            write_npy(_as_float32(predicted_NG), target / "forward" / _npy(name))
        if split.uncertainty_N is not None:
            write_npy(_as_float32(split.uncertainty_N), target / "uncertainty.npy")
        for task, rankings in split.rankings.items():
            _write_rankings(rankings, target / "rankings" / _file_name(task))
        write_json(_meta(split), target / "meta.json")
    return files_below(folder / FOLDER)


def read_predictions(folder: Path) -> SplitPredictions:
    """What ``write_predictions`` wrote; large arrays are memory-mapped, in the order written.

    Raises
    ------
    StaleInputError
        If there are no predictions in the folder.
    """
    source = folder / FOLDER
    if not (source / "meta.json").is_file():
        msg = f"there are no predictions in {folder}. Materialise model_full first."
        raise StaleInputError(msg)
    meta = read_json(source / "meta.json")
    index = pq.read_table(source / "index.parquet").to_pandas()
    rows_N = index.pop("row").to_numpy(np.int64)
    uncertainty = source / "uncertainty.npy"
    return SplitPredictions(
        **{name: meta[name] for name in _META_FIELDS},
        conditions=index,
        rows_N=rows_N,
        predictions={name: _mapped(source / "forward" / _npy(name)) for name in meta["predictors"]},
        rankings={
            task: _read_rankings(entry, source / "rankings" / task)
            for task, entry in meta["rankings"].items()
        },
        uncertainty_N=np.load(uncertainty) if uncertainty.is_file() else None,
    )


def predicted_splits(models_dir: Path) -> list[str]:
    """Names of the splits that have predictions below a model folder, sorted."""
    return sorted(meta.parents[1].name for meta in models_dir.glob(f"*/{FOLDER}/meta.json"))


def write_h5ad(
    path: Path,
    *,
    conditions: pd.DataFrame,
    genes: pd.DataFrame,
    predicted_NG: NDArray[np.float32],
    measured_NG: NDArray[np.float32],
) -> None:
    """Write one predictor's Δ as AnnData: X predicted, layer ``measured``, both natural logs.

    ``obs`` has drug, dose_um, cell_line_id and plate; ``var`` token_id, ensembl_id, gene_symbol,
    indexed by the Ensembl id.
    """
    import anndata

    obs = conditions[list(names.CONDITION_KEY)].reset_index(drop=True)
    obs.index = obs.index.astype(str)
    var = genes[[names.TOKEN_ID, names.ENSEMBL_ID, names.GENE_SYMBOL]].set_index(
        names.ENSEMBL_ID, drop=False
    )
    var.index.name = None
    table = anndata.AnnData(
        X=_as_float32(predicted_NG),
        obs=obs,
        var=var,
        layers={"measured": _as_float32(measured_NG)},
        uns={"unit": "difference of natural logs", "X": "predicted delta"},
    )
    with replacing(path) as temporary:
        table.write_h5ad(temporary, compression="gzip", compression_opts=1)


def _write_index(split: SplitPredictions, path: Path) -> None:
    index = pa.Table.from_pandas(split.conditions, preserve_index=False)
    write_parquet(index.append_column("row", pa.array(split.rows_N, pa.int64())), path)


def _write_rankings(rankings: Rankings, folder: Path) -> None:
    write_parquet(
        pa.table({"row": pa.array(rankings.query_rows_Q, pa.int64())}), folder / "queries.parquet"
    )
    write_parquet(
        pa.table({"candidate": list(rankings.gallery), "group": list(rankings.groups)}),
        folder / "gallery.parquet",
    )
    for ranker, scores_QD in rankings.scores.items():
        write_npy(_as_float32(scores_QD), folder / "scores" / _npy(ranker))


def _read_rankings(entry: Mapping[str, Any], folder: Path) -> Rankings:
    gallery = pq.read_table(folder / "gallery.parquet")
    return Rankings(
        query_rows_Q=pq.read_table(folder / "queries.parquet")["row"].to_numpy(),
        gallery=tuple(gallery["candidate"].to_pylist()),
        groups=tuple(gallery["group"].to_pylist()),
        scores={ranker: _mapped(folder / "scores" / _npy(ranker)) for ranker in entry["rankers"]},
        shipped=entry["shipped"],
    )


def _meta(split: SplitPredictions) -> dict[str, Any]:
    return {name: getattr(split, name) for name in _META_FIELDS} | {
        "predictors": list(split.predictions),
        "rankings": {
            task: {"rankers": list(rankings.scores), "shipped": rankings.shipped}
            for task, rankings in split.rankings.items()
        },
        "validation": {name: dict(figures) for name, figures in split.validation.items()},
        "left_out": dict(split.left_out),
        "notes": dict(split.notes),
    }


def _refuse_shapes(
    what: str, arrays: Mapping[str, NDArray[np.float32]], expected: tuple[int, int]
) -> None:
    wrong = [f"{name} {array.shape}" for name, array in arrays.items() if array.shape != expected]
    if wrong:
        msg = f"{len(wrong)} of {len(arrays)} {what}s are not {expected}; first: {first_few(wrong)}"
        raise AlignmentError(msg)


def _refuse_unknown(what: str, name: str, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    if name not in arrays:
        msg = f"{what} {name!r} is named but has no array; there are: {first_few(arrays, limit=9)}"
        raise AlignmentError(msg)


def _file_name(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        msg = f"{name!r} cannot name a file: use lower-case letters, digits, and any of _ . + -"
        raise ValueError(msg)
    return name


def _npy(name: str) -> str:
    return f"{_file_name(name)}.npy"


def _mapped(path: Path) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return array


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, dtype=np.float32)
