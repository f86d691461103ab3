"""``status``, ``report`` and ``settings``: the commands that look and change nothing."""

import webbrowser
from datetime import UTC, datetime
from typing import Annotated

import typer

from drug_pipeline.cli.console import err, out, print_table
from drug_pipeline.cli.options import FAILED, DataDir, RawDir
from drug_pipeline.settings import load_settings, settings_help


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
            out.print(f"{state.asset} is {state.state}: {state.why}", soft_wrap=True, markup=False)
    raw = raw_state(settings.layout, settings.raw_source())
    out.print(raw.sentence, soft_wrap=True, markup=False)
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
    """Where the evaluation report is, and its headline."""
    layout = load_settings(data_dir=data_dir).layout
    path = layout.evaluation_dir / "report.html"
    if not path.exists():
        err.print(f"there is no report in {layout.root}; `drug-pipeline run` makes it.")
        raise typer.Exit(FAILED)
    out.print(str(path), soft_wrap=True)
    summary = layout.evaluation_dir / "summary.md"
    if summary.exists():
        from rich.markdown import Markdown

        out.print(Markdown(summary.read_text(encoding="utf-8")))
    if is_opened:
        webbrowser.open(path.as_uri())


def settings(*, raw_dir: RawDir = None, data_dir: DataDir = None) -> None:
    """Every setting: its variable, the value it has now, and what it does."""
    values = load_settings(raw_dir=raw_dir, data_dir=data_dir).model_dump(mode="json")
    print_table(
        "Settings (an option of a command wins over its variable)",
        ("variable", "value now", "what it sets"),
        [
            (variable, "preset" if value is None else str(value), text)
            for (variable, text), value in zip(
                settings_help().items(), values.values(), strict=True
            )
        ],
    )


def _when(built_at: float | None) -> str:
    if built_at is None:
        return ""
    return datetime.fromtimestamp(built_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
