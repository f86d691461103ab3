"""How the result of a build reads in Dagster: figures, tables, a picture, links.

What belongs here: turning stamps and frames into Dagster metadata. What does not: computing what
they hold, or drawing (``pictures.py``).
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from drug_pipeline.storage.build import BuildResult


def build_metadata(
    built: BuildResult, seconds: float, *, picture: str, run_url: str
) -> dict[str, dg.MetadataValue[Any]]:
    """Rows, bytes, seconds, fingerprint and whatever else the build has to tell."""
    stamp = built.stamp
    metadata: dict[str, dg.MetadataValue[Any]] = {}
    if picture:
        metadata["picture"] = dg.MetadataValue.md(picture)
    summary = dict(stamp.summary)
    n_rows = summary.pop("n_rows", None)
    n_bytes = summary.pop("n_bytes", None)
    if n_rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(int(n_rows))
    if n_bytes is None:
        n_bytes = sum(int(output["size_bytes"]) for output in stamp.outputs.values())
    metadata["size_bytes"] = dg.MetadataValue.int(int(n_bytes))
    metadata["seconds"] = dg.MetadataValue.float(round(seconds, 3))
    metadata["outcome"] = dg.MetadataValue.text("built" if built.is_new else "nothing new")
    metadata["fingerprint"] = dg.MetadataValue.text(stamp.fingerprint)
    metadata |= {name: as_metadata(value) for name, value in summary.items()}
    if stamp.config:
        metadata["settings"] = dg.MetadataValue.json(stamp.config)
    if stamp.inputs:
        metadata["inputs"] = dg.MetadataValue.json(
            {name: fingerprint[:12] for name, fingerprint in stamp.inputs.items()}
        )
    if run_url:
        metadata["mlflow_run"] = dg.MetadataValue.url(run_url)
    return metadata


def as_metadata(value: Any) -> dg.MetadataValue[Any]:
    """A JSON value as the metadata that shows it best."""
    if isinstance(value, bool):
        return dg.MetadataValue.bool(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float):
        return dg.MetadataValue.float(value)
    if isinstance(value, Mapping) and value and all(_is_scalar(item) for item in value.values()):
        return markdown_table([{"": name, "value": item} for name, item in value.items()])
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return markdown_table(value)
    if isinstance(value, Mapping | list):
        return dg.MetadataValue.json(value)
    return dg.MetadataValue.text(str(value))


def markdown_table(rows: list[Mapping[str, Any]], *, limit: int = 50) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table, the first ``limit`` of them, with a line that says so."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += [
        "| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |"
        for row in rows[:limit]
    ]
    if len(rows) > limit:
        lines.append(f"\n… and {len(rows) - limit:,} more")
    return dg.MetadataValue.md("\n".join(lines))


def picture_of(png: bytes | Path, alt: str) -> str:
    """Markdown that shows a PNG without any server: the bytes are in the text."""
    content = png.read_bytes() if isinstance(png, Path) else png
    return f"![{alt}](data:image/png;base64,{base64.b64encode(content).decode()})"


def sentence(asset: str, built: BuildResult, seconds: float) -> str:
    """One log line about a build."""
    if not built.is_new:
        return f"{asset}: nothing new ({seconds:.1f} s)"
    n_rows = built.stamp.summary.get("n_rows")
    rows = "" if n_rows is None else f", {int(n_rows):,} rows"
    return f"{asset}: built in {seconds:.1f} s{rows}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
