"""Linear models, numpy and scipy only: the baselines of every table and the base of the network."""

from drug_pipeline.linear.base import (
    Conditions,
    Factory,
    Features,
    Predictor,
    Queries,
    Ranker,
    State,
    evidence_weight,
    mean_control,
)
from drug_pipeline.linear.registry import KINDS, SEEN_KINDS, predictors_for, restored

__all__ = [
    "KINDS",
    "SEEN_KINDS",
    "Conditions",
    "Factory",
    "Features",
    "Predictor",
    "Queries",
    "Ranker",
    "State",
    "evidence_weight",
    "mean_control",
    "predictors_for",
    "restored",
]
