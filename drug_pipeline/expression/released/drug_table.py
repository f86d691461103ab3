"""The released drug table, cleaned: one row per drug, its targets, mechanism and parent compound.

What belongs here: the traps of that table. What does not: the other tables (``released/metadata.py``),
compound identity (``compounds.py``).
"""

import ast
import math
from typing import Any

import pandas as pd
import pyarrow as pa

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import MetadataError
from drug_pipeline.expression.compounds import parent_compound
from drug_pipeline.expression.released.released_tables import (
    NO_VALUE,
    RAW_MOA_BROAD,
    check_key,
    check_names,
    needed_columns,
    shaped,
    stripped,
    text_or_none,
)


def clean_drugs(drug: pa.Table, notes: dict[str, list[str]]) -> pd.DataFrame:
    """Drugs sorted by name (``schemas.DRUGS``), the vehicle left out.

    A drug whose SMILES is absent or cannot be read stands for itself: its parent compound is
    ``name:<drug>``, its structure columns are null; ``notes`` lists it.

    Raises
    ------
    MetadataError
        If a column or name is missing, a drug is doubled, or a PubChem id is not a whole number.
    """
    rows = needed_columns(drug, "drug_metadata")
    rows[names.DRUG] = stripped(rows[names.DRUG], notes, "stripped_drug_names")
    rows = rows[rows[names.DRUG] != names.CONTROL_DRUG]
    check_key(rows, names.DRUG, "drug_metadata")
    check_names(rows, names.DRUG, "drug_metadata")
    rows = rows.sort_values(names.DRUG, ignore_index=True)
    rows[names.TARGETS] = rows[names.TARGETS].map(parse_targets)
    rows[names.MOA_BROAD] = rows[RAW_MOA_BROAD].map(_moa)
    rows[names.MOA_FINE] = rows[names.RAW_MOA_FINE].map(_moa)
    rows[names.PUBCHEM_CID] = [
        _pubchem_cid(value, name)
        for value, name in zip(rows[names.PUBCHEM_CID], rows[names.DRUG], strict=True)
    ]
    return shaped(_with_parents(rows, notes), schemas.DRUGS, sort_by=[names.DRUG])


def parse_targets(value: object) -> list[str]:
    """Gene symbols of a text, sorted and unique: ``"A, B"``, ``"A"``, ``"['A', 'B']"`` or none.

    Raises
    ------
    MetadataError
        If a text in brackets is not a list.
    """
    text = text_or_none(value)
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
        smiles = text_or_none(text)
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


def _moa(value: object) -> str:
    return text_or_none(value) or names.UNCLEAR_MOA


def _pubchem_cid(value: Any, drug: str) -> int | None:
    """A PubChem id from a float, an integer or a text such as ``"1923.0"``."""
    if value is None or (isinstance(value, str) and text_or_none(value) is None):
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
