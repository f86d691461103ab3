"""The gene panel: which genes are modelled, chosen on vehicle cells (and drug targets) only.

What belongs here: statistics of control cells per gene, their merge, the choice.
What does not: which files are looked at (``ingest/panel.py``).

Treated cells never decide on a gene, so that nothing of a test condition leaks into the panel.

Shapes: T = tokens (0 … largest of the gene table), G = genes of the panel.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError
from drug_pipeline.expression.moments import mean_of_sums, variance_of_sums

MEAN_LOG1P: Final = "mean_log1p"
VARIANCE: Final = "variance"
DETECTED_FRAC: Final = "detected_frac"
IS_TARGET: Final = "is_target"


@dataclass(frozen=True, kw_only=True)
class PanelConfig:
    """Which genes make the panel.

    Parameters
    ----------
    n_genes
        Genes chosen by rank; fewer where fewer are detected. Targets come on top.
    min_detected_frac
        Share of control cells that must have a count of a gene, so that rank is not given to
        noise. 1 %: a gene in fewer cells has a mean that 1,000 cells cannot place.
    include_targets
        Whether targets of the drugs that are detected in any control cell are added.
    policy
        ``follow``: chosen anew when control cells change, and everything after it is rebuilt.
        ``frozen``: kept as first chosen for these settings; for data that keep growing.
    max_files_per_plate
        Files of each plate whose control cells are looked at, those of smallest content hash, so
        that the choice does not depend on names or order. None: all. Four shards of Tahoe-100M
        have about 2,000 control cells per plate.
    """

    n_genes: int = 2_000
    min_detected_frac: float = 0.01
    include_targets: bool = True
    policy: Literal["follow", "frozen"] = "follow"
    max_files_per_plate: int | None = None

    def __post_init__(self) -> None:
        if self.n_genes < 1:
            msg = f"n_genes is {self.n_genes}; a panel needs at least one gene."
            raise ConfigurationError(msg)
        if not 0.0 <= self.min_detected_frac < 1.0:
            msg = f"min_detected_frac is {self.min_detected_frac}; it must lie in [0, 1)."
            raise ConfigurationError(msg)
        if self.policy not in ("follow", "frozen"):
            msg = f"policy is {self.policy!r}; use 'follow' or 'frozen'."
            raise ConfigurationError(msg)
        if self.max_files_per_plate is not None and self.max_files_per_plate < 1:
            msg = f"max_files_per_plate is {self.max_files_per_plate}; at least 1, or None for all."
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class ControlGeneStats:
    """Exact sums over control cells, per token: the fixed-point form of ``kernel.py``.

    ``sum_x_T`` is in units of 2^-36, ``sum_x2_T`` of 2^-32; ``nnz_T`` counts cells with a count.
    """

    n_cells: int
    sum_x_T: NDArray[np.int64]
    sum_x2_T: NDArray[np.int64]
    nnz_T: NDArray[np.int64]

    @classmethod
    def merged(cls, parts: "Sequence[ControlGeneStats]") -> "ControlGeneStats":
        """The sums over all parts; integers, so that their order does not matter."""
        return cls(
            n_cells=sum(part.n_cells for part in parts),
            sum_x_T=np.sum([part.sum_x_T for part in parts], axis=0),
            sum_x2_T=np.sum([part.sum_x2_T for part in parts], axis=0),
            nnz_T=np.sum([part.nnz_T for part in parts], axis=0),
        )


def choose_panel(
    stats: ControlGeneStats, genes: pd.DataFrame, targets: Collection[str], config: PanelConfig
) -> pd.DataFrame:
    """The panel: ``schemas.GENES`` and the statistics it was chosen by, sorted by token.

    Among genes detected in enough control cells, those of the largest variance of log1p_cp10k
    come first, then the larger mean, then the smaller token.

    Parameters
    ----------
    genes
        The gene table (``schemas.GENES``).
    targets
        Gene symbols.

    Raises
    ------
    EmptyResultError
        If there are no control cells, or no gene is detected in enough of them.

    Notes
    -----
    The variance of log-normalised counts ranks genes as scanpy's and Seurat's oldest recipes do.
    It is not divided by its trend over the mean, as for finding cell types: a Δ is a difference
    of means, whose error is smallest for well detected genes.
    """
    if not stats.n_cells:
        msg = (
            f"no cell of the vehicle {names.CONTROL_DRUG!r} was found, and the panel is chosen on "
            "those only. Check the drug column of the raw files and the wells' metadata."
        )
        raise EmptyResultError(msg)
    table = _statistics(stats, genes)
    is_ranked = table[DETECTED_FRAC] >= max(config.min_detected_frac, 1 / stats.n_cells)
    if not is_ranked.any():
        msg = (
            f"no gene is detected in {config.min_detected_frac:.1%} of {stats.n_cells:,} control "
            "cells. Lower panel.min_detected_frac."
        )
        raise EmptyResultError(msg)
    order = [VARIANCE, MEAN_LOG1P, names.TOKEN_ID]
    ranked = table[is_ranked].sort_values(order, ascending=[False, False, True])
    table[IS_TARGET] = table[names.GENE_SYMBOL].isin(targets)
    chosen = table[names.TOKEN_ID].isin(ranked[names.TOKEN_ID].head(config.n_genes))
    if config.include_targets:
        chosen |= table[IS_TARGET] & (table[DETECTED_FRAC] > 0)
    return table[chosen].sort_values(names.TOKEN_ID).reset_index(drop=True)


def _statistics(stats: ControlGeneStats, genes: pd.DataFrame) -> pd.DataFrame:
    """The gene table with mean and variance of x, and the share of cells, per gene."""
    token_T = genes[names.TOKEN_ID].to_numpy()
    n_cells = np.int64(stats.n_cells)
    table = genes[[names.TOKEN_ID, names.ENSEMBL_ID, names.GENE_SYMBOL]].copy()
    table[MEAN_LOG1P] = mean_of_sums(stats.sum_x_T[token_T], n_cells)
    table[VARIANCE] = variance_of_sums(stats.sum_x_T[token_T], stats.sum_x2_T[token_T], n_cells)
    table[DETECTED_FRAC] = stats.nnz_T[token_T] / n_cells
    return table
