"""Every field of every configuration by its dotted name: set, checked, listed, recorded."""

import json
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args

import pytest

import drug_pipeline
from drug_pipeline.cli.app import run_command
from drug_pipeline.cli.options import BAD_USAGE, FAILED
from drug_pipeline.domain.config_fields import field_sentences, read_assignments
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.splits.named_splits import SplitConfig
from drug_pipeline.orchestration.resources import Listener, PipelineResource
from drug_pipeline.settings import (
    SECTIONS,
    described_settings,
    load_settings,
    recorded_settings,
    setting_types,
    settings_help,
)

SET_ELSEWHERE = {
    "BackendConfig": "fields of pseudobulk",
    "BootstrapConfig": "fields of evaluation",
    "DownloadConfig": "options of drug-pipeline download",
    "HubConfig": "options of drug-pipeline download",
    "SyntheticConfig": "options of drug-pipeline synth",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings_help():
        monkeypatch.delenv(variable, raising=False)


def opened(kind: type) -> set[str]:
    """Names of a dataclass and of those it is made of."""
    inner = [hint for hint in kind.__annotations__.values() if is_dataclass(hint)]
    return {kind.__name__}.union(*(opened(one) for one in inner))


def test_each_configuration_of_the_package_can_be_set_by_name() -> None:
    there_are = {
        name
        for path in Path(drug_pipeline.__file__).parent.rglob("*.py")
        for name in re.findall(
            r"^class (\w+Config)\b", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    reached = set().union(*(opened(section.kind) for section in SECTIONS.values()))

    assert there_are - reached == set(SET_ELSEWHERE)


def test_each_field_has_a_sentence_in_its_dataclass() -> None:
    sentences = {
        name: text
        for section, one in SECTIONS.items()
        for name, text in field_sentences(one.kind, f"{section}.").items()
    }

    assert sentences.keys() == setting_types().keys()
    assert [name for name, text in sentences.items() if len(text) < 10] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("training.forward.loop.n_epochs=20", 20),
        ("training.forward.loop.learning_rate=1", 1.0),
        ("evaluation.is_exported = false", False),
        ("panel.policy=frozen", "frozen"),
        ("panel.policy='frozen'", "frozen"),
        ('training.splits=["pair", "dose"]', ("pair", "dose")),
        ("training.inverse.scale_range=[0.5, 1.5]", (0.5, 1.5)),
        ("ablation.max_test=none", None),
        ("drug_embeddings.own_missing=refuse", "refuse"),
        (
            "splits.holdout_lines={mine = ['CVCL_0023', 'CVCL_0031']}",
            {"mine": ("CVCL_0023", "CVCL_0031")},
        ),
    ],
)
def test_a_value_is_taken_as_the_type_of_its_field(text: str, value: object) -> None:
    settings = load_settings([text])
    name = text.partition("=")[0].strip()

    (found,) = (one for one in described_settings(settings) if one.name == name)

    assert found.value == value
    assert type(found.value) is type(value)
    assert found.source == "--set"


def test_assignments_are_cut_at_commas_and_lines_outside_quotes_and_brackets() -> None:
    text = "a.b=1, c=['x,y', \"z]\"]\n d={e = 2, f = 3},, g = two words "

    assert read_assignments(text) == {
        "a.b": 1,
        "c": ["x,y", "z]"],
        "d": {"e": 2, "f": 3},
        "g": "two words",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "training.model.widht=3",
            r"'training.model.widht' \(--set\). Did you mean training.model.width\?",
        ),
        ("n_epochs=3", r"Did you mean training.forward.loop.n_epochs, training.inverse"),
        ("training.model=3", r"It holds training.model.architecture"),
        (
            "training.model.width=3.5",
            r"training.model.width is 3.5 \(--set\); wanted is a whole number",
        ),
        ("training.model.width=true", r"is True \(--set\); wanted is a whole number"),
        ("splits.test_frac=nan", r"is nan \(--set\); wanted is a number"),
        ("splits.test_frac=.5", r"is '.5' \(--set\); wanted is a number, as TOML writes it"),
        ("splits.replicate_plate=6", r"is 6 \(--set\); wanted is a text or none"),
        ("splits.names=pair", r"is 'pair' \(--set\); wanted is a list, each a text"),
        (
            "training.model.width=7",
            r"not a multiple of n_heads 4. This comes of training.model.width=7 \(--set\)",
        ),
        ("training.model.n_heads=0", r"n_heads must be at least 1"),
        (
            "training.splits=['pear']",
            r"training.splits names 'pear', which is no split. There are: pair",
        ),
        (
            "ablation.variants={pear = ['as_configured']}",
            r"ablation.variants names 'pear', which is no split",
        ),
        ("training.linear=['ridge']", r"names 'ridge', which is no linear model"),
        ("set=1", r"no setting 'set' \(--set\)"),
        ("training.splits=['pair'", r"no TOML value: .*Close each quote and bracket"),
        ("training.splits=pair,drug", r"'drug' is not NAME=VALUE"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_is_meant_or_wanted(
    text: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_settings([text])


def test_no_number_may_be_minus_one() -> None:
    taken = []
    for name, hint in setting_types().items():
        if not {hint, *get_args(hint)} & {int, float} or "tuple" in str(hint):
            continue
        try:
            load_settings([f"{name}=-1"])
        except ConfigurationError:
            continue
        taken.append(name)

    assert taken == []


def test_the_strongest_place_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "preset = 'tiny'\n[delta]\nmin_control_cells = 30\n[training.model]\nwidth = 32\n"
    )

    def found(*assignments: str, **overrides: object) -> tuple[int, str]:
        settings = load_settings(assignments, **overrides)
        (one,) = (
            one for one in described_settings(settings) if one.name == "delta.min_control_cells"
        )
        assert settings.section(DeltaConfig).min_control_cells == one.value
        return one.value, one.source

    assert found() == (10, "preset")
    monkeypatch.setenv("DRUG_PIPELINE_MIN_CONTROL_CELLS", "20")
    assert found() == (20, "DRUG_PIPELINE_MIN_CONTROL_CELLS")
    assert found(config=str(file)) == (30, str(file))
    monkeypatch.setenv("DRUG_PIPELINE_CONFIG", str(file))
    assert found() == (30, str(file))
    assert (load_settings().preset, load_settings().training().model.width) == ("tiny", 32)
    monkeypatch.setenv("DRUG_PIPELINE_SET", "delta.min_control_cells=40, seed=3")
    assert found() == (40, "DRUG_PIPELINE_SET")
    assert load_settings().section(SplitConfig).seed == 3
    assert found(min_control_cells="50") == (50, "option")
    assert found("delta.min_control_cells=60", min_control_cells="50") == (60, "--set")
    assert found("delta.min_control_cells=1", "delta.min_control_cells=2") == (2, "--set")


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training\n")

    for path in (file, tmp_path / "other.toml"):
        with pytest.raises(ConfigurationError, match=rf"the settings in {path} cannot be read"):
            load_settings(config=str(path))
    file.write_text("[training]\nn_member = 2\n")
    with pytest.raises(ConfigurationError, match=r"mine.toml\). Did you mean training.n_members\?"):
        load_settings(config=str(file))


def test_a_run_keeps_its_settings_when_their_file_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[training]\nn_members = 2\nsplits = ['pair']\n[delta]\nmin_control_cells = 30\n"
    )
    monkeypatch.setenv("DRUG_PIPELINE_CONFIG", str(file))
    monkeypatch.setenv("DRUG_PIPELINE_N_GENES", "300")
    monkeypatch.setenv("DRUG_PIPELINE_MIN_CONTROL_CELLS", "20")  # the file is stronger
    settings = load_settings(["seed=2", "splits.seed=5"], stream_files=4, data_dir=tmp_path)

    resource = PipelineResource.from_settings(settings, Listener())
    file.write_text("[training]\nn_members = 3\nn_cell = 7\n")

    assert resource.settings.resolved() == settings.resolved()
    assert resource.overrides == {
        "config": "",
        "n_genes": 300,
        "seed": 2,
        "stream_files": 4,
        "splits.seed": 5,
        "delta.min_control_cells": 30,
        "training.n_members": 2,
        "training.splits": ["pair"],
    }


def test_the_launchpad_takes_dotted_names_and_nested_ones(tmp_path: Path) -> None:
    resource = PipelineResource(
        raw_dir="raw",
        data_dir=str(tmp_path),
        preset="tiny",
        overrides={"training.model.width": 32, "training": {"forward": {"tau": 0.2}}},
        listener=Listener(),
    )

    training = resource.settings.training()
    assert (training.model.width, training.forward.tau) == (32, 0.2)


def test_the_record_of_a_run_has_what_was_changed_and_the_whole(tmp_path: Path) -> None:
    settings = load_settings(
        ["training.model.width=128", "spool.n_files=3"], data_dir=tmp_path, min_control_cells=10
    )

    changed, whole = recorded_settings(settings)

    assert changed == {
        "preset": "demo",
        "data_dir": str(tmp_path),
        "training.model.width": "128",
        "spool.n_files": "3",
        "spool.folder": str(tmp_path / "spool"),
    }
    assert whole["training"]["model"]["width"] == 128
    assert whole["delta"]["min_control_cells"] == 10
    assert set(SECTIONS) < set(whole)


def test_a_bad_assignment_ends_a_run_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = tmp_path / "made"

    code = run_command(["run", "--data-dir", str(data_dir), "--set", "training.model.width=7"])

    assert code == BAD_USAGE
    assert "width 7 is not a multiple of n_heads 4" in capsys.readouterr().err
    assert not data_dir.exists()


def test_the_list_says_value_place_default_type_and_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["settings", "n_epochs", "--set", "training.forward.loop.n_epochs=20"]) == 0

    shown = capsys.readouterr().out
    assert "training.forward.loop.n_epochs = 20  (a whole number; else 6; --set)" in shown
    assert "training.inverse.loop.n_epochs = 4  (a whole number; preset)" in shown
    assert "    Passes over the training conditions at most." in shown
    assert "width" not in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_list_for_programs_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["settings", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert set(setting_types()) < {one["name"] for one in told}
    assert {"name", "value", "default", "wanted", "source", "description"} < set(told[0])


def test_a_word_that_nothing_holds_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["settings", "flux"]) == FAILED
    assert "holds 'flux'" in capsys.readouterr().err
