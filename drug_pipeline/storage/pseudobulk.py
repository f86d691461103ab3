"""Pseudobulk state on disk: one folder per plate, ``expression/pseudobulk/plate=<plate>/``.

What belongs here: reading and writing the integer sums of a plate and what they were made from.
What does not: how the sums are computed (``expression/pseudobulk.py``).

A plate's folder holds ``sum_x.npy``, ``sum_x2.npy``, ``counts_nnz.npy``, ``half_sum_x.npy``
(int64, W x G), ``well_lines.parquet`` (``schemas.WELL_LINES``, the W rows, sorted by well and
line) and ``state.json``. It is replaced whole: what is there is never half-written.

Shapes: W = (well, line) groups of a plate, G = genes of the panel, 4 = the kinds of sums.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from drug_pipeline.domain import schemas
from drug_pipeline.storage.files import (
    is_as_hashed,
    read_json,
    read_sealed_json,
    replacing_folder,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_parquet,
)
from drug_pipeline.storage.layout import Layout

SUM_NAMES: Final = ("sum_x", "sum_x2", "counts_nnz", "half_sum_x")
"""The kinds of sums, in the order of the kernel's last axis."""
_SUM_FILES: Final = tuple(f"{name}.npy" for name in SUM_NAMES)
_STATE_FILE: Final = "state.json"
_WELL_LINES_FILE: Final = "well_lines.parquet"


@dataclass(frozen=True, kw_only=True)
class PlateSources:
    """What a plate's sums were made from.

    ``files`` counts the raw files by SHA-256 of their content, ``panel`` is the hash of the
    panel's tokens in order, ``code_version`` that of the kernel.
    """

    files: dict[str, int]
    panel: str
    code_version: str

    def counter(self) -> Counter[str]:
        """The raw files, with how often each content occurs."""
        return Counter(self.files)


@dataclass(frozen=True, kw_only=True)
class PlateSums:
    """The integer sums of one plate; arrays are memory maps of the files.

    ``well_lines`` follows ``schemas.WELL_LINES``; ``sum_x_WG`` is in units of 2^-36,
    ``sum_x2_WG`` of 2^-32, ``counts_nnz_WG`` is ``counts << 24 | cells with a count``.
    """

    plate: str
    well_lines: pd.DataFrame
    sum_x_WG: NDArray[np.int64]
    sum_x2_WG: NDArray[np.int64]
    counts_nnz_WG: NDArray[np.int64]
    half_sum_x_WG: NDArray[np.int64]

    def kinds(self) -> tuple[NDArray[np.int64], ...]:
        """The arrays in the order of ``SUM_NAMES``."""
        return (self.sum_x_WG, self.sum_x2_WG, self.counts_nnz_WG, self.half_sum_x_WG)


def plate_folder(parent: Path, plate: str) -> Path:
    """Folder of one plate; characters that a path cannot hold are percent-encoded."""
    return parent / f"plate={quote(plate, safe=' ')}"


def plates_in(parent: Path) -> list[str]:
    """Plates that have a folder, sorted."""
    folders = parent.glob("plate=*") if parent.is_dir() else ()
    return sorted(unquote(folder.name.removeprefix("plate=")) for folder in folders)


def read_sources(layout: Layout, plate: str) -> PlateSources | None:
    """What a plate was made from, or None where its sums are missing or were changed by others."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    state = read_sealed_json(folder / _STATE_FILE)
    if state is None or state.keys() != {"sources", "sha256"}:
        return None
    is_whole = state["sources"].keys() == {item.name for item in fields(PlateSources)}
    is_whole = is_whole and is_as_hashed(folder, state["sha256"])
    return PlateSources(**state["sources"]) if is_whole else None


def read_fingerprint(layout: Layout, plate: str) -> str:
    """Changes whenever a plate's sums or groups do: hash of what they were made from."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    return sha256_of_json(
        [read_json(folder / _STATE_FILE), sha256_of_file(folder / _WELL_LINES_FILE)]
    )


def read_plate_sums(layout: Layout, plate: str) -> PlateSums:
    """The sums of one plate, mapped into memory and not read."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    arrays = {
        f"{name}_WG": np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in SUM_NAMES
    }
    well_lines = pq.read_table(folder / _WELL_LINES_FILE).to_pandas()
    return PlateSums(plate=plate, well_lines=well_lines, **arrays)


def write_plate_sums(
    layout: Layout,
    plate: str,
    *,
    well_lines: pd.DataFrame,
    n_genes: int,
    blocks: Iterator[NDArray[np.int64]],
    sources: PlateSources,
    n_threads: int = 1,
) -> None:
    """Replace one plate's state, holding one block of its sums in memory at a time.

    Each file is hashed as it is written, and the files are written side by side: at 10,000 genes
    a plate of Tahoe-100M has 1.5 GB, and hashing alone takes a second of each GB.

    Parameters
    ----------
    well_lines
        W rows, ``schemas.WELL_LINES``.
    blocks
        Sums of consecutive rows, each (rows, G, 4); together W rows.
    n_threads
        Files written at a time; the bytes do not depend on it.
    """
    folder = plate_folder(layout.pseudobulk_dir, plate)
    with replacing_folder(folder) as temporary:
        shape = (len(well_lines), n_genes)
        with ExitStack() as stack:
            writers = [
                stack.enter_context(NpyWriter(temporary / name, shape, np.int64))
                for name in _SUM_FILES
            ]
            pool = stack.enter_context(ThreadPoolExecutor(min(n_threads, len(writers))))
            for block in blocks:
                parts = [(writer, block[:, :, kind]) for kind, writer in enumerate(writers)]
                if n_threads == 1:
                    for writer, rows in parts:
                        writer.append(rows)
                else:
                    list(pool.map(lambda part: part[0].append(part[1]), parts))
        _write_well_lines(temporary, well_lines)
        hashes = dict(zip(_SUM_FILES, (writer.sha256() for writer in writers), strict=True))
        write_json({"sources": asdict(sources), "sha256": hashes}, temporary / _STATE_FILE)


def relabel_wells(layout: Layout, plate: str, well_lines: pd.DataFrame) -> None:
    """Replace a plate's ``well_lines`` and keep its sums; for wells whose metadata changed."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    with replacing_folder(folder) as temporary:
        for name in (*_SUM_FILES, _STATE_FILE):
            (temporary / name).hardlink_to(folder / name)
        _write_well_lines(temporary, well_lines)


def remove_plate(layout: Layout, plate: str) -> None:
    """Delete the state of a plate that no raw file has cells of any more."""
    shutil.rmtree(plate_folder(layout.pseudobulk_dir, plate))


def plate_files(layout: Layout, plate: str) -> list[Path]:
    """All files of one plate's state."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    return [folder / name for name in (*_SUM_FILES, _WELL_LINES_FILE, _STATE_FILE)]


def plate_hashes(layout: Layout, plate: str) -> dict[Path, str]:
    """SHA-256 of one plate's sums as they were written; nothing is read but ``state.json``."""
    folder = plate_folder(layout.pseudobulk_dir, plate)
    hashes: dict[str, str] = read_json(folder / _STATE_FILE)["sha256"]
    return {folder / name: sha256 for name, sha256 in hashes.items()}


class NpyWriter:
    """One ``.npy`` file written piece by piece along its first axis, and hashed on the way.

    Not a memory map: a full disk is then an ``OSError``, not a signal that kills the process.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._stream = path.open("wb")
        self._dtype = np.dtype(dtype)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        start = BytesIO()
        np.lib.format.write_array_header_1_0(start, header)
        self._stream.write(start.getvalue())
        self._digest = hashlib.sha256(start.getvalue())

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows."""
        piece = np.ascontiguousarray(rows, dtype=self._dtype).data
        self._digest.update(piece)
        self._stream.write(piece)

    def sha256(self) -> str:
        """SHA-256 of what has been written, as hex."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()


def _write_well_lines(folder: Path, well_lines: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(
        well_lines[schemas.WELL_LINES.names], schema=schemas.WELL_LINES, preserve_index=False
    )
    write_parquet(table, folder / _WELL_LINES_FILE)
