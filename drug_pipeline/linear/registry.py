"""Which linear predictors answer which kind of split, and how to get one back by its name.

Kinds of split are what the test has never seen: ``pair``, ``few_shot``, ``plate_replicate``,
``dose`` (drug and line are known), ``cell_line``, ``drug``, ``scaffold``, ``both``.
"""

from typing import Final

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.linear.base import Factory, Features, Predictor, State
from drug_pipeline.linear.means import Zero, drug_mean, global_mean, line_mean

SEEN_KINDS: Final = ("pair", "few_shot", "plate_replicate", "dose")
"""Kinds whose test conditions have a known drug and a known line."""
KINDS: Final = (*SEEN_KINDS, "cell_line", "drug", "scaffold", "both")
"""Every kind of split that predictors can be asked for."""


def predictors_for(kind: str) -> list[Factory]:
    """Factories of the predictors that make sense for a kind of split, simplest first.

    Raises
    ------
    ConfigurationError
        If the kind is not one of :data:`KINDS`.
    """
    if kind not in KINDS:
        msg = f"no linear predictors for split kind {kind!r}; known: {', '.join(KINDS)}"
        raise ConfigurationError(msg)
    return [Zero, global_mean, line_mean, drug_mean]


def restored(name: str, kind: str, state: State, features: Features) -> Predictor:
    """The fitted predictor of that name from its saved state.

    Raises
    ------
    ConfigurationError
        If no predictor of that kind has the name.
    """
    candidates = {
        predictor.name: predictor for predictor in (make() for make in predictors_for(kind))
    }
    if name not in candidates:
        msg = f"no predictor {name!r} for split kind {kind!r}; known: {', '.join(candidates)}"
        raise ConfigurationError(msg)
    return candidates[name].restore(state, features)
