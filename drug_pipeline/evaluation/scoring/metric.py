"""What a metric is: one row with its name, functions, what they need, direction and words.

What belongs here: the row, the names of what a metric may need, and computing rows from inputs.
What does not: the rows, which stand beside their functions (``delta_metrics``, ``de_metrics``,
``ranking_metrics``); what makes the inputs (``per_condition``).

Shapes: N = conditions or queries, K = values at which a metric is cut.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.evaluation.scoring.ceilings import Ceiling

Values: TypeAlias = NDArray[np.float64]
MetricKey: TypeAlias = tuple[str, int]
"""Name of a metric and its k; 0 where it has none."""

Need: TypeAlias = Literal[
    # of a prediction: Δ, Δ minus the training mean of the line (or of the line at the dose), ranks
    # over genes, genes called differentially expressed
    "predicted", "predicted_centred", "predicted_by_dose",
    "predicted_ranks", "predicted_centred_ranks", "predicted_de",
    # of the measurement: the same, its standard error, Δ of two halves of its cells, the control
    "measured", "measured_centred", "measured_by_dose",
    "measured_ranks", "measured_centred_ranks", "measured_de",
    "se", "half_a", "half_b", "control",
    # what shares a control (line and plate), and the parent compound of each condition
    "group", "identity",
    # of a ranking: rank of the right answer among n candidates; ranks of the whole gallery and what
    # is relevant, or how much it is worth; ranks without the drug's own forms, and what is related
    "rank", "n_candidates", "ranks", "is_relevant", "graded_ranks", "gain",
    "other_ranks", "is_related",
    # where the metric is cut: the last argument of its function
    "k",
]  # fmt: skip
K: Final = "k"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: everything that scoring, the tables and the report know of it.

    Parameters
    ----------
    functions
        What is needed, in the order of the function's arguments → the function, which gives one
        value per row (N,). A task computes the first whose needs it has, so that a metric may have a
        shorter form where there is one right answer.
    source
        Where the definition comes from: paper and equation, or program and name.
    is_error
        Whether smaller is better.
    ceiling
        How a ceiling follows from noise and replicates; None where none is known.
    is_median
        Whether rows are summed up by their median, not their mean.
    in_every_stratum
        Whether it is told by line, dose and drug too, not just for all and for active rows.
    columns, target_columns
        k (0 without one) of its columns in the report's table of the task, and of protein targets.
    must_tell
        Whether its column is left out where it cannot tell predictors apart (``calibration``).
    digits
        Decimals in the report.
    """

    name: str
    title: str
    definition: str
    source: str
    functions: Mapping[tuple[Need, ...], Callable[..., Values]]
    is_error: bool = False
    ceiling: Ceiling | None = None
    is_median: bool = False
    in_every_stratum: bool = True
    columns: tuple[int, ...] = ()
    target_columns: tuple[int, ...] = ()
    must_tell: bool = False
    digits: int = 3

    @property
    def sign(self) -> float:
        """+1 where larger is better, -1 for errors."""
        return -1.0 if self.is_error else 1.0

    @property
    def is_grouped(self) -> bool:
        """Whether it compares conditions with each other, and so needs all of them at once."""
        return any("group" in needs for needs in self.functions)

    @property
    def has_gap(self) -> bool:
        """Whether what a perfect prediction scores is known from the noise of a condition."""
        return self.ceiling is not None and self.ceiling.reachable is not None

    def needs(self, offered: Container[str]) -> tuple[Need, ...]:
        """The needs of the first function that can be computed; empty where none can."""
        return next(
            (
                needs
                for needs in self.functions
                if all(need == K or need in offered for need in needs)
            ),
            (),
        )


class Inputs:
    """What metrics may need, by name, each made once and only where a metric asks for it."""

    def __init__(
        self, makers: Mapping[str, Callable[[], Any]], beside: "Inputs | None" = None
    ) -> None:
        self._makers, self._made, self._beside = makers, dict[str, Any](), beside

    def __contains__(self, name: object) -> bool:
        return name in self._makers or (self._beside is not None and name in self._beside)

    def __getitem__(self, name: str) -> Any:
        if name not in self._makers and self._beside is not None:
            return self._beside[name]
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]


def keys_of(
    metrics: Sequence[Metric], offered: Container[str], ks: Sequence[int]
) -> tuple[MetricKey, ...]:
    """The metrics that can be computed from what is offered, at each k where they are cut at one."""
    return tuple(
        (metric.name, k)
        for metric in metrics
        if (needs := metric.needs(offered))
        for k in (ks if K in needs else (0,))
    )


def computed(
    metrics: Sequence[Metric], inputs: Inputs, ks: Sequence[int]
) -> dict[MetricKey, Values]:
    """Every metric that can be computed from the inputs, in the order of :func:`keys_of`."""
    found = {}
    for metric in metrics:
        needs = metric.needs(inputs)
        given = [inputs[need] for need in needs if need != K]
        for name, k in keys_of([metric], inputs, ks):
            found[name, k] = metric.functions[needs](*given, *((k,) if k else ()))
    return found
