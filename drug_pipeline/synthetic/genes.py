"""The gene table of the generated screen: which genes there are and which can be expressed.

Real symbols stand only where a drug, a driver mutation or a marker needs them; all other genes have
made-up names, and every Ensembl id lies in a range that Ensembl does not use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain.names import FIRST_GENE_TOKEN
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.mechanisms import MECHANISMS, STRESS_GENES
from drug_pipeline.synthetic.public.cell_lines import CellLine
from drug_pipeline.synthetic.public.compounds import Compound
from drug_pipeline.synthetic.streams import stream


@dataclass(frozen=True, kw_only=True)
class GeneTable:
    """All genes in token order.

    Parameters
    ----------
    symbols, ensembl_ids
        One per gene; a silent gene's symbol is its Ensembl id, as for a third of the released table.
    token_ids
        Ascending from 3.
    expressed
        Positions of the genes that can be expressed, ascending.
    """

    symbols: tuple[str, ...]
    ensembl_ids: tuple[str, ...]
    token_ids: NDArray[np.int64]
    expressed: NDArray[np.intp]

    @property
    def expressed_symbols(self) -> tuple[str, ...]:
        """Symbols of the genes that can be expressed, in token order."""
        return tuple(self.symbols[position] for position in self.expressed)

    @property
    def expressed_tokens(self) -> NDArray[np.int64]:
        """Tokens of the genes that can be expressed, ascending."""
        return self.token_ids[self.expressed]


def named_genes(compounds: Sequence[Compound], lines: Sequence[CellLine]) -> list[str]:
    """Real symbols that the screen needs, sorted: targets, drivers, markers, stress genes."""
    wanted = set(STRESS_GENES)
    for compound in compounds:
        mechanism = MECHANISMS[compound.mechanism]
        wanted.update(compound.targets, mechanism.down, mechanism.up)
    for line in lines:
        wanted.update(line.driver_genes)
    return sorted(wanted)


def make_genes(
    compounds: Sequence[Compound], lines: Sequence[CellLine], config: SyntheticConfig
) -> GeneTable:
    """The gene table: named genes, filler genes and silent genes, shuffled."""
    named = named_genes(compounds, lines)
    fillers = [f"GENE{number:04d}" for number in range(1, config.n_genes - len(named) + 1)]
    n_total = config.n_genes + config.n_silent_genes
    ensembl_ids = tuple(f"ENSG99{number:09d}" for number in range(1, n_total + 1))
    place = stream(config.seed, "gene order").permutation(n_total)
    expressed = np.sort(place[: config.n_genes])
    symbols = list(ensembl_ids)
    for position, symbol in zip(place[: config.n_genes], [*named, *fillers], strict=True):
        symbols[position] = symbol
    return GeneTable(
        symbols=tuple(symbols),
        ensembl_ids=ensembl_ids,
        token_ids=np.arange(n_total, dtype=np.int64) + FIRST_GENE_TOKEN,
        expressed=expressed,
    )
