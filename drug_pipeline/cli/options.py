"""What the commands share: common options, exit codes, and whether tracebacks are wanted."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

FAILED = 1
"""Exit code of a run or a question that failed."""
BAD_USAGE = 2
"""Exit code of a setting or option that cannot be used."""

RawDir = Annotated[
    str | None,
    typer.Option(
        "--raw-dir",
        metavar="FOLDER",
        help="Folder or URL with data/ and metadata/ as released. [default: data/raw]",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="FOLDER", help="Where everything made goes. [default: data]"
    ),
]

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting by its name, such as `training.model.width=128`; may be repeated.",
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings; `--set` wins over it."),
]

debugging_now: ContextVar[bool] = ContextVar("debugging", default=False)


def is_debugging() -> bool:
    """Whether the command line asked for tracebacks."""
    return debugging_now.get()


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="ADDRESS",
        help="A registered model: models:/NAME/VERSION or models:/NAME@ALIAS. [default: that of "
        "the data folder; where it has none, the champion of MLFLOW_TRACKING_URI]",
    ),
]
