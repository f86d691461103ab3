"""Asset ``imbalance_report``: the long tail of the data, as tables, pictures and one page.

What belongs here: reading the count tables, writing the report. What does not: the figures
(``expression/imbalance.py``), the drawing (``imbalance_pictures.py``).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.expression.imbalance import (
    CELL_LINE_LEVEL,
    DRUG_LEVEL,
    PAIR_LEVEL,
    level_table,
    pair_matrix,
    threshold_table,
)
from drug_pipeline.ingest.imbalance_pictures import heat_map, histograms, top_bars
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.files import replacing, write_json, write_parquet, write_text
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import quarantined_files
from drug_pipeline.storage.stamps import StampStore

CODE_VERSION: Final = "3"
GENERATED_NOTE: Final = "Generated data, not measured"
MAX_LISTED: Final = 50
"""Quarantined files listed on the page; ``manifest/raw.parquet`` has all."""


@dataclass(frozen=True, kw_only=True)
class _Report:
    """All that the page shows; ``pictures`` are PNG bytes by file name."""

    levels: pd.DataFrame
    thresholds: pd.DataFrame
    quarantined: pd.DataFrame
    pictures: dict[str, bytes]
    note: str


def build_imbalance_report(layout: Layout) -> BuildResult:
    """Write tables, PNG pictures, ``report.html`` and ``summary.md`` to ``reports/imbalance/``."""
    return build_once(
        layout,
        "imbalance_report",
        code_version=CODE_VERSION,
        upstream=["counts", "raw_tahoe", "tahoe_metadata"],
        config={},
        build=lambda: _write(layout, _compose(layout)),
    )


def _compose(layout: Layout) -> _Report:
    metadata = StampStore(layout).require("tahoe_metadata")
    note = GENERATED_NOTE if metadata.summary["is_generated"] else ""
    counts = {
        DRUG_LEVEL: read_table(layout, "counts_per_drug"),
        CELL_LINE_LEVEL: read_table(layout, "counts_per_cell_line"),
        PAIR_LEVEL: read_table(layout, "counts_per_pair"),
    }
    lines = pq.read_table(layout.metadata_dir / "cell_lines.parquet").to_pandas()
    line_names = dict(zip(lines[names.CELL_LINE_ID], lines[names.CELL_NAME], strict=True))
    return _Report(
        levels=level_table(counts),
        thresholds=threshold_table(counts),
        quarantined=quarantined_files(layout),
        pictures={
            "histograms.png": histograms(counts, note),
            "top20.png": top_bars(counts, line_names, note),
            "heatmap.png": heat_map(pair_matrix(counts[PAIR_LEVEL]), line_names, note),
        },
        note=note,
    )


def _write(layout: Layout, report: _Report) -> BuildOutput:
    folder = layout.imbalance_dir
    document = {
        "levels": report.levels.to_dict("records"),
        "thresholds": report.thresholds.to_dict("records"),
        "quarantined": report.quarantined.to_dict("records"),
        "is_generated": bool(report.note),
    }
    write_json(document, folder / "tables.json")
    table = pa.Table.from_pandas(report.thresholds, preserve_index=False)
    write_parquet(table.replace_schema_metadata(None), folder / "tables.parquet")
    for name, png in report.pictures.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(png)
    write_text(_as_html(report), folder / "report.html")
    write_text(_as_markdown(report), folder / "summary.md")
    written = ["tables.json", "tables.parquet", "report.html", "summary.md", *report.pictures]
    return BuildOutput(files=[folder / name for name in written], summary=_summary(report))


def _summary(report: _Report) -> dict[str, Any]:
    levels = report.levels.set_index("level")
    return {
        "n_cells": int(levels["n_cells"].max()),
        "n_quarantined": len(report.quarantined),
        "is_generated": bool(report.note),
        **{
            f"{statistic}_of_{level.replace(' ', '_')}s": levels.loc[level, statistic].item()
            for level in levels.index
            for statistic in ("n_items", "median_cells", "gini")
        },
    }


def _level_rows(report: _Report) -> pd.DataFrame:
    """The table of levels as people read it."""
    shown = pd.DataFrame({"level": report.levels["level"]})
    for column, title in {
        "n_items": "items",
        "n_treated": "without the vehicle",
        "min_cells": "fewest cells",
        "median_cells": "median cells",
        "max_cells": "most cells",
    }.items():
        shown[title] = report.levels[column].map("{:,.0f}".format)
    shown["Gini index"] = report.levels["gini"].map("{:.3f}".format)
    return shown


def _threshold_rows(report: _Report) -> pd.DataFrame:
    """The table of thresholds as people read it: one row per threshold, one column per level."""
    rows = report.thresholds
    cells = rows["n_items"].map("{:,}".format) + rows["item_frac"].map(" ({:.1%})".format)
    wide = rows.assign(shown=cells).pivot_table(
        index="min_cells", columns="level", values="shown", aggfunc="first", fill_value="–"
    )
    shown = pd.DataFrame({"at least (cells)": [f"{n:,}" for n in wide.index]})
    for level in report.levels["level"]:
        shown[f"{level}s"] = wide[level].to_numpy()
    return shown


def _as_html(report: _Report) -> str:
    """One page that needs no other file."""
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("drug_pipeline.ingest"), autoescape=True)
    return pages.get_template("imbalance.html").render(
        note=report.note,
        tables={"Levels": _level_rows(report), "Thresholds": _threshold_rows(report)},
        quarantined=report.quarantined.head(MAX_LISTED).to_dict("records"),
        n_quarantined=len(report.quarantined),
        pictures={
            name: base64.b64encode(png).decode("ascii") for name, png in report.pictures.items()
        },
        captions=_CAPTIONS,
    )


def _as_markdown(report: _Report) -> str:
    """The page in short, for the Dagster UI."""
    parts = ["# Imbalance", f"**{report.note}**" if report.note else ""]
    parts += [_markdown_table(_level_rows(report)), _markdown_table(_threshold_rows(report))]
    if len(report.quarantined):
        parts.append(f"## {len(report.quarantined)} raw files quarantined")
        parts.append(_markdown_table(report.quarantined.head(MAX_LISTED)))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_table(rows: pd.DataFrame) -> str:
    records: list[Mapping[Any, Any]] = rows.to_dict("records")  # type: ignore[assignment]
    lines = [[str(column) for column in rows.columns], ["---"] * len(rows.columns)]
    lines += [[str(value).replace("|", "\\|") for value in row.values()] for row in records]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_CAPTIONS: Final = {
    "histograms.png": "How many drugs, cell lines and pairs have how many cells (log scale).",
    "top20.png": "The drugs and the cell lines with most cells.",
    "heatmap.png": "Cells of each drug in each cell line (log scale).",
}
