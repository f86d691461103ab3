"""Every setting with its value, for people and for the record of a run.

What belongs here: what is said of a setting. What does not: how it is set (``loading.py``).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from drug_pipeline.domain.config_fields import (
    field_sentences,
    field_types,
    field_values,
    shown,
    wanted,
)
from drug_pipeline.settings.sections import ENV_PREFIX, SECTIONS, SHORT_NAMES
from drug_pipeline.settings.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Described:
    """One setting: ``default`` is the preset's, ``source`` the place that ``value`` comes from.

    ``variable`` is empty where it has none of its own. ``stands_for`` names the fields that a plain
    setting sets; where it is not set, it has the value of the first.
    """

    name: str
    variable: str
    value: Any
    default: Any
    wanted: str
    source: str
    description: str
    stands_for: tuple[str, ...] = ()

    def holds(self, word: str) -> bool:
        """Whether the name, the variable or the description has a word in it."""
        text = f"{self.name} {self.variable} {self.description} {' '.join(self.stands_for)}"
        return word.lower() in text.lower()


def described_settings(settings: Settings) -> list[Described]:
    """Every setting: the plain ones, then the fields of the configurations by section."""
    described = _fields(settings)
    return [*_plain(settings, {one.name: one for one in described}), *described]


def recorded_settings(settings: Settings) -> tuple[dict[str, str], dict[str, Any]]:
    """What a run's record tells: values that are not the preset's by name, and all of them."""
    others = {
        name: value
        for name, value in settings.model_dump(mode="json").items()
        if name not in (*SHORT_NAMES, "config", "set")
    }
    changed = {
        one.name: shown(one.value)
        for one in described_settings(settings)
        if one.value != one.default and (one.name in others or not one.variable)
    }
    sections = {
        section: None if config is None else asdict(config)
        for section, config in settings.resolved().items()
    }
    return {"preset": settings.preset, **changed}, {**others, **sections}


def _plain(settings: Settings, described: Mapping[str, Described]) -> list[Described]:
    found = []
    for name, field in Settings.model_fields.items():
        variable = f"{ENV_PREFIX}{name.upper()}"
        places = [layer.source for layer in settings._layers if name in layer.plain]
        unset = "preset" if name in SHORT_NAMES and field.default is None else "default"
        is_set = name in settings.model_fields_set
        value, default = getattr(settings, name), field.default
        if value is None and name in SHORT_NAMES:
            same = described[SHORT_NAMES[name][0]]
            value, default, unset = same.value, same.default, same.source
        found.append(
            Described(
                name=name,
                variable=variable,
                value=value,
                default=default,
                wanted=wanted(field.annotation),
                source=(places or [variable if is_set else unset])[-1],
                description=field.description or "",
                stands_for=SHORT_NAMES.get(name, ()),
            )
        )
    return found


def _fields(settings: Settings) -> list[Described]:
    found = []
    given = settings.given
    for section, config in settings.resolved().items():
        kind, prefix = SECTIONS[section].kind, f"{section}."
        preset = SECTIONS[section].of_preset(settings.preset)
        values = {} if config is None else field_values(config, prefix)
        defaults = {} if preset is None else field_values(preset, prefix)
        sentences = field_sentences(kind, prefix)
        for name, hint in field_types(kind, prefix).items():
            found.append(
                Described(
                    name=name,
                    variable="",
                    value=values.get(name),
                    default=defaults.get(name),
                    wanted=wanted(hint),
                    source=given[name].source if name in given else "preset",
                    description=sentences[name],
                )
            )
    return found
