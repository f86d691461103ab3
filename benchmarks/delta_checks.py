"""What the checks of every cell cost: the first loop of the kernel with and without them.

Usage: ``python benchmarks/delta_checks.py RAW_FILE``. CPU seconds of one thread, medians; the share
is that of reading plus both loops. Writes ``results/delta_checks.json``.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

from drug_pipeline.expression import gather
from drug_pipeline.expression.pseudobulk import COLUMNS, Accumulator, GeneColumns
from drug_pipeline.ingest.raw.raw_cells import read_cells
from drug_pipeline.storage.raw.raw_files import RawFolder

RESULTS = Path(__file__).resolve().parent / "results" / "delta_checks.json"
N_GENES = 2_000
N_TOKENS = 62_713


@njit(cache=True, nogil=True)
def gather_unchecked(
    gene_E: NDArray[np.uint32],
    value_E: NDArray[np.uint32],
    token_D: NDArray[np.int64],
    value_U: NDArray[np.float32],
    offsets: NDArray[np.int32],
    column_of_token_T: NDArray[np.int32],
    window_K: NDArray[np.uint32],
    library_C: NDArray[np.int64],
) -> int:
    """``gather.gather_coded_cells`` for data known to be clean: no test but the panel's."""
    column_D = column_of_token_T[token_D]
    count_U = value_U.astype(np.int32)
    place = np.uint64(0)
    for row in range(len(library_C)):
        library = np.int64(0)
        for entry in range(offsets[row] + 1, offsets[row + 1]):
            column = column_D[gene_E[np.uint64(entry)]]
            count = count_U[value_E[np.uint64(entry)]]
            library += count
            window_K[place] = (np.uint32(column) << np.uint32(16)) | np.uint32(count)
            place += np.uint64(column >= 0)
        library_C[row] = library
    return np.int64(place)


def measure(path: Path, n_runs: int) -> dict[str, Any]:
    """Medians of CPU seconds for one file."""
    folder = RawFolder(path.parents[1])
    raw = folder.stat(path.name)
    tokens = np.arange(3, N_TOKENS)
    columns = GeneColumns.from_tokens(tokens[:: len(tokens) // N_GENES][:N_GENES], tokens)
    plates = pq.read_table(path, columns=["plate"]).column(0).unique().to_pylist()
    seconds: dict[str, list[float]] = {"checked": [], "unchecked": [], "all": []}
    for _ in range(n_runs + 1):  # the first one compiles and is left out
        spent = dict.fromkeys(seconds, 0.0)
        accumulator = Accumulator(1, columns)
        start = time.thread_time()
        for first_row, batch in read_cells(folder, raw, columns=COLUMNS, plates=plates):
            accumulator.add(batch, np.zeros(batch.num_rows, np.int32), first_row=first_row)
            spent["all"] += time.thread_time() - start
            checked, unchecked = _both_loops(batch, columns)
            spent["checked"] += checked
            spent["unchecked"] += unchecked
            start = time.thread_time()
        accumulator.result()
        spent["all"] += time.thread_time() - start
        for name, value in spent.items():
            seconds[name].append(value)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    share = (medians["checked"] - medians["unchecked"]) / medians["all"]
    n_cells = pq.read_metadata(path).num_rows
    return medians | {"share_of_checks": share, "cells": n_cells, "runs": n_runs}


def _both_loops(batch: Any, columns: GeneColumns) -> tuple[float, float]:
    genes, values = batch.column("genes"), batch.column("expressions")
    lists = [genes.values.indices, values.values.indices]
    lists += [genes.values.dictionary, values.values.dictionary, genes.offsets]
    arrays = [part.to_numpy() for part in lists]
    n_cells = batch.num_rows
    window_K = np.zeros(2 * len(arrays[0]), np.uint32)
    library_C, stop_C = np.empty(n_cells, np.int64), np.empty(n_cells, np.int64)
    dense_T = np.zeros(len(columns.column_of_token_T), np.int64)
    group_C = np.zeros(n_cells, np.int32)
    start = time.thread_time()
    gather.gather_coded_cells(
        *arrays, group_C, columns.column_of_token_T, dense_T, window_K, 0, stop_C, library_C
    )
    middle = time.thread_time()
    gather_unchecked(*arrays, columns.column_of_token_T, window_K, library_C)
    return middle - start, time.thread_time() - middle


def write_checks(path: Path, n_runs: int = 5) -> None:
    """Measure on one raw file and write ``results/delta_checks.json``."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(measure(path, n_runs), indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw_file", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    write_checks(asked.raw_file, asked.runs)
    print(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
