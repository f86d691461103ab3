"""The released metadata tables, cleaned: drugs, cell lines, genes and wells.

What belongs here: stripping, parsing, joining and the traps of the released tables; what does not
fit is refused by name or counted. What does not: reading and writing files
(``ingest/metadata.py``), the drug table (``released/drug_table.py``).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import MetadataError, first_few
from drug_pipeline.expression.released.drug_table import clean_drugs, parse_targets
from drug_pipeline.expression.released.released_tables import (
    RAW_CELL_LINE_ID,
    RAW_DEPMAP_ID,
    RAW_DOSE_TEXT,
    RAW_DRIVER,
    RAW_ORGAN,
    check_filled,
    check_key,
    needed_columns,
    shaped,
    stripped,
    text_or_none,
)
from drug_pipeline.expression.released.tahoe import parse_dose


@dataclass(frozen=True, kw_only=True)
class MetadataTables:
    """The cleaned tables, each sorted by its key and of the shape its schema says.

    ``drugs``, ``cell_lines``, ``genes``, ``wells`` follow ``schemas.DRUGS`` and so on. ``notes``
    lists what a person should know: names that were stripped, drugs without wells or structure.
    ``is_generated`` is True where the raw data say that they are not measured.
    """

    drugs: pd.DataFrame
    cell_lines: pd.DataFrame
    genes: pd.DataFrame
    wells: pd.DataFrame
    notes: dict[str, list[str]]
    is_generated: bool


def clean_metadata(
    *, gene: pa.Table, drug: pa.Table, cell_line: pa.Table, sample: pa.Table
) -> MetadataTables:
    """The four cleaned tables.

    Raises
    ------
    MetadataError
        If a column is missing, a key is missing or doubled, a dose does not parse, or a well holds
        a drug that the drug table does not know.
    """
    notes: dict[str, list[str]] = {}
    drugs = clean_drugs(drug, notes)
    wells = clean_wells(sample, notes)
    _check_drugs_of_wells(wells, set(drugs[names.DRUG]))
    in_wells = set(wells[names.DRUG])
    notes["drugs_without_wells"] = [name for name in drugs[names.DRUG] if name not in in_wells]
    return MetadataTables(
        drugs=drugs,
        cell_lines=clean_cell_lines(cell_line),
        genes=clean_genes(gene),
        wells=wells,
        notes=notes,
        is_generated=is_generated(sample),
    )


def is_generated(sample: pa.Table) -> bool:
    """Whether the raw data are labelled as generated, in the schema of ``sample_metadata``."""
    labels = sample.schema.metadata or {}
    return bool(labels.get(names.GENERATED_KEY) == b"true")


def clean_genes(gene: pa.Table) -> pd.DataFrame:
    """Genes sorted by token (``schemas.GENES``).

    Raises
    ------
    MetadataError
        If a column or value is missing, or a token is doubled or reserved.
    """
    rows = needed_columns(gene, "gene_metadata")
    check_key(rows, names.TOKEN_ID, "gene_metadata")
    if not pd.api.types.is_integer_dtype(rows[names.TOKEN_ID]):
        msg = f"gene_metadata.{names.TOKEN_ID} holds {rows[names.TOKEN_ID].dtype}, not integers."
        raise MetadataError(msg)
    reserved = rows.loc[rows[names.TOKEN_ID] < names.FIRST_GENE_TOKEN, names.TOKEN_ID]
    if len(reserved):
        msg = (
            f"{len(reserved)} tokens of gene_metadata are below {names.FIRST_GENE_TOKEN} and "
            f"reserved for markers; first: {first_few(reserved)}. Renumber these genes."
        )
        raise MetadataError(msg)
    return shaped(rows, schemas.GENES, sort_by=[names.TOKEN_ID])


def clean_cell_lines(cell_line: pa.Table) -> pd.DataFrame:
    """Cell lines sorted by id (``schemas.CELL_LINES``), one row a line.

    The released table has one row per line and driver mutation; ``organ`` and ``depmap_id`` are
    null where not known.

    Raises
    ------
    MetadataError
        If a column or id is missing, or a line has two names, organs or DepMap ids.
    """
    rows = needed_columns(cell_line, "cell_line_metadata")
    check_filled(rows, RAW_CELL_LINE_ID, "cell_line_metadata")
    cleaned = []
    for cell_line_id, of_line in rows.groupby(RAW_CELL_LINE_ID, sort=True):
        drivers = {driver for text in of_line[RAW_DRIVER] for driver in parse_targets(text)}
        cleaned.append(
            {
                names.CELL_LINE_ID: cell_line_id,
                names.CELL_NAME: _one_value(of_line, names.CELL_NAME, str(cell_line_id)),
                names.DEPMAP_ID: _one_value(of_line, RAW_DEPMAP_ID, str(cell_line_id)),
                names.ORGAN: _one_value(of_line, RAW_ORGAN, str(cell_line_id)),
                names.DRIVER_MUTATIONS: sorted(drivers),
            }
        )
    return shaped(pd.DataFrame(cleaned), schemas.CELL_LINES, sort_by=[names.CELL_LINE_ID])


def clean_wells(sample: pa.Table, notes: dict[str, list[str]]) -> pd.DataFrame:
    """Wells sorted by id (``schemas.WELLS``) with numeric doses, 0.0 for the vehicle.

    Raises
    ------
    MetadataError
        If a column or value is missing, a well is doubled, a dose does not parse, or the dose text
        is of another drug than the well.
    """
    rows = needed_columns(sample, "sample_metadata")
    check_key(rows, names.SAMPLE, "sample_metadata")
    check_filled(rows, names.PLATE, "sample_metadata")
    check_filled(rows, names.DRUG, "sample_metadata")
    rows[names.DRUG] = stripped(rows[names.DRUG], notes, "stripped_well_drug_names")
    doses = []
    for well in rows.itertuples(index=False):
        drug, dose_um = _dose_of_well(getattr(well, names.SAMPLE), getattr(well, RAW_DOSE_TEXT))
        if drug != well.drug:
            msg = (
                f"well {getattr(well, names.SAMPLE)} of sample_metadata holds {well.drug!r} but "
                f"its dose text is of {drug!r}. Correct one of them."
            )
            raise MetadataError(msg)
        doses.append(dose_um)
    rows[names.IS_CONTROL] = rows[names.DRUG] == names.CONTROL_DRUG
    rows[names.DOSE_UM] = pd.Series(doses, index=rows.index, dtype="float64")
    _check_doses(rows)
    return shaped(rows, schemas.WELLS, sort_by=[names.SAMPLE])


def _check_drugs_of_wells(wells: pd.DataFrame, known: set[str]) -> None:
    treated = wells.loc[~wells[names.IS_CONTROL], names.DRUG]
    unmatched = sorted(set(treated) - known)
    if unmatched:
        msg = (
            f"{len(unmatched)} of {treated.nunique()} drugs of sample_metadata are not in "
            f"drug_metadata; first: {first_few(unmatched)}. Add a row for each; "
            "targets, moa and SMILES may be null."
        )
        raise MetadataError(msg)


def _check_doses(wells: pd.DataFrame) -> None:
    is_odd = wells[names.IS_CONTROL] != (wells[names.DOSE_UM] == 0.0)
    if is_odd.any():
        odd = wells[is_odd]
        shown = [
            f"{well} ({drug}, {dose_um} uM)"
            for well, drug, dose_um in zip(
                odd[names.SAMPLE], odd[names.DRUG], odd[names.DOSE_UM], strict=True
            )
        ]
        msg = (
            f"{len(odd)} wells of sample_metadata are vehicle with a dose or a drug without one; "
            f"first: {first_few(shown)}. The vehicle is {names.CONTROL_DRUG!r} at 0.0 uM, exactly."
        )
        raise MetadataError(msg)


def _dose_of_well(well: str, text: object) -> tuple[str, float]:
    try:
        return parse_dose(str(text))
    except MetadataError as error:
        msg = f"well {well} of sample_metadata: {error}"
        raise MetadataError(msg) from error


def _one_value(rows: pd.DataFrame, column: str, cell_line_id: str) -> str | None:
    values = sorted({text for value in rows[column] if (text := text_or_none(value))})
    if len(values) > 1:
        msg = (
            f"cell line {cell_line_id} has {len(values)} values of {column} in "
            f"cell_line_metadata: {first_few(values)}. Keep one."
        )
        raise MetadataError(msg)
    return values[0] if values else None


@dataclass(frozen=True, kw_only=True)
class KnownNames:
    """What the metadata tables name, to hold the raw records against."""

    drug_of_well: dict[str, str]
    plate_of_well: dict[str, str]
    drugs: frozenset[str]
    cell_lines: frozenset[str]
    token_ids: NDArray[np.int64]


def known_names(
    *, gene: pa.Table, drug: pa.Table, cell_line: pa.Table, sample: pa.Table
) -> KnownNames:
    """The names that records may use; unlike ``clean_metadata`` it does not join the tables.

    Raises
    ------
    MetadataError
        If a table cannot be used for lack of a column or key, or a dose does not parse.
    """
    wells = clean_wells(sample, {})
    drugs = needed_columns(drug, "drug_metadata")[names.DRUG].dropna().str.strip()
    lines = needed_columns(cell_line, "cell_line_metadata")[RAW_CELL_LINE_ID].dropna()
    return KnownNames(
        drug_of_well=dict(zip(wells[names.SAMPLE], wells[names.DRUG], strict=True)),
        plate_of_well=dict(zip(wells[names.SAMPLE], wells[names.PLATE], strict=True)),
        drugs=frozenset(drugs) | {names.CONTROL_DRUG},
        cell_lines=frozenset(lines),
        token_ids=clean_genes(gene)[names.TOKEN_ID].to_numpy(dtype=np.int64),
    )
