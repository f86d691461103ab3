"""The Δ benchmark as a page and a picture, from ``results/delta.json``."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TAHOE_CELLS = 95_624_334
NAMES = {
    "decode": "Parquet decode alone (the limit)",
    "ours": "this pipeline",
    "duckdb_unnest": "DuckDB, unnest + GROUP BY",
    "polars_explode": "polars, explode + group_by",
    "scanpy_aggregate": "scanpy, CSR → get.aggregate",
    "scipy_indicator": "scipy, indicator product",
    "pandas_rows": "pandas, a row a cell (the notebooks' way)",
}
"""What each method is called in the table."""


def table_of(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| method | genes | workers | cells | CPU s | wall s | µs CPU a cell | peak MB | CPU / decode |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        per_cell = 1e6 * row["cpu_seconds"] / row["cells"]
        lines.append(
            f"| {NAMES[row['method']]} | {row['genes']:,} | {row['workers']} | {row['cells']:,} "
            f"| {row['cpu_seconds']:.2f} | {row['wall_seconds']:.2f} | {per_cell:.1f} "
            f"| {row['peak_mb']:,} | {row['cpu_ratio_to_decode']:.2f} |"
        )
    return "\n".join(lines)


def sentence_on_checks(path: Path) -> str:
    """What the checks cost, where ``delta_checks.py`` has been run."""
    if not path.exists():
        return ""
    outcome = json.loads(path.read_text(encoding="utf-8"))
    return (
        f"Checking every entry takes {outcome['share_of_checks']:.1%} of the time of decoding and "
        "adding up (`benchmarks/delta_checks.py`).\n"
    )


def page(document: list[dict[str, Any]], machine: str, checks: str) -> str:
    """The whole page as Markdown."""
    series = {
        name: [row for row in document if row["series"] == name]
        for name in ("main", "peers", "files", "genes", "lines")
    }
    ours = next(row for row in series["main"] if row["method"] == "ours" and row["workers"] == 1)
    hours = ours["cpu_seconds"] / ours["cells"] * TAHOE_CELLS / 3600
    growth = series["files"] + series["genes"] + series["lines"]
    return f"""# Δexpression against the speed of reading

Made by `make bench-delta`; do not edit. Generated files of Tahoe-100M's shape (28,000 cells, about
1,460 non-zero genes and 2,400 counts a cell, row groups of 1,000, Snappy), medians of
{ours["runs"]} runs, each in a process of its own, methods taking turns. {machine}.

The clock starts after imports and loading of compiled code. *This pipeline* is the whole asset
`pseudobulk`, from the plan to the stamped files on disk, with sums of x, x², counts and non-zeros,
of both halves, per well and line, for all cells checked; the others make the four sums in memory
and check nothing. Two workers are threads, each with sums of its own.

{table_of(series["main"])}

![CPU seconds per million cells](delta.png)

## Other ways

One file (28,000 cells; 2,000 for pandas). Sums of all methods agree with each other.

{table_of(series["peers"])}

## Growth

With files, with genes, and with cell lines (so with conditions: 96 wells times 5, 20, 50 lines).

{table_of(growth)}

A plate costs a fixed part (touching the memory of its sums, writing them), and then a constant
time a cell; the first rows show the fixed part, the last ones what remains of it.

{checks}
## Extrapolated, not measured

{TAHOE_CELLS:,} cells at the first table's CPU time a cell ({ours["genes"]:,} genes, one worker):
**{hours:.1f} core hours**, if disks keep up (337 GB) and cores are not shared.
"""


def picture(document: list[dict[str, Any]], path: Path) -> None:
    """Bars: CPU seconds per million cells, by method, at 2,000 genes."""
    rows = [
        row
        for row in document
        if row["series"] in ("main", "peers") and row["workers"] == 1 and row["genes"] <= 2_000
    ]
    rows = list({row["method"]: row for row in rows[::-1]}.values())
    rows.sort(key=lambda row: -row["cpu_seconds"] / row["cells"])
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    heights = [1e6 * row["cpu_seconds"] / row["cells"] for row in rows]
    colours = ["#c44e52" if row["method"] == "ours" else "#8c8c8c" for row in rows]
    bars = axes.barh([NAMES[row["method"]] for row in rows], heights, color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("CPU seconds per million cells, 2,000 genes (log scale)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write_report(results: Path, docs: Path, machine: str) -> None:
    """Write ``delta.md`` and ``delta.png``."""
    document = json.loads(results.read_text(encoding="utf-8"))
    docs.mkdir(parents=True, exist_ok=True)
    checks = sentence_on_checks(results.with_name("delta_checks.json"))
    (docs / "delta.md").write_text(page(document, machine, checks), encoding="utf-8")
    picture(document, docs / "delta.png")
