"""Files of genes and values as people have them: text tables, ranked lists, Parquet, AnnData.

What belongs here: the rows of a file, as genes and values, and saying what was read. What does not:
which columns are meant (``columns.py``), gene names (``genes.py``), what a signature may hold
(``checks.py``).

Shapes: K = genes read.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.query.columns import Chosen, choose_columns, choose_genes
from drug_pipeline.query.text_tables import NUMBER, TEXT_SUFFIXES, is_missing, read_text_table


@dataclass(frozen=True, kw_only=True)
class ReadGenes:
    """Genes and values of a file, K each, and how they were found.

    ``naming`` and ``unit`` are what the names of the columns tell (see ``Chosen``); ``source`` and
    ``left_out`` are words for people.
    """

    genes: list[str]
    values_K: NDArray[np.float64]
    naming: str | None
    unit: str | None
    source: str
    left_out: tuple[str, ...]


def read_genes(path: Path, *, row: str | None = None) -> ReadGenes:
    """Genes and values of a file; ``row`` is the observation of an AnnData file.

    Raises
    ------
    QueryError
        If the file is missing, damaged or of another kind, or what is meant cannot be told.
    """
    if not path.is_file():
        msg = f"there is no signature file {path}."
        raise QueryError(msg)
    kind = path.name.lower()
    if kind.endswith(".h5ad"):
        return _from_h5ad(path, row)
    if row is not None:
        msg = f"--row is for .h5ad files; {path.name} has a gene a row."
        raise QueryError(msg)
    if kind.endswith(".parquet"):
        table = _read_parquet(path)
        return _read(table, choose_columns(list(table.columns), path.name), path.name)
    if kind.removesuffix(".gz").endswith(TEXT_SUFFIXES):
        table, is_headed = read_text_table(path)
        if is_headed:
            return _read(table, choose_columns(list(table.columns), path.name), path.name)
        chosen = Chosen(gene="0", value="1", naming=None, unit=None)
        source = f"{path.name} has no header: its two columns are genes and values"
        return _read(table, chosen, path.name, source=source)
    msg = f"{path.name} is none of {', '.join(TEXT_SUFFIXES)} (or .gz of them), .parquet, .h5ad."
    raise QueryError(msg)


def _read(table: pd.DataFrame, chosen: Chosen, name: str, *, source: str = "") -> ReadGenes:
    """The rows that have both a gene and a value."""
    genes = np.array(_texts(table[chosen.gene]), dtype=object)
    values = np.array(_texts(table[chosen.value]), dtype=object)
    is_named = np.array([not is_missing(text) for text in genes], dtype=bool)
    has_value = np.array([not is_missing(text) for text in values], dtype=bool)
    kept = is_named & has_value
    counted = {"the name of a gene": ~is_named, "a value": is_named & ~has_value}
    return ReadGenes(
        genes=list(genes[kept]),
        values_K=_numbers(genes[kept], values[kept], name),
        naming=chosen.naming,
        unit=chosen.unit,
        source=source
        or f"Genes from {repr(chosen.gene) if chosen.gene else 'the row names'} of {name}, values "
        f"from {chosen.value!r}",
        left_out=tuple(
            f"{rows.sum():,} rows without {what} were left out."
            for what, rows in counted.items()
            if rows.any()
        ),
    )


def _texts(column: "pd.Series[Any]") -> list[str]:
    """A column as text; whole numbers in floating point, as they are where some are missing, whole."""
    if pd.api.types.is_float_dtype(column):
        return ["" if pd.isna(value) else repr(float(value)) for value in column]
    return ["" if pd.isna(value) else str(value) for value in column]


def _numbers(genes: NDArray[Any], values: NDArray[Any], name: str) -> NDArray[np.float64]:
    strange = [
        f"{gene} {text!r}"
        for gene, text in zip(genes, values, strict=True)
        if not NUMBER.fullmatch(text.strip())
    ]
    if strange:
        msg = (
            f"{len(strange)} of {len(values)} values of {name} are no numbers; first: "
            f"{first_few(strange)}. Write them as 0.5 or -1e-3: no decimal comma, no thousands "
            "separator, no per cent."
        )
        raise QueryError(msg)
    return np.array([float(text) for text in values], dtype=np.float64)


def _read_parquet(path: Path) -> pd.DataFrame:
    """The table, its index as columns where it is more than a count of rows."""
    try:
        frame: pd.DataFrame = pq.ParquetFile(path).read().to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        msg = f"{path.name} cannot be read as Parquet: {error}. Write it again."
        raise QueryError(msg) from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.rename_axis(index=lambda name: name or "").reset_index()
    return frame.rename(columns={column: str(column) for column in frame.columns})


def _from_h5ad(path: Path, row: str | None) -> ReadGenes:
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # names that are not unique are refused below, or in genes.py
        try:
            table = anndata.read_h5ad(path, backed="r")
        except (OSError, KeyError, ValueError, TypeError) as error:
            msg = f"{path.name} cannot be read as AnnData: {error}. Write it again."
            raise QueryError(msg) from error
    try:
        place = _row_of([str(name) for name in table.obs_names], row, path.name)
        if table.X is None:
            msg = f"{path.name} has no X. Put the Δ there."
            raise QueryError(msg)
        line = table.X[place]
        dense = line.toarray() if hasattr(line, "toarray") else np.asarray(line)
    finally:
        table.file.close()
    genes = table.var.rename(columns=str)
    genes.insert(0, "", table.var_names.astype(str), allow_duplicates=True)
    column, naming = choose_genes(list(genes.columns), path.name)
    frame = pd.DataFrame({column: genes[column].to_numpy(), "X": np.ravel(dense)})
    return _read(frame, Chosen(gene=column, value="X", naming=naming, unit=None), path.name)


def _row_of(rows: list[str], row: str | None, name: str) -> int:
    """The place of the row that is asked for, or of the only one."""
    found = [place for place, own in enumerate(rows) if row is None or own == row]
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"{name} has no row {row!r}; there are {len(rows)}: {first_few(rows)}."
    elif row is None:
        msg = f"{name} has {len(rows)} rows; say which with --row: {first_few(rows)}."
    else:
        msg = f"{name} has {len(found)} rows called {row!r}. Give each a name of its own."
    raise QueryError(msg)
