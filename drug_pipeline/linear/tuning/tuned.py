"""Predictors on the principal gene axes of Δ, tuned by inner cross-validation.

What belongs here: the gene axes, and the one way in which a family chooses its shrinkage.

Shapes: N = conditions, G = genes, K = gene axes.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import Conditions, Features, Floats, Predictor, State, TrainingRecord
from drug_pipeline.linear.main_axes import main_axes
from drug_pipeline.linear.tuning.gain import gain_center, relative_gain
from drug_pipeline.linear.tuning.inner_folds import Candidate, Rows, choose, inner_folds
from drug_pipeline.linear.tuning.vehicle import without_vehicle_error

N_AXES: Final = 128
"""Gene axes kept of Δ. On conditions of 20 cells 100-200 are best against the truth (the rest is
counting noise), and they make every fit about ten times cheaper."""


class TunedPredictor(Predictor, Generic[Candidate]):
    """A predictor of the scores of Δ on its principal axes, tuned by inner cross-validation.

    Δ is made comparable between lines first (``tuning/gain.py``) and freed of the vehicle's shared error
    (``tuning/vehicle.py``); the gain of the asked line is put back at the end.

    Subclasses write ``_states`` (one fitted state per candidate, sharing what they can) and
    ``_scores``. ``kind`` is the kind of split whose test the inner folds mimic; where the training
    side is too small for folds, ``default`` is taken.

    Notes
    -----
    Settings on inner folds of the training side: Varma & Simon (2006), "Bias in error estimation
    when using cross-validation for model selection"; how one is chosen: :func:`inner_folds.choose`.
    """

    def __init__(
        self, name: str, *, kind: str, candidates: Sequence[Candidate], default: Candidate
    ) -> None:
        super().__init__(name)
        self.kind = kind
        self.candidates = candidates
        self.default = default
        self._chosen_before: int | None = None

    @abstractmethod
    def _states(self, scored: TrainingRecord, candidates: Sequence[Candidate]) -> list[State]:
        """A fitted state for each candidate; ``scored`` has scores (N, K) in place of Δ."""

    @abstractmethod
    def _scores(self, asked: Conditions, state: State, features: Features) -> Floats:
        """Predicted scores on the main axes (N, K)."""

    def _fit(self, train: TrainingRecord) -> State:
        axes = _axes_of(train)
        scored = train.with_delta(axes.scores_NK)
        chosen = self._choose(scored)
        state = self._states(scored, [chosen])[0]
        return state | {
            "axes_KG": axes.axes_KG.astype(np.float32),
            "center_G": axes.center_G.copy(),
            "chosen": np.array(self._all_candidates(train.features).index(chosen)),
        }

    def _plain(self, features: Features) -> Sequence[Candidate]:
        """Settings to choose from whatever further blocks there are."""
        del features
        return self.candidates

    def _further(self, features: Features) -> Sequence[Candidate]:
        """Settings that read further blocks, which have to earn their place; see ``choose``."""
        del features
        return ()

    def _all_candidates(self, features: Features) -> list[Candidate]:
        return [*self._plain(features), *self._further(features)]

    def _take_settings(self, state: State) -> None:
        self._chosen_before = int(state["chosen"])

    def _choose(self, scored: TrainingRecord) -> Candidate:
        def predict(rows: Rows, candidates: Sequence[Candidate]) -> list[Floats]:
            fit, held = rows
            asked = scored.conditions.take(held)
            states = self._states(scored.take(fit), candidates)
            return [self._scores(asked, state, scored.features) for state in states]

        features = scored.features
        candidates = self._all_candidates(features)
        if self._chosen_before is not None:
            return candidates[self._chosen_before]
        if len(candidates) == 1:
            return candidates[0]
        plain, further = self._plain(features), self._further(features)
        folds = inner_folds(scored.conditions, self.kind)
        return choose(plain, self.default, folds, scored, predict, further=further)

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        even_NG = self._scores(asked, state, features) @ state["axes_KG"]
        return even_NG * relative_gain(features, asked, state["center_G"])


@dataclass(frozen=True, kw_only=True)
class _Axes:
    """Main gene axes of Δ made even between lines, the scores on them, and the mean gain."""

    axes_KG: Floats
    scores_NK: Floats
    center_G: Floats


_latest: dict[str, _Axes] = {}
"""The last axes asked for, by what they were made from: all models of a split are fitted on the
same conditions, one after the other."""


def _axes_of(train: TrainingRecord) -> _Axes:
    key = _content(train)
    found = _latest.get(key)
    if found is None:
        center_G = gain_center(train)
        even_NG = train.delta_NG / relative_gain(train.features, train.conditions, center_G)
        axes_KG = main_axes(even_NG * np.sqrt(train.weight_N)[:, None], N_AXES)
        scores_NK = without_vehicle_error(train.with_delta(even_NG @ axes_KG.T))
        for shared in (axes_KG, scores_NK, center_G):
            shared.flags.writeable = False
        found = _Axes(axes_KG=axes_KG, scores_NK=scores_NK, center_G=center_G)
        _latest.clear()
        _latest[key] = found
    return found


def _content(train: TrainingRecord) -> str:
    """Digest of everything that the axes depend on."""
    digest = hashlib.blake2b(repr(train.features.lines).encode())
    measured = (train.delta_NG, train.weight_N, *vars(train.conditions).values())
    for array in (*measured, train.features.control_LG):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
