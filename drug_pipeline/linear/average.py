"""Ensembles of linear models: averages with fixed weights.

Weights are fixed: on simulated counts with known truth all mixtures within a factor of 2 of these
were within .003 of each other in centred Pearson, less than inner folds could tell apart.

Shapes: N = conditions, G = genes.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import (
    Conditions,
    Features,
    Predictor,
    State,
    TrainingRecord,
    nested,
    part,
)
from drug_pipeline.linear.lines import GeneLine, KernelLine
from drug_pipeline.linear.panel import LineRidge, PanelRidge
from drug_pipeline.linear.product_kernel import ProductKernelRidge


class Average(Predictor):
    """Ensemble with fixed weights, ``Σ weight · member / Σ weight``, fitted on the same conditions.

    Notes
    -----
    Clemen (1989), "Combining forecasts: a review and annotated bibliography": averages with fixed
    weights are hard to beat.
    """

    def __init__(self, name: str, members: Sequence[tuple[float, Predictor]]) -> None:
        super().__init__(name)
        self.members = members

    def _fit(self, train: TrainingRecord) -> State:
        state: State = {}
        for _, member in self.members:
            fitted = member.fit(train)
            state |= nested(member.name, fitted.state())
        return state

    def assembled(self, fitted: Mapping[str, Predictor], features: Features) -> Self:
        """The average of predictors that are fitted already; they stand under their own names."""
        state: State = {}
        for _, member in self.members:
            state |= nested(member.name, fitted[member.name].state())
        return self.restore(state, features)

    def _take_settings(self, state: State) -> None:
        self.members = [
            (weight, _with_settings(member, part(member.name, state)))
            for weight, member in self.members
        ]

    def _predict(self, asked: Conditions, state: State, features: Features) -> NDArray[Any]:
        total_weight = sum(weight for weight, _ in self.members)
        answers = [
            weight
            / total_weight
            * member.restore(part(member.name, state), features).predict(asked)
            for weight, member in self.members
        ]
        return np.asarray(np.sum(answers, axis=0))


def _with_settings(member: Predictor, state: State) -> Predictor:
    again = copy.copy(member)
    again._take_settings(state)
    return again


def pair_ridge(*, kind: str) -> Average:
    """The mean of panel ridge and line ridge: which of the two is better depends on the design."""
    return Average("pair_ridge", [(1.0, PanelRidge(kind=kind)), (1.0, LineRidge(kind=kind))])


def pair_average(*, kind: str) -> Average:
    """The mean of line ridge (what the data say) and product kernel (what features say)."""
    return Average(
        "pair_average", [(1.0, LineRidge(kind=kind)), (1.0, ProductKernelRidge(kind=kind))]
    )


def line_average(*, kind: str) -> Average:
    """Half product kernel, a quarter each of kernel ridge over lines and lines per gene."""
    return Average(
        "line_average",
        [
            (2.0, ProductKernelRidge(kind=kind)),
            (1.0, KernelLine(kind=kind)),
            (1.0, GeneLine(kind=kind)),
        ],
    )
