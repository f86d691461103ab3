"""The documents say what is there: paths, commands, assets and links."""

import re
import subprocess
from pathlib import Path

import pytest

from drug_pipeline.domain.split_kinds import SPLIT_NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data" / "README.md"])


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_tree_in_the_readme_lists_each_room_of_the_package():
    text = (ROOT / "README.md").read_text()
    tree = text.split("## The tree")[1]
    rooms = {
        path.name
        for path in (ROOT / "drug_pipeline").iterdir()
        if path.name not in {"__init__.py", "__pycache__", "py.typed"}
    }
    named = {name.rstrip("/") for name in re.findall(r"^ {2}([\w.]+/?)", tree, flags=re.MULTILINE)}
    assert named == rooms


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_each_file_that_a_page_names_exists(page):
    text = page.read_text()
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|md|toml|json|yaml))`", text))
    named |= {link for link in re.findall(r"\]\(([^)#:]+)\)", text) if "/" in link or "." in link}
    made = {
        name for name in named if name.startswith(("manifest/", "reports/", "models/", "data/"))
    }
    places = (ROOT, ROOT / "drug_pipeline", page.parent)
    missing = {
        name for name in named - made if not any((place / name).exists() for place in places)
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_each_command_that_a_page_names_is_one_the_program_has(page):
    from typer.main import get_command

    from drug_pipeline.cli.app import app

    commands = set(get_command(app).commands)
    named = set(re.findall(r"^drug-pipeline ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= commands


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_each_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
    assert named <= targets


def test_the_readme_names_each_asset_group_of_the_chain():
    from drug_pipeline.definitions import defs

    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {key for key in keys if key not in architecture} == set()


def test_what_a_kind_of_split_is_stands_in_one_file():
    """A file that names three kinds knows something of them: it belongs into the table."""
    package = ROOT / "drug_pipeline"
    literal = re.compile(rf"""["']({"|".join(SPLIT_NAMES)})["']""")
    naming = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if len(set(literal.findall(path.read_text()))) >= 3
    }
    columns = "domain/names.py"  # some are called like kinds
    presets = "training/config.py"  # which splits are fitted
    assert naming - {columns, presets} == {"domain/split_kinds.py"}


def test_nothing_made_is_kept_in_git():
    listed = subprocess.run(
        ["git", "ls-files", "data"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert listed == ["data/README.md"]


@pytest.mark.parametrize("kind", ["sensor", "schedule"])
def test_the_readme_calls_sensor_and_schedule_by_their_names(kind):
    from drug_pipeline.definitions import defs

    named = set(re.findall(rf"the {kind} `(\w+)`", (ROOT / "README.md").read_text()))
    assert named == {one.name for one in getattr(defs, f"{kind}s")}
