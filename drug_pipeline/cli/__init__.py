"""The command line: parses, calls, prints; nothing else prints."""

import atexit
import os
import sys


def main(arguments: list[str] | None = None) -> None:
    """Run one command; the process ends with its exit code.

    The commands are imported here and not above: each worker process imports the script that its
    caller was started with, and has no use for Dagster and MLflow (3 s of CPU).
    """
    from drug_pipeline.domain.workers import end_when_told

    end_when_told()
    from drug_pipeline.cli.app import run_command

    _end(run_command(sys.argv[1:] if arguments is None else arguments))


def _end(code: int) -> None:
    """End this process with everything written, but without taking its modules apart.

    To free those of Dagster, MLflow and torch one by one takes 3 s of CPU, during which no signal
    is heard.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
