"""What will this drug do in this line: predicted Δ by gene, with how far to trust it.

Shapes: G = genes of the panel.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.domain.split_kinds import KINDS
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig, drug_vectors
from drug_pipeline.expression.compounds import ParentCompound, parent_compound
from drug_pipeline.query.checks import asked_conditions
from drug_pipeline.query.library import Library
from drug_pipeline.query.trust import Trust, forward_trust, no_figure
from drug_pipeline.training.deployed.bundle import Bundle

NEW_DRUG: Final = "query compound"


@dataclass(frozen=True, kw_only=True)
class PredictedResponse:
    """Predicted Δ of one drug at one dose in one line.

    ``table`` has token_id, ensembl_id, gene_symbol, delta (natural log) and log2_fold_change,
    strongest first. ``expected_error`` and ``error_bound`` are RMS over genes, natural log; NaN
    where they were not calibrated, as at doses that were not measured. ``same_as`` names known drugs of the same parent compound;
    ``measured_doses_um`` are those of any drug.
    """

    table: pd.DataFrame
    drug: str
    dose_um: float
    line: str
    is_measured: bool
    same_as: tuple[str, ...]
    split: str
    measured_doses_um: tuple[float, ...]
    expected_error: float
    error_bound: float
    trust: Trust

    def sentences(self) -> list[str]:
        """What to know before believing the table."""
        seen = "was measured in this line" if self.is_measured else "was not measured in this line"
        lines = [f"{self.drug} {seen}; answered by the model of split {self.split}."]
        if not is_measured_dose(self.dose_um, self.measured_doses_um):
            lines.append(
                f"{self.dose_um:g} µM lies between the measured doses, "
                f"{first_few((f'{dose:g}' for dose in self.measured_doses_um), limit=6)} µM."
            )
        if self.same_as:
            lines.append(f"The same parent compound as {first_few(self.same_as)}.")
        if np.isfinite(self.expected_error):
            lines.append(
                f"Expected error {self.expected_error:.3f} (RMS over genes, natural log); 90 % of "
                f"such answers stay under {self.error_bound:.3f}."
            )
        return [*lines, self.trust.sentence()]


def predict_response(
    model: Bundle, library: Library, *, drug: str, dose_um: float, line: str
) -> PredictedResponse:
    """Predicted Δ of a drug by name, or by structure after :func:`with_structure`.

    Raises
    ------
    QueryError
        If the drug or the line is unknown, or the dose is not a number of µM within those measured.
    """
    asked = asked_conditions(
        model, drugs=[drug], doses_um=[dose_um], lines=[line], cell_lines=library.cell_lines
    )
    name, parent, line_id = str(asked.drug_N[0]), str(asked.parent_N[0]), str(asked.line_N[0])
    answer = model.answer(asked)
    split = str(answer.split_N[0])
    is_calibrated = is_measured_dose(dose_um, library.doses_um)
    table = model.genes[[names.TOKEN_ID, names.ENSEMBL_ID, names.GENE_SYMBOL]].copy()
    table["delta"] = answer.delta_NG[0]
    table["log2_fold_change"] = table["delta"] / np.log(2.0)
    order = np.argsort(-np.abs(answer.delta_NG[0]), kind="stable")
    return PredictedResponse(
        table=table.iloc[order].reset_index(drop=True),
        drug=name,
        dose_um=dose_um,
        line=line_id,
        is_measured=(name, line_id) in library.measured,
        same_as=tuple(
            sorted(other for other, of in model.parent_of.items() if of == parent and other != name)
        ),
        split=split,
        measured_doses_um=library.doses_um,
        expected_error=float(answer.expected_error_N[0]) if is_calibrated else np.nan,
        error_bound=float(answer.bound_N[0]) if is_calibrated else np.nan,
        trust=_trust(library, split, dose_um, line_id),
    )


def _trust(library: Library, split: str, dose_um: float, line: str) -> Trust:
    """The figure of the split that answers; at a dose that was not measured, of such doses."""
    if not is_measured_dose(dose_um, library.doses_um):
        if split not in KINDS or not KINDS[split].is_known:
            return no_figure("something new at a dose that was not measured")
        split = "dose"
    is_line_new = split in KINDS and KINDS[split].is_line_new
    shipped = library.shipped.get(split, "")
    return forward_trust(library.metrics, split, shipped, None if is_line_new else line)


def is_measured_dose(dose_um: float, measured_um: tuple[float, ...]) -> bool:
    """Whether a dose is one of those that were measured."""
    return bool(np.isclose(dose_um, measured_um, rtol=1e-6).any())


def with_structure(
    model: Bundle, smiles: str, config: DrugEmbeddingConfig, *, name: str = NEW_DRUG
) -> Bundle:
    """The model, which also knows a compound by its SMILES under ``name``.

    Raises
    ------
    QueryError
        If RDKit cannot read the SMILES, or no block is made from structures.
    """
    parent = _parent(smiles)
    drug = pd.DataFrame({names.DRUG: [name], names.PARENT_SMILES: [parent.smiles]})
    from_structure = tuple(block for block in config.made if block != "own")
    if not from_structure:
        msg = (
            "drugs are known by your own table alone. Add the compound to it, or embed structures."
        )
        raise QueryError(msg)
    vectors, _ = drug_vectors(drug, replace(config, blocks=from_structure, own_path=None))
    return model.with_drugs(vectors, {name: parent.key})


def parent_sentence(smiles: str) -> str:
    """What of a structure is asked for: its parent compound, in words."""
    return (
        f"Read as its parent compound {_parent(smiles).smiles}: counter-ions, charges, isotopes and "
        "stereochemistry do not count; a compound of a metal is whole."
    )


def _parent(smiles: str) -> ParentCompound:
    parent = parent_compound(smiles)
    if parent is None:
        msg = f"SMILES {smiles!r} cannot be read as a structure. Give the SMILES of one compound."
        raise QueryError(msg)
    return parent
