"""The command line: parses, calls, prints; nothing else prints."""

from drug_pipeline.cli.app import main

__all__ = ["main"]
