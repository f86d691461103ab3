"""A question about expression: from a file, or from a measured condition, to a checked signature.

What belongs here: reading what people have (CSV, TSV, Parquet, AnnData) and refusing what cannot
be meant. What does not: matching gene names (``genes.py``), ranking (``rank.py``).

Shapes: G = genes of the panel, K = genes of the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.query.genes import Coverage, match_genes

GENE_COLUMNS: Final = (names.GENE_SYMBOL, names.ENSEMBL_ID, names.TOKEN_ID, "gene", "symbol")
VALUE_COLUMNS: Final = ("delta", "value", "lfc", "logfc", "score")
LN_2: Final = float(np.log(2.0))

Unit = Literal["ln", "log2"]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A Δ used as a query: difference of natural logs, one value a panel gene.

    ``is_given_G`` says which genes the question named; the others are 0, "no change", where a
    model must have a value, and are left out of similarities.
    """

    name: str
    delta_G: NDArray[np.float32]
    is_given_G: NDArray[np.bool_]
    coverage: Coverage

    def reversed(self) -> "Signature":
        """The opposite question, which asks for the drug that undoes this."""
        return Signature(
            name=f"reverse of {self.name}",
            delta_G=-self.delta_G,
            is_given_G=self.is_given_G,
            coverage=self.coverage,
        )


def as_signature(
    given: Sequence[str],
    values: Sequence[float] | NDArray[np.float64],
    panel: pd.DataFrame,
    *,
    name: str = "signature",
    unit: Unit = "ln",
) -> Signature:
    """A checked signature over the panel.

    Parameters
    ----------
    given, values
        K gene names and K differences of logs, treated minus control.
    panel
        Genes in panel order (``schemas.GENES``).
    unit
        ``ln`` or ``log2``; log2 fold changes are multiplied by ln 2.

    Raises
    ------
    QueryError
        If a value is not finite, all are 0, or the genes do not match.
    """
    values_K = np.asarray(values, dtype=np.float64)
    bad = [str(gene) for gene, value in zip(given, values_K, strict=True) if not np.isfinite(value)]
    if bad:
        msg = (
            f"{len(bad)} of {len(values_K)} values of {name} are not finite numbers; first: "
            f"{first_few(bad)}. Leave a gene out where there is no value."
        )
        raise QueryError(msg)
    columns_M, places_M, coverage = match_genes(given, panel)
    delta_G = np.zeros(len(panel), dtype=np.float32)
    delta_G[columns_M] = values_K[places_M] * (LN_2 if unit == "log2" else 1.0)
    if not delta_G.any():
        msg = f"every value of {name} is 0: there is nothing to look for. Give a Δ of some genes."
        raise QueryError(msg)
    is_given_G = np.zeros(len(panel), dtype=bool)
    is_given_G[columns_M] = True
    return Signature(name=name, delta_G=delta_G, is_given_G=is_given_G, coverage=coverage)


def read_signature(
    path: Path, panel: pd.DataFrame, *, row: str | None = None, unit: Unit = "ln"
) -> Signature:
    """A signature from a CSV, TSV, Parquet or ``.h5ad`` file.

    Parameters
    ----------
    row
        Which observation of an AnnData file, by name; needed where there are several.

    Raises
    ------
    QueryError
        If the file is missing, of another kind, or its columns cannot be told apart.
    """
    if not path.is_file():
        msg = f"there is no signature file {path}."
        raise QueryError(msg)
    if path.suffix == ".h5ad":
        given, values = _read_h5ad(path, row)
    else:
        given, values = _read_table(path)
    return as_signature(given, values, panel, name=path.name, unit=unit)


def measured_signature(table: DeltaTable, condition: str) -> Signature:
    """The measured Δ of ``drug@line@dose_um``, averaged over plates.

    Raises
    ------
    QueryError
        If the condition is not written so, or was not measured.
    """
    drug, line, dose_um = _parse_condition(condition)
    conditions = table.conditions
    of_drug = conditions[names.DRUG] == drug
    of_line = of_drug & (conditions[names.CELL_LINE_ID] == line)
    of_dose = of_line & np.isclose(conditions[names.DOSE_UM], dose_um)
    if not of_dose.any():
        raise QueryError(_what_is_there(conditions, drug, line, of_drug, of_line))
    delta_G = np.asarray(table.delta_NG[np.flatnonzero(of_dose)]).mean(axis=0, dtype=np.float64)
    return as_signature(
        list(table.genes[names.ENSEMBL_ID]), delta_G, table.genes, name=f"measured {condition}"
    )


def _parse_condition(condition: str) -> tuple[str, str, float]:
    parts = [part.strip() for part in condition.rsplit("@", 2)]
    try:
        drug, line, dose_text = parts
        return drug, line, float(dose_text)
    except ValueError as error:
        msg = f"{condition!r} is not drug@cell_line@dose_um, such as 'Trametinib@CVCL_0132@0.5'."
        raise QueryError(msg) from error


def _what_is_there(
    conditions: pd.DataFrame,
    drug: str,
    line: str,
    of_drug: "pd.Series[bool]",
    of_line: "pd.Series[bool]",
) -> str:
    if not of_drug.any():
        known = sorted(conditions[names.DRUG].unique())
        return f"no Δ of a drug {drug!r} was measured; there are {len(known)}: {first_few(known)}."
    if not of_line.any():
        lines = sorted(conditions.loc[of_drug, names.CELL_LINE_ID].unique())
        return f"{drug} was measured in {len(lines)} lines, not in {line!r}: {first_few(lines)}."
    doses = sorted(conditions.loc[of_line, names.DOSE_UM].unique())
    return f"{drug} was measured in {line} at {first_few(doses, limit=6)} µM only."


def _read_table(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    table = _read_frame(path)
    gene_column, value_column = _which_columns(table, path)
    values = pd.to_numeric(table[value_column], errors="coerce").to_numpy(dtype=np.float64)
    return [str(name) for name in table[gene_column]], values


def _read_frame(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
        return frame
    if path.suffix in {".csv", ".tsv", ".txt"}:
        return pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t")
    msg = f"{path.name} is none of .csv, .tsv, .txt, .parquet, .h5ad."
    raise QueryError(msg)


def _which_columns(table: pd.DataFrame, path: Path) -> tuple[str, str]:
    """By name; a table of exactly two columns is gene and value in that order."""
    columns = [str(column) for column in table.columns]
    by_fold = {column.casefold(): column for column in columns}
    gene = next((by_fold[name] for name in GENE_COLUMNS if name in by_fold), None)
    value = next((by_fold[name] for name in VALUE_COLUMNS if name in by_fold), None)
    if gene is not None and value is not None:
        return gene, value
    if len(columns) == 2:
        return columns[0], columns[1]
    msg = (
        f"{path.name} has columns {first_few(columns, limit=8)}. Name the gene column one of "
        f"{', '.join(GENE_COLUMNS)} and the value column one of {', '.join(VALUE_COLUMNS)}."
    )
    raise QueryError(msg)


def _read_h5ad(path: Path, row: str | None) -> tuple[list[str], NDArray[np.float64]]:
    import anndata

    table = anndata.read_h5ad(path)
    rows = [str(name) for name in table.obs_names]
    if row is None and len(rows) > 1:
        msg = f"{path.name} has {len(rows)} rows; say which with --row: {first_few(rows)}."
        raise QueryError(msg)
    if row is not None and row not in rows:
        msg = f"{path.name} has no row {row!r}; there are {len(rows)}: {first_few(rows)}."
        raise QueryError(msg)
    place = 0 if row is None else rows.index(row)
    line = table.X[place]
    dense = line.toarray() if hasattr(line, "toarray") else np.asarray(line)
    return [str(name) for name in table.var_names], np.asarray(dense, dtype=np.float64).ravel()
