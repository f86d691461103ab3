"""The terminal: where text goes, and how a run is drawn while it goes.

Results go to standard output, so that they can be piped; progress and errors go to standard error.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from drug_pipeline.orchestration.metadata import rows_of
from drug_pipeline.orchestration.resources import Listener
from drug_pipeline.storage.build import BuildResult

PIPED_WIDTH: Final = 120
"""Columns where the output is no terminal."""


def _console(*, is_error: bool) -> Console:
    console = Console(stderr=is_error, highlight=False)
    return (
        console
        if console.is_terminal
        else Console(stderr=is_error, highlight=False, width=PIPED_WIDTH)
    )


out = _console(is_error=False)
err = _console(is_error=True)


@contextmanager
def own_stderr() -> Iterator[Console]:
    """A console on a copy of standard error.

    Dagster sends the process's streams to a log file while an asset is built; the copy is not.
    """
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stream:
        yield Console(file=stream, highlight=False)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar a task with its text; gone when the block ends. Draws nothing where nobody looks."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[name]:<22}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield progress


class RunDrawing(Listener):
    """Draws a run: one bar for the asset being built, one line for each that is there."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def started(self, asset: str) -> None:
        """A bar appears."""
        self._tasks[asset] = self._progress.add_task("", name=asset, total=None)

    def progressed(self, asset: str, done: int, total: int, text: str) -> None:
        """The bar grows."""
        self._progress.update(
            self._tasks[asset], completed=done, total=total or None, description=text
        )

    def finished(self, asset: str, result: BuildResult, seconds: float) -> None:
        """The bar becomes a line."""
        self._progress.remove_task(self._tasks.pop(asset))
        rows = rows_of(asset, result.stamp)
        counted = "" if rows is None else f"{rows[0]:>10,} {rows[1]}"
        outcome = "" if result.is_new else "  nothing new"
        self._console.print(f"[green]✓[/] {asset:<22}{counted:<23}{seconds:>7.1f} s{outcome}")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """A table on standard output; columns of ``right`` hold numbers, those of ``whole`` one line."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column in whole,
        )
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    out.print(table)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
