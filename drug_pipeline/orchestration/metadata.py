"""How the result of a build reads in Dagster: figures, tables, a picture, links.

What belongs here: turning stamps and frames into Dagster metadata. What does not: computing what
they hold, or drawing (``pictures.py``).
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.stamps import Stamp

ROWS: Final = {
    "raw_tahoe": ("n_rows", "cells"),
    "tahoe_metadata": ("n_drugs", "drugs"),
    "counts": ("n_pairs", "pairs"),
    "counts_per_drug": ("n_drugs", "drugs"),
    "counts_per_cell_line": ("n_cell_lines", "lines"),
    "counts_per_pair": ("n_pairs", "pairs"),
    "imbalance_report": ("n_items_of_pairs", "pairs"),
    "filtered_pairs": ("n_kept", "pairs kept"),
    "gene_panel": ("n_genes", "genes"),
    "pseudobulk": ("n_well_lines", "well × line"),
    "delta_shards": ("n_conditions", "conditions"),
    "drug_embeddings": ("n_keys", "drugs"),
    "cell_line_embeddings": ("n_keys", "lines"),
    "model_prototype": ("n_train", "conditions"),
    "model_full": ("n_splits", "splits"),
    "gate_fits": ("n_gates", "gates"),
    "ablation_report": ("n_figures", "figures"),
    "evaluation_report": ("n_figures", "figures"),
}
"""What a row of an asset is, and the name of their number in its summary."""


def rows_of(asset: str, stamp: Stamp) -> tuple[int, str] | None:
    """How many rows an asset has, and of what; None where that says nothing."""
    if asset not in ROWS or ROWS[asset][0] not in stamp.summary:
        return None
    key, noun = ROWS[asset]
    return int(stamp.summary[key]), noun


def build_metadata(
    asset: str, built: BuildResult, seconds: float, *, picture: str, run_url: str
) -> dict[str, dg.MetadataValue[Any]]:
    """Rows, bytes, seconds, fingerprint and whatever else the build has to tell."""
    stamp = built.stamp
    metadata: dict[str, dg.MetadataValue[Any]] = {}
    if picture:
        metadata["picture"] = dg.MetadataValue.md(picture)
    summary = dict(stamp.summary)
    n_bytes = summary.pop("n_bytes", None)
    rows = rows_of(asset, stamp)
    if rows is not None:
        metadata["dagster/row_count"] = dg.MetadataValue.int(rows[0])
    if n_bytes is None:
        n_bytes = sum(int(output["size_bytes"]) for output in stamp.outputs.values())
    metadata["size_bytes"] = dg.MetadataValue.int(int(n_bytes))
    metadata["seconds"] = dg.MetadataValue.float(round(seconds, 3))
    metadata["outcome"] = dg.MetadataValue.text("built" if built.is_new else "nothing new")
    metadata["fingerprint"] = dg.MetadataValue.text(stamp.fingerprint)
    metadata |= {name: as_metadata(value) for name, value in summary.items()}
    if built.timings:
        slowest = sorted(built.timings.items(), key=lambda item: (-item[1], item[0]))
        metadata["seconds_of_files"] = markdown_table(
            [{"slowest first": name, "seconds": round(spent, 3)} for name, spent in slowest]
        )
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
    rows = rows_of(asset, built.stamp)
    counted = "" if rows is None else f", {rows[0]:,} {rows[1]}"
    return f"{asset}: built in {seconds:.1f} s{counted}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
