"""Registry of linear models and rankers: which suit a kind of split, restoring one by its name.

What a kind of split asks is a row of ``domain/split_kinds.py``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import SplitKind, kind_of
from drug_pipeline.linear.average import line_average, pair_average, pair_ridge
from drug_pipeline.linear.base import Factory, Features, Predictor, Ranker, State
from drug_pipeline.linear.chemistry import MorganRidge, TanimotoKernelRidge, TanimotoNeighbours
from drug_pipeline.linear.dose import DoseInterpolation
from drug_pipeline.linear.lines import GeneLine, KernelLine
from drug_pipeline.linear.means import Zero, additive, drug_mean, global_mean, line_mean
from drug_pipeline.linear.panel import Completion, LineRidge, PanelRidge
from drug_pipeline.linear.product_kernel import ProductKernelRidge
from drug_pipeline.linear.rankers.cosine import CentredCosine, RawCosine
from drug_pipeline.linear.rankers.rank_cosine import RankCosine
from drug_pipeline.linear.rankers.sda_cosine import SdaCosine
from drug_pipeline.linear.rankers.whitening import LdaCosine, Space

_CHEMISTRY: Final = (MorganRidge, TanimotoKernelRidge, TanimotoNeighbours)
_SEEN: Final = (
    *(Completion, PanelRidge, LineRidge, pair_ridge),
    *(GeneLine, KernelLine, *_CHEMISTRY, ProductKernelRidge, pair_average),
)
_NEW_LINE: Final = (GeneLine, KernelLine, *_CHEMISTRY, ProductKernelRidge, line_average)
_NEW_DRUG: Final = (*_CHEMISTRY, ProductKernelRidge)


def predictors_for(kind: str, features: Features | None = None) -> list[Factory]:
    """Factories of the predictors that make sense for a kind of split, simplest first.

    With ``features``, those alone that find there every block that they are named after.

    Raises
    ------
    ConfigurationError
        If there is no such kind.
    """
    means: list[Factory] = [Zero, global_mean, line_mean, drug_mean, additive]
    models = [
        model
        for model in _models(kind_of(kind))
        if features is None or _has_blocks(model, features)
    ]
    return [*means, *(partial(model, kind=kind) for model in models)]


def _models(kind: SplitKind) -> Sequence[Callable[..., Predictor]]:
    """Models beside the means that have something to say for a kind; each takes ``kind``."""
    if kind.is_drug_new:
        return _NEW_DRUG
    if kind.is_line_new:
        return _NEW_LINE
    return (DoseInterpolation, *_SEEN) if kind.is_dose_new else _SEEN


def _has_blocks(model: Callable[..., Predictor], features: Features) -> bool:
    if model not in _CHEMISTRY:
        return True
    stored, used = features.drug_blocks, features.kernel_blocks
    is_there = "morgan" in stored and "morgan" in used.drugs
    if model is MorganRidge:
        lines = features.line_blocks
        return is_there and "descriptors" in stored and "control_pca" in lines
    return is_there


def restored(name: str, kind: str, state: State, features: Features) -> Predictor:
    """The fitted predictor of that name from its saved state.

    Raises
    ------
    ConfigurationError
        If no predictor of that kind has the name.
    """
    candidates = {
        predictor.name: predictor for predictor in (make() for make in predictors_for(kind))
    }
    if name not in candidates:
        msg = f"no predictor {name!r} for split kind {kind!r}; known: {', '.join(candidates)}"
        raise ConfigurationError(msg)
    return candidates[name].restore(state, features)


def measured_rankers(kind: str, space: Space | None = None) -> list[Ranker]:
    """Fresh rankers that compare a query with measured conditions, simplest first.

    Where a kind of split asks for drugs that were not measured in the query's line, one of them
    leaves the profiles of that line out. ``space`` is the whitened one of the conditions that they
    will be fitted on.
    """
    rankers: list[Ranker] = [RawCosine(), CentredCosine(), RankCosine(), LdaCosine(space=space)]
    rankers += [LdaCosine(is_nearest=True, space=space), SdaCosine()]
    if kind_of(kind).is_pair_new:
        rankers.append(LdaCosine(is_elsewhere=True, space=space))
    return rankers


def restored_ranker(name: str, state: State, features: Features) -> Ranker:
    """The fitted ranker of that name from its saved state.

    Raises
    ------
    ConfigurationError
        If no ranker has the name.
    """
    candidates = {ranker.name: ranker for ranker in measured_rankers("pair")}
    if name not in candidates:
        msg = f"no ranker {name!r}; known: {', '.join(candidates)}"
        raise ConfigurationError(msg)
    return candidates[name].restore(state, features)
