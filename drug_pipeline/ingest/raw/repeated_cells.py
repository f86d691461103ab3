"""Raw files that repeat cells of others: found by barcode, set aside and named.

What belongs here: keeping the codes of a file's cells, and which of two files is counted. What
does not: the codes (``expression/barcodes.py``), the inventory (``raw/inventory.py``).

The larger file is counted, of equally large ones the first by name: which file was there first, or
is listed first, does not matter. A file is set aside whole, however few of its cells are another's.
Codes are kept by content under ``manifest/cells/``, 8 bytes per cell; comparing those of all files
takes 0.1 GB and, for Tahoe-100M, some 5 s; they are compared again only where the files differ.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.expression.barcodes import SharedCells, cell_codes, shared_cells
from drug_pipeline.expression.released.tahoe import as_text
from drug_pipeline.ingest.raw.inspection import Fault
from drug_pipeline.storage.files import (
    is_sealed,
    read_sealed_json,
    seal,
    sha256_of_json,
    write_npy,
    write_sealed_json,
)
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import OkFile
from drug_pipeline.storage.raw.raw_files import RawFile, RawFolder, open_parquet

CODE_VERSION: Final = "1"


def has_codes(layout: Layout, sha256: str) -> bool:
    """Whether the codes of a content's cells are kept."""
    return is_sealed(_path(layout, sha256))


def keep_codes(layout: Layout, sha256: str, code_C: NDArray[np.uint64]) -> None:
    """Keep the codes of a content's cells, sorted."""
    path = _path(layout, sha256)
    write_npy(np.sort(code_C), path)
    seal(path)


def repeated_cells(layout: Layout, folder: RawFolder, files: Sequence[OkFile]) -> dict[str, Fault]:
    """What is wrong with the files that repeat cells of a counted one, by name."""
    ranked = sorted(files, key=lambda file: (-file.n_rows, file.raw.name))
    made_from = sha256_of_json([CODE_VERSION, *([file.raw.name, file.sha256] for file in ranked)])
    path = layout.cell_codes_dir / "repeated.json"
    kept = read_sealed_json(path)
    if kept is None or kept["made_from"] != made_from:
        faults = _compared(layout, folder, ranked)
        kept = {"made_from": made_from, "faults": {name: vars(f) for name, f in faults.items()}}
        write_sealed_json(kept, path)
    return {name: Fault(**fault) for name, fault in kept["faults"].items()}


def _compared(layout: Layout, folder: RawFolder, ranked: Sequence[OkFile]) -> dict[str, Fault]:
    paths = [_path(layout, file.sha256) for file in ranked]
    shared = shared_cells([np.load(path, mmap_mode="r") for path in paths])
    partners: dict[int, dict[int, SharedCells]] = {}
    for (place, other), cells in shared.items():
        if place not in partners:  # it is counted, as all before it are judged by now
            partners.setdefault(other, {})[place] = cells
    return {
        ranked[place].raw.name: _fault(folder, ranked, place, of_counted)
        for place, of_counted in partners.items()
    }


def _fault(
    folder: RawFolder, ranked: Sequence[OkFile], place: int, of_counted: dict[int, SharedCells]
) -> Fault:
    file = ranked[place]
    n_cells = sum(cells.n_cells for cells in of_counted.values())
    counted = max(of_counted, key=lambda other: (of_counted[other].n_cells, -other))
    others = f" and {len(of_counted) - 1} other files" if len(of_counted) > 1 else ""
    row, barcodes = _examples(folder, file.raw, of_counted[counted].examples)
    return Fault(
        column=names.BARCODE,
        row=row,
        reason=(
            f"{n_cells:,} of its {file.n_rows:,} cells are also in {ranked[counted].raw.name}"
            f"{others}, counted there; first: {', '.join(barcodes)}"
        ),
        remedy="Remove the file, or write it without these cells; each cell has one barcode",
    )


def _examples(folder: RawFolder, file: RawFile, codes: Sequence[int]) -> tuple[int, list[str]]:
    """The first row with one of some codes, and the barcodes that have them."""
    with folder.reading(file) as stream:
        column = as_text(open_parquet(stream).read(columns=[names.BARCODE]).column(0))
    rows = np.flatnonzero(np.isin(cell_codes(column), np.array(codes, dtype=np.uint64)))
    return int(rows[0]), column.take(pa.array(rows)).to_pylist()


def _path(layout: Layout, sha256: str) -> Path:
    return layout.cell_codes_dir / f"{sha256}.npy"
