"""Names that one configuration takes from another must be there: splits and linear models.

A misspelt one would otherwise be left out in silence, like one that the data do not allow.
"""

from collections.abc import Iterable

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.domain.split_kinds import SPLIT_NAMES
from drug_pipeline.expression.splits.named_splits import SplitConfig


def require_splits(setting: str, asked: Iterable[str], plan: SplitConfig) -> None:
    """Refuse the name of a split that is never drawn.

    Raises
    ------
    ConfigurationError
        If there is one; the message has the names there are.
    """
    _require(setting, asked, "split", (*SPLIT_NAMES, *plan.holdout_lines))


def require_linear_models(setting: str, asked: Iterable[str]) -> None:
    """Refuse the name of a linear model that suits no split.

    Raises
    ------
    ConfigurationError
        If there is one; the message has the names there are.
    """
    if asked:
        from drug_pipeline.linear.registry import predictors_for  # heavy, and seldom asked

        known = [make().name for kind in SPLIT_NAMES for make in predictors_for(kind)]
        _require(setting, asked, "linear model", tuple(dict.fromkeys(known)))


def _require(setting: str, asked: Iterable[str], what: str, known: tuple[str, ...]) -> None:
    unknown = [name for name in asked if name not in known]
    if unknown:
        msg = f"{setting} names {unknown[0]!r}, which is no {what}. There are: {', '.join(known)}."
        raise ConfigurationError(msg)
