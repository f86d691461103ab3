"""How fast Δexpression's sums are made, against the speed of reading and against other tools.

Generates files of Tahoe-100M's shape once (``--work-dir``), runs every method in fresh processes,
in turn, and takes medians. Writes ``results/delta.json``, ``docs/benchmarks/delta.md`` and
``docs/benchmarks/delta.png``. CPU seconds are the figure to compare: wall seconds depend on what
else the machine does.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from delta_checks import write_checks
from delta_data import write_raw
from delta_report import write_report

from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.inventory import InventoryConfig, build_raw_tahoe
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.storage.layout import Layout

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "delta.json"
DOCS = HERE.parent / "docs" / "benchmarks"
ALL_GENES = 62_710
MAX_FILES = 8
SLOW_CELLS = 2_000
PEERS = ("duckdb_unnest", "polars_explode", "scanpy_aggregate", "scipy_indicator", "pandas_rows")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One measurement: a method on some files with a panel of some genes."""

    series: str
    method: str
    files: int
    genes: int
    workers: int = 1
    lines: int = 50
    max_cells: int = 10**9


def cases(n_files: int) -> list[Case]:
    """Everything that is measured, ``decode`` first in each series."""
    found = []
    for genes in (2_000, 10_000, ALL_GENES):
        found.append(Case(series="main", method="decode", files=n_files, genes=genes))
        # Two workers hold the sums twice, at all genes 12 GB.
        for workers in (1,) if genes == ALL_GENES else (1, 2):
            found.append(
                Case(series="main", method="ours", files=n_files, genes=genes, workers=workers)
            )
    found.append(Case(series="peers", method="decode", files=1, genes=2_000))
    for method in PEERS:
        is_slow = method == "pandas_rows"
        max_cells = SLOW_CELLS if is_slow else 10**9
        case = Case(series="peers", method=method, files=1, genes=2_000, max_cells=max_cells)
        found.append(case)
    sizes = [n for n in (1, 2, 4) if n < n_files]
    found += [Case(series="files", method="ours", files=n, genes=2_000) for n in sizes]
    found += [Case(series="genes", method="ours", files=1, genes=n) for n in (500, 2_000, 5_000)]
    found += [Case(series="lines", method="ours", files=1, genes=2_000, lines=n) for n in (5, 20)]
    return found


def prepared(work_dir: Path, case: Case) -> tuple[Path, Path]:
    """Raw folder and data folder of a case, made where they are missing."""
    source = work_dir / f"raw_{case.lines}"
    n_files = case.files if case.lines != 50 else MAX_FILES
    if not source.exists():
        write_raw(
            work_dir / ".making", n_files=n_files, files_per_plate=MAX_FILES, n_lines=case.lines
        )
        (work_dir / ".making").rename(source)
    raw_dir = work_dir / f"raw_{case.lines}_{case.files}"
    if not raw_dir.exists():
        (raw_dir / "data").mkdir(parents=True)
        (raw_dir / "metadata").symlink_to(source / "metadata")
        for path in sorted((source / "data").glob("*.parquet"))[: case.files]:
            (raw_dir / "data" / path.name).symlink_to(path)
    data_dir = work_dir / f"data_{case.lines}_{case.files}_{case.genes}"
    layout = Layout(data_dir)
    build_raw_tahoe(layout, raw_dir, InventoryConfig(validation="while_reducing"))
    build_tahoe_metadata(layout, raw_dir)
    build_counts(layout, raw_dir)
    panel = PanelConfig(n_genes=case.genes, min_detected_frac=0.0, include_targets=False)
    build_gene_panel(layout, raw_dir, panel)
    return raw_dir, data_dir


def measured(case: Case, raw_dir: Path, data_dir: Path) -> dict[str, float]:
    """What one run of a case costs, in a process of its own."""
    layout = Layout(data_dir)
    subprocess.run(["rm", "-rf", str(layout.pseudobulk_dir)], check=True)  # noqa: S607
    (layout.manifest_dir / "stamps" / "pseudobulk.json").unlink(missing_ok=True)
    command = [
        *(sys.executable, str(HERE / "delta_methods.py"), case.method),
        *(str(raw_dir), str(data_dir)),
        *("--workers", str(case.workers), "--max-cells", str(case.max_cells)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    outcome: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return outcome


def measure_all(work_dir: Path, chosen: Iterable[Case], n_runs: int) -> list[dict[str, Any]]:
    """Medians of every case; the cases take turns, so that a busy minute hits all alike."""
    chosen = list(chosen)
    folders = {case: prepared(work_dir, case) for case in chosen}
    runs: dict[Case, list[dict[str, float]]] = {case: [] for case in chosen}
    for number in range(n_runs):
        for case in chosen:
            runs[case].append(measured(case, *folders[case]))
            print(number + 1, case, runs[case][-1], flush=True)
    decode = [runs[case] for case in chosen if case.method == "decode"]
    per_cell = statistics.median(
        outcome["cpu_seconds"] / outcome["cells"] for outcomes in decode for outcome in outcomes
    )
    return [_row(case, runs[case], folders[case][1], per_cell) for case in chosen]


def _row(
    case: Case, outcomes: list[dict[str, float]], data_dir: Path, decode_per_cell: float
) -> dict[str, Any]:
    def median(name: str) -> float:
        return statistics.median(outcome[name] for outcome in outcomes)

    cells = int(outcomes[0]["cells"])
    panel = pq.read_metadata(Layout(data_dir).gene_panel).num_rows
    return {
        "method": case.method,
        "genes": panel,
        "workers": case.workers,
        "cells": cells,
        "cpu_seconds": round(median("cpu_seconds"), 3),
        "wall_seconds": round(median("wall_seconds"), 3),
        "peak_mb": round(median("peak_mb")),
        "cpu_ratio_to_decode": round(median("cpu_seconds") / cells / decode_per_cell, 2),
        "series": case.series,
        "files": case.files,
        "lines": case.lines,
        "runs": len(outcomes),
        "checksum": median("checksum") if case.method != "decode" else None,
    }


def _refuse_differences(rows: list[dict[str, Any]]) -> None:
    """The sums of all methods over the same cells and genes must agree."""
    totals: dict[tuple[int, int, int], float] = {}
    for row in rows:
        if row["checksum"] is None:
            continue
        key = (row["cells"], row["genes"], row["lines"])
        total = totals.setdefault(key, row["checksum"])
        if abs(row["checksum"] - total) > 1e-6 * total:
            msg = f"{row['method']} has a sum of {row['checksum']}, others {total}, for {key}"
            raise AssertionError(msg)


def _machine() -> str:
    versions = [f"Python {platform.python_version()}"]
    for name in ("pyarrow", "numba", "duckdb", "polars", "scanpy", "scipy"):
        versions.append(f"{name} {version(name)}")
    return f"{os.cpu_count()} cores ({platform.machine()}); {', '.join(versions)}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("data/bench"))
    parser.add_argument("--files", type=int, default=8, help="files of the main table, 1 to 8")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--series", nargs="*", help="only these: main peers files genes lines")
    asked = parser.parse_args()
    asked.work_dir.mkdir(parents=True, exist_ok=True)
    chosen = [
        case for case in cases(asked.files) if not asked.series or case.series in asked.series
    ]
    rows = measure_all(asked.work_dir.resolve(), chosen, asked.runs)
    _refuse_differences(rows)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if not asked.series:
        write_checks(next((asked.work_dir / "raw_50" / "data").glob("*.parquet")))
        write_report(RESULTS, DOCS, _machine())


if __name__ == "__main__":
    main()
