"""``status``, ``report`` and ``settings``: the commands that look and change nothing."""

import json
import webbrowser
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.padding import Padding
from rich.text import Text

from drug_pipeline.cli.console import err, out, print_table
from drug_pipeline.cli.options import FAILED, Assignments, ConfigFile, DataDir, RawDir
from drug_pipeline.domain.config_fields import shown
from drug_pipeline.settings import Described, described_settings, load_settings

SETTINGS_WIDTH: Final = 100
"""Columns of the list of settings, at most; longer lines are hard to read."""


def status(*, raw_dir: RawDir = None, data_dir: DataDir = None) -> None:
    """What has been built, from what, when, and what would be built again.

    Says which raw files are quarantined, with column, row, reason and remedy, and whether the raw
    folder has changed since it was last looked at.
    """
    from drug_pipeline.orchestration.status import asset_states, raw_state

    settings = load_settings(raw_dir=raw_dir, data_dir=data_dir)
    states = asset_states(settings.layout)
    print_table(
        str(settings.layout.root),
        ("asset", "state", "rows", "built (UTC)", "made from"),
        [
            (state.asset, state.state, state.rows, _when(state.built_at), ", ".join(state.inputs))
            for state in states
        ],
        whole=("asset", "state", "rows"),
    )
    for state in states:
        if state.why:
            out.print(f"{state.asset} is {state.state}: {state.why}")
    raw = raw_state(settings.layout, settings.raw_source())
    out.print(raw.sentence)
    if raw.quarantined:
        print_table(
            f"{len(raw.quarantined)} quarantined files",
            ("file", "column", "row", "reason", "remedy"),
            [
                (file["file"], file["column"], file["row"], file["reason"], file["remedy"])
                for file in raw.quarantined
            ],
        )


def report(
    *,
    data_dir: DataDir = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Where the evaluation report is, what was registered last, and the report in short."""
    from drug_pipeline.orchestration.registry import registration_sentence

    layout = load_settings(data_dir=data_dir).layout
    path = layout.evaluation_dir / "report.html"
    if not path.exists():
        err.print(f"there is no report in {layout.root}; `drug-pipeline run` makes it.")
        raise typer.Exit(FAILED)
    out.print(str(path))
    if registered := registration_sentence(layout):
        out.print(f"registered model: {registered}")
    summary = layout.evaluation_dir / "summary.md"
    if summary.exists():
        from rich.markdown import Markdown

        out.print(Markdown(summary.read_text(encoding="utf-8")), soft_wrap=False)
    if is_opened:
        webbrowser.open(path.as_uri())


def settings(
    word: Annotated[
        str, typer.Argument(metavar="[WORD]", help="Only those whose name or description holds it.")
    ] = "",
    *,
    raw_dir: RawDir = None,
    data_dir: DataDir = None,
    assignments: Assignments = None,
    config: ConfigFile = None,
    is_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Every setting: name, value now, where it comes from, what it is, and why its default.

    The strongest place first: `--set`, options, DRUG_PIPELINE_SET, the file of `--config`, the
    variable of a plain setting, the preset.

    Example: `drug-pipeline settings epochs --set preset=full`
    """
    loaded = load_settings(assignments or (), config=config, raw_dir=raw_dir, data_dir=data_dir)
    found = [one for one in described_settings(loaded) if one.holds(word)]
    if is_json:
        out.print_json(json.dumps([asdict(one) for one in found], default=str))
        return
    if not found:
        err.print(f"no setting's name or description holds {word!r}.")
        raise typer.Exit(FAILED)
    out.print(
        f"{len(found)} settings, preset {loaded.preset}. Set one by `drug-pipeline run --set "
        "NAME=VALUE`, in DRUG_PIPELINE_SET, in the file of `--config`, in the launchpad's "
        "`overrides`; a plain one (without a dot) also by its variable, such as "
        "DRUG_PIPELINE_N_GENES.",
        width=min(out.width, SETTINGS_WIDTH),
        style="dim",
        soft_wrap=False,
    )
    for one in found:
        _print_setting(one)


def _print_setting(one: Described) -> None:
    """A setting on a line, and what it is below."""
    parts = [one.wanted, one.source]
    if one.value != one.default:
        parts.insert(1, f"else {shown(one.default)}")
    line = Text.assemble((one.name, "bold"), f" = {shown(one.value)}  ")
    line.append(f"({'; '.join(parts)})", style="dim")
    width = min(out.width, SETTINGS_WIDTH)
    out.print(line, width=width, soft_wrap=False)
    same = f" Sets {', '.join(one.stands_for)}." if one.stands_for else ""
    out.print(
        Padding(Text(one.description + same), (0, 0, 0, 4), expand=False),
        width=width,
        soft_wrap=False,
    )


def _when(built_at: datetime | None) -> str:
    return "" if built_at is None else built_at.strftime("%Y-%m-%d %H:%M")
