"""What the checks of every cell cost: the first loop of the kernel with and without them.

Usage: ``python benchmarks/delta_checks.py RAW_FILE``. CPU seconds of one thread, medians; the share
is that of decoding plus both loops. Writes ``results/delta_checks.json``.
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

RESULTS = Path(__file__).resolve().parent / "results" / "delta_checks.json"
N_GENES = 2_000
N_TOKENS = 62_713


@njit(cache=True, nogil=True)
def _library_unchecked(values_E: NDArray[np.float32]) -> int:
    library = np.int64(0)
    for entry in range(len(values_E)):
        library += np.int32(values_E[entry])
    return library


@njit(cache=True, nogil=True)
def _gather_unchecked_cell(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    column_of_token_T: NDArray[np.int32],
    window_K: NDArray[np.uint32],
    n_entries: int,
) -> int:
    place = np.uint64(n_entries)
    for entry in range(len(tokens_E)):
        column = column_of_token_T[np.uint64(tokens_E[entry])]
        count = np.uint32(np.int32(values_E[entry]))
        window_K[place] = (np.uint32(column) << np.uint32(16)) | count
        place += np.uint64(column >= 0)
    return np.int64(place)


@njit(cache=True, nogil=True)
def gather_unchecked(
    tokens_E: NDArray[np.int64],
    values_E: NDArray[np.float32],
    offsets: NDArray[np.int32],
    column_of_token_T: NDArray[np.int32],
    window_K: NDArray[np.uint32],
    library_C: NDArray[np.int64],
) -> int:
    """``gather.gather_cells`` for data that are known to be clean: no test but the panel's."""
    n_entries = np.int64(0)
    for row in range(len(library_C)):
        start, stop = offsets[row] + 1, offsets[row + 1]
        library_C[row] = _library_unchecked(values_E[start:stop])
        n_entries = _gather_unchecked_cell(
            tokens_E[start:stop], values_E[start:stop], column_of_token_T, window_K, n_entries
        )
    return n_entries


def measure(path: Path, n_runs: int) -> dict[str, Any]:
    """Medians of CPU seconds for one file."""
    file = pq.ParquetFile(path)
    tokens = np.arange(3, N_TOKENS)
    columns = GeneColumns.from_tokens(tokens[:: len(tokens) // N_GENES][:N_GENES], tokens)
    seconds: dict[str, list[float]] = {"decode": [], "checked": [], "unchecked": [], "all": []}
    for _ in range(n_runs + 1):  # the first one compiles and is left out
        spent = dict.fromkeys(seconds, 0.0)
        accumulator = Accumulator(1, columns)
        for number in range(file.num_row_groups):
            start = time.thread_time()
            table = file.read_row_group(number, columns=list(COLUMNS), use_threads=False)
            decoded = time.thread_time()
            (batch,) = table.to_batches()
            accumulator.add(batch, np.zeros(batch.num_rows, np.int32), first_row=0)
            spent["all"] += time.thread_time() - start
            spent["decode"] += decoded - start
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
    return medians | {"share_of_checks": share, "cells": file.metadata.num_rows, "runs": n_runs}


def _both_loops(batch: Any, columns: GeneColumns) -> tuple[float, float]:
    genes, expressions = batch.column("genes"), batch.column("expressions")
    tokens_E, values_E = genes.flatten().to_numpy(), expressions.flatten().to_numpy()
    offsets = genes.offsets.to_numpy()
    window_K = np.empty(2 * len(tokens_E), np.uint32)
    window_K[:] = 0
    n_cells = len(offsets) - 1
    library_C, stop_C = np.empty(n_cells, np.int64), np.empty(n_cells, np.int64)
    dense_T = np.zeros(len(columns.column_of_token_T), np.int64)
    start = time.thread_time()
    gather.gather_cells(
        tokens_E, values_E, offsets, np.zeros(n_cells, np.int32), columns.column_of_token_T,
        dense_T, window_K, 0, stop_C, library_C,
    )  # fmt: skip
    middle = time.thread_time()
    gather_unchecked(tokens_E, values_E, offsets, columns.column_of_token_T, window_K, library_C)
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
