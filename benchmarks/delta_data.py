"""Raw files of Tahoe-100M's shape for the Δ benchmark, generated; seeded, no real data.

A file has 28,000 cells in row groups of 1,000, Snappy, about 1,460 non-zero genes and 2,100 counts
a cell, two thirds of the entries 1; its plate has 96 wells (two of the vehicle) x 50 lines, and a
cell's well and line are drawn at random, as in the real files, where they are interleaved.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

N_TOKENS = 62_710
FIRST_TOKEN = 3
N_EXPRESSED = 40_000
N_LINES = 50
N_WELLS = 96
ROW_GROUP = 1_000
MEDIAN_DEPTH = 1_800.0
DEPTH_SPREAD = 0.45
GENE_SPREAD = 1.7
LINE_SPREAD = 0.8
BURST_FRAC = 0.2


def write_raw(
    out_dir: Path,
    *,
    n_files: int,
    cells_per_file: int = 28_000,
    files_per_plate: int = 8,
    n_lines: int = N_LINES,
    seed: int = 0,
) -> None:
    """Write ``data/`` and ``metadata/`` in the released layout; 15 s a file on one core."""
    rng = np.random.default_rng(seed)
    base_G = rng.normal(0.0, GENE_SPREAD, N_EXPRESSED)
    tokens_G = np.sort(rng.choice(N_TOKENS, N_EXPRESSED, replace=False)) + FIRST_TOKEN
    profile_LG = np.exp(base_G + rng.normal(0.0, LINE_SPREAD, (n_lines, N_EXPRESSED)))
    cumulative_LG = np.cumsum(profile_LG, axis=1)
    cumulative_LG /= cumulative_LG[:, -1:]
    (out_dir / "data").mkdir(parents=True)
    n_plates = -(-n_files // files_per_plate)
    _write_metadata(out_dir / "metadata", n_plates)
    for number in range(n_files):
        path = out_dir / "data" / f"train-{number:05d}-of-{n_files:05d}.parquet"
        plate = number // files_per_plate + 1
        with pq.ParquetWriter(path, _cells_schema(), compression="snappy") as writer:
            for start in range(0, cells_per_file, ROW_GROUP):
                n_cells = min(ROW_GROUP, cells_per_file - start)
                first_cell = number * cells_per_file + start
                table = _cells(rng, n_cells, plate, first_cell, cumulative_LG, tokens_G)
                writer.write_table(table, row_group_size=ROW_GROUP)


def write_repeated(source: Path, out_dir: Path, *, n_files: int, seed: int = 0) -> None:
    """More files with the string columns of some, shuffled, and lists of one entry.

    For what reads strings alone: the lists are of the right type and no more.
    """
    rng = np.random.default_rng(seed)
    paths = sorted((source / "data").glob("*.parquet"))
    (out_dir / "data").mkdir(parents=True)
    (out_dir / "metadata").symlink_to(source / "metadata")
    texts = [field.name for field in _cells_schema() if pa.types.is_string(field.type)]
    for number in range(n_files):
        table = pq.read_table(paths[number % len(paths)], columns=texts)
        table = table.take(pa.array(rng.permutation(table.num_rows)))
        starts = pa.array(np.arange(table.num_rows + 1), pa.int32())
        lists = [
            pa.ListArray.from_arrays(starts, pa.array(np.full(table.num_rows, value, kind)))
            for value, kind in ((1, np.int64), (-2.0, np.float32))
        ]
        whole = pa.table([*lists, *(table.column(name) for name in texts)], schema=_cells_schema())
        path = out_dir / "data" / f"train-{number:05d}-of-{n_files:05d}.parquet"
        pq.write_table(whole, path, compression="snappy", row_group_size=ROW_GROUP)


def _cells(
    rng: np.random.Generator,
    n_cells: int,
    plate: int,
    first_cell: int,
    cumulative_LG: NDArray[np.float64],
    tokens_G: NDArray[np.int64],
) -> pa.Table:
    n_lines = len(cumulative_LG)
    line_C = rng.integers(n_lines, size=n_cells)
    well_C = rng.integers(N_WELLS, size=n_cells)
    depth_C = rng.lognormal(np.log(MEDIAN_DEPTH), DEPTH_SPREAD, n_cells).astype(np.int64) + 50
    cell_of_count = np.repeat(np.arange(n_cells), depth_C)
    gene_of_count = np.empty(len(cell_of_count), dtype=np.int64)
    for line in range(n_lines):
        is_line = (line_C == line)[cell_of_count]
        gene_of_count[is_line] = np.searchsorted(
            cumulative_LG[line], rng.random(int(is_line.sum())), side="right"
        )
    key, counts = np.unique(cell_of_count * N_EXPRESSED + gene_of_count, return_counts=True)
    counts += (rng.random(len(counts)) < BURST_FRAC) * rng.geometric(0.75, len(counts))
    cell_of_entry, gene_of_entry = np.divmod(key, N_EXPRESSED)
    starts = np.searchsorted(cell_of_entry, np.arange(n_cells))
    genes = np.insert(tokens_G[gene_of_entry], starts, 1)
    values = np.insert(counts.astype(np.float32), starts, np.float32(-2.0))
    offsets = np.append(starts, len(key)) + np.arange(n_cells + 1)
    texts = {
        "drug": [_drug(plate, well) for well in well_C],
        "sample": [_sample(plate, well) for well in well_C],
        "BARCODE_SUB_LIB_ID": [
            f"{well:02d}_{cell % 96:03d}_{cell // 96:05d}-lib_{plate:04d}"
            for well, cell in zip(well_C, range(first_cell, first_cell + n_cells), strict=True)
        ],
        "cell_line_id": [f"CVCL_{line:04d}" for line in line_C],
        "moa-fine": ["unclear"] * n_cells,
        "canonical_smiles": ["C" * (well + 1) for well in well_C],
        "pubchem_cid": [f"{well + 1}.0" for well in well_C],
        "plate": [f"plate{plate}"] * n_cells,
    }
    lists = [
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(part))
        for part in (genes, values)
    ]
    return pa.table([*lists, *map(pa.array, texts.values())], schema=_cells_schema())


def _drug(plate: int, well: int) -> str:
    return "DMSO_TF" if well < 2 else f"drug{(plate - 1) // 3}_{well}"


def _sample(plate: int, well: int) -> str:
    return f"smp_{plate:03d}_{well:03d}"


def _cells_schema() -> pa.Schema:
    texts = (
        "drug sample BARCODE_SUB_LIB_ID cell_line_id moa-fine canonical_smiles pubchem_cid plate"
    )
    lists = [("genes", pa.list_(pa.int64())), ("expressions", pa.list_(pa.float32()))]
    return pa.schema([*lists, *((name, pa.string()) for name in texts.split())])


def _write_metadata(folder: Path, n_plates: int) -> None:
    """The four tables that the pipeline reads, as small as they can be."""
    folder.mkdir()
    wells = [(plate, well) for plate in range(1, n_plates + 1) for well in range(N_WELLS)]
    drugs = sorted({_drug(plate, well) for plate, well in wells} - {"DMSO_TF"})
    tokens = np.arange(FIRST_TOKEN, FIRST_TOKEN + N_TOKENS)
    doses = {plate: (0.05, 0.5, 5.0)[plate % 3] for plate in range(1, n_plates + 1)}
    tables = {
        "gene_metadata": {
            "gene_symbol": [f"GENE{token}" for token in tokens],
            "ensembl_id": [f"ENSG{token:011d}" for token in tokens],
            "token_id": tokens,
        },
        "drug_metadata": {
            "drug": drugs,
            "targets": [None] * len(drugs),
            "moa-broad": ["unclear"] * len(drugs),
            "moa-fine": ["unclear"] * len(drugs),
            "canonical_smiles": ["C" * (number % 40 + 1) for number in range(len(drugs))],
            "pubchem_cid": np.arange(1.0, len(drugs) + 1),
        },
        "cell_line_metadata": {
            "cell_name": [f"line{line}" for line in range(N_LINES)],
            "Cell_ID_DepMap": [f"ACH-{line:06d}" for line in range(N_LINES)],
            "Cell_ID_Cellosaur": [f"CVCL_{line:04d}" for line in range(N_LINES)],
            "Organ": ["Lung"] * N_LINES,
            "Driver_Gene_Symbol": ["TP53"] * N_LINES,
        },
        "sample_metadata": {
            "sample": [_sample(plate, well) for plate, well in wells],
            "plate": [f"plate{plate}" for plate, _ in wells],
            "drug": [_drug(plate, well) for plate, well in wells],
            "drugname_drugconc": [
                f"[('{_drug(plate, well)}', {0.0 if well < 2 else doses[plate]}, 'uM')]"
                for plate, well in wells
            ],
        },
    }
    for name, columns in tables.items():
        table = pa.table({key: pa.array(value) for key, value in columns.items()})
        pq.write_table(table, folder / f"{name}.parquet")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--cells-per-file", type=int, default=28_000)
    parser.add_argument("--files-per-plate", type=int, default=8)
    parser.add_argument("--lines", type=int, default=N_LINES)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write_raw(
        asked.out_dir,
        n_files=asked.files,
        cells_per_file=asked.cells_per_file,
        files_per_plate=asked.files_per_plate,
        n_lines=asked.lines,
        seed=asked.seed,
    )


if __name__ == "__main__":
    main()
