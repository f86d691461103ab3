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
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from delta_checks import write_checks
from delta_data import N_WELLS, write_raw, write_repeated
from delta_report import write_report

from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.raw.inventory import InventoryConfig, build_raw_tahoe
from drug_pipeline.storage.layout import Layout

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "delta.json"
DOCS = HERE.parent / "docs" / "benchmarks"
ALL_GENES = 62_710
FILES_PER_PLATE = 8
WORKERS_FILES = 16
COUNTS_FILES = 128
"""A 26th of Tahoe-100M's; their lists hold one entry, since only strings are read."""
SLOW_CELLS = 2_000
SERIES = ("main", "all_genes", "peers", "growth", "workers", "counts")
"""What can be measured alone, for instance with ``--series main``."""
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
    """Everything that is measured; each series that can be run alone has its own ``decode``."""
    found = []
    for series, sizes in (("main", (2_000, 10_000)), ("all_genes", (ALL_GENES,))):
        found.append(Case(series=series, method="decode", files=n_files, genes=sizes[0]))
        for genes in sizes:
            for workers in (1,) if genes == ALL_GENES else (1, 2):  # each run writes 10 GB
                found.append(
                    Case(series=series, method="ours", files=n_files, genes=genes, workers=workers)
                )
    found.append(Case(series="peers", method="decode", files=1, genes=2_000))
    found.append(Case(series="peers", method="ours", files=1, genes=2_000))
    for method in PEERS:
        max_cells = SLOW_CELLS if method == "pandas_rows" else 10**9
        found.append(Case(series="peers", method=method, files=1, genes=2_000, max_cells=max_cells))
    found.append(Case(series="growth", method="decode", files=4, genes=2_000))
    found += [Case(series="growth", method="ours", files=n, genes=2_000) for n in (1, 2, 4)]
    found += [Case(series="growth", method="ours", files=1, genes=n) for n in (500, 5_000)]
    found += [Case(series="growth", method="ours", files=1, genes=2_000, lines=n) for n in (5, 20)]
    found.append(Case(series="workers", method="decode", files=WORKERS_FILES, genes=2_000))
    for genes in (2_000, 10_000):
        for workers in (1, 2):
            found.append(
                Case(
                    series="workers",
                    method="ours",
                    files=WORKERS_FILES,
                    genes=genes,
                    workers=workers,
                )
            )
    found.append(Case(series="counts", method="decode", files=1, genes=2_000))
    found.append(Case(series="counts", method="count_tables", files=COUNTS_FILES, genes=2_000))
    return found


def prepared(work_dir: Path, case: Case) -> tuple[Path, Path]:
    """Raw folder and data folder of a case, made where they are missing."""
    raw_dir = _raw_dir(work_dir, case)
    data_dir = work_dir / f"data_{case.lines}_{case.files}_{case.genes}"
    layout = Layout(data_dir)
    build_raw_tahoe(layout, raw_dir, InventoryConfig(validation="while_reducing"))
    build_tahoe_metadata(layout, raw_dir)
    build_counts(layout, raw_dir)
    if case.method == "count_tables":
        return raw_dir, data_dir
    panel = PanelConfig(n_genes=case.genes, min_detected_frac=0.0, include_targets=False)
    build_gene_panel(layout, raw_dir, panel)
    return raw_dir, data_dir


def _raw_dir(work_dir: Path, case: Case) -> Path:
    raw_dir = work_dir / f"raw_{case.lines}_{case.files}"
    if raw_dir.exists():
        return raw_dir
    n_plates = 1 if case.files == COUNTS_FILES else -(-case.files // FILES_PER_PLATE)
    source = work_dir / (f"raw_{case.lines}" + (f"_plates_{n_plates}" if n_plates > 1 else ""))
    if not source.exists():
        n_files = case.files if case.lines != 50 else n_plates * FILES_PER_PLATE
        making = work_dir / ".making"
        shutil.rmtree(making, ignore_errors=True)
        write_raw(making, n_files=n_files, files_per_plate=FILES_PER_PLATE, n_lines=case.lines)
        making.rename(source)
    if case.files == COUNTS_FILES:
        write_repeated(source, raw_dir, n_files=case.files)
        return raw_dir
    (raw_dir / "data").mkdir(parents=True)
    (raw_dir / "metadata").symlink_to(source / "metadata")
    for path in sorted((source / "data").glob("*.parquet"))[: case.files]:
        (raw_dir / "data" / path.name).symlink_to(path)
    return raw_dir


def measured(case: Case, raw_dir: Path, data_dir: Path) -> dict[str, float]:
    """What one run of a case costs, in a process of its own."""
    layout = Layout(data_dir)
    _forget(layout, case.method)
    command = [
        *(sys.executable, str(HERE / "delta_methods.py"), case.method),
        *(str(raw_dir), str(data_dir)),
        *("--workers", str(case.workers), "--max-cells", str(case.max_cells)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    outcome: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    if case.method == "ours":
        _forget(layout, case.method)  # up to 10 GB
    return outcome


def _forget(layout: Layout, method: str) -> None:
    """Remove what a method makes, so that it is made anew."""
    if method == "ours":
        shutil.rmtree(layout.pseudobulk_dir, ignore_errors=True)
        (layout.manifest_dir / "stamps" / "pseudobulk.json").unlink(missing_ok=True)
    elif method == "count_tables":
        shutil.rmtree(layout.count_partials_dir)
        layout.warehouse.unlink()
        (layout.manifest_dir / "stamps" / "counts.json").unlink(missing_ok=True)


def measure_series(work_dir: Path, chosen: Sequence[Case], n_runs: int) -> list[dict[str, Any]]:
    """Medians of the cases of one series, which take turns, so that a busy minute hits all alike.

    Ratios are to the ``decode`` of the same series, cell by cell.
    """
    folders = {case: prepared(work_dir, case) for case in chosen}
    runs: dict[Case, list[dict[str, float]]] = {case: [] for case in chosen}
    for number in range(n_runs):
        for case in chosen:
            runs[case].append(measured(case, *folders[case]))
            print(number + 1, case, runs[case][-1], flush=True)
    (decode,) = (runs[case] for case in chosen if case.method == "decode")
    per_cell = statistics.median(outcome["cpu_seconds"] / outcome["cells"] for outcome in decode)
    return [_row(case, runs[case], folders[case], per_cell) for case in chosen]


def _row(
    case: Case,
    outcomes: list[dict[str, float]],
    folders: tuple[Path, Path],
    decode_per_cell: float,
) -> dict[str, Any]:
    def median(name: str) -> float:
        return statistics.median(outcome[name] for outcome in outcomes)

    cells = int(outcomes[0]["cells"])
    has_panel = case.method != "count_tables"
    panel = pq.read_metadata(Layout(folders[1]).gene_panel).num_rows if has_panel else 0
    n_groups = N_WELLS * case.lines  # of a plate
    n_plates = -(-case.files // FILES_PER_PLATE)
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
        "sums_mb": round(n_plates * n_groups * panel * 32 / 2**20) if case.method == "ours" else 0,
        "checksum": median("checksum") if case.method not in ("decode", "count_tables") else None,
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
    parser.add_argument(
        "--series", nargs="*", default=SERIES, choices=SERIES, help="only these; others are kept"
    )
    parser.add_argument("--prepare", action="store_true", help="make the files, measure nothing")
    asked = parser.parse_args()
    work_dir = asked.work_dir.resolve()
    work_dir.mkdir(parents=True, exist_ok=True)
    for series in asked.series:
        chosen = [case for case in cases(asked.files) if case.series == series]
        if asked.prepare:
            for case in chosen:
                prepared(work_dir, case)
        else:
            _keep(series, measure_series(work_dir, chosen, asked.runs))
    if asked.prepare:
        return
    if "main" in asked.series:
        write_checks(next((work_dir / "raw_50" / "data").glob("*.parquet")))
    write_report(RESULTS, DOCS, _machine())


def _keep(series: str, rows: list[dict[str, Any]]) -> None:
    """Put the rows of one series in the place of those that were there."""
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    merged = [row for row in before if row["series"] != series] + rows
    merged.sort(key=lambda row: SERIES.index(row["series"]))
    _refuse_differences(merged)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
