"""The commands, the options they share, and what an error looks like.

Exit codes: 0 well, 1 a run or a question failed, 2 a setting or option cannot be used.
"""

import errno
import traceback
from typing import Annotated, Final

import typer

from drug_pipeline import __version__
from drug_pipeline.cli import ask, export, fetch, inspect, make, register
from drug_pipeline.cli.options import BAD_USAGE, FAILED, debugging_now, is_debugging
from drug_pipeline.domain.errors import ConfigurationError, DrugPipelineError

DEBUG = "--debug"

EPILOG = (
    "Settings come from the environment too, as DRUG_PIPELINE_RAW_DIR, DRUG_PIPELINE_DATA_DIR, "
    "DRUG_PIPELINE_PRESET and so on; an option wins. `drug-pipeline settings` lists them, and every "
    "field that `--set` and `--config` of `run` reach."
)

_MAY_NOT = "Give a folder that you may write to (--data-dir), or have its permissions changed."
_REMEDIES: Final = {
    errno.EACCES: _MAY_NOT,
    errno.EPERM: _MAY_NOT,
    errno.EROFS: _MAY_NOT,
    errno.ENOSPC: "Make room and run again: what is finished is not done twice.",
    errno.EDQUOT: "Make room and run again: what is finished is not done twice.",
    errno.EMFILE: "Raise the limit on open files (`ulimit -n 1024`) and run again.",
}
_CHECK: Final = "Check that the path is right and its disk is there."

app = typer.Typer(
    name="drug-pipeline",
    help="From raw single-cell drug screens to Δexpression, models, honest scores and ranked drugs.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    *,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show tracebacks of errors that have a message.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """From raw single-cell drug screens to Δexpression, models, honest scores and ranked drugs."""
    del debug  # read by run_command, which also sees errors of parsing
    if version:
        from drug_pipeline.cli.console import out

        out.print(f"drug-pipeline {__version__}")
        raise typer.Exit


def run_command(arguments: list[str]) -> int:
    """The exit code of one command line; errors that a user can cause become one message."""
    from drug_pipeline.cli.console import write_what_can_be_written

    write_what_can_be_written()
    debugging = debugging_now.set(DEBUG in arguments)  # before or after the command
    parsed = [argument for argument in arguments if argument != DEBUG]
    try:
        app(args=parsed, prog_name=app.info.name)
    except SystemExit as ended:  # typer has said what there was to say
        return ended.code if isinstance(ended.code, int) else FAILED
    except DrugPipelineError as error:
        _tell(str(error))
        return BAD_USAGE if isinstance(error, ConfigurationError) else FAILED
    except OSError as error:  # files, folders, limits: never ours
        _tell(f"{error}. {_REMEDIES.get(error.errno or 0, _CHECK)}")
        return FAILED
    finally:
        debugging_now.reset(debugging)
    return 0


def _tell(message: str) -> None:
    """One sentence on standard error, after the traceback where that was asked for."""
    from drug_pipeline.cli.console import err

    if is_debugging():
        err.print(traceback.format_exc())
    err.print(f"error: {message}", style="red")


app.command("synth")(make.synth)
app.command("download")(fetch.download)
app.command("run")(make.run)
app.command("status")(inspect.status)
app.command("report")(inspect.report)
app.command("export")(export.export)
app.command("register")(register.register)
app.command("settings")(inspect.settings)
app.command("rank")(ask.rank)
app.command("predict")(ask.predict)
