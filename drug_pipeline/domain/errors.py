"""Errors that a user or the data can cause. Each message says what, how many, which first, what to do."""

from collections.abc import Iterable
from functools import partial
from typing import Any


class DrugPipelineError(Exception):
    """Base of every error that a user or the data can cause."""


class ConfigurationError(DrugPipelineError, ValueError):
    """A setting that cannot be used."""


class RawDataError(DrugPipelineError):
    """Raw data that are missing or cannot be read."""


class RawAccessError(RawDataError):
    """Raw data whose store refuses, or does not answer; nothing is known against the data."""


class BadCellError(RawDataError):
    """A raw file whose records break the format; carries what a quarantine entry needs.

    Parameters
    ----------
    column
        Raw column at fault.
    row
        First row at fault, counted from 0 within the file; -1 where no row can be named.
    problem
        What is wrong, with the offending value.
    remedy
        What the user can do.
    """

    def __init__(self, *, column: str, row: int, problem: str, remedy: str) -> None:
        super().__init__(f"column {column!r}, row {row}: {problem}. {remedy}")
        self.column = column
        self.row = row
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """How it travels between processes."""
        remake = partial(
            BadCellError,
            column=self.column,
            row=self.row,
            problem=self.problem,
            remedy=self.remedy,
        )
        return remake, ()


class MetadataError(DrugPipelineError):
    """Metadata tables that are missing, malformed or do not match the records."""


class MissingControlError(DrugPipelineError):
    """Conditions without vehicle cells to compare with."""


class EmptyResultError(DrugPipelineError):
    """A filter or a split that leaves nothing."""


class NoSplitError(EmptyResultError):
    """Data of which nothing can be held out, so that no model can be judged."""


class AlignmentError(DrugPipelineError):
    """Keys of two tables that do not match."""


class StaleInputError(DrugPipelineError):
    """A file built from other inputs than those that are there now."""


class ForeignFileError(DrugPipelineError):
    """A file whose content is not what its stamp says."""


class CheckpointError(DrugPipelineError):
    """A checkpoint that does not fit the data, the genes or the split."""


class TrainingError(DrugPipelineError):
    """A training run that cannot go on."""


class DiskFullError(DrugPipelineError):
    """No room where something is to be written."""


class LeakError(DrugPipelineError):
    """Information that crosses from test to training."""


class QueryError(DrugPipelineError):
    """A question that cannot be answered as asked."""


def first_few(items: Iterable[object], *, limit: int = 3) -> str:
    """The first few items as text, for error messages: ``a, b, c and 4 more``."""
    listed = [str(item) for item in items]
    shown = ", ".join(listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"
