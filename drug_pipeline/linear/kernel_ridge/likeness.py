"""How alike two treatments or two lines are expected to respond: the factors of product kernels.

What belongs here: the mix of identity, structure and annotation that makes a drug kernel, and the
(drug, line, dose) products that make a prior. What does not: single kernels (``kernel_ridge/kernels.py``).

Shapes: N = conditions, T = known treatments (drug, dose), A = asked ones, L = lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear.base import Conditions, Features, State
from drug_pipeline.linear.kernel_ridge.kernels import (
    block_rows,
    dose_rbf,
    drug_descriptor_rbf,
    drug_tanimoto,
    line_rbf,
    same_key,
    tanimoto,
)
from drug_pipeline.linear.kernel_ridge.strength import amplitude
from drug_pipeline.linear.means import join_keys

TERMS: Final = (
    ("any", "near", "near"),
    ("any", "own", "near"),
    ("shared", "any", "near"),
    ("shared", "near", "near"),
    ("alike", "any", "near"),
    ("alike", "any", "any"),
    ("alike", "near", "near"),
    ("alike", "near", "any"),
    ("alike", "own", "near"),
)
"""(drug, line, dose) kernels of each term. ``any`` is constant, ``own`` is identity, ``near`` falls
with distance, ``alike`` is the mix of a :class:`DrugMix`; ``shared`` is what all drugs have in
common in proportion to their strength, such as stress."""
ANNOTATION_BLOCKS: Final = ("targets", "mechanism")
"""Blocks of the annotation table that count."""
LINE_WIDTH: Final = 1.0
"""Width of the line kernel, in median squared distances between lines."""


@dataclass(frozen=True, kw_only=True)
class DrugMix:
    """Shares of a drug's effect that go with its structure, its annotation, and itself alone.

    Parameters
    ----------
    structure
        Share that follows the Tanimoto similarity of fingerprints to the power of ``power``: 1
        borrows from distant analogues, 2 or 3 from close ones only.
    descriptors
        Share that follows physico-chemical descriptors.
    annotation
        Share that follows known targets and mechanism (``Features.annotations``); without any it
        stays with the drug itself.
    """

    structure: float
    power: int = 1
    descriptors: float = 0.0
    annotation: float = 0.0

    def __post_init__(self) -> None:
        total = self.structure + self.descriptors + self.annotation
        if min(self.structure, self.descriptors, self.annotation) < 0 or total >= 1:
            msg = f"shares must be at least 0 and add up to less than 1: {self}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class Treatments:
    """Distinct (drug, dose) with their parents, in sorted order of their keys (T)."""

    drug_T: NDArray[np.str_]
    parent_T: NDArray[np.str_]
    dose_um_T: NDArray[np.float64]

    @classmethod
    def of(cls, asked: Conditions) -> tuple["Treatments", NDArray[np.int64]]:
        """The treatments of some conditions, and which one each condition has (N)."""
        _, first_T, row_N = np.unique(
            join_keys(asked.drug_N, asked.dose_um_N), return_index=True, return_inverse=True
        )
        treatments = cls(
            drug_T=asked.drug_N[first_T],
            parent_T=asked.parent_N[first_T],
            dose_um_T=asked.dose_um_N[first_T],
        )
        return treatments, row_N

    def state(self) -> State:
        """The columns as plain arrays."""
        return {"drug_T": self.drug_T, "parent_T": self.parent_T, "dose_um_T": self.dose_um_T}


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Kernels of all terms between asked and known treatments and lines."""

    features: Features
    strength: State
    mix: DrugMix

    def kernels(
        self,
        asked: tuple[Treatments, NDArray[np.str_]],
        known: tuple[Treatments, NDArray[np.str_]],
    ) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
        """Treatment kernels (A, T) and line kernels (A, L) of all terms, in the order of TERMS.

        Where the drug matters the kernel is scaled by the strength of either treatment. Equal
        kernels are the same object, which the solver uses.
        """
        drugs = self._drug_kernels(asked[0], known[0])
        near = dose_rbf(asked[0].dose_um_T, known[0].dose_um_T)
        doses = {"any": np.ones_like(near), "near": near}
        lines = {
            "any": np.ones((len(asked[1]), len(known[1]))),
            "near": line_rbf(self.features.cell_lines, asked[1], known[1], width=LINE_WIDTH),
            "own": same_key(asked[1], known[1]),
        }
        return (
            [drugs[drug] * doses[dose] for drug, _, dose in TERMS],
            [lines[line] for _, line, _ in TERMS],
        )

    def _drug_kernels(self, asked: Treatments, known: Treatments) -> dict[str, NDArray[np.float64]]:
        scale_AT = np.outer(
            amplitude(self.strength, asked.parent_T, asked.dose_um_T),
            amplitude(self.strength, known.parent_T, known.dose_um_T),
        )
        alike_AT = drug_likeness(self.features, self.mix, asked, known)
        return {
            "any": np.ones_like(scale_AT),
            "shared": scale_AT,
            "alike": alike_AT * scale_AT,
        }


def drug_likeness(
    features: Features, mix: DrugMix, asked: Treatments, known: Treatments
) -> NDArray[np.float64]:
    """Expected correlation of the drugs' own effects (A, T): 1 for the same parent compound.

    All forms of a known parent stand by its first known one: forms with vectors of their own would
    make the kernel indefinite, and its system unsolvable.
    """
    first = dict(zip(known.parent_T[::-1], known.drug_T[::-1], strict=True))
    drug_A, row_A = np.unique(_stand_ins(asked, first), return_inverse=True)
    drug_B, row_B = np.unique(_stand_ins(known, first), return_inverse=True)
    rows = np.ix_(row_A, row_B)
    same_AT = same_key(asked.parent_T, known.parent_T)
    own = 1.0 - mix.structure - mix.descriptors - mix.annotation
    total_AT = own * same_AT
    if mix.structure:
        tanimoto_AT = drug_tanimoto(features.drugs, drug_A, drug_B)[rows] ** mix.power
        total_AT = total_AT + mix.structure * np.maximum(tanimoto_AT, same_AT)
    if mix.descriptors:
        rbf_AT = drug_descriptor_rbf(features.drugs, drug_A, drug_B)[rows]
        total_AT = total_AT + mix.descriptors * np.maximum(rbf_AT, same_AT)
    if mix.annotation:
        known_AT = annotation_likeness(features.annotations, drug_A, drug_B)[rows]
        total_AT = total_AT + mix.annotation * np.maximum(known_AT, same_AT)
    return np.asarray(total_AT)


def _stand_ins(treatments: Treatments, first: Mapping[str, str]) -> NDArray[np.str_]:
    pairs = zip(treatments.parent_T, treatments.drug_T, strict=True)
    return np.array([first.get(parent, drug) for parent, drug in pairs], dtype=np.str_)


def annotation_likeness(
    annotations: EmbeddingTable | None, drug_A: NDArray[np.str_], drug_B: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Tanimoto similarity of the drugs' multi-hot annotations; 0 where either has none (A, B)."""
    if annotations is None:
        return np.zeros((len(drug_A), len(drug_B)))
    vectors = [
        np.hstack([block_rows(annotations, block, drugs)[0] for block in ANNOTATION_BLOCKS])
        for drugs in (drug_A, drug_B)
    ]
    return tanimoto(vectors[0], vectors[1])
