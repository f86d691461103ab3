"""The terminal: where text goes, tables, bars.

Results go to standard output, so that they can be piped; progress and errors go to standard error.
"""

import codecs
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
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

IN_ASCII_TOO: Final = "drug_pipeline.in_ascii_too"
PIPED_WIDTH: Final = 120
"""Columns where the output is no terminal."""


IN_ASCII: Final = str.maketrans(
    {"Δ": "delta", "µ": "u", "→": "->", "✓": "ok", "…": "...", "×": "x"}
)
"""The signs of our own texts where a terminal takes ASCII only."""


class PlainConsole(Console):
    """A console that prints text as it is: brackets are no markup, and no line is broken."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, soft_wrap=True, **options)


def _console(*, is_error: bool) -> Console:
    console = PlainConsole(stderr=is_error)
    return console if console.is_terminal else PlainConsole(stderr=is_error, width=PIPED_WIDTH)


out = _console(is_error=False)
err = _console(is_error=True)


def write_what_can_be_written() -> None:
    """Let both streams write any text: signs that their encoding lacks in ASCII, or by number."""
    codecs.register_error(IN_ASCII_TOO, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=IN_ASCII_TOO)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "registered for writing"
    signs = error.object[error.start : error.end].translate(IN_ASCII)
    return signs.encode("ascii", "backslashreplace").decode("ascii"), error.end


@contextmanager
def own_stderr() -> Iterator[Console]:
    """A console on a copy of standard error.

    Dagster sends the process's streams to a log file while an asset is built; the copy is not.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with os.fdopen(os.dup(2), "w", encoding=encoding, errors="backslashreplace") as stream:
        yield PlainConsole(file=stream)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar per task with its text; gone when the block ends. Draws nothing where nobody looks."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[name]:<22}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield progress


@contextmanager
def task_bar(name: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar of one task on standard error; the block is given what moves it."""
    with progress_bar(err) as progress:
        task = progress.add_task("", name=name, total=None)
        yield lambda done, total, text: progress.update(
            task, completed=done, total=total, description=text
        )


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> None:
    """A table on standard output; columns of ``right`` hold numbers.

    Those of ``whole`` are as wide as their longest text where there is room; nothing is cut off.
    """
    table = Table(title=title, title_justify="left", header_style="bold")
    texts = [[_text(value) for value in row] for row in rows]
    for place, column in enumerate(columns):
        longest = max((len(row[place]) for row in texts), default=0)
        table.add_column(
            column,
            justify="right" if column in right else "left",
            min_width=min(longest, out.width // 3) if column in whole else None,
            overflow="fold",
        )
    for row in texts:
        table.add_row(*row)
    out.print(table, soft_wrap=False)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
