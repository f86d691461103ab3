"""Where settings are read: variables, a TOML file, assignments, the caller; and their refusals.

What belongs here: the places, their order, and what is said of a name or value that cannot be
used. What does not: what a setting does (``settings.py``, ``sections.py``).
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from drug_pipeline.domain.config_fields import checked, flat_tables, read_assignments
from drug_pipeline.domain.errors import ConfigurationError, first_few
from drug_pipeline.settings.sections import ENV_PREFIX, setting_types
from drug_pipeline.settings.settings import Layer, Settings
from drug_pipeline.training.parallel.rank import Rank

PLACES: Final = ("config", "set")
"""Plain settings that say where others stand; they stand in none of these places themselves."""
SET_BY_TORCHRUN: Final = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables without which the processes of a job cannot meet."""


def load_settings(assignments: Sequence[str] = (), **overrides: Any) -> Settings:
    """The settings of this process, checked as a whole.

    From the strongest place to the weakest: ``assignments``, ``overrides``, ``DRUG_PIPELINE_SET``,
    the file of ``DRUG_PIPELINE_CONFIG``, the variable of each plain setting, the preset.

    Parameters
    ----------
    assignments
        ``NAME=VALUE``, as of ``--set``.
    overrides
        Plain settings by name (None means not given), and fields of the configurations by dotted
        name or as nested mappings, as of the launchpad.

    Raises
    ------
    ConfigurationError
        If a name is no setting or a value cannot be used.
    """
    _refuse_unknown_variables(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    own = _layer("option", given)
    layers = (
        *_file_layer(own.plain.get("config", os.environ.get(f"{ENV_PREFIX}CONFIG"))),
        _assigned(f"{ENV_PREFIX}SET", [own.plain.get("set", os.environ.get(f"{ENV_PREFIX}SET"))]),
        own,
        _assigned("--set", assignments),
    )
    plain = {name: value for layer in layers for name, value in layer.plain.items()}
    try:
        settings = Settings(**plain)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, plain)) from error
    settings._layers = layers
    settings.resolved()
    _refuse_signs_of_addresses(settings.layout.root)
    return settings


def rank_in_job() -> Rank | None:
    """The rank that ``torchrun`` gave this process among several; None where it is alone.

    Raises
    ------
    ConfigurationError
        If the environment speaks of several processes, but not of how they meet.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size <= 1:
        return None
    missing = [name for name in SET_BY_TORCHRUN if name not in os.environ]
    if missing:
        msg = (
            f"WORLD_SIZE is {world_size}, but {', '.join(missing)} not set: the {world_size} processes "
            "could not find each other. Start them with `torchrun --nproc-per-node N`, or unset "
            "WORLD_SIZE to train in one process."
        )
        raise ConfigurationError(msg)
    return Rank(
        rank=int(os.environ["RANK"]),
        world_size=world_size,
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_world_size=int(os.environ["LOCAL_WORLD_SIZE"]),
    )


def settings_help() -> dict[str, str]:
    """What each environment variable sets, by variable name."""
    return {
        f"{ENV_PREFIX}{name.upper()}": field.description or ""
        for name, field in Settings.model_fields.items()
    }


def _refuse_signs_of_addresses(data_dir: Path) -> None:
    """MLflow and Dagster write a path into the address of a database, where some signs mean more."""
    if re.search(r"\?|%[0-9A-Fa-f]{2}", str(data_dir)):
        msg = (
            f"data_dir is {data_dir}: `?` and `%` with two digits have a meaning in the addresses "
            "of its databases, which would lie elsewhere. Rename the folder, or set "
            "DRUG_PIPELINE_DATA_DIR."
        )
        raise ConfigurationError(msg)


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be ignored in silence."""
    known = list(settings_help())
    for variable in sorted(environment):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            close = difflib.get_close_matches(variable, known, n=1)
            advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
            msg = f"{variable} is set, but there is no such setting. {advice}"
            raise ConfigurationError(msg)


def _file_layer(path: str | None) -> tuple[Layer, ...]:
    """What a TOML file sets; nothing where no file is named."""
    if not path:
        return ()
    try:
        tables = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"the settings in {path} cannot be read: {error}. Name a TOML file with --config."
        raise ConfigurationError(msg) from error
    return (_layer(path, tables, refused=PLACES),)


def _assigned(source: str, texts: Sequence[str | None]) -> Layer:
    values: dict[str, Any] = {}
    for text in texts:
        values |= read_assignments(text or "")
    return _layer(source, values, refused=PLACES)


def _layer(source: str, tables: Mapping[str, Any], *, refused: Sequence[str] = ()) -> Layer:
    """What one place sets, each dotted name checked against the type of its field."""
    types = setting_types()
    plain, dotted = {}, {}
    for name, value in flat_tables(tables, types).items():
        if name in Settings.model_fields and name not in refused:
            plain[name] = value
        elif name in types:
            try:
                dotted[name] = checked(value, types[name])
            except ConfigurationError as error:
                msg = f"{name} is {value!r} ({source}); {error}."
                raise ConfigurationError(msg) from error
        else:
            raise ConfigurationError(_unknown(name, source, [*Settings.model_fields, *types]))
    return Layer(source=source, plain=plain, dotted=dotted)


def _unknown(name: str, source: str, known: Sequence[str]) -> str:
    """That there is no such setting, and which was meant."""
    inside = [one for one in known if one.startswith(f"{name}.")]
    last = name.rpartition(".")[2]
    same_field = [one for one in known if one.rpartition(".")[2] == last]
    close = inside or same_field or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    asked = "It holds" if inside else "Did you mean"
    nearest = f" {asked} {first_few(close)}{'.' if inside else '?'}" if close else ""
    return (
        f"there is no setting {name!r} ({source}).{nearest} `drug-pipeline settings WORD` lists "
        "those whose name or description holds WORD."
    )


def _explain(error: ValidationError, given: Mapping[str, Any]) -> str:
    """One sentence per bad value: which setting, what it was, what it must be."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        where = name if name in given else f"{ENV_PREFIX}{name.upper()}"
        sentences.append(
            f"{where} is {problem['input']!r}: {problem['msg'].lower()}. "
            f"{Settings.model_fields[name].description}"
        )
    return " ".join(sentences)
