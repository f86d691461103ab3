"""Every command that a help text or a document shows is one that runs."""

import re
import shlex
from pathlib import Path

import pytest

from drug_pipeline.cli.app import app, run_command
from drug_pipeline_tests.e2e.conftest import Built

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"])
PARSED_ONLY = {
    "run": "builds a chain, which the fixture has done",
    "download": "needs the network",
    "export": "writes every split; test_export.py runs it",
    "register": "logs to MLflow; test_linear_alone.py runs it",
    "synth": "test_cli.py runs it",
}
"""Commands of which the examples are parsed and not run, and why."""
IN_CODE = re.compile(r"`(drug-pipeline [a-z]+ [^`]+)`")
IN_BLOCK = re.compile(r"^ *(drug-pipeline [a-z]+[^#\n]*)", re.MULTILINE)


def commands() -> dict[str, list[str]]:
    """Each shown command with its arguments, in the order of its page."""
    from typer.main import get_command

    texts = [command.help or "" for command in get_command(app).commands.values()]  # type: ignore[attr-defined]
    shown = [line for text in texts for line in IN_CODE.findall(text)]
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        blocks = "\n".join(re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL))
        shown += [*IN_BLOCK.findall(blocks), *IN_CODE.findall(text)]
    whole = (line.strip() for line in shown if not re.search(r"…|\[[A-Z]", line))
    return {line: shlex.split(line)[1:] for line in whole}


COMMANDS = commands()


@pytest.mark.parametrize("shown", [x for x, (name, *_) in COMMANDS.items() if name in PARSED_ONLY])
def test_the_options_of_a_shown_command_are_there(shown: str) -> None:
    from typer.main import get_command

    name, *arguments = COMMANDS[shown]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, list(arguments))
    assert given.args == []  # every word is an option, its value or an argument


def test_every_shown_command_runs(
    built: Built,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRUG_PIPELINE_DATA_DIR", str(built.layout.root))
    failed = {}
    for shown, (name, *arguments) in COMMANDS.items():
        if name not in PARSED_ONLY and run_command([name, *arguments]) != 0:
            failed[shown] = capsys.readouterr().err

    assert failed == {}
    assert {"rank", "predict", "status", "report"} <= {name for name, *_ in COMMANDS.values()}
