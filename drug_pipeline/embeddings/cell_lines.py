"""Cell-line vectors from control cells, organ and driver mutations.

What belongs here: the control profile of a line, its principal components through scanpy, and the
known facts of the line. What does not: treated cells, which never enter a line's vector, so that a
line nobody has treated yet gets one from its vehicle cells alone (:meth:`CellLineEncoder.transform`).
The basis is fitted on the controls of all lines at hand, test lines too: a control profile is an
input of each question asked about a line, never its answer.

Shapes: L = cell lines, G = genes of the panel, M = (line, plate) controls, P = components,
F = features.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.blocks import LINE_BLOCKS, check_blocks
from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    MetadataError,
    MissingControlError,
    first_few,
)
from drug_pipeline.domain.tables import ControlTable, EmbeddingTable
from drug_pipeline.embeddings.alignment import OwnMissing, join_blocks, own_block

OWN_KEYS: Final = (names.CELL_LINE_ID, names.DEPMAP_ID, names.CELL_NAME)
"""Columns of the line table by which own vectors can be keyed."""
TRAINED_ON_CONTROLS: Final = "vehicle cells of the lines themselves; no treated cell"
NO_CONTROLS: Final = "no vehicle cells in the data"


@dataclass(frozen=True, kw_only=True)
class CellLineEmbeddingConfig:
    """Which blocks a cell-line vector has.

    Parameters
    ----------
    blocks
        Some of ``control_pca``, ``organ``, ``drivers``, ``own``; the last is made wherever its
        source is named.
    n_components
        Components of the control profiles, fewer where there are too few lines or genes; ten
        carried what the kernels over lines could use.
    min_driver_lines
        A gene is a driver feature if it is mutated in at least this many lines: a mutation of a
        single line only names that line.
    own_path, own_key
        Parquet, CSV or NPZ file of own vectors (DepMap, a foundation model), for block ``own``,
        and its key, one of :data:`OWN_KEYS`; the first of these that the file has where None.
    own_missing
        What happens to lines without an own vector: known by their other blocks, or an error.
    """

    blocks: tuple[str, ...] = ("control_pca", "organ", "drivers")
    n_components: int = 10
    min_driver_lines: int = 2
    own_path: str | None = None
    own_key: str | None = None
    own_missing: OwnMissing = "fall_back"

    def __post_init__(self) -> None:
        check_blocks(self.blocks, LINE_BLOCKS, what="blocks")
        if self.n_components < 1 or self.min_driver_lines < 1:
            msg = (
                f"n_components {self.n_components} and min_driver_lines {self.min_driver_lines}: "
                "both are 1 or more"
            )
            raise ConfigurationError(msg)
        if self.own_key is not None and self.own_key not in OWN_KEYS:
            msg = f"own_key is {self.own_key!r}; give one of {', '.join(OWN_KEYS)}"
            raise ConfigurationError(msg)
        if "own" in self.blocks and self.own_path is None:
            msg = "block 'own' is asked for, but its source is not named: set cell_line_embeddings.own_path"
            raise ConfigurationError(msg)

    @property
    def given(self) -> tuple[str, ...]:
        """Blocks whose source is named."""
        return () if self.own_path is None else ("own",)

    @property
    def made(self) -> list[str]:
        """Every block that is made, in the order in which they stand side by side."""
        return sorted({*self.blocks, *self.given}, key=list(LINE_BLOCKS).index)


@dataclass(frozen=True, kw_only=True)
class CellLineEncoder:
    """What turns a control profile and the facts of a line into its vector.

    ``loadings_GP`` has orthonormal columns, each with its largest entry positive. A gene that does
    not vary between lines has scale 1, and so adds nothing.
    """

    token_ids_G: NDArray[np.int64]
    mean_G: NDArray[np.float64]
    scale_G: NDArray[np.float64]
    loadings_GP: NDArray[np.float64]
    organs: tuple[str, ...]
    driver_genes: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        control_LG: NDArray[np.float32],
        token_ids_G: NDArray[np.int64],
        cell_lines: pd.DataFrame,
        config: CellLineEmbeddingConfig,
    ) -> "CellLineEncoder":
        """The encoder of these lines; ``cell_lines`` (``schemas.CELL_LINES``) has L rows, in order."""
        profiles_LG = control_LG.astype(np.float64)
        mean_G, scale_G = profiles_LG.mean(axis=0), profiles_LG.std(axis=0)
        scale_G[scale_G == 0.0] = 1.0
        mutated = Counter(
            gene for genes in cell_lines[names.DRIVER_MUTATIONS] for gene in set(genes)
        )
        return cls(
            token_ids_G=token_ids_G,
            mean_G=mean_G,
            scale_G=scale_G,
            loadings_GP=principal_axes((profiles_LG - mean_G) / scale_G, config.n_components),
            organs=tuple(sorted(set(cell_lines[names.ORGAN].dropna()))),
            driver_genes=tuple(
                sorted(gene for gene, n in mutated.items() if n >= config.min_driver_lines)
            ),
        )

    def project(self, control_LG: NDArray[np.float32]) -> NDArray[np.float32]:
        """Components of control profiles over the encoder's genes, in its order, (L, P)."""
        if control_LG.shape[1] != len(self.token_ids_G):
            msg = (
                f"control profiles have {control_LG.shape[1]} genes, the encoder was fitted on "
                f"{len(self.token_ids_G)}. Use the gene panel that it was built with."
            )
            raise AlignmentError(msg)
        scores_LP = (control_LG.astype(np.float64) - self.mean_G) / self.scale_G @ self.loadings_GP
        return scores_LP.astype(np.float32)

    def transform(
        self,
        control_LG: NDArray[np.float32],
        cell_lines: pd.DataFrame,
        config: CellLineEmbeddingConfig,
        own: EmbeddingTable | None = None,
    ) -> EmbeddingTable:
        """Vectors of lines, also ones that the encoder was not fitted on.

        An organ or a driver gene that the fit did not know leaves its block at zero.
        """
        parts: dict[str, tuple[NDArray[np.float32], Sequence[str]]] = {}
        pcs = [f"control_pc{number}" for number in range(self.loadings_GP.shape[1])]
        parts["control_pca"] = (self.project(control_LG), pcs)
        organ = [[one] for one in cell_lines[names.ORGAN]]
        parts["organ"] = (_hits(organ, self.organs), [f"organ_{one}" for one in self.organs])
        drivers = cell_lines[names.DRIVER_MUTATIONS].tolist()
        parts["drivers"] = (
            _hits(drivers, self.driver_genes),
            [f"driver_{gene}" for gene in self.driver_genes],
        )
        if own is not None:
            wanted = cell_lines[own.key_name].astype(str).tolist()
            parts["own"] = own_block(own, wanted, config.own_missing)
        trained_on = [TRAINED_ON_CONTROLS] if own is None else [TRAINED_ON_CONTROLS, own.trained_on]
        return join_blocks(
            names.CELL_LINE_ID,
            cell_lines[names.CELL_LINE_ID].astype(str).tolist(),
            [(block, *parts[block]) for block in config.made],
            trained_on="; ".join(trained_on),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """The encoder as named arrays, for files."""
        return {
            "token_ids": self.token_ids_G,
            "mean": self.mean_G,
            "scale": self.scale_G,
            "loadings": self.loadings_GP,
            "organs": np.array(self.organs, dtype=str),
            "driver_genes": np.array(self.driver_genes, dtype=str),
        }


def cell_line_vectors(
    controls: ControlTable,
    token_ids_G: NDArray[np.int64],
    cell_lines: pd.DataFrame,
    config: CellLineEmbeddingConfig,
    own: EmbeddingTable | None = None,
) -> tuple[EmbeddingTable, dict[str, str], CellLineEncoder]:
    """Vectors of the lines that have controls, the other lines with reasons, and the encoder.

    Parameters
    ----------
    cell_lines
        Table of ``schemas.CELL_LINES``; the vectors come in its order.
    own
        Vectors for block ``own``; its ``key_name`` is the column of ``cell_lines`` that keys it.

    Raises
    ------
    MetadataError
        If a line with controls is not in ``cell_lines``.
    AlignmentError
        If ``own`` cannot be used for these lines; see ``alignment.own_block``.
    """
    lines, control_LG = line_controls(controls)
    known = cell_lines[names.CELL_LINE_ID].astype(str)
    unknown = sorted(set(lines) - set(known))
    if unknown:
        msg = (
            f"{len(unknown)} of {len(lines)} cell lines are not in the metadata; first: "
            f"{first_few(unknown)}. Add them to cell_line_metadata."
        )
        raise MetadataError(msg)
    left_out = dict.fromkeys(known[~known.isin(lines)], NO_CONTROLS)
    kept = cell_lines[~known.isin(left_out)].reset_index(drop=True)
    row_of = {line: row for row, line in enumerate(lines)}
    kept_LG = control_LG[[row_of[line] for line in kept[names.CELL_LINE_ID]]]
    encoder = CellLineEncoder.fit(kept_LG, token_ids_G, kept, config)
    return encoder.transform(kept_LG, kept, config, own), left_out, encoder


def line_controls(controls: ControlTable) -> tuple[list[str], NDArray[np.float32]]:
    """Cell lines in ascending order, and their control profiles: the mean over plates, (L, G).

    Raises
    ------
    MissingControlError
        If there is no control at all.
    """
    line_M = controls.groups[names.CELL_LINE_ID].to_numpy(dtype=str)
    lines = sorted(set(line_M.tolist()))
    if not lines:
        msg = "no cell line has vehicle cells. Lower min_control_cells, or add control wells."
        raise MissingControlError(msg)
    means = [controls.control_MG[line_M == line].mean(axis=0, dtype=np.float64) for line in lines]
    return lines, np.array(means, dtype=np.float32)


def principal_axes(scaled_LG: NDArray[np.float64], n_wanted: int) -> NDArray[np.float64]:
    """Principal axes of z-scored profiles through scanpy, (G, P); P can be below ``n_wanted``.

    L profiles span at most L - 1 directions, so one line has no axis. The largest entry of each
    axis is positive (scikit-learn sees to it): the sign of a component is the same everywhere.
    """
    n_lines, n_genes = scaled_LG.shape
    n_axes = min(n_wanted, n_lines - 1, n_genes - 1)
    if n_axes < 1:
        return np.zeros((n_genes, 0))
    import anndata
    import scanpy

    profiles = anndata.AnnData(scaled_LG)
    scanpy.pp.pca(profiles, n_comps=n_axes, svd_solver="full", dtype="float64")
    return np.asarray(profiles.varm["PCs"], dtype=np.float64)


def _hits(sets: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """1 where a set holds a word of the vocabulary, else 0, (L, F)."""
    held = [[float(word in members) for word in vocabulary] for members in map(set, sets)]
    return np.array(held, dtype=np.float32).reshape(len(sets), len(vocabulary))
