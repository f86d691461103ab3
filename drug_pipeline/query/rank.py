"""Which drug does this to a cell line, or undoes it: ranked drugs with reasons.

Shapes: G = genes of the panel, D = gallery drugs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import QueryError
from drug_pipeline.domain.split_kinds import KINDS, MEASURED_AGAIN
from drug_pipeline.query.library import Library
from drug_pipeline.query.names import resolve_line
from drug_pipeline.query.signature import Signature
from drug_pipeline.query.trust import COMBINED, IN_THIS_LINE, Trust, no_figure, ranking_trust
from drug_pipeline.training.deployed.bundle import Bundle

DRUG_TASK: Final = "drug"
PROFILE_FRAC: Final = 0.9
"""Share of the panel's genes with a value from which on a signature is as those of the evaluation."""
CHANGED_FRAC: Final = 0.5
"""The same for values that are not 0: a list of genes may come filled up with zeros."""


@dataclass(frozen=True, kw_only=True)
class RankedDrugs:
    """Drugs by how well they answer, best first.

    ``table`` has rank, drug, score, percentile (share of the gallery that scores lower, 0 to 100),
    is_measured (trained on at all), is_measured_here (in this line), parent_compound, moa_fine,
    targets, and one column a ranker that the score is combined from.
    """

    table: pd.DataFrame
    signature: Signature
    line: str
    trust: Trust


def rank_drugs(
    model: Bundle,
    library: Library,
    signature: Signature,
    line: str,
    *,
    is_reversed: bool = False,
    top: int | None = None,
) -> RankedDrugs:
    """Drugs ranked for a signature in a cell line, also drugs never measured.

    Parameters
    ----------
    line
        Id or name of the cell line.
    is_reversed
        Rank drugs that undo the signature instead of those that do it.
    top
        Rows of the answer; all by default.

    Raises
    ------
    QueryError
        If the line is unknown, or ``top`` is not positive.
    """
    if top is not None and top < 1:
        msg = f"top is {top}; ask for at least one drug."
        raise QueryError(msg)
    line_id = resolve_line(line, library.cell_lines, model.features.lines)
    wanted = signature.reversed() if is_reversed else signature
    ranking = model.rank(_asked(wanted)[None, :], np.array([line_id]))
    scores_D = np.asarray(ranking.scores_QD[0], dtype=np.float64)
    table = pd.DataFrame(
        {
            names.DRUG: list(ranking.gallery),
            "score": scores_D,
            "percentile": _percentiles(scores_D),
            "is_measured": ranking.is_measured_D,
            "is_measured_here": [(drug, line_id) in library.measured for drug in ranking.gallery],
            **{name: np.asarray(part_QD[0]) for name, part_QD in ranking.parts.items()},
        }
    )
    known = library.drugs[[names.DRUG, names.PARENT_COMPOUND, names.MOA_FINE, names.TARGETS]]
    table = table.merge(known, on=names.DRUG, how="left", validate="one_to_one")
    table = table.sort_values(["score", names.DRUG], ascending=[False, True], kind="stable")
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return RankedDrugs(
        table=table.head(top or len(table)).reset_index(drop=True),
        signature=wanted,
        line=line_id,
        trust=no_figure("drugs that undo a signature")
        if is_reversed
        else _trust(library, wanted, line_id),
    )


def _asked(signature: Signature) -> NDArray[np.float32]:
    """The signature as rankers read it: NaN, unknown, in genes that were not given.

    Where all given values are of one size it is a list of genes, and the others are 0, unchanged.
    """
    sizes = np.unique(np.abs(signature.delta_G[signature.is_given_G]))
    others = 0.0 if len(sizes) == 1 else np.nan
    return np.where(signature.is_given_G, signature.delta_G, np.float32(others))


def _percentiles(scores_D: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the other drugs that score lower, ties counting half, in per cent."""
    if len(scores_D) < 2:
        return np.full(len(scores_D), 100.0)
    ordered = np.sort(scores_D)
    lower = np.searchsorted(ordered, scores_D, side="left")
    equal = np.searchsorted(ordered, scores_D, side="right") - lower - 1
    return np.asarray(100.0 * (lower + 0.5 * equal) / (len(scores_D) - 1))


def _trust(library: Library, signature: Signature, line: str) -> Trust:
    """The figure of such a question: a whole profile, in a line that was treated or in a new one.

    What was measured, measured again: in this line if it was asked about, else on a replicate plate.
    """
    if not signature.is_delta:
        return no_figure("a signature of z-scores or of another unit")
    given_frac, changed_frac = signature.is_given_G.mean(), np.mean(signature.delta_G != 0)
    if given_frac < PROFILE_FRAC or changed_frac < CHANGED_FRAC:
        return no_figure("a signature of some genes of the panel")
    is_known = any(line == known for _, known in library.measured)
    splits = MEASURED_AGAIN if is_known else [name for name in KINDS if KINDS[name].is_line_new]
    figures = [
        ranking_trust(library.metrics, split, DRUG_TASK, COMBINED, line if is_known else None)
        for split in splits
    ]
    of_line = [figure for figure in figures if figure.where == IN_THIS_LINE]
    known = [figure for figure in figures if figure.value is not None]
    return (of_line or known or figures[-is_known:])[0]
