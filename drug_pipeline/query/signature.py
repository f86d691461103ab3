"""Query signatures: read from a file or taken from a measured condition, and checked.

What belongs here: what a signature is, and refusing what cannot be meant. What does not: reading
files (``signature_files.py``), matching gene names (``genes.py``), ranking (``rank.py``).

Shapes: G = genes of the panel, K = genes of the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.query.checks import beyond_delta, check_values
from drug_pipeline.query.genes import Coverage, match_genes
from drug_pipeline.query.names import alike, lines_called, only_one
from drug_pipeline.query.signature_files import read_genes

LN_2: Final = float(np.log(2.0))
UNIT_WORDS: Final = {"ln": "natural logs", "log2": "log2", "z": "z-scores"}

Unit = Literal["ln", "log2", "z"]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A Δ used as a query: difference of natural logs, one value a panel gene.

    ``is_given_G`` says which genes the question named; the others are 0, "no change", where a
    model must have a value, and are left out of similarities. ``is_delta`` is false of z-scores
    and of what else has another unit; drugs can be ranked for it all the same. ``notes`` say how
    it was read.
    """

    name: str
    delta_G: NDArray[np.float32]
    is_given_G: NDArray[np.bool_]
    coverage: Coverage
    is_delta: bool = True
    notes: tuple[str, ...] = ()

    def reversed(self) -> "Signature":
        """The opposite signature, which asks for the drug that undoes this."""
        return replace(self, name=f"reverse of {self.name}", delta_G=-self.delta_G)

    def sentences(self) -> list[str]:
        """How it was read, and what became of its genes."""
        return [*self.notes, self.coverage.sentence()]


def as_signature(
    given: Sequence[str],
    values: Sequence[float] | NDArray[np.float64],
    panel: pd.DataFrame,
    *,
    name: str = "signature",
    unit: Unit = "ln",
    naming: str | None = None,
) -> Signature:
    """A checked signature over the panel.

    Parameters
    ----------
    given, values
        K gene names and K differences of logs, treated minus control, or z-scores of them.
    panel
        Genes in panel order (``schemas.GENES``).
    unit
        ``ln``, ``log2`` (multiplied by ln 2), or ``z``: z-scores and other test statistics.
    naming
        What the names are, see :func:`drug_pipeline.query.genes.match_genes`.

    Raises
    ------
    QueryError
        If there is not one finite value a gene, the genes do not match, or the values cannot be
        a change.
    """
    if unit not in get_args(Unit):
        msg = f"unit is {unit!r}; give one of {', '.join(get_args(Unit))}."
        raise QueryError(msg)
    values_K = np.asarray(values, dtype=np.float64)
    if values_K.shape != (len(given),):
        msg = (
            f"{name} has {len(given)} genes and values of shape {values_K.shape}. Give one a gene."
        )
        raise QueryError(msg)
    bad = [str(gene) for gene, value in zip(given, values_K, strict=True) if not np.isfinite(value)]
    if bad:
        msg = (
            f"{len(bad)} of {len(values_K)} values of {name} are not finite numbers; first: "
            f"{first_few(bad)}. Leave a gene out where there is no value."
        )
        raise QueryError(msg)
    columns_M, places_M, coverage = match_genes(given, panel, naming=naming)
    values_M = values_K[places_M] * (LN_2 if unit == "log2" else 1.0)
    genes_M = [str(given[place]) for place in places_M]
    remarks = check_values(values_M, genes_M, n_panel=len(panel), name=name)
    beyond = [] if unit == "z" else beyond_delta(values_M, genes_M, name=name)
    delta_G = np.zeros(len(panel), dtype=np.float32)
    delta_G[columns_M] = values_M
    is_given_G = np.zeros(len(panel), dtype=bool)
    is_given_G[columns_M] = True
    return Signature(
        name=name,
        delta_G=delta_G,
        is_given_G=is_given_G,
        coverage=coverage,
        is_delta=unit != "z" and not beyond,
        notes=(*remarks, *beyond),
    )


def read_signature(
    path: Path, panel: pd.DataFrame, *, row: str | None = None, unit: Unit | None = None
) -> Signature:
    """A signature from a CSV, TSV, ``.rnk``, Parquet or ``.h5ad`` file, zipped by gzip or not.

    Parameters
    ----------
    row
        Which observation of an AnnData file, by name; needed where there are several.
    unit
        Unit of the values; by default what the name of their column says, else natural logs.

    Raises
    ------
    QueryError
        If the file is missing, of another kind, or its columns cannot be told apart.
    """
    read = read_genes(path, row=row)
    if unit is None and read.unit == "ask":
        msg = f"{read.source}, whose name is ln in one tool and log2 in another. Say --unit ln or log2."
        raise QueryError(msg)
    by_name: dict[str | None, Unit] = {"log2": "log2", "z": "z"}
    taken = unit or by_name.get(read.unit, "ln")
    signature = as_signature(
        read.genes, read.values_K, panel, name=path.name, unit=taken, naming=read.naming
    )
    other = "log2" if taken == "ln" else "ln"
    why = "as asked" if unit else "by its name" if read.unit else "since nothing says otherwise"
    note = f"{read.source}, taken as {UNIT_WORDS[taken]} {why} (--unit {other} makes them {other})."
    return replace(signature, notes=(note, *read.left_out, *signature.notes))


def measured_signature(
    table: DeltaTable, condition: str, cell_lines: pd.DataFrame | None = None
) -> Signature:
    """The measured Δ of ``drug@line@dose_um``, averaged over plates.

    Parameters
    ----------
    cell_lines
        ``schemas.CELL_LINES``; with it a line may go by its name.

    Raises
    ------
    QueryError
        If the condition is not written so, was not measured, or may mean several.
    """
    drug, line, dose_um = _parse_condition(condition)
    conditions = table.conditions
    drug = only_one("drug", drug, alike(drug, conditions[names.DRUG].astype(str)) or [drug])
    called = alike(line, conditions[names.CELL_LINE_ID].astype(str))
    if not called and cell_lines is not None:
        called = lines_called(line, cell_lines)
    line = only_one("cell line", line, called or [line])
    of_drug = conditions[names.DRUG] == drug
    of_line = of_drug & (conditions[names.CELL_LINE_ID] == line)
    of_dose = of_line & np.isclose(conditions[names.DOSE_UM], dose_um)
    if not of_dose.any():
        raise QueryError(_what_is_there(conditions, drug, line, of_drug, of_line))
    delta_G = np.asarray(table.delta_NG[np.flatnonzero(of_dose)]).mean(axis=0, dtype=np.float64)
    n_genes = len(table.genes)
    return Signature(
        name=f"measured {drug}@{line}@{dose_um:g}",
        delta_G=delta_G.astype(np.float32),
        is_given_G=np.ones(n_genes, dtype=bool),
        coverage=Coverage(
            naming=names.ENSEMBL_ID,
            n_given=n_genes,
            n_panel=n_genes,
            n_matched=n_genes,
            suggestions={},
        ),
    )


def _parse_condition(condition: str) -> tuple[str, str, float]:
    parts = [part.strip() for part in condition.rsplit("@", 2)]
    try:
        drug, line, dose_text = parts
        return drug, line, float(dose_text)
    except ValueError as error:
        msg = f"{condition!r} is not drug@cell_line@dose_um, such as 'Trametinib@A549@0.5'."
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
