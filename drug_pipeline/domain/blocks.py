"""The registry of embedding blocks: every kind of vector that a drug or a cell line can have.

What belongs here: a row per block, read by name by whoever makes, stores, compares, encodes or
reports vectors, and the blocks that a model reads. What does not: making vectors (``embeddings/``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from drug_pipeline.domain.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Block:
    """How the vectors of one block are read.

    Parameters
    ----------
    title
        What the report calls it.
    values
        ``counts`` (≥ 0, also 0 and 1) are alike by Tanimoto; ``numbers`` of any unit by an RBF
        kernel once each feature has unit variance; ``components``, already of one unit, by an RBF
        kernel as they are.
    is_reduced
        Whether the network reads principal components, and not the features themselves.
    is_given
        Whether it is made only where a setting names its source: a folder or a table.
    """

    title: str
    values: Literal["counts", "numbers", "components"]
    is_reduced: bool = True
    is_given: bool = False


DRUG_BLOCKS: Final[Mapping[str, Block]] = {
    "morgan": Block(title="Morgan fingerprint", values="counts"),
    "descriptors": Block(title="RDKit descriptors", values="numbers", is_reduced=False),
    "annotations": Block(title="targets and mechanism", values="counts"),
    "encoder": Block(title="pretrained SMILES encoder", values="numbers", is_given=True),
    "own": Block(title="own drug table", values="numbers", is_given=True),
}
"""Blocks of a drug, in the order in which they are stored."""
LINE_BLOCKS: Final[Mapping[str, Block]] = {
    "control_pca": Block(title="control profile", values="components", is_reduced=False),
    "organ": Block(title="organ", values="counts"),
    "drivers": Block(title="driver mutations", values="counts"),
    "own": Block(title="own line table", values="numbers", is_given=True),
}
"""Blocks of a cell line, in the order in which they are stored."""


def check_blocks(chosen: tuple[str, ...], known: Mapping[str, Block], *, what: str) -> None:
    """Nothing, where ``chosen`` are some of the known blocks, each once.

    Raises
    ------
    ConfigurationError
        If it is empty, or a block is unknown or named twice.
    """
    if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
        msg = f"{what} are {chosen}; give some of {', '.join(known)}, each once"
        raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class BlockChoice:
    """The blocks of drugs and of cell lines that a model reads; those not stored are passed over.

    Parameters
    ----------
    drugs
        Some of ``morgan``, ``descriptors``, ``annotations``, ``encoder``, ``own``; more of them cost
        a fit per inner fold, and the default is what the benchmarks were measured with.
    cell_lines
        Some of ``control_pca``, ``organ``, ``drivers``, ``own``; the first is what each further one
        has to improve on.
    """

    drugs: tuple[str, ...]
    cell_lines: tuple[str, ...]

    def __post_init__(self) -> None:
        check_blocks(self.drugs, DRUG_BLOCKS, what="drug blocks of a model")
        check_blocks(self.cell_lines, LINE_BLOCKS, what="cell-line blocks of a model")

    def also(self, *, drugs: tuple[str, ...] = (), cell_lines: tuple[str, ...] = ()) -> Self:
        """The choice with further blocks, those that it has already once."""
        return replace(
            self,
            drugs=tuple(dict.fromkeys((*self.drugs, *drugs))),
            cell_lines=tuple(dict.fromkeys((*self.cell_lines, *cell_lines))),
        )


KERNEL_BLOCKS: Final = BlockChoice(
    drugs=("morgan", "descriptors", "annotations"), cell_lines=("control_pca",)
)
"""What linear models read where nothing else is asked for."""
NETWORK_BLOCKS: Final = BlockChoice(drugs=("morgan", "descriptors"), cell_lines=("control_pca",))
"""What the networks read where nothing else is asked for."""
