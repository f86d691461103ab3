"""Treatment and line kernels of the product-kernel model: mixtures of identity and feature kernels.

What belongs here: the mix of identity and blocks that makes a drug or line kernel, and the (drug,
line, dose) products that make a prior. What does not: single kernels (``kernel_ridge/kernels.py``).

Shapes: N = conditions, T = known treatments (drug, dose), A = asked ones, L = lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from drug_pipeline.domain.blocks import DRUG_BLOCKS, KERNEL_BLOCKS, LINE_BLOCKS, BlockChoice
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.linear.base import Conditions, Features, Floats, Ints, State, Texts, nested, part
from drug_pipeline.linear.kernel_ridge.kernels import block_likeness, dose_rbf, same_key
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
with distance, ``alike`` is the mix of a :class:`Mix`; ``shared`` is what all drugs have in
common in proportion to their strength, such as stress."""
FURTHER_SHARES: Final = (0.3, 0.7)
"""Shares of a further block that are tried beside those it joins: it adds something, or leads."""
LINE_WIDTH: Final = 1.0
"""Width of the line kernel, in median squared distances between lines."""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Weights of the feature kernels in the drug kernel and in the line kernel.

    Parameters
    ----------
    drugs
        Share of a drug's own effect that follows the likeness by each of ``DRUG_BLOCKS``; what is
        left to 1, and the share of a block that the data lack, stays with the drug itself.
    power
        Power of the Tanimoto similarity of fingerprints: 1 borrows from distant analogues, 2 or 3
        from close ones only.
    lines
        Shares of the likeness of lines by each of ``LINE_BLOCKS``; they add up to 1.
    """

    drugs: Mapping[str, float]
    power: int = 1
    lines: Mapping[str, float] = field(default_factory=lambda: {"control_pca": 1.0})

    def __post_init__(self) -> None:
        if any(share < 0 for share in self.drugs.values()) or sum(self.drugs.values()) >= 1:
            msg = f"shares must be at least 0 and add up to less than 1: {self}"
            raise ConfigurationError(msg)

    def over(self, used: BlockChoice) -> "Mix":
        """The mix over the blocks that a model reads: other weights go to the identity kernel."""
        drugs = {name: share for name, share in self.drugs.items() if name in used.drugs}
        return replace(self, drugs=drugs, lines={used.cell_lines[0]: 1.0})

    def with_drugs(self, block: str, share: float) -> "Mix":
        """The mix with a weight for a further block of drugs, the others scaled down."""
        rest = {name: (1.0 - share) * old for name, old in self.drugs.items()}
        return replace(self, drugs={**rest, block: share})

    def state(self) -> State:
        """The mix as plain arrays; ``mix`` keeps the form of models saved before blocks had names."""
        embedded = [self.drugs.get(name, 0.0) for name in KERNEL_BLOCKS.drugs]
        state: State = {"mix": np.array([embedded[0], self.power, *embedded[1:]])}
        further = {name: n for name, n in self.drugs.items() if name not in KERNEL_BLOCKS.drugs}
        if further:
            state |= nested("mix_drugs", _share_state(further))
        return state | line_mix_state(self.lines)

    @classmethod
    def of(cls, state: State) -> "Mix":
        """The mix whose :meth:`state` is among these arrays."""
        first, power, *others = state["mix"].tolist()
        drugs = dict(zip(KERNEL_BLOCKS.drugs, (first, *others), strict=True))
        drugs |= _shares_of(part("mix_drugs", state))
        return cls(drugs=drugs, power=int(power), lines=line_mix_of(state))


def line_mix_state(lines: Mapping[str, float]) -> State:
    """Weights of the line kernels as plain arrays; none where the control profile has all."""
    is_default = dict(lines) == {KERNEL_BLOCKS.cell_lines[0]: 1.0}
    return {} if is_default else nested("mix_lines", _share_state(lines))


def line_mix_of(state: State) -> dict[str, float]:
    """The weights whose :func:`line_mix_state` is among these arrays."""
    return _shares_of(part("mix_lines", state)) or {KERNEL_BLOCKS.cell_lines[0]: 1.0}


def line_mixes(used: BlockChoice, features: Features) -> list[dict[str, float]]:
    """Candidate weights of line kernels: the first block alone, or with a further one."""
    first, *others = used.cell_lines
    further = [block for block in others if block in features.line_blocks]
    return [
        {first: 1.0},
        *({first: 1.0 - share, block: share} for block in further for share in FURTHER_SHARES),
    ]


def _share_state(shares: Mapping[str, float]) -> State:
    return {"blocks": np.array(list(shares)), "shares": np.array(list(shares.values()))}


def _shares_of(state: State) -> dict[str, float]:
    if not state:
        return {}
    return dict(zip(map(str, state["blocks"]), state["shares"].tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Treatments:
    """Distinct (drug, dose) with their parents, in sorted order of their keys (T)."""

    drug_T: Texts
    parent_T: Texts
    dose_um_T: Floats

    @classmethod
    def of(cls, asked: Conditions) -> tuple["Treatments", Ints]:
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
    """Kernels of all terms between asked and training treatments, and between their cell lines."""

    features: Features
    strength: State
    mix: Mix

    def kernels(
        self, asked: tuple[Treatments, Texts], known: tuple[Treatments, Texts]
    ) -> tuple[list[Floats], list[Floats]]:
        """Treatment kernels (A, T) and line kernels (A, L) of all terms, in the order of TERMS.

        Where the drug matters the kernel is scaled by the strength of either treatment. Equal
        kernels are the same object, which the solver uses.

        Notes
        -----
        Products of task and input kernels: Bonilla, Chai & Williams (2008), "Multi-task Gaussian
        process prediction". The terms and the scaling by strength are ours.
        """
        drugs = self._drug_kernels(asked[0], known[0])
        near = dose_rbf(asked[0].dose_um_T, known[0].dose_um_T)
        doses = {"any": np.ones_like(near), "near": near}
        lines = {
            "any": np.ones((len(asked[1]), len(known[1]))),
            "near": line_likeness(
                self.features, self.mix.lines, asked[1], known[1], width=LINE_WIDTH
            ),
            "own": same_key(asked[1], known[1]),
        }
        return (
            [drugs[drug] * doses[dose] for drug, _, dose in TERMS],
            [lines[line] for _, line, _ in TERMS],
        )

    def _drug_kernels(self, asked: Treatments, known: Treatments) -> dict[str, Floats]:
        scale_AT = np.outer(
            amplitude(self.strength, asked.parent_T, asked.dose_um_T),
            amplitude(self.strength, known.parent_T, known.dose_um_T),
        )
        alike_AT = drug_likeness(self.features, self.mix, asked, known)
        return {"any": np.ones_like(scale_AT), "shared": scale_AT, "alike": alike_AT * scale_AT}


def drug_likeness(features: Features, mix: Mix, asked: Treatments, known: Treatments) -> Floats:
    """Drug kernel: prior correlation of drug effects (A, T), 1 for the same parent compound.

    All forms of a known parent stand by its first known one: forms with vectors of their own would
    make the kernel indefinite, and its system unsolvable.

    Notes
    -----
    A sum of kernels with non-negative shares is a kernel: Lanckriet, Cristianini, Bartlett, El
    Ghaoui & Jordan (2004), "Learning the kernel matrix with semidefinite programming"; fixed shares
    as in Gönen & Alpaydin (2011), "Multiple kernel learning algorithms". So is a whole power of
    one, entry by entry (Schur's product theorem). Shares and powers are ours.
    """
    first = dict(zip(known.parent_T[::-1], known.drug_T[::-1], strict=True))
    drug_A, row_A = np.unique(_stand_ins(asked, first), return_inverse=True)
    drug_B, row_B = np.unique(_stand_ins(known, first), return_inverse=True)
    rows = np.ix_(row_A, row_B)
    same_AT = same_key(asked.parent_T, known.parent_T)
    own = 1.0
    for share in mix.drugs.values():
        own -= share
    total_AT = own * same_AT
    for name, share in mix.drugs.items():
        if share:
            alike_AT = np.zeros_like(same_AT)
            if name in features.drug_blocks:
                block, table = DRUG_BLOCKS[name], features.drug_blocks[name]
                alike_AT = block_likeness(block, table, drug_A, drug_B)[rows]
            power = mix.power if name == "morgan" else 1
            total_AT = total_AT + share * np.maximum(alike_AT**power, same_AT)
    return np.asarray(total_AT)


def line_likeness(
    features: Features, shares: Mapping[str, float], line_A: Texts, line_B: Texts, *, width: float
) -> Floats:
    """Line kernel: weighted sum of feature kernels (A, B); ``width`` is that of the RBF.

    Notes
    -----
    As :func:`drug_likeness`: a sum of kernels with fixed shares, Gönen & Alpaydin (2011), "Multiple
    kernel learning algorithms".
    """
    total_AB = np.zeros((len(line_A), len(line_B)))
    for name, share in shares.items():
        if name in features.line_blocks:
            block, table = LINE_BLOCKS[name], features.line_blocks[name]
            total_AB += share * block_likeness(block, table, line_A, line_B, width=width)
        else:
            total_AB += share * same_key(line_A, line_B)
    return total_AB


def _stand_ins(treatments: Treatments, first: Mapping[str, str]) -> Texts:
    pairs = zip(treatments.parent_T, treatments.drug_T, strict=True)
    return np.array([first.get(parent, drug) for parent, drug in pairs], dtype=np.str_)
