"""The command line without a model: what it prints, and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import BAD_USAGE, FAILED
from drug_pipeline.orchestration.status import STAMPED
from drug_pipeline.settings import settings_help

COMMANDS = ("synth", "run", "status", "report", "export", "register", "settings", "rank", "predict")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*settings_help(), "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command([command, "--help"])

    shown = capsys.readouterr().out
    assert code == 0
    assert len(shown) > 400
    assert f"drug-pipeline {command}" in shown


def test_the_help_names_every_command_and_where_settings_come_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run_command(["--help"])

    shown = capsys.readouterr().out
    assert code == 0
    assert [command for command in COMMANDS if command not in shown] == []
    assert "DRUG_PIPELINE_RAW_DIR" in shown


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("drug-pipeline 0.")


def test_a_threshold_that_is_not_a_number_ends_with_two_and_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(
        ["run", "--min-cells-per-pair", "many", "--data-dir", str(tmp_path / "made")]
    )

    shown = capsys.readouterr().err
    assert code == BAD_USAGE
    assert "min_cells_per_pair is 'many'" in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("folder", ["/proc/none/made", "/etc/hostname/made"])
def test_a_data_folder_that_cannot_be_made_is_one_sentence(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["run", "--data-dir", folder])

    shown = capsys.readouterr().err
    assert code == FAILED
    assert f"'{Path(folder).parent}" in shown
    assert "Traceback" not in shown


def test_a_bad_variable_is_named_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRUG_PIPELINE_N_GENES", "some")

    assert run_command(["settings"]) == BAD_USAGE
    assert "DRUG_PIPELINE_N_GENES is 'some'" in capsys.readouterr().err


def test_debug_adds_the_traceback_wherever_it_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["run", "--seed", "x", "--debug"]) == BAD_USAGE
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["run", "--preset", "huge"], "'huge' is not one of 'tiny', 'demo', 'full'"),
        (["rank"], "give a signature FILE, or --like"),
        (["rank", "a.csv", "--like", "a@b@1"], "and not both"),
        (["rank", "a.csv"], "say in which line with --cell-line"),
        (["predict", "--dose-um", "1", "--cell-line", "x"], "give --drug or --smiles"),
        (["predict", "--drug", "x", "--cell-line", "x"], "Missing option '--dose-um'"),
    ],
)
def test_bad_usage_ends_with_two_and_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(arguments)

    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert code == BAD_USAGE
    assert message in shown


def test_an_unknown_selection_is_refused_with_the_known_assets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["run", "--select", "delta_shard", "--data-dir", str(tmp_path)])

    assert code == BAD_USAGE
    assert "delta_shards" in capsys.readouterr().err


def test_a_generated_screen_is_written_and_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(
        ["synth", "--preset", "tiny", "--cells", "600", "--out", str(tmp_path / "raw")]
    )

    assert code == 0
    assert "generated cells, 8 plates, 16 drugs" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "raw" / "metadata" / "drug_metadata.parquet").is_file()


def test_the_status_of_an_empty_folder_is_all_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["status", "--data-dir", str(tmp_path), "--raw-dir", str(tmp_path / "raw")])

    shown = capsys.readouterr().out
    assert code == 0
    assert shown.count("missing") == len(STAMPED)
    assert "has not been looked at yet" in shown


def test_a_report_that_is_not_there_is_said_to_be_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["report", "--data-dir", str(tmp_path)]) == FAILED
    shown = " ".join(capsys.readouterr().err.split())  # wrapped to the width of the terminal
    assert "`drug-pipeline run` makes it" in shown


def test_a_question_without_a_model_says_what_to_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["rank", "--like", "a@b@1", "--data-dir", str(tmp_path)])

    assert code == FAILED
    assert "has not been built" in capsys.readouterr().err


def test_what_a_worker_imports_of_the_entry_script_is_light() -> None:
    script = (
        "import drug_pipeline.cli.__main__, sys; "
        "print(sorted({'dagster', 'mlflow', 'matplotlib', 'torch', 'pandas'} & set(sys.modules)))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout.strip() == "[]"
