"""How large a generated data set is and how strong its effects are. Nothing heavy is imported here."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from drug_pipeline.domain.errors import ConfigurationError

Preset = Literal["tiny", "demo", "large"]

MAX_DRUGS = 72
"""Rows of the compound table."""
MAX_LINES = 20
"""Rows of the cell line table, less four that never have cells."""
N_TRAP_DRUGS = 16
"""The first rows of the compound table; they hold every trap of the drug names."""


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Size and strength of a generated data set; the defaults are the demonstration.

    Parameters
    ----------
    seed
        Same seed and settings, same bytes.
    n_cells
        Expected number of cells of the whole design; the real number differs by about its root.
    n_drugs
        Drugs beside the vehicle, 16 to 72. The first 16 hold every trap, so fewer are refused.
    n_lines
        Cell lines with cells, 5 to 20. The first five hold the traps of the line table.
    n_panels
        Panels of drugs; each lives on its own three plates (0.05, 0.5 and 5 µM).
    n_genes
        Genes that may be expressed; the gene table holds ``n_silent_genes`` more.
    n_silent_genes
        Genes of the gene table that no cell expresses.
    median_umi
        Median of the lognormal library size, in UMI; about that of Tahoe-100M.
    null_frac
        Share of (drug, dose, line) whose true effect is exactly zero.
    effect_scale
        Factor on every drug effect, in natural log units.
    well_sd
        Standard deviation of a well's artefact on the log expression of a gene.
    files_per_plate
        Parquet files that a plate is spread over.
    """

    seed: int = 7
    n_cells: int = 100_000
    n_drugs: int = 60
    n_lines: int = 16
    n_panels: int = 3
    n_genes: int = 1_000
    n_silent_genes: int = 1_000
    median_umi: float = 2_000.0
    null_frac: float = 0.2
    effect_scale: float = 1.0
    well_sd: float = 0.14
    files_per_plate: int = 1

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[float, float]] = {
            "seed": (0, 2**32 - 1),
            "n_cells": (1, 200_000_000),
            "n_drugs": (N_TRAP_DRUGS, MAX_DRUGS),
            "n_lines": (5, MAX_LINES),
            "n_panels": (1, self.n_drugs),
            "n_genes": (200, 30_000),
            "n_silent_genes": (0, 60_000),
            "median_umi": (50, 100_000),
            "null_frac": (0, 0.9),
            "effect_scale": (0, 10),
            "well_sd": (0, 2),
            "files_per_plate": (1, 1_000),
        }
        for name, (low, high) in allowed.items():
            value = getattr(self, name)
            if not low <= value <= high:
                msg = f"{name} is {value}; it must lie between {low} and {high}"
                raise ConfigurationError(msg)

    @classmethod
    def preset(cls, name: Preset, **changes: Any) -> Self:
        """A named size, with single settings changed.

        ``tiny`` (about 8,000 cells, seconds), ``demo`` (about 100,000 cells, under a minute) and
        ``large`` (about a million cells, minutes).
        """
        if name not in PRESETS:
            msg = f"no preset {name!r}; choose one of {', '.join(PRESETS)}"
            raise ConfigurationError(msg)
        return replace(cls(**PRESETS[name]), **changes)


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "n_cells": 8_000,
        "n_drugs": 16,
        "n_lines": 5,
        "n_panels": 2,
        "n_genes": 250,
        "n_silent_genes": 150,
        "median_umi": 600.0,
    },
    "demo": {},
    "large": {
        "n_cells": 1_000_000,
        "n_drugs": 72,
        "n_lines": 20,
        "n_panels": 4,
        "n_genes": 2_000,
        "n_silent_genes": 3_000,
        "files_per_plate": 3,
    },
}
