"""Metadata beside a deployed model: tables of drugs and lines, and its evaluation figures.

What belongs here: these tables, and a folder of them that travels with a registered model. What
does not: the model itself (``training/deployed``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.query.trust import quotable_figures
from drug_pipeline.storage.files import read_json, refuse_changed, seal_folder, write_json

DRUGS, CELL_LINES, METRICS, MEASURED = "drugs", "cell_lines", "metrics", "measured"
ABOUT = "library.json"


@dataclass(frozen=True, kw_only=True)
class Library:
    """Tables of drugs and lines, and the evaluation's figures.

    ``metrics`` is the evaluation's long table, or None where there is none yet; ``shipped`` names
    the predictor that each split's model answers with; ``measured`` holds the (drug, cell line)
    pairs that have a measured Δ, ``doses_um`` the doses of any, sorted.
    """

    drugs: pd.DataFrame
    cell_lines: pd.DataFrame
    metrics: pd.DataFrame | None
    shipped: Mapping[str, str]
    measured: frozenset[tuple[str, str]]
    doses_um: tuple[float, ...]


def save_library(library: Library, folder: Path) -> None:
    """The library as files in an empty folder; of the figures those that answers quote."""
    measured = pd.DataFrame(sorted(library.measured), columns=list(names.PAIR_KEY))
    tables = {DRUGS: library.drugs, CELL_LINES: library.cell_lines, MEASURED: measured}
    if library.metrics is not None:
        tables[METRICS] = quotable_figures(library.metrics, library.shipped)
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    about = {"shipped": dict(library.shipped), "doses_um": list(library.doses_um)}
    write_json(about, folder / ABOUT)
    seal_folder(folder, [folder / ABOUT, *(folder / f"{name}.parquet" for name in tables)])


def load_library(folder: Path) -> Library:
    """The library of :func:`save_library`.

    Raises
    ------
    ForeignFileError
        If a file was changed since it was saved.
    """
    refuse_changed(folder)
    about = read_json(folder / ABOUT)
    measured = _read(folder, MEASURED).itertuples(index=False, name=None)
    has_metrics = (folder / f"{METRICS}.parquet").is_file()
    return Library(
        drugs=_read(folder, DRUGS),
        cell_lines=_read(folder, CELL_LINES),
        metrics=_read(folder, METRICS) if has_metrics else None,
        shipped=about["shipped"],
        measured=frozenset((str(drug), str(line)) for drug, line in measured),
        doses_um=tuple(about["doses_um"]),
    )


def _read(folder: Path, table: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.ParquetFile(folder / f"{table}.parquet").read().to_pandas()
    return frame
