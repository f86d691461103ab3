"""One way to sum log1p_cp10k per well, line and gene, timed: run in a process of its own.

Prints one JSON object: cells, CPU seconds (this process and its children), wall seconds, peak
memory in MB (children added) and ``checksum``, the sum of x over all groups and panel genes, which
must be the same for all methods. The clock starts after the imports.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import schemas

KEYS = ["sample", "cell_line_id"]
READ = ["genes", "expressions", "BARCODE_SUB_LIB_ID", "plate", *KEYS]
Method = Callable[["Task"], float]
METHODS: dict[str, Method] = {}


class Task:
    """What is asked: raw folder, prepared data folder (with the panel), number of workers."""

    def __init__(self, raw_dir: Path, data_dir: Path, workers: int, max_cells: int) -> None:
        self.raw_dir = raw_dir
        self.data_dir = data_dir
        self.workers = workers
        self.max_cells = max_cells
        self.files = sorted((raw_dir / "data").glob("*.parquet"))

    @property
    def panel(self) -> pa.ChunkedArray:
        """Tokens of the panel's genes."""
        return pq.read_table(self.data_dir / "expression" / "gene_panel.parquet").column(0)

    def n_cells(self) -> int:
        """Cells that are read."""
        n_cells = sum(pq.read_metadata(path).num_rows for path in self.files)
        return min(n_cells, self.max_cells)

    def table(self) -> pa.Table:
        """The cells at once, for methods that want them so."""
        columns = ["genes", "expressions", *KEYS]
        return pa.concat_tables(pq.read_table(path, columns=columns) for path in self.files).slice(
            0, self.max_cells
        )


def method(function: Method) -> Method:
    """Name a function as one of the methods."""
    METHODS[function.__name__] = function
    return function


@method
def decode(task: Task) -> float:
    """Parquet decode alone, the limit: the same columns, one row group at a time, one thread."""
    for path in task.files:
        file = pq.ParquetFile(path, read_dictionary=["plate", *KEYS])
        for group in range(file.num_row_groups):
            file.read_row_group(group, columns=READ, use_threads=False)
    return float("nan")


@method
def ours(task: Task) -> float:
    """The asset ``pseudobulk``, from the plan to the files on disk."""
    from drug_pipeline.expression.moments import X_SCALE
    from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
    from drug_pipeline.storage.layout import Layout
    from drug_pipeline.storage.pseudobulk import plates_in, read_plate_sums

    layout = Layout(task.data_dir)
    config = PseudobulkConfig(workers=task.workers, memory_limit_mb=16_384)
    build_pseudobulk(layout, str(task.raw_dir), config)
    sums = [read_plate_sums(layout, plate).sum_x_WG for plate in plates_in(layout.pseudobulk_dir)]
    return float(sum(plate_WG.astype(np.float64).sum() for plate_WG in sums) / X_SCALE)


@method
def count_tables(task: Task) -> float:
    """The asset ``counts``: partial counts of every file, merged in DuckDB."""
    from drug_pipeline.ingest.counts import build_counts
    from drug_pipeline.storage.layout import Layout

    result = build_counts(Layout(task.data_dir), str(task.raw_dir))
    return float(result.stamp.summary["n_cells"])


@method
def duckdb_unnest(task: Task) -> float:
    """DuckDB: unnest and GROUP BY."""
    import duckdb

    panel = pa.table({"gene": task.panel})
    duckdb.register("panel", panel)
    duckdb.execute(f"SET threads = {task.workers}")
    files = [str(path) for path in task.files]
    total, *_ = duckdb.execute(
        """
        WITH cells AS MATERIALIZED (  -- else the library is worked out once an entry
            SELECT sample, cell_line_id, list_sum(expressions) + 2 AS library, genes, expressions
            FROM read_parquet($files)
        ), entries AS (
            SELECT sample, cell_line_id, library,
                   unnest(genes) AS gene, unnest(expressions) AS counts
            FROM cells
        ), sums AS (
            SELECT sample, cell_line_id, gene, sum(ln(1 + 1e4 * counts / library)) AS x,
                   sum(ln(1 + 1e4 * counts / library) ** 2) AS x2, sum(counts) AS counts,
                   count(*) AS nnz
            FROM entries SEMI JOIN panel USING (gene) GROUP BY ALL
        )
        SELECT sum(x), sum(x2), sum(counts), sum(nnz) FROM sums""",
        {"files": files},
    ).fetchall()[0]
    return float(total)


@method
def polars_explode(task: Task) -> float:
    """Polars: explode and group_by, streaming."""
    import polars as pl

    x = (1 + 1e4 * pl.col("expressions") / pl.col("library")).log()
    sums = (
        pl.scan_parquet(task.files)
        .select(*KEYS, "genes", "expressions", library=pl.col("expressions").list.sum() + 2)
        .explode("genes", "expressions")
        .filter(pl.col("genes").is_in(task.panel.to_pylist()))
        .group_by(*KEYS, "genes")
        .agg(
            x=x.cast(pl.Float64).sum(),
            x2=(x * x).cast(pl.Float64).sum(),
            counts=pl.col("expressions").sum(),
            nnz=pl.len(),
        )
        .collect(engine="streaming")
    )
    return float(sums["x"].sum())


def _csr(task: Task) -> tuple[object, NDArray[np.str_], NDArray[np.int64]]:
    """Cells x tokens as CSR without the markers, the group of each cell, the panel's columns."""
    from scipy import sparse

    table = task.table()
    genes = table.column("genes").combine_chunks()
    tokens = genes.flatten().to_numpy()
    values = table.column("expressions").combine_chunks().flatten().to_numpy()
    keep = values >= 0
    before = np.concatenate([[0], np.cumsum(keep)])
    offsets = genes.offsets.to_numpy()
    matrix = sparse.csr_matrix(
        (values[keep], tokens[keep].astype(np.int32), before[offsets - offsets[0]]),
        shape=(table.num_rows, 62_713),
    )
    samples, lines = (table.column(name).to_numpy() for name in KEYS)
    groups = np.char.add(np.char.add(samples.astype(str), "|"), lines.astype(str))
    return matrix, groups, task.panel.to_numpy()


@method
def scanpy_aggregate(task: Task) -> float:
    """CSR, scanpy normalize_total, log1p, get.aggregate."""
    import anndata
    import pandas as pd
    import scanpy as sc

    matrix, groups, panel = _csr(task)
    data = anndata.AnnData(matrix, obs=pd.DataFrame({"group": pd.Categorical(groups)}))
    data.obs_names = [str(row) for row in range(data.n_obs)]
    sc.pp.normalize_total(data, target_sum=1e4)
    sc.pp.log1p(data)
    result = sc.get.aggregate(data[:, panel].copy(), by="group", func=["sum", "var"])
    return float(result.layers["sum"].sum(dtype=np.float64))


@method
def scipy_indicator(task: Task) -> float:
    """CSR, logs in place, indicator matrix times values and squares."""
    from scipy import sparse

    matrix, groups, panel = _csr(task)
    library = np.asarray(matrix.sum(axis=1)).ravel()
    matrix = matrix[:, panel].astype(np.float64)
    matrix.data *= np.repeat(1e4 / library, np.diff(matrix.indptr))
    np.log1p(matrix.data, out=matrix.data)
    codes, group_C = np.unique(groups, return_inverse=True)
    indicator = sparse.csr_matrix(
        (np.ones(len(group_C)), (group_C, np.arange(len(group_C)))), (len(codes), len(group_C))
    )
    sums = indicator @ matrix
    matrix.data **= 2
    squares = indicator @ matrix
    assert squares.shape == sums.shape
    return float(sums.sum())


@method
def pandas_rows(task: Task) -> float:
    """The notebooks' way: a pandas row a cell, a vector a condition."""
    column_of = {token: column for column, token in enumerate(task.panel.to_pylist())}
    sums: dict[tuple[str, str], NDArray[np.float64]] = {}
    for _, cell in task.table().to_pandas().iterrows():
        genes, counts = cell["genes"][1:], cell["expressions"][1:]
        library = counts.sum(dtype=np.float64)
        group = sums.setdefault((cell["sample"], cell["cell_line_id"]), np.zeros(len(column_of)))
        for gene, count in zip(genes, counts, strict=True):
            column = column_of.get(gene)
            if column is not None:
                group[column] += np.log1p(1e4 * count / library)
    return float(sum(group.sum() for group in sums.values()))


def _imports_of(name: str) -> None:
    """Import a method's libraries, load its compiled code, before the clock starts."""
    if name == "ours":
        import drug_pipeline.ingest.plates.pseudobulk
        import drug_pipeline.storage.parquet_pages.list_pages
        from drug_pipeline.expression.pseudobulk import Accumulator, GeneColumns

        cell = {"genes": [1, 3], "expressions": [-2.0, 1.0], "BARCODE_SUB_LIB_ID": "a"}
        batch = pa.RecordBatch.from_pylist([cell], schema=schemas.RAW_CELL)
        columns = GeneColumns.from_tokens([3], np.array([3]))
        accumulator = Accumulator(1, columns, window_entries=1)
        accumulator.add(batch, np.zeros(1, np.int32), first_row=0)  # loads the compiled code
        accumulator.result()
    elif name == "count_tables":
        import duckdb

        import drug_pipeline.ingest.counts  # noqa: F401
    elif name == "duckdb_unnest":
        import duckdb  # noqa: F401
    elif name == "polars_explode":
        import polars  # noqa: F401
    elif name in ("scanpy_aggregate", "scipy_indicator"):
        import scanpy  # noqa: F401
        import scipy.sparse  # noqa: F401


class PeakMemory:
    """Peak memory of this process and of each of its children, added up; looks ten times a second.

    Not ``ru_maxrss``, which starts from what the parent had when it started this process.
    """

    def __init__(self) -> None:
        self._peak_kb: dict[str, int] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The sum, in kB."""
        self._is_over.set()
        self._thread.join()
        self._look()
        return sum(self._peak_kb.values())

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            self._look()

    def _look(self) -> None:
        own = str(os.getpid())
        children = Path(f"/proc/{own}/task/{own}/children").read_text(encoding="ascii").split()
        for process in (own, *children):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
                found = re.search(r"VmHWM:\s+(\d+) kB", status)
                if found:
                    self._peak_kb[process] = max(self._peak_kb.get(process, 0), int(found[1]))


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Run one method once and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--max-cells", type=int, default=10**9)
    asked = parser.parse_args()
    _imports_of(asked.method)
    task = Task(asked.raw_dir, asked.data_dir, asked.workers, asked.max_cells)
    memory = PeakMemory()
    cpu, wall = _cpu_seconds(), time.perf_counter()
    checksum = METHODS[asked.method](task)
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    peak_kb = memory.stop()
    print(
        json.dumps(
            {
                "cells": task.n_cells(),
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "peak_mb": peak_kb / 1024,
                "checksum": checksum,
            }
        )
    )


if __name__ == "__main__":
    main()
