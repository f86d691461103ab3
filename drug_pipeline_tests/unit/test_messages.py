"""What an error message tells people to do can be done: each name in it is one there is."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from typer.main import get_command

import drug_pipeline
from drug_pipeline.cli.app import app
from drug_pipeline.definitions import defs
from drug_pipeline.domain import names, schemas
from drug_pipeline.settings import Settings, setting_types, settings_help
from drug_pipeline.storage.raw.raw_files import METADATA_TABLES

PACKAGE = Path(drug_pipeline.__file__).parent
NAME = re.compile(
    r"(?<![\w/.-])[a-z][a-z0-9]*(?:[._][a-z0-9]+)*_[a-z0-9]+(?:\.[a-z0-9_]+)*(?![\w/(])"
)
ASKED = re.compile(
    r"(?:^|[.;:,] |\bor )(?:Lower|Raise|Set|Increase|Reduce|Configure|Unset|Turn)\b(?:[^.;]|\.(?=\S))*",
    re.IGNORECASE,
)
OTHERS = {"WORLD_SIZE", "DAGSTER_HOME", "ulimit"}
"""What people set that belongs to other programs."""
SAID = {"msg", "advice", "remedy", "problem", "reason"}
"""Variables and arguments that hold such a text."""
DATA_WORDS = {
    "drug_conc",
    "drugname_drugconc",
    "cell_line",
}
"""Names in files that other people made, and of a part of a question."""


@dataclass(frozen=True)
class Message:
    """A text that an error or a remedy is made of; ``fields`` are those of its file's configs."""

    where: str
    fields: set[str]
    text: str


def texts(node: ast.AST) -> str:
    """The text of an expression; what is put in while it runs is left out."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(texts(part) or "…" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "…"
    return " ".join(filter(None, (texts(part) for part in ast.iter_child_nodes(node))))


@cache
def messages() -> tuple[Message, ...]:
    return tuple(found_messages())


def found_messages() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        configs = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and "Config" in node.name
        ]
        fields = {
            one.target.id
            for config in configs
            for one in config.body
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        for node in ast.walk(tree):
            text = texts(node) if is_told(node) else ""
            if " " in text:
                line = getattr(node, "lineno", 0)
                yield Message(f"{path.relative_to(PACKAGE)}:{line}", fields, text)


def is_told(node: ast.AST) -> bool:
    """Whether people may read it: an error, what is put together for one, a warning."""
    if isinstance(node, ast.Assign):
        return any(isinstance(one, ast.Name) and one.id in SAID for one in node.targets)
    if isinstance(node, ast.keyword):
        return node.arg in SAID
    if isinstance(node, ast.Return):
        return isinstance(node.value, ast.Constant | ast.JoinedStr)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "warning"
    return isinstance(node, ast.Raise)


def columns() -> set[str]:
    found = {value for value in vars(names).values() if isinstance(value, str)}
    for value in vars(schemas).values():
        if isinstance(value, pa.Schema):
            found |= set(value.names)
    return found


def known() -> set[str]:
    return {
        *setting_types(),
        *Settings.model_fields,
        *(key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()),
        *METADATA_TABLES,
        *columns(),
        *DATA_WORDS,
    }


def words(text: str) -> set[str]:
    return set(re.findall(r"(?:--)?[\w-]+(?:\.\w+)*", text))


def test_each_name_in_a_message_is_a_setting_an_asset_or_a_column():
    there_are = known()
    unknown = [
        (one.where, name)
        for one in messages()
        for name in NAME.findall(one.text)
        if name not in there_are | one.fields
    ]
    assert unknown == []


def test_each_remedy_names_a_setting_an_option_or_a_command():
    options = {
        option
        for command in get_command(app).commands.values()
        for parameter in command.params
        for option in parameter.opts
    }
    there_are = {*setting_types(), *Settings.model_fields, *settings_help(), *options, *OTHERS}
    empty = [
        (one.where, asked.strip())
        for one in messages()
        for asked in ASKED.findall(one.text)
        if not there_are & words(one.text if re.search(r"\bit\b", asked) else asked)
    ]
    assert empty == []
