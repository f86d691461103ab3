"""Linear models, numpy and scipy only: the baselines of every table and the base of the network."""

from drug_pipeline.linear.base import (
    Conditions,
    Factory,
    Features,
    MeasuredConditions,
    Predictor,
    Queries,
    Ranker,
    State,
    TrainingRecord,
    evidence_weight,
    mean_control,
)
from drug_pipeline.linear.registry import (
    measured_rankers,
    predictors_for,
    restored,
    restored_ranker,
)

__all__ = [
    "Conditions",
    "Factory",
    "Features",
    "MeasuredConditions",
    "Predictor",
    "Queries",
    "Ranker",
    "State",
    "TrainingRecord",
    "evidence_weight",
    "mean_control",
    "measured_rankers",
    "predictors_for",
    "restored",
    "restored_ranker",
]
