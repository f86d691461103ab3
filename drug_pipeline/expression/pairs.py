"""Which (drug, cell line) pairs are kept, and the reason each other one is not.

What belongs here: the filter. What does not: counting (``counts.py``), controls (``delta.py``).
"""

import numbers
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError

IS_KEPT: Final = "is_kept"
VEHICLE_REASON: Final = "vehicle"


@dataclass(frozen=True, kw_only=True)
class PairFilterConfig:
    """How many cells a pair needs.

    Parameters
    ----------
    min_cells_per_pair
        Cells over all doses and plates. 200 is the lowest of the thresholds published for
        Tahoe-100M (18,089 of 19,000 pairs pass).
    min_cells_per_condition
        Cells that at least one (dose, plate) of the pair must have.
    """

    min_cells_per_pair: int = 200
    min_cells_per_condition: int = 1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _check_threshold(name, value)


def filter_pairs(
    counts_per_pair: pd.DataFrame, counts_per_condition: pd.DataFrame, config: PairFilterConfig
) -> pd.DataFrame:
    """All pairs (``schemas.PAIRS``), each kept or with the reason why not; sorted by key.

    Pairs of the vehicle are controls and not kept as pairs.

    Parameters
    ----------
    counts_per_pair
        ``drug, cell_line_id, n_cells``, one row per pair.
    counts_per_condition
        ``drug, dose_um, cell_line_id, plate, n_cells``, one row per condition.

    Raises
    ------
    EmptyResultError
        If no pair is kept.
    """
    pairs = counts_per_pair.sort_values(list(names.PAIR_KEY), ignore_index=True)
    largest = counts_per_condition.groupby(list(names.PAIR_KEY))[names.N_CELLS].max()
    keys = pd.MultiIndex.from_frame(pairs[list(names.PAIR_KEY)])
    largest_condition = largest.reindex(keys, fill_value=0).to_numpy()
    pairs[names.REASON] = [
        _reason(drug, int(n_cells), int(n_largest), config)
        for drug, n_cells, n_largest in zip(
            pairs[names.DRUG], pairs[names.N_CELLS], largest_condition, strict=True
        )
    ]
    pairs[IS_KEPT] = pairs[names.REASON] == ""
    if not pairs[IS_KEPT].any():
        raise EmptyResultError(_nothing_left(pairs, largest_condition.tolist(), config))
    kept: pd.DataFrame = pairs[schemas.PAIRS.names]
    return kept


def count_reasons(pairs: pd.DataFrame) -> dict[str, int]:
    """How many pairs were dropped for each reason, numbers in the reasons left out."""
    dropped = pairs.loc[~pairs[IS_KEPT], names.REASON]
    return {
        str(reason): int(n)
        for reason, n in dropped.str.replace(r"^\d+ ", "", regex=True).value_counts().items()
    }


def _reason(drug: str, n_cells: int, n_largest: int, config: PairFilterConfig) -> str:
    if names.is_control(drug):
        return VEHICLE_REASON
    if n_cells < config.min_cells_per_pair:
        return f"{n_cells} cells, fewer than min_cells_per_pair = {config.min_cells_per_pair}"
    if n_largest < config.min_cells_per_condition:
        return (
            f"{n_largest} cells in its largest condition, fewer than "
            f"min_cells_per_condition = {config.min_cells_per_condition}"
        )
    return ""


def _nothing_left(
    pairs: pd.DataFrame, largest_condition: list[int], config: PairFilterConfig
) -> str:
    treated = pairs.assign(n_largest=largest_condition)
    treated = treated[treated[names.DRUG] != names.CONTROL_DRUG]
    if treated.empty:
        return f"all {len(pairs)} pairs are of the vehicle; there is no treated cell to keep."
    top = treated.sort_values(names.N_CELLS, ascending=False, kind="stable").iloc[0]
    tenth = int(treated[names.N_CELLS].quantile(0.9))
    return (
        f"none of {len(treated)} treated pairs has {config.min_cells_per_pair} cells "
        f"(and {config.min_cells_per_condition} in one condition). The largest, "
        f"{top[names.DRUG]} in {top[names.CELL_LINE_ID]}, has {top[names.N_CELLS]} cells, "
        f"{top['n_largest']} in its largest condition. min_cells_per_pair = {max(tenth, 1)} "
        "(pairs.min_cells_per_condition = 1) would keep about a tenth of the pairs."
    )


def _check_threshold(name: str, value: Any) -> None:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < 1:
        msg = f"{name} is {value!r}; give a whole number of cells, at least 1."
        raise ConfigurationError(msg)
