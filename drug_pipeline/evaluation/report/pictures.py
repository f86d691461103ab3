"""Pictures as text or bytes: how a matplotlib figure gets into a page, the same bytes each time.

What belongs here: style, colours, encoding. What does not: what is drawn (``figures``).
"""

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#2b2f36",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#555b65",
    "ytick.color": "#2b2f36",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "drug_pipeline",
    "svg.fonttype": "none",  # text as text: a tenth of the bytes
}

SHIPPED: Final = "#0072B2"
NETWORK: Final = "#CC79A7"
LINEAR: Final = "#009E73"
BASELINE: Final = "#8a8f98"
CEILING: Final = "#D55E00"
INK: Final = "#2b2f36"
"""Okabe-Ito, told apart by most colour-blind readers."""

DPI: Final = 110
WIDTH: Final = 4.7
"""Inches of a picture of one panel: on a telephone its letters are then still 9 pixels high."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture for the page: a data address, what it shows in words, how to read it."""

    source: str
    alt: str
    caption: str


@contextmanager
def drawing(width: float, height: float, **subplots: Any) -> Iterator[tuple["Figure", Any]]:
    """A figure of that size in inches and its axes, in the report's style, with no global state."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, figure.subplots(**subplots)


def as_picture(figure: "Figure", *, alt: str, caption: str) -> Picture:
    """The figure as inline SVG."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, dpi=DPI)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(source=f"data:image/svg+xml;base64,{encoded}", alt=alt, caption=caption)


def as_png(figure: "Figure", *, dpi: int = 140) -> bytes:
    """The figure as PNG, without a date."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
