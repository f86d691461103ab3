"""How a run is drawn on the terminal while it goes."""

from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from drug_pipeline.orchestration.metadata import rows_of
from drug_pipeline.orchestration.resources import Listener
from drug_pipeline.storage.build import BuildResult


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
        line = f" {asset:<22}{counted:<23}{seconds:>7.1f} s{outcome}"
        self._console.print(Text.assemble(("✓", "green"), line))

    def passed_over(self, asset: str, reason: str) -> None:
        """The bar becomes the reason."""
        self._progress.remove_task(self._tasks.pop(asset))
        self._console.print(Text.assemble(("–", "yellow"), f" {asset:<22}not made: {reason}"))
