"""The Δ benchmark as a page and a picture, from ``results/delta.json``."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TAHOE_CELLS = 95_624_334
NOTES = """\
What stands in the way of what is missed:

- *1.3 x at 10,000 genes*: a plate's sums are 1.5 GB. Touching that memory first, hashing and
  writing it cost more CPU than decoding a file does, and a plate pays them once: 8 files carry what
  the real plates spread over about 240. The loop that adds also leaves the processor's second-level
  cache at this width (320 KB a row).
- *Two workers*: reading and adding run side by side, and so do the four files of a plate that are
  hashed and written; the plan, the metadata and the start do not, which shows most on few files. At
  10,000 genes both workers wait for the same memory. This machine has two cores of a shared host:
  the same run differed by 20 % between two quiet quarters of an hour.

The committed figures were measured series by series: `workers` and most of `growth` on a machine
with nothing else to do, `main` too but for its first ten seconds; `all_genes`, `counts` and the
first round of `peers` beside other work: compare CPU seconds there. All but `counts` and the share
of the checks are of the code before its last change, which made the checks cheaper (14 to 5 % of
the time); the ratios were not measured again after it.

"""
"""What stands in the way of goals that are missed."""
NAMES = {
    "decode": "Parquet decode alone (the limit)",
    "ours": "this pipeline",
    "duckdb_unnest": "DuckDB, unnest + GROUP BY",
    "polars_explode": "polars, explode + group_by",
    "scanpy_aggregate": "scanpy, CSR → get.aggregate",
    "scipy_indicator": "scipy, indicator product",
    "pandas_rows": "pandas, a row a cell (the notebooks' way)",
    "count_tables": "count tables, DuckDB over per-file partials",
}
"""What each method is called in the table."""


def table_of(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| method | genes | wells x lines | workers | cells | CPU s | wall s | µs CPU a cell "
        "| peak MB | CPU / decode |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        per_cell = 1e6 * row["cpu_seconds"] / row["cells"]
        lines.append(
            f"| {NAMES[row['method']]} | {row['genes']:,} "
            f"| {96 * row['lines']:,} | {row['workers']} | {row['cells']:,} "
            f"| {row['cpu_seconds']:.2f} | {row['wall_seconds']:.2f} | {per_cell:.1f} "
            f"| {row['peak_mb']:,} | {row['cpu_ratio_to_decode']:.2f} |"
        )
    return "\n".join(lines)


def share_of_checks(path: Path) -> float | None:
    """The share of the time that checks take, where ``delta_checks.py`` has been run."""
    if not path.exists():
        return None
    return float(json.loads(path.read_text(encoding="utf-8"))["share_of_checks"])


def goals(document: list[dict[str, Any]], checks: float | None) -> str:
    """Each goal beside what was measured, as a Markdown table."""

    def row(series: str, method: str, genes: int = 2_000, workers: int = 1) -> dict[str, Any]:
        return next(
            row
            for row in document
            if (row["series"], row["method"], row["workers"]) == (series, method, workers)
            and row["genes"] == genes
        )

    def speed_up(series: str, genes: int) -> float:
        one, two = (row(series, "ours", genes, workers)["wall_seconds"] for workers in (1, 2))
        return float(one / two)

    lines: list[tuple[str, str, bool]] = []
    for genes, limit in ((2_000, 2.0), (10_000, 2.5)):
        ratio = row("main", "ours", genes)["cpu_ratio_to_decode"]
        lines.append((f"CPU ≤ {limit} x decode at {genes:,} genes", f"{ratio:.2f}", ratio <= limit))
        lines.append((f"then ≤ 1.3 x at {genes:,} genes", f"{ratio:.2f}", ratio <= 1.3))
    for name in ("duckdb_unnest", "polars_explode", "scanpy_aggregate"):
        ratio = row("peers", name)["cpu_seconds"] / row("peers", "ours")["cpu_seconds"]
        large = (
            row("peers", name)["cpu_ratio_to_decode"] / row("main", "ours")["cpu_ratio_to_decode"]
        )
        text = f"{ratio:.1f} on one file, which pays for a whole plate; {large:.1f} on eight"
        lines.append((f"{NAMES[name]}: ≥ 6 x our CPU", text, large >= 6))
    for series, files in (("main", 8), ("workers", 16)):
        for genes in (2_000, 10_000):
            ratio = speed_up(series, genes)
            goal = f"2 workers ≥ 1.7 x one, {files} files, {genes:,} genes"
            lines.append((goal, f"{ratio:.2f}", ratio >= 1.7))
    beyond = max(row["peak_mb"] - row["sums_mb"] for row in document if row["method"] == "ours")
    lines.append(("peak memory beyond the sums ≤ 1.5 GB", f"{beyond:,.0f} MB", beyond <= 1_536))
    counts = row("counts", "count_tables", 0)
    rate = counts["cells"] / counts["wall_seconds"]
    lines.append(("count tables ≥ 2 M rows/s", f"{rate / 1e6:.2f} M", rate >= 2e6))
    if checks is not None:
        lines.append(("checks ≤ 10 % of the time", f"{checks:.1%}", checks <= 0.1))
    head = ["| goal | measured | |", "|---|---|---|"]
    body = [f"| {goal} | {text} | {'met' if met else '**missed**'} |" for goal, text, met in lines]
    return "\n".join(head + body)


def page(document: list[dict[str, Any]], machine: str, checks: float | None) -> str:
    """The whole page as Markdown."""
    series = {
        name: [row for row in document if row["series"] == name]
        for name in dict.fromkeys(row["series"] for row in document)
    }
    ours = next(row for row in series["main"] if row["method"] == "ours" and row["workers"] == 1)
    hours = ours["cpu_seconds"] / ours["cells"] * TAHOE_CELLS / 3600
    return f"""# Δexpression against the speed of reading

Made by `make bench-delta`; do not edit. Generated files of Tahoe-100M's shape (28,000 cells, about
1,460 non-zero genes and 2,400 counts a cell, row groups of 1,000, Snappy), medians of
{ours["runs"]} runs, each in a process of its own, methods taking turns. {machine}.

The clock starts after imports and loading of compiled code. *This pipeline* is the whole asset
`pseudobulk`, from the plan to the stamped files on disk, with sums of x, x², counts and non-zeros,
of both halves, per well and line, for all cells checked; the others make the four sums in memory
and check nothing. Workers are threads that add to one array. The limit is Arrow's decoder; this
pipeline reads the list columns by pages (ADR 8) and can stay below it.

{goals(document, checks)}

{NOTES}
## Eight files, one plate

{table_of(series["main"])}

All genes seen; the sums of the plate take {series["all_genes"][-1]["sums_mb"] / 1024:.1f} GB, in
memory and on disk:

{table_of(series["all_genes"])}

![CPU seconds per million cells](delta.png)

## Other ways

One file (28,000 cells; 2,000 for pandas). Sums of all methods agree with each other.

{table_of(series["peers"])}

## Growth

With files (so with cells), with genes, and with cell lines (so with conditions: 96 wells times 5,
20, 50 lines).

{table_of(series["growth"])}

A plate costs a fixed part (touching the memory of its sums, hashing and writing them), and then a
constant time a cell; the first rows show the fixed part, the last ones what remains of it.

## Two workers on sixteen files, two plates

{table_of(series["workers"])}

## Count tables

Partial counts of every file made anew and merged in DuckDB; 128 files, whose lists hold one entry,
since only their strings are read:

{table_of(series["counts"])}

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
    wanted = {"main", "all_genes", "peers", "growth", "workers", "counts"}
    if wanted - {row["series"] for row in document}:
        return  # a part of the benchmark has not been run yet
    checks = share_of_checks(results.with_name("delta_checks.json"))
    (docs / "delta.md").write_text(page(document, machine, checks), encoding="utf-8")
    picture(document, docs / "delta.png")
