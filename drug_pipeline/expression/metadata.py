"""The released metadata tables, cleaned: drugs, cell lines, genes and wells.

What belongs here: stripping, parsing, joining and the traps of the released tables; what does not
fit is refused by name or counted. What does not: reading and writing files
(``ingest/metadata.py``), compound identity (``compounds.py``).
"""

import ast
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import MetadataError, first_few
from drug_pipeline.expression.compounds import parent_compound
from drug_pipeline.expression.tahoe import parse_dose

RAW_CELL_LINE_ID: Final = "Cell_ID_Cellosaur"
RAW_DEPMAP_ID: Final = "Cell_ID_DepMap"
RAW_ORGAN: Final = "Organ"
RAW_DRIVER: Final = "Driver_Gene_Symbol"
RAW_MOA_BROAD: Final = "moa-broad"
RAW_DOSE_TEXT: Final = "drugname_drugconc"

NEEDED_COLUMNS: Final = {
    "gene_metadata": (names.GENE_SYMBOL, names.ENSEMBL_ID, names.TOKEN_ID),
    "drug_metadata": (
        names.DRUG,
        names.TARGETS,
        RAW_MOA_BROAD,
        names.RAW_MOA_FINE,
        names.CANONICAL_SMILES,
        names.PUBCHEM_CID,
    ),
    "cell_line_metadata": (
        names.CELL_NAME,
        RAW_DEPMAP_ID,
        RAW_CELL_LINE_ID,
        RAW_ORGAN,
        RAW_DRIVER,
    ),
    "sample_metadata": (names.SAMPLE, names.PLATE, names.DRUG, RAW_DOSE_TEXT),
}
"""What is read of each released table."""
NO_VALUE: Final = frozenset({"", "none", "nan", "null", "n/a"})
"""Texts that the released tables use for "not known"."""


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
    rows = _needed(gene, "gene_metadata")
    _check_key(rows, names.TOKEN_ID, "gene_metadata")
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
    return _shaped(rows, schemas.GENES, sort_by=[names.TOKEN_ID])


def clean_drugs(drug: pa.Table, notes: dict[str, list[str]]) -> pd.DataFrame:
    """Drugs sorted by name (``schemas.DRUGS``), the vehicle left out.

    A drug whose SMILES is absent or cannot be read stands for itself: its parent compound is
    ``name:<drug>``, its structure columns are null; ``notes`` lists it.

    Raises
    ------
    MetadataError
        If a column or name is missing, a drug is doubled, or a PubChem id is not a whole number.
    """
    rows = _needed(drug, "drug_metadata")
    rows[names.DRUG] = _stripped(rows[names.DRUG], notes, "stripped_drug_names")
    rows = rows[rows[names.DRUG] != names.CONTROL_DRUG]
    _check_key(rows, names.DRUG, "drug_metadata")
    rows = rows.sort_values(names.DRUG, ignore_index=True)
    rows[names.TARGETS] = rows[names.TARGETS].map(parse_targets)
    rows[names.MOA_BROAD] = rows[RAW_MOA_BROAD].map(_moa)
    rows[names.MOA_FINE] = rows[names.RAW_MOA_FINE].map(_moa)
    rows[names.PUBCHEM_CID] = [
        _pubchem_cid(value, name)
        for value, name in zip(rows[names.PUBCHEM_CID], rows[names.DRUG], strict=True)
    ]
    return _shaped(_with_parents(rows, notes), schemas.DRUGS, sort_by=[names.DRUG])


def clean_cell_lines(cell_line: pa.Table) -> pd.DataFrame:
    """Cell lines sorted by id (``schemas.CELL_LINES``), one row a line.

    The released table has one row per line and driver mutation; ``organ`` and ``depmap_id`` are
    null where not known.

    Raises
    ------
    MetadataError
        If a column or id is missing, or a line has two names, organs or DepMap ids.
    """
    rows = _needed(cell_line, "cell_line_metadata")
    _check_filled(rows, RAW_CELL_LINE_ID, "cell_line_metadata")
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
    return _shaped(pd.DataFrame(cleaned), schemas.CELL_LINES, sort_by=[names.CELL_LINE_ID])


def clean_wells(sample: pa.Table, notes: dict[str, list[str]]) -> pd.DataFrame:
    """Wells sorted by id (``schemas.WELLS``) with numeric doses, 0.0 for the vehicle.

    Raises
    ------
    MetadataError
        If a column or value is missing, a well is doubled, a dose does not parse, or the dose text
        is of another drug than the well.
    """
    rows = _needed(sample, "sample_metadata")
    _check_key(rows, names.SAMPLE, "sample_metadata")
    _check_filled(rows, names.PLATE, "sample_metadata")
    rows[names.DRUG] = _stripped(rows[names.DRUG], notes, "stripped_well_drug_names")
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
    return _shaped(rows, schemas.WELLS, sort_by=[names.SAMPLE])


def parse_targets(value: object) -> list[str]:
    """Gene symbols of a text, sorted and unique: ``"A, B"``, ``"A"``, ``"['A', 'B']"`` or none.

    Raises
    ------
    MetadataError
        If a text in brackets is not a list.
    """
    text = _text_or_none(value)
    if text is None:
        return []
    if text.startswith("["):
        try:
            symbols = [str(symbol) for symbol in ast.literal_eval(text)]
        except (ValueError, SyntaxError) as error:
            msg = f'list of genes {text!r} does not parse. Write it as "A, B".'
            raise MetadataError(msg) from error
    else:
        symbols = text.replace(";", ",").split(",")
    return sorted({symbol.strip() for symbol in symbols if symbol.strip().lower() not in NO_VALUE})


def _with_parents(rows: pd.DataFrame, notes: dict[str, list[str]]) -> pd.DataFrame:
    """The rows with parent compound and scaffold."""
    cleaned, notes["drugs_without_smiles"], notes["drugs_with_unreadable_smiles"] = [], [], []
    for name, text in zip(rows[names.DRUG], rows[names.CANONICAL_SMILES], strict=True):
        smiles = _text_or_none(text)
        parent = parent_compound(smiles) if smiles else None
        if smiles is None:
            notes["drugs_without_smiles"].append(name)
        elif parent is None:
            notes["drugs_with_unreadable_smiles"].append(name)
        cleaned.append(
            {
                names.CANONICAL_SMILES: smiles if parent else None,
                names.PARENT_SMILES: parent.smiles if parent else None,
                names.PARENT_COMPOUND: parent.key if parent else f"name:{name}",
                names.SCAFFOLD: parent.scaffold if parent else f"name:{name}",
            }
        )
    structures = pd.DataFrame(cleaned, index=rows.index, dtype="object")
    return rows.drop(columns=names.CANONICAL_SMILES).join(structures)


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


def _needed(table: pa.Table, name: str) -> pd.DataFrame:
    """The needed columns of a released table as a frame.

    Raises
    ------
    MetadataError
        If one is missing, or the table is empty.
    """
    needed = NEEDED_COLUMNS[name]
    missing = [column for column in needed if column not in table.column_names]
    if missing:
        msg = (
            f"{name} lacks {len(missing)} of {len(needed)} columns: {first_few(missing, limit=6)}. "
            f"It has {first_few(table.column_names, limit=12)}."
        )
        raise MetadataError(msg)
    if not table.num_rows:
        msg = f"{name} has no rows. Fetch it again."
        raise MetadataError(msg)
    rows: pd.DataFrame = table.select(list(needed)).to_pandas()
    return rows


def _check_key(rows: pd.DataFrame, column: str, table: str) -> None:
    _check_filled(rows, column, table)
    doubled = rows.loc[rows[column].duplicated(), column].unique().tolist()
    if doubled:
        msg = (
            f"{len(doubled)} values of {table}.{column} occur more than once; "
            f"first: {first_few(doubled)}. Keep one row each."
        )
        raise MetadataError(msg)


def _check_filled(rows: pd.DataFrame, column: str, table: str) -> None:
    is_blank = rows[column].isna() | (rows[column].astype(str).str.strip() == "")
    if is_blank.any():
        msg = (
            f"{int(is_blank.sum())} of {len(rows)} rows of {table} have no {column}; "
            f"first: row {int(is_blank.to_numpy().argmax())}. Fill it in or leave the row out."
        )
        raise MetadataError(msg)


def _stripped(column: pd.Series, notes: dict[str, list[str]], note: str) -> pd.Series:
    stripped = column.str.strip()
    notes[note] = sorted(set(stripped[column.notna() & (stripped != column)]))
    return stripped


def _one_value(rows: pd.DataFrame, column: str, cell_line_id: str) -> str | None:
    values = sorted({text for value in rows[column] if (text := _text_or_none(value))})
    if len(values) > 1:
        msg = (
            f"cell line {cell_line_id} has {len(values)} values of {column} in "
            f"cell_line_metadata: {first_few(values)}. Keep one."
        )
        raise MetadataError(msg)
    return values[0] if values else None


def _text_or_none(value: object) -> str | None:
    if not isinstance(value, str) or value.strip().lower() in NO_VALUE:
        return None
    return value.strip()


def _moa(value: object) -> str:
    return _text_or_none(value) or names.UNCLEAR_MOA


def _pubchem_cid(value: Any, drug: str) -> int | None:
    """A PubChem id from a float, an integer or a text such as ``"1923.0"``."""
    if value is None or (isinstance(value, str) and _text_or_none(value) is None):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        msg = f"drug {drug!r} has the PubChem id {value!r}, not a number. Correct drug_metadata."
        raise MetadataError(msg) from error
    if math.isnan(number):
        return None
    if not number.is_integer():
        msg = f"drug {drug!r} has the PubChem id {value!r}, not whole. Correct drug_metadata."
        raise MetadataError(msg)
    return int(number)


def _shaped(rows: pd.DataFrame, schema: pa.Schema, *, sort_by: list[str]) -> pd.DataFrame:
    """The rows in the columns and order of a schema, with a fresh index."""
    shaped: pd.DataFrame = rows.sort_values(sort_by, ignore_index=True)[schema.names]
    return shaped


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
    drugs = _needed(drug, "drug_metadata")[names.DRUG].dropna().str.strip()
    lines = _needed(cell_line, "cell_line_metadata")[RAW_CELL_LINE_ID].dropna()
    return KnownNames(
        drug_of_well=dict(zip(wells[names.SAMPLE], wells[names.DRUG], strict=True)),
        plate_of_well=dict(zip(wells[names.SAMPLE], wells[names.PLATE], strict=True)),
        drugs=frozenset(drugs) | {names.CONTROL_DRUG},
        cell_lines=frozenset(lines),
        token_ids=clean_genes(gene)[names.TOKEN_ID].to_numpy(dtype=np.int64),
    )
