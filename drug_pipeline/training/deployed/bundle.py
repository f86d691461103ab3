"""Deployed models: each condition is answered by the split whose test is of its kind.

What belongs here: routing, prediction and ranking for conditions and drugs that may be new. What
does not: files (``save_bundle.py``), answers for people (``query/``).

Shapes: N = conditions asked, G = genes, Q = queries, D = gallery drugs.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Conditions, Features, Predictor, Queries, Ranker
from drug_pipeline.training.deployed.shipped_predictor import ShippedPredictor
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.forward_gallery import COMPARED_BY, ForwardGalleryRanker, cached
from drug_pipeline.training.selection.error_bound import ErrorModel, error_terms
from drug_pipeline.training.selection.ranker_weights import combine, known_scores

if TYPE_CHECKING:
    from drug_pipeline.training.network.rankers import TowerRanker

logger = logging.getLogger(__name__)

Predict = Callable[[Conditions], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class DeployedSplit:
    """The models of one fitted split, without the data they were fitted on.

    ``towers`` and ``shipped.network`` are None where they do not count: nothing then needs torch.
    """

    name: str
    kind: str
    encoder: InputEncoder
    linear: Mapping[str, Predictor]
    shipped: ShippedPredictor
    base: str
    alpha: float
    best_linear: str
    towers: "TowerRanker | None"
    measured: Mapping[str, Ranker]
    ranker_weights: Mapping[str, float]
    doses_um: tuple[float, ...]
    trained_drugs: frozenset[str]
    trained_lines: frozenset[str]
    error_model: ErrorModel | None
    notes: Mapping[str, Any]

    def with_features(self, features: Features) -> "DeployedSplit":
        """The same models over features that know more drugs or lines."""
        encoder = self.encoder.with_features(features)
        linear = {
            name: copy.copy(predictor).restore(predictor.state(), features)
            for name, predictor in self.linear.items()
        }
        network = self.shipped.network
        return replace(
            self,
            encoder=encoder,
            linear=linear,
            shipped=replace(
                self.shipped,
                linear=linear,
                network=network.with_encoder(encoder) if network is not None else None,
            ),
            towers=None if self.towers is None else self.towers.with_encoder(encoder),
        )

    def expected_error(
        self, asked: Conditions, predicted_NG: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Expected RMS error of predictions (N,), natural log; NaN where nothing was calibrated."""
        if self.error_model is None:
            return np.full(len(asked), np.nan, dtype=np.float32)
        best_NG = self.linear[self.best_linear].predict(asked)
        network_NG = self.linear[self.base].predict(asked)
        if self.alpha and self.shipped.network is not None:
            network_NG = network_NG + np.float32(self.alpha) * self.shipped.network.predict(asked)
        return self.error_model.expected(error_terms(predicted_NG, [best_NG, network_NG]))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Predicted Δ (N, G), its expected RMS error (N,) and the split whose models answered (N,)."""

    delta_NG: NDArray[np.float32]
    expected_error_N: NDArray[np.float32]
    bound_N: NDArray[np.float32]
    split_N: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Scores (Q, D) of gallery drugs; ``is_measured_D`` says which were ever trained on.

    ``parts`` holds the scores of each ranker behind the combination.
    """

    gallery: tuple[str, ...]
    scores_QD: NDArray[np.float32]
    is_measured_D: NDArray[np.bool_]
    parts: Mapping[str, NDArray[np.float32]]


def refuse_unknown(
    drug_N: Iterable[str], line_N: Iterable[str], *, drugs: Sequence[str], lines: Sequence[str]
) -> None:
    """Refuse drugs or lines that nothing is known of.

    Raises
    ------
    QueryError
        If a drug is not one of ``drugs`` (neither measured nor with a structure), or a line not
        one of ``lines`` (with a control profile).
    """
    unknown = sorted(set(map(str, drug_N)) - set(drugs))
    if unknown:
        msg = (
            f"{len(unknown)} drugs were never measured and have no structure: "
            f"{first_few(unknown)}. Give a SMILES for each."
        )
        raise QueryError(msg)
    strange = sorted(set(map(str, line_N)) - set(lines))
    if strange:
        msg = (
            f"{len(strange)} cell lines have no control profile: {first_few(strange)}. "
            f"Known lines: {first_few(lines)}."
        )
        raise QueryError(msg)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Deployed models of all splits: predict and rank, for known and new drugs and lines.

    ``genes`` follows ``schemas.GENES``, in the order of every Δ (G rows).
    """

    genes: pd.DataFrame
    features: Features
    parent_of: Mapping[str, str]
    splits: Mapping[str, DeployedSplit]
    data_fingerprint: str

    @property
    def doses_um(self) -> tuple[float, ...]:
        """Doses (µM) that any split was trained on, sorted; of many the first, last and some."""
        return tuple(sorted(set().union(*(split.doses_um for split in self.splits.values()))))

    def with_drugs(self, drugs: EmbeddingTable, parent_of: Mapping[str, str]) -> "Bundle":
        """A bundle that also knows the structures of these drugs.

        Raises
        ------
        QueryError
            If the vectors do not have the features that the bundle was trained on, or a name is
            taken by another structure.
        """
        known = self.features.drugs
        vectors_KF = _in_blocks_of(known, drugs)
        taken = sorted(set(drugs.keys) & set(known.keys))
        if taken:
            msg = f"{len(taken)} names are taken by drugs already known: {first_few(taken)}"
            raise QueryError(msg)
        joined = replace(
            known,
            keys=known.keys + drugs.keys,
            vectors_KF=np.vstack([known.vectors_KF, vectors_KF]),
        )
        features = replace(self.features, drugs=joined)
        return replace(
            self,
            features=features,
            parent_of={**self.parent_of, **parent_of},
            splits={name: split.with_features(features) for name, split in self.splits.items()},
        )

    def route(self, asked: Conditions) -> NDArray[np.str_]:
        """Name of the split whose models answer each condition (N,).

        What counts is whether ANY split was trained on the drug and on the line: a condition whose
        drug and line are known goes to the pair models, one with a new drug to the drug models.
        """
        drugs, lines = self._trained("trained_drugs"), self._trained("trained_lines")
        preferred = {
            known: self._preferred(is_drug_known=known[0], is_line_known=known[1])
            for known in product((True, False), repeat=2)
        }
        routed = [
            preferred[str(drug) in drugs, str(line) in lines]
            for drug, line in zip(asked.drug_N, asked.line_N, strict=True)
        ]
        return np.array(routed, dtype=np.str_)

    def answer(self, asked: Conditions) -> Answer:
        """Predictions with their expected errors, each from the model made for such a question.

        Raises
        ------
        QueryError
            If a drug has neither measurements nor a structure, or a line no control profile.
        """
        self._refuse_unknown(asked.drug_N, asked.line_N)
        split_N = self.route(asked)
        delta_NG = np.zeros((len(asked), len(self.genes)), dtype=np.float32)
        error_N = np.full(len(asked), np.nan, dtype=np.float32)
        bound_N = np.full(len(asked), np.nan, dtype=np.float32)
        for name in np.unique(split_N):
            rows = np.flatnonzero(split_N == name)
            split, part = self.splits[str(name)], asked.take(rows)
            delta_NG[rows] = split.shipped.predict(part)
            error_N[rows] = split.expected_error(part, delta_NG[rows])
            if split.error_model is not None:
                bound_N[rows] = np.float32(split.error_model.bound_factor) * error_N[rows]
        return Answer(delta_NG=delta_NG, expected_error_N=error_N, bound_N=bound_N, split_N=split_N)

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        """Predicted Δ (N, G), natural log: that of :meth:`answer`, without its expected errors."""
        self._refuse_unknown(asked.drug_N, asked.line_N)
        split_N = self.route(asked)
        delta_NG = np.zeros((len(asked), len(self.genes)), dtype=np.float32)
        for name in np.unique(split_N):
            rows = np.flatnonzero(split_N == name)
            delta_NG[rows] = self.splits[str(name)].shipped.predict(asked.take(rows))
        return delta_NG

    def rank(
        self,
        signature_QG: NDArray[np.float32],
        line_Q: NDArray[np.str_],
        *,
        gallery: Sequence[str] | None = None,
        doses_um: Sequence[float] | None = None,
        predict: Predict | None = None,
    ) -> Ranking:
        """Drugs ranked for wanted signatures, also drugs never measured; larger is better.

        Parameters
        ----------
        predict
            :meth:`predict`, cached by who asks about one gallery many times.

        Raises
        ------
        QueryError
            If the gallery is empty or names an unknown drug, a line has no control profile, or a
            signature is of another length or not finite.
        """
        drugs = tuple(gallery) if gallery is not None else self.default_gallery()
        self._check_queries(signature_QG, line_Q, drugs)
        split = self._ranking_split(line_Q)
        queries = Queries(
            signature_QG=signature_QG,
            line_Q=line_Q,
            plate_Q=np.full(len(line_Q), "", dtype=np.str_),
        )
        is_measured_D = np.array([drug in split.trained_drugs for drug in drugs])
        parts = {} if split.towers is None else {names.TOWER: split.towers.scores(queries, drugs)}
        predict = predict or cached(self.predict)  # two rankers ask the same
        spaces = [split.measured[name] for name in COMPARED_BY if name in split.measured]
        for space in (None, *spaces):
            by_prediction = ForwardGalleryRanker(
                predict,
                split.encoder,
                parent_of=self.parent_of,
                doses_um=tuple(doses_um or split.doses_um),
                compared_by=space,
            )
            if split.ranker_weights.get(by_prediction.name, 0.0) > 0:
                parts[by_prediction.name] = by_prediction.scores(queries, drugs)
        for name, ranker in split.measured.items():
            if split.ranker_weights.get(name, 0.0) > 0:
                parts[name] = known_scores(ranker.scores(queries, drugs), is_measured_D)
        weights = {name: split.ranker_weights.get(name, 0.0) for name in parts}
        return Ranking(
            gallery=drugs,
            scores_QD=combine(parts, weights),
            is_measured_D=is_measured_D,
            parts=parts,
        )

    def default_gallery(self) -> tuple[str, ...]:
        """Every drug that can be ranked: measured, or with a structure."""
        return tuple(sorted(self._trained("trained_drugs") | set(self.features.drugs.keys)))

    def _trained(self, what: Literal["trained_drugs", "trained_lines"]) -> frozenset[str]:
        """Drugs or lines that any split was trained on."""
        return frozenset().union(*(getattr(split, what) for split in self.splits.values()))

    def _preferred(self, *, is_drug_known: bool, is_line_known: bool) -> str:
        """The fitted split that answers a condition; the first of those of one kind."""
        return min(
            self.splits,
            key=lambda name: kind_of(self.splits[name].kind).routing_key(
                is_drug_new=not is_drug_known, is_line_new=not is_line_known
            ),
        )

    def _ranking_split(self, line_Q: NDArray[np.str_]) -> DeployedSplit:
        """The split whose rankers answer: made for new lines where a line is new."""
        if set(map(str, line_Q)) <= self._trained("trained_lines"):
            for split in self.splits.values():
                if kind_of(split.kind).is_replicate:
                    return split
            return self.splits[self._preferred(is_drug_known=True, is_line_known=True)]
        return self.splits[self._preferred(is_drug_known=True, is_line_known=False)]

    def _refuse_unknown(self, drug_N: Iterable[str], line_N: Iterable[str]) -> None:
        refuse_unknown(drug_N, line_N, drugs=self.default_gallery(), lines=self.features.lines)

    def _check_queries(
        self, signature_QG: NDArray[np.float32], line_Q: NDArray[np.str_], drugs: tuple[str, ...]
    ) -> None:
        if signature_QG.ndim != 2 or signature_QG.shape[1] != len(self.genes):
            msg = (
                f"signatures have shape {signature_QG.shape}; the model has {len(self.genes)} genes"
            )
            raise QueryError(msg)
        if len(signature_QG) != len(line_Q):
            msg = f"{len(signature_QG)} signatures but {len(line_Q)} cell lines"
            raise QueryError(msg)
        if np.isinf(signature_QG).any() or np.isnan(signature_QG).all(axis=1).any():
            msg = "a signature has infinite values, or no gene with a value (NaN is one without)"
            raise QueryError(msg)
        if not drugs:
            msg = "the gallery is empty: name at least one drug"
            raise QueryError(msg)
        self._refuse_unknown(drugs, line_Q)


def _in_blocks_of(known: EmbeddingTable, new: EmbeddingTable) -> NDArray[np.float32]:
    """Vectors of new drugs in the blocks of the known ones, NaN in a block that they do not have.

    Raises
    ------
    QueryError
        If they have another block, or one with other features.
    """
    vectors_KF = np.full((len(new.keys), len(known.feature_names)), np.nan, dtype=np.float32)
    for name, (start, stop) in new.blocks.items():
        own = slice(*known.blocks.get(name, (0, 0)))
        if new.feature_names[start:stop] != known.feature_names[own]:
            msg = (
                f"block {name} of the new drugs has {stop - start} features, the model was trained "
                f"on {own.stop - own.start} others. Embed them with the same settings."
            )
            raise QueryError(msg)
        vectors_KF[:, own] = new.vectors_KF[:, start:stop]
    missing = [name for name in known.blocks if name not in new.blocks]
    if missing:
        logger.warning(
            "%s: no vector in block %s; known by %s alone",
            *(first_few(new.keys), ", ".join(missing), ", ".join(new.blocks)),
        )
    return vectors_KF
