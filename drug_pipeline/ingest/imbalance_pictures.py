"""Pictures of the long tail, as PNG bytes: histograms, top twenty, drug × line heat map.

What belongs here: matplotlib. What does not: figures (``expression/imbalance.py``), files.
"""

import io
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from drug_pipeline.domain import names
from drug_pipeline.expression.imbalance import CELL_LINE_LEVEL, DRUG_LEVEL, LEVELS, PAIR_LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE: Final = "#3b6ea5"
ORANGE: Final = "#d9822b"
GREY: Final = "#666666"
N_TOP: Final = 20
MAX_ROW_LABELS: Final = 70
"""With more drugs than this only every second, third ... is named."""
MAX_LINEAR_HEIGHT: Final = 50
"""A histogram with a higher bar gets a log scale, or single items would not show."""
MAX_RATIO_OF_FINE_TICKS: Final = 100.0
MARKED_THRESHOLDS: Final = (200, 1_000, 10_000)
"""Cells per pair; thresholds published for Tahoe-100M."""
DPI: Final = 90
"""Twelve inches are then 1,080 points: as wide as a picture stands in the UI without being cut."""


def histograms(counts: dict[str, pd.DataFrame], note: str) -> bytes:
    """Log histograms of cells per drug, line and pair."""
    figure = _figure(12, 3.8)
    for axes, level in zip(figure.subplots(1, len(LEVELS)), LEVELS, strict=True):
        cells = counts[level][names.N_CELLS].to_numpy()
        edges = np.geomspace(max(cells.min(), 1) * 0.95, cells.max() * 1.05, 31)
        n_in_bins, _, _ = axes.hist(cells, edges, color=BLUE, edgecolor="white", linewidth=0.4)
        axes.set_xscale("log")
        axes.set_xlabel(f"cells per {level}")
        axes.set_ylabel(f"number of {level}s")
        axes.set_title(
            f"{len(cells):,} {level}s, median {np.median(cells):,.0f} cells", fontsize=10
        )
        _with_plain_ticks(axes, np.asarray(n_in_bins))
        if level == PAIR_LEVEL:
            _mark_thresholds(axes, edges)
    _title(figure, "Cells per drug, cell line and pair", note)
    return _png(figure)


def top_bars(counts: dict[str, pd.DataFrame], line_names: dict[str, str], note: str) -> bytes:
    """The twenty drugs and the twenty lines with most cells; the vehicle stands out."""
    figure = _figure(12, 6)
    of_drugs, of_lines = figure.subplots(1, 2)
    drugs = counts[DRUG_LEVEL].nlargest(N_TOP, names.N_CELLS)
    _bars(of_drugs, drugs[names.DRUG].tolist(), drugs[names.N_CELLS].tolist())
    n_drugs, n_lines = len(counts[DRUG_LEVEL]), len(counts[CELL_LINE_LEVEL])
    of_drugs.set_title(f"top {len(drugs)} of {n_drugs:,} drugs (vehicle in orange)", fontsize=10)
    lines = counts[CELL_LINE_LEVEL].nlargest(N_TOP, names.N_CELLS)
    labels = [_line_label(key, line_names) for key in lines[names.CELL_LINE_ID]]
    _bars(of_lines, labels, lines[names.N_CELLS].tolist())
    of_lines.set_title(f"top {len(lines)} of {n_lines:,} cell lines", fontsize=10)
    _title(figure, "Most frequent drugs and cell lines", note)
    return _png(figure)


def heat_map(matrix: pd.DataFrame, line_names: dict[str, str], note: str) -> bytes:
    """Cells by drug and line on a log scale, white where a pair was never seen.

    Parameters
    ----------
    matrix
        Cells, drugs in rows and lines in columns, largest totals first.
    """
    from matplotlib.colors import LogNorm

    n_drugs, n_lines = matrix.shape
    step = -(-n_drugs // MAX_ROW_LABELS)
    figure = _figure(max(7.5, 4.2 + 0.2 * n_lines), 2.4 + 0.16 * n_drugs / step)
    axes = figure.subplots()
    cells = np.ma.masked_equal(matrix.to_numpy(), 0)
    norm = LogNorm(vmin=max(1, cells.min()), vmax=max(2, cells.max()))
    image = axes.imshow(cells, aspect="auto", cmap="viridis", norm=norm, interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, label="cells per pair (log scale)", pad=0.015, aspect=40)
    ticks = _round_ticks(norm.vmin or 1, norm.vmax or 2)
    bar.set_ticks(ticks, labels=[f"{tick:,.0f}" for tick in ticks])
    bar.minorticks_off()
    labels = [_line_label(line, line_names) for line in matrix.columns]
    axes.set_xticks(range(n_lines), labels, rotation=90, fontsize=8 if n_lines <= 60 else 5)
    axes.set_xlabel(f"{n_lines} cell lines, most cells first")
    named = range(0, n_drugs, step)
    axes.set_yticks(named, [_short(matrix.index[row]) for row in named], fontsize=7)
    which = "" if step == 1 else f" (one in {step} named)"
    axes.set_ylabel(f"{n_drugs} drugs, most cells first{which}")
    never = int((matrix.to_numpy() == 0).sum())
    seen = f"{matrix.size - never:,} of {matrix.size:,} pairs seen, {never:,} never (white)"
    axes.set_title(seen, fontsize=10)
    _title(figure, "Cells per drug and cell line", note)
    return _png(figure)


def _bars(axes: "Axes", labels: list[str], values: list[int]) -> None:
    colours = [ORANGE if names.is_control(label) else BLUE for label in labels]
    positions = range(len(labels))
    axes.barh(positions, values, color=colours)
    axes.set_yticks(positions, [_short(label) for label in labels], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("cells")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.18)
    for position, value in zip(positions, values, strict=True):
        axes.text(value, position, f" {value:,}", va="center", fontsize=7, color=GREY)


def _mark_thresholds(axes: "Axes", edges: np.ndarray) -> None:
    for threshold in MARKED_THRESHOLDS:
        if edges[0] < threshold < edges[-1]:
            axes.axvline(threshold, color=ORANGE, linestyle=":", linewidth=1.2)
            axes.annotate(
                f"≥{threshold:,}",
                (threshold, 0.97),
                xycoords=("data", "axes fraction"),
                fontsize=7,
                rotation=90,
                va="top",
                ha="right",
                color=ORANGE,
            )


def _with_plain_ticks(axes: "Axes", n_in_bins: np.ndarray) -> None:
    """Whole numbers on both axes; a log scale upwards where single items would not show."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.set_xticks(_round_ticks(low, high))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    if n_in_bins.max() >= MAX_LINEAR_HEIGHT:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=0.7)
        axes.set_ylabel(f"{axes.get_ylabel()} (log scale)")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _round_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two bounds, with 2 and 5 between them where there are few."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < MAX_RATIO_OF_FINE_TICKS else (1,)
    return [float(p * m) for p in powers for m in factors if low <= p * m <= high]


def _line_label(cell_line_id: str, line_names: dict[str, str]) -> str:
    return line_names.get(cell_line_id) or cell_line_id


def _short(label: str, *, limit: int = 34) -> str:
    return label if len(label) <= limit else label[: limit - 1] + "…"


def _figure(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _title(figure: "Figure", title: str, note: str) -> None:
    figure.suptitle(f"{title}{f' · {note}' if note else ''}", fontsize=12)


def _png(figure: "Figure") -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=DPI, metadata={"Software": None})
    return sink.getvalue()
