"""The command line: parses, calls, prints; nothing else prints."""

import sys


def main(arguments: list[str] | None = None) -> None:
    """Run one command; the process ends with its exit code.

    The commands are imported here and not above: each worker process imports the script that its
    caller was started with, and has no use for Dagster and MLflow (3 s of CPU).
    """
    from drug_pipeline.cli.app import run_command

    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))
