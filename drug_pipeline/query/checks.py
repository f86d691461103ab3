"""Input checks of queries, shared by the command line, the served model and Python.

What belongs here: refusing, or remarking on, drugs, doses, lines and values that lie outside what
was measured. What does not: reading files (``signature_files.py``), matching names (``names.py``,
``genes.py``).

Shapes: N = conditions asked, G = genes of the panel, M = genes of a question that are in the panel.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.linear import Conditions, Features
from drug_pipeline.query.names import resolve_drug, resolve_line

LARGEST_DELTA: Final = float(np.log1p(names.TARGET_SUM))
"""No Δ can be larger: log1p_cp10k lies between 0 and ln(10,001)."""
BOTH_WAYS_FRAC: Final = 0.5
"""From this share of the panel on a signature is a profile, whose changes go both ways."""


class Answering(Protocol):
    """Interface of a model that answers queries: features, parent compounds, doses, gallery."""

    @property
    def features(self) -> Features:
        """Vectors of drugs and lines; ``lines`` are those with a control profile."""
        ...

    @property
    def parent_of(self) -> Mapping[str, str]:
        """Parent compound by drug."""
        ...

    @property
    def doses_um(self) -> tuple[float, ...]:
        """Doses (µM) that were trained on, sorted."""
        ...

    def default_gallery(self) -> tuple[str, ...]:
        """Every drug that can be asked for."""
        ...


def asked_conditions(
    model: Answering,
    *,
    drugs: Sequence[object],
    doses_um: Sequence[object],
    lines: Sequence[object],
    cell_lines: pd.DataFrame | None = None,
) -> Conditions:
    """N conditions to predict, by the names that the data use, each dose within those measured.

    Parameters
    ----------
    cell_lines
        ``schemas.CELL_LINES``; without it lines go by id alone.

    Raises
    ------
    QueryError
        If a drug or a line is unknown, or a dose is no number of µM or outside what was measured.
    """
    if cell_lines is None:
        cell_lines = pd.DataFrame({names.CELL_LINE_ID: [], names.CELL_NAME: []})
    gallery, known_lines = model.default_gallery(), model.features.lines
    drug_of = {drug: resolve_drug(_text(drug, "drug"), gallery) for drug in dict.fromkeys(drugs)}
    line_of = {
        line: resolve_line(_text(line, "cell line"), cell_lines, known_lines)
        for line in dict.fromkeys(lines)
    }
    return Conditions.unmeasured(
        [drug_of[drug] for drug in drugs],
        [line_of[line] for line in lines],
        _checked_doses(doses_um, model.doses_um),
        model.parent_of,
    )


def check_values(
    values_M: NDArray[np.float64], genes_M: Sequence[str], *, n_panel: int, name: str
) -> list[str]:
    """What to remark on values that are to be a Δ (natural log), or z-scores of one.

    Raises
    ------
    QueryError
        If all are 0, or they cannot be a change: counts, a whole profile of one sign.
    """
    if not values_M.any():
        msg = f"every value of {name} is 0: there is nothing to look for. Give a Δ of some genes."
        raise QueryError(msg)
    goes_both_ways = bool((values_M < 0).any() and (values_M > 0).any())
    are_whole = bool((values_M == np.round(values_M)).all())
    sign = "negative" if (values_M >= 0).all() else "positive"
    are_counts = are_whole and sign == "negative"
    if not goes_both_ways and (are_counts or len(values_M) >= BOTH_WAYS_FRAC * n_panel):
        kind = (
            "whole numbers, as counts are" if are_whole else "as of expression, ratios or p-values"
        )
        msg = (
            f"none of {len(values_M)} values of {name} is {sign} ({kind}): a Δ goes both ways. "
            "Give differences of logs, treated minus control."
        )
        raise QueryError(msg)
    if not goes_both_ways:
        return [f"None of the values is {sign}: taken for the genes that go one way."]
    return ["Every value is a whole number: signs, without sizes."] if are_whole else []


def beyond_delta(values_M: NDArray[np.float64], genes_M: Sequence[str], *, name: str) -> list[str]:
    """A remark on values that no Δ (natural log) can have; empty where there are none."""
    beyond = [
        f"{gene} {value:.4g}"
        for gene, value in zip(genes_M, values_M, strict=True)
        if abs(value) > LARGEST_DELTA
    ]
    if not beyond:
        return []
    return [
        f"{len(beyond)} of {len(values_M)} values of {name} are beyond ±{LARGEST_DELTA:.2f}, which "
        f"no difference of log expression can be (natural log); first: {first_few(beyond)}. All "
        "are taken as scores of another unit: their order over the genes counts, not their size."
    ]


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        msg = f"a question names no {what} ({value!r}). Give its name as text."
        raise QueryError(msg)
    return value


def _checked_doses(doses_um: Sequence[object], measured: Sequence[float]) -> NDArray[np.float64]:
    try:
        dose_um_N = np.array(list(doses_um), dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"a dose_um is not a number ({error}). Give a positive number of µM."
        raise QueryError(msg) from error
    bad = sorted({str(dose) for dose in dose_um_N[~(np.isfinite(dose_um_N) & (dose_um_N > 0))]})
    if bad:
        msg = f"dose_um is {first_few(bad)}; give a positive number of µM."
        raise QueryError(msg)
    low, high = min(measured), max(measured)
    is_outside = (dose_um_N < low * (1 - 1e-6)) | (dose_um_N > high * (1 + 1e-6))
    if is_outside.any():
        outside = [f"{dose:g}" for dose in np.unique(dose_um_N[is_outside])]
        msg = (
            f"dose {first_few(outside)} µM is outside the measured doses, {low:g} to {high:g} µM: "
            "nothing is known of the response there. Ask for a dose between them."
        )
        raise QueryError(msg)
    return dose_um_N
