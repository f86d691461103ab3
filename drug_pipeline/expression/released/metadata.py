"""The released metadata tables, cleaned: drugs, cell lines, genes and wells.

What belongs here: stripping, parsing, joining and the traps of the released tables; what does not
fit is refused by name or counted. What does not: reading and writing files
(``ingest/metadata.py``), the drug table (``released/drug_table.py``).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

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
    check_names,
    has_control_character,
    needed_columns,
    shaped,
    stripped,
    text_or_none,
)
from drug_pipeline.expression.released.tahoe import parse_dose

MAX_PLATE_BYTES: Final = 200
"""Of a plate's name, percent-encoded: folders are named by it, and a name has 255 at most."""


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
        If a column is missing, a key is missing or doubled, or no well can be used.
    """
    notes: dict[str, list[str]] = {}
    drugs = clean_drugs(drug, notes)
    wells = clean_wells(sample, notes, drugs=frozenset(drugs[names.DRUG]))
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
    if pd.api.types.is_float_dtype(rows[names.TOKEN_ID]) and (rows[names.TOKEN_ID] % 1 == 0).all():
        rows[names.TOKEN_ID] = rows[names.TOKEN_ID].astype(np.int64)
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
    """Cell lines sorted by id (``schemas.CELL_LINES``), one row per line.

    The released table has one row per line and driver mutation; ``organ`` and ``depmap_id`` are
    null where not known.

    Raises
    ------
    MetadataError
        If a column or id is missing, or a line has two names, organs or DepMap ids.
    """
    rows = needed_columns(cell_line, "cell_line_metadata")
    check_filled(rows, RAW_CELL_LINE_ID, "cell_line_metadata")
    check_names(rows, RAW_CELL_LINE_ID, "cell_line_metadata")
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


def clean_wells(
    sample: pa.Table, notes: dict[str, list[str]], *, drugs: Collection[str] | None = None
) -> pd.DataFrame:
    """Wells sorted by id (``schemas.WELLS``) with numeric doses, 0.0 for the vehicle.

    A row that cannot be used is set aside, and its well with it: ``notes["wells_set_aside"]``
    names each with the reason. A row that stands twice counts once.

    Parameters
    ----------
    drugs
        Those of the drug table; wells of others are set aside. None takes any.

    Raises
    ------
    MetadataError
        If a column is missing, or no row can be used.
    """
    rows = needed_columns(sample, "sample_metadata").drop_duplicates(ignore_index=True)
    rows[names.DRUG] = stripped(rows[names.DRUG], notes, "stripped_well_drug_names")
    is_doubled = rows[names.SAMPLE].duplicated(keep=False)
    doses: list[float] = []
    reasons: dict[int, str] = {}
    for row, well in enumerate(rows.to_dict("records")):
        try:
            doses.append(_dose_of_well(well, drugs))
            if is_doubled[row]:
                msg = f"well {well[names.SAMPLE]} stands in several rows that differ. Keep one."
                raise MetadataError(msg)
        except MetadataError as error:
            reasons[row] = str(error)
            doses[row:] = [math.nan]
    notes["wells_set_aside"] = list(reasons.values())
    if len(reasons) == len(rows):
        msg = (
            f"none of {len(rows)} rows of sample_metadata can be used; "
            f"first: {first_few(reasons.values())}"
        )
        raise MetadataError(msg)
    rows[names.IS_CONTROL] = rows[names.DRUG] == names.CONTROL_DRUG
    rows[names.DOSE_UM] = pd.Series(doses, index=rows.index, dtype="float64")
    return shaped(rows.drop(index=list(reasons)), schemas.WELLS, sort_by=[names.SAMPLE])


def _dose_of_well(well: Mapping[Any, Any], drugs: Collection[str] | None) -> float:
    """The dose of one row of ``sample_metadata``.

    Raises
    ------
    MetadataError
        If the row cannot be used: which well, and why.
    """
    sample, plate, drug = (
        str(well[column] if isinstance(well[column], str) else "").strip()
        for column in (names.SAMPLE, names.PLATE, names.DRUG)
    )
    well_text = f"well {sample} of sample_metadata"
    for column, value in ((names.SAMPLE, sample), (names.PLATE, plate), (names.DRUG, drug)):
        if not value:
            msg = f"{well_text} has no {column}. Fill it in or leave the row out."
            raise MetadataError(msg)
        if has_control_character(value):
            msg = f"{well_text} has control characters, such as NUL, in {column} {value!r}. Remove them."
            raise MetadataError(msg)
    if len(quote(plate)) > MAX_PLATE_BYTES:
        msg = f"{well_text} is on plate {plate[:20]!r}…, a name too long for a folder. Shorten it."
        raise MetadataError(msg)
    try:
        named, dose_um = parse_dose(str(well[RAW_DOSE_TEXT]))
    except MetadataError as error:
        msg = f"{well_text}: {error}"
        raise MetadataError(msg) from error
    if named != drug:
        msg = f"{well_text} holds {drug!r} but its dose text is of {named!r}. Correct one of them."
        raise MetadataError(msg)
    if (drug == names.CONTROL_DRUG) != (dose_um == 0.0):
        msg = (
            f"{well_text} is vehicle with a dose or a drug without one ({drug}, {dose_um} uM). "
            f"The vehicle is {names.CONTROL_DRUG!r} at 0.0 uM, exactly."
        )
        raise MetadataError(msg)
    if drugs is not None and drug != names.CONTROL_DRUG and drug not in drugs:
        msg = (
            f"{well_text} holds {drug!r}, which is not in drug_metadata. "
            "Add a row for the drug; targets, moa and SMILES may be null."
        )
        raise MetadataError(msg)
    return dose_um


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
    """What the metadata tables name, to hold the raw records against.

    ``set_aside`` are the wells whose row of ``sample_metadata`` cannot be used.
    """

    drug_of_well: dict[str, str]
    set_aside: frozenset[str]
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
        If a table cannot be used for lack of a column or key.
    """
    drug_rows = needed_columns(drug, "drug_metadata")
    check_names(drug_rows, names.DRUG, "drug_metadata")
    drugs = frozenset(drug_rows[names.DRUG].dropna().str.strip()) | {names.CONTROL_DRUG}
    wells = clean_wells(sample, {}, drugs=drugs)
    lines = needed_columns(cell_line, "cell_line_metadata")
    check_names(lines, RAW_CELL_LINE_ID, "cell_line_metadata")
    named = set(needed_columns(sample, "sample_metadata")[names.SAMPLE].dropna())
    return KnownNames(
        drug_of_well=dict(zip(wells[names.SAMPLE], wells[names.DRUG], strict=True)),
        plate_of_well=dict(zip(wells[names.SAMPLE], wells[names.PLATE], strict=True)),
        set_aside=frozenset(named - set(wells[names.SAMPLE])),
        drugs=drugs,
        cell_lines=frozenset(lines[RAW_CELL_LINE_ID].dropna()),
        token_ids=clean_genes(gene)[names.TOKEN_ID].to_numpy(dtype=np.int64),
    )
