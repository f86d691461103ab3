"""What a gate may say, and who may be champion.

What belongs here: the verdict of a gate in every form it takes, and the rule of promotion. What does
not: the gates themselves (``gates``), and what is done with a promotion.

Shapes: N = test conditions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain.errors import first_few
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig, ClusterBootstrap

State = Literal["green", "red", "not measured", "reported"]
GREEN: Final = "green"
RED: Final = "red"
NOT_MEASURED: Final = "not measured"
"""Demanded, but nothing was there to judge by: as little a reason to trust as a red one."""
REPORTED: Final = "reported"
"""A figure of which nothing is demanded on this split."""
BARRING: Final = (RED, NOT_MEASURED)
"""States with which no model becomes champion."""
NUMBERS: Final = ("figure", "ci_low", "ci_high")


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate: its state, the figure it was judged by with its interval and n, why in words.

    ``n`` is what the figure is over (conditions, queries, genes). A gate that measured nothing
    can be neither green nor red.
    """

    name: str
    state: State
    figure: float
    n: int
    explanation: str
    ci_low: float = float("nan")
    ci_high: float = float("nan")

    def __post_init__(self) -> None:
        if self.state in (GREEN, RED) and self.n < 1:
            msg = f"gate {self.name!r} is {self.state} with n = {self.n}: it measured nothing"
            raise ValueError(msg)

    @property
    def is_green(self) -> bool:
        """Whether it was judged and holds."""
        return self.state == GREEN

    @property
    def bars(self) -> bool:
        """Whether no model becomes champion with it."""
        return self.state in BARRING

    def as_json(self) -> dict[str, Any]:
        """The gate as JSON values; a figure that is not a number is null."""
        values = asdict(self)
        return {
            **values,
            **{name: values[name] if np.isfinite(values[name]) else None for name in NUMBERS},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "GateResult":
        """The gate whose :meth:`as_json` this is."""
        numbers = {
            name: float("nan") if values[name] is None else float(values[name]) for name in NUMBERS
        }
        return cls(**{**values, **numbers})


def judged(
    name: str,
    *,
    holds: bool,
    n: int,
    figure: float,
    explanation: str,
    otherwise: str,
    interval: tuple[float, float] = (float("nan"), float("nan")),
    is_demanded: bool = True,
) -> GateResult:
    """A gate's verdict: green or red by ``holds`` where something was measured.

    Parameters
    ----------
    n
        What the figure is over; 0 where nothing could be judged.
    otherwise
        Said in place of the explanation where nothing could: why, and what would help.
    is_demanded
        Where it is not, the figure is reported and judged by nobody.
    """
    state: State = GREEN if holds else RED
    if not n:
        state = NOT_MEASURED
    if not is_demanded:
        state = REPORTED
    return GateResult(
        name=name,
        state=state,
        figure=figure,
        n=n,
        ci_low=interval[0],
        ci_high=interval[1],
        explanation=explanation if n else f"Nothing was measured. {otherwise}",
    )


def tally(gates: Sequence[GateResult]) -> str:
    """How many gates are in each state, those that are judged first."""
    n_in_state = {
        state: sum(gate.state == state for gate in gates) for state in (GREEN, RED, NOT_MEASURED)
    }
    parts = [f"{n_in_state[GREEN]} of {sum(n_in_state.values())} gates are green"]
    parts += [f"{n} {state}" for state, n in n_in_state.items() if n and state != GREEN]
    n_reported = len(gates) - sum(n_in_state.values())
    parts += [f"{n_reported} figures reported without a demand"] if n_reported else []
    return ", ".join(parts)


def promotion(
    gates: Sequence[GateResult],
    candidate_N: NDArray[np.float64],
    rivals: Mapping[str, NDArray[np.float64]],
    cluster_N: NDArray[Any],
    *,
    demanded: Sequence[str] = (),
    champion_N: NDArray[np.float64] | None = None,
    config: BootstrapConfig | None = None,
) -> GateResult:
    """Whether a model may be champion: gates green, and better than each baseline and the champion.

    Better means: the paired difference on the frozen test lies above 0 with its 95 % interval.
    Without a champion the baselines decide. The figure is the smallest lower bound.

    Parameters
    ----------
    candidate_N, champion_N
        Scores of each test condition, larger is better, same rows.
    rivals
        Baseline → scores of the same rows.
    demanded
        Names of gates that must be there: one that nobody ran bars as a red one does.
    """
    against = dict(rivals)
    if champion_N is not None:
        against["champion"] = champion_N
    bootstrap = ClusterBootstrap(cluster_N, config or BootstrapConfig())
    bounds: dict[str, float] = {}
    sentences = []
    for rival, scores_N in against.items():
        found = bootstrap.differences(candidate_N[:, None], scores_N[:, None])
        bounds[rival] = float(found.low_M[0])
        sentences.append(
            f"{rival} {float(found.value_M[0]):+.3f} [{bounds[rival]:+.3f}, "
            f"{float(found.high_M[0]):+.3f}]"
        )
    reasons = barred(gates, demanded)
    not_beaten = [rival for rival, low in bounds.items() if not low > 0]
    if not_beaten:
        reasons.append(f"not better than {first_few(not_beaten)}")
    if not against:
        reasons.append("there is no baseline to be better than")
    n = len(candidate_N)
    refused: State = RED if n else NOT_MEASURED
    return GateResult(
        name="promotion",
        state=refused if reasons else GREEN,
        n=n,
        figure=min(bounds.values(), default=float("nan")),
        explanation=("; ".join(reasons) or "all gates green, better than every rival")
        + (f". Difference to {'; '.join(sentences)}, n = {n}." if sentences else "."),
    )


def barred(gates: Sequence[GateResult], demanded: Sequence[str]) -> list[str]:
    """Why gates keep a model from being champion."""
    reasons = []
    for state, are in ((RED, "are red"), (NOT_MEASURED, "measured nothing")):
        found = [gate.name for gate in gates if gate.state == state]
        if found:
            reasons.append(f"{len(found)} gates {are} ({first_few(found)})")
    missing = sorted(set(demanded) - {gate.name for gate in gates})
    if missing:
        reasons.append(f"{len(missing)} gates were not run ({first_few(missing)})")
    return reasons


def as_frame(gates: Sequence[GateResult]) -> pd.DataFrame:
    """Gates as a table, one row each."""
    columns = ["name", "state", "figure", "ci_low", "ci_high", "n", "explanation"]
    return pd.DataFrame([asdict(gate) for gate in gates], columns=columns)
