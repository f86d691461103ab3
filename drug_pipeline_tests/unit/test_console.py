"""What is printed is what was there, whatever signs it has and whatever the terminal takes."""

import io
import re
import sys
from pathlib import Path

import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.console import (
    PlainConsole,
    out,
    print_table,
    progress_bar,
    write_what_can_be_written,
)
from drug_pipeline.cli.options import FAILED
from drug_pipeline.cli.run_drawing import RunDrawing

NAMES = ["c1cc[nH]c1", "benzo[a]pyrene", "[/x]", "[bold]", "a:x:b", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_shows_names_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(f"title {name}", (name,), [(name,)], whole=(name,))

    shown = re.sub(r"[\s│┃]", "", capsys.readouterr().out)
    assert shown.count(name) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_line_shows_names_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    out.print(f"/data/{name} is there", style="dim")

    assert capsys.readouterr().out == f"/data/{name} is there\n"


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_run_is_drawn_with_names_whole(name: str) -> None:
    stream = io.StringIO()
    console = PlainConsole(file=stream, force_terminal=True, width=200)

    with progress_bar(console) as progress:
        drawing = RunDrawing(console, progress)
        drawing.started("splits")
        drawing.progressed("splits", 1, 2, f"file {name}")
        progress.refresh()

    assert f"file {name}" in stream.getvalue()


def test_a_terminal_that_takes_ascii_alone_gets_the_answer_in_ascii(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    write_what_can_be_written()
    print_table("Δ at 0.5 µM", ("gene", "Δ (ln)"), [("GENE→é", 0.5)])
    sys.stdout.flush()

    shown = written.getvalue().decode("ascii")
    assert "delta at 0.5 uM" in shown
    assert r"GENE->\xe9" in shown


def test_a_folder_that_cannot_be_made_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    code = run_command(["synth", "--preset", "tiny", "--out", str(tmp_path / "file" / "raw")])

    shown = capsys.readouterr().err
    assert code == FAILED
    assert "Not a directory" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("out_file", "message"),
    [("no/folder.csv", "is no folder. Make it first"), ("x.doc", "ends in .csv or .parquet")],
)
def test_an_out_file_that_could_not_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, out_file: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["rank", "--like", "a@b@1", "--data-dir", str(tmp_path / "empty")]

    assert run_command([*arguments, "--out", str(tmp_path / out_file)]) == FAILED
    assert message in capsys.readouterr().err
