"""One picture an asset, where a person would rather look than read.

What belongs here: drawing what is stored, for the asset's page in Dagster. What does not: the
pictures of the reports (``ingest/imbalance_pictures.py``, ``evaluation/report/figures.py``).

Pictures lie in ``reports/pictures/`` by the fingerprint of what they show, so that nothing new
means nothing drawn.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.evaluation.ablation.ablation_report import HEADLINE as COSTS
from drug_pipeline.evaluation.evaluation_report import HEADLINE, SUMMARY
from drug_pipeline.evaluation.report import pictures as style
from drug_pipeline.orchestration.metadata import picture_of
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.embeddings import Which, read_embeddings
from drug_pipeline.storage.files import replacing
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import predicted_splits, read_predictions
from drug_pipeline.storage.raw.inventory import read_inventory
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits_index

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[[Layout, "Axes"], None]
PICTURES_FOLDER: Final = "pictures"
SIZE_INCHES: Final = (7.0, 3.2)
MOST_DOSES: Final = 6
MOST_NAMED: Final = 60
"""With more points their names would cover them."""
ROLE_COLOURS: Final = {
    names.TRAIN: style.BASELINE,
    names.VALIDATION: style.NETWORK,
    names.TEST: style.SHIPPED,
    names.UNUSED: "#e6e8eb",
}


def draw(layout: Layout, asset: str, built: BuildResult) -> str:
    """Markdown with the picture of an asset; empty where there is none to draw."""
    if asset in _REPORTS:
        return _of_report(*_REPORTS[asset](layout))
    if asset not in _DRAWN:
        return ""
    folder = layout.root / "reports" / PICTURES_FOLDER
    path = folder / f"{asset}-{built.stamp.fingerprint[:12]}.png"
    if not path.exists():
        for former in folder.glob(f"{asset}-????????????.png"):
            former.unlink()
        _save(_DRAWN[asset], layout, path)
    return picture_of(path, asset)


def _of_report(folder: Path, pictures: Sequence[str]) -> str:
    """The report's own pictures above its summary."""
    summary = folder / SUMMARY
    shown = [picture_of(folder / name, name) for name in pictures if (folder / name).exists()]
    texts = [summary.read_text(encoding="utf-8")] if summary.exists() else []
    return "\n\n".join([*shown, *texts])


def _save(draw_it: Draw, layout: Layout, path: Path) -> None:
    with style.drawing(*SIZE_INCHES) as (figure, axes):
        draw_it(layout, axes)
        png = style.as_png(figure, dpi=style.DPI)
    with replacing(path) as temporary:
        temporary.write_bytes(png)


def _cells_per_plate(layout: Layout, axes: "Axes") -> None:
    inventory = read_inventory(layout)
    states = inventory.groupby("state")["n_rows"].sum()
    axes.bar(np.arange(len(inventory)), inventory["n_rows"], color=style.SHIPPED)
    axes.set(xlabel="raw file", ylabel="cells", title=f"{states.sum():,} cells in raw files")


def _panel(layout: Layout, axes: "Axes") -> None:
    genes = pq.read_table(layout.gene_panel).to_pandas()
    is_target = genes["is_target"].to_numpy(dtype=bool)
    for mask, colour, label in (
        (~is_target, style.BASELINE, "chosen by rank"),
        (is_target, style.CEILING, "drug target"),
    ):
        axes.scatter(
            genes["mean_log1p"][mask],
            genes["variance"][mask],
            s=9,
            color=colour,
            label=f"{label} ({mask.sum():,})",
            linewidths=0,
        )
    axes.legend()
    axes.set(
        xlabel="mean of log1p CP10k over vehicle cells",
        ylabel="variance",
        title=f"{len(genes):,} genes of the panel, chosen on vehicle cells",
    )


def _delta(layout: Layout, axes: "Axes") -> None:
    table = read_delta(layout)
    rms_N = np.sqrt(np.square(table.delta_NG, dtype=np.float64).mean(axis=1))
    doses_N = table.conditions[names.DOSE_UM].to_numpy()
    edges = np.linspace(0.0, float(np.quantile(rms_N, 0.995)) or 1.0, 41).tolist()
    groups = _dose_groups(doses_N)
    for number, (label, of_group) in enumerate(groups):
        axes.hist(
            rms_N[of_group],
            edges,
            histtype="step",
            linewidth=1.6,
            color=style.SHIPPED,
            alpha=0.35 + 0.65 * (number + 1) / len(groups),
            label=f"{label} ({of_group.sum():,})",
        )
    axes.legend()
    axes.set(
        xlabel="RMS of Δ over genes, natural log",
        ylabel="conditions",
        title=f"Size of {table.n_conditions:,} responses by dose (noise included)",
    )


def _dose_groups(doses_N: NDArray[np.float64]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Label and rows of each dose, rising; ranges of doses where there are many."""
    doses = np.unique(doses_N)
    parts = np.array_split(doses, min(len(doses), MOST_DOSES))
    return [
        (
            f"{part[0]:g} µM" if len(part) == 1 else f"{part[0]:g} to {part[-1]:g} µM",
            np.isin(doses_N, part),
        )
        for part in parts
    ]


def _drug_map(layout: Layout, axes: "Axes") -> None:
    _map(layout, axes, "drugs", "descriptors")


def _line_map(layout: Layout, axes: "Axes") -> None:
    _map(layout, axes, "cell_lines", "control_pca")


def _map(layout: Layout, axes: "Axes", which: Which, block: str) -> None:
    """The two main axes of one block, named where there is room."""
    table = read_embeddings(layout, which).block(block)
    at_K2 = _on_main_axes(table.vectors_KF.astype(np.float64))
    axes.scatter(at_K2[:, 0], at_K2[:, 1], s=14, color=style.SHIPPED, linewidths=0)
    if len(table.keys) <= MOST_NAMED:
        named: dict[tuple[float, float], list[str]] = {}
        for key, (x, y) in zip(table.keys, at_K2, strict=True):
            named.setdefault((round(x, 3), round(y, 3)), []).append(key)
        for at, keys in named.items():
            others = f" +{len(keys) - 1}" if len(keys) > 1 else ""
            axes.annotate(
                keys[0][:18] + others, at, fontsize=6, xytext=(3, 2), textcoords="offset points"
            )
    axes.set(
        xlabel="first main axis",
        ylabel="second main axis",
        title=f"{len(table.keys):,} {which.replace('_', ' ')} by {block.replace('_', ' ')}",
    )


def _on_main_axes(vectors_KF: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates on the two axes along which standardised vectors spread most, (K, 2)."""
    from drug_pipeline.linear.main_axes import main_axes

    if not vectors_KF.shape[1]:  # one line has no axis to differ along
        return np.zeros((len(vectors_KF), 2))
    spread_F = vectors_KF.std(axis=0)
    scaled_KF = (vectors_KF - vectors_KF.mean(axis=0)) / np.where(spread_F > 0, spread_F, 1.0)
    at_KR = scaled_KF @ main_axes(scaled_KF, 2).T
    return np.pad(at_KR, ((0, 0), (0, 2 - at_KR.shape[1])))


def _split_sizes(layout: Layout, axes: "Axes") -> None:
    splits: dict[str, Any] = read_splits_index(layout)["splits"]
    left = np.zeros(len(splits))
    for role, colour in ROLE_COLOURS.items():
        sizes = np.array([about["sizes"][role] for about in splits.values()], dtype=np.float64)
        axes.barh(list(splits), sizes, left=left, color=colour, label=role)
        left += sizes
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    axes.set(title="Conditions by role in each split")


def _validation(layout: Layout, axes: "Axes") -> None:
    """Centred Pearson on validation conditions: what each split chose from."""
    splits = predicted_splits(layout.full_dir)
    for row, split in enumerate(splits):
        predictions = read_predictions(layout.full_dir / split)
        colours = {predictions.network: style.NETWORK, predictions.blend: style.CEILING}
        for name, figures in predictions.validation.items():
            if "centred_pearson" not in figures:
                continue
            is_shipped = name == predictions.shipped
            axes.scatter(
                figures["centred_pearson"],
                row,
                s=22,
                color=colours.get(name, style.LINEAR),
                edgecolors=style.INK if is_shipped else "none",
                linewidths=1.5 if is_shipped else 0,
            )
    axes.set_yticks(range(len(splits)), splits)
    axes.set_ylim(len(splits) - 0.5, -0.5)
    for label, colour in (
        ("linear", style.LINEAR),
        ("network", style.NETWORK),
        ("blend", style.CEILING),
    ):
        axes.scatter([], [], s=22, color=colour, label=label, linewidths=0)
    axes.scatter([], [], s=22, color="white", edgecolors=style.INK, label="ringed: shipped")
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes.set(xlabel="centred Pearson on validation conditions", title="What each split chose from")


_REPORTS: Final[dict[str, Callable[[Layout], tuple[Path, Sequence[str]]]]] = {
    "imbalance_report": lambda layout: (layout.imbalance_dir, ["histograms.png", "heatmap.png"]),
    "ablation_report": lambda layout: (layout.ablation_dir, [COSTS]),
    "evaluation_report": lambda layout: (layout.evaluation_dir, [HEADLINE]),
}
_DRAWN: Final[dict[str, Draw]] = {
    "raw_tahoe": _cells_per_plate,
    "gene_panel": _panel,
    "delta_shards": _delta,
    "drug_embeddings": _drug_map,
    "cell_line_embeddings": _line_map,
    "splits": _split_sizes,
    "model_full": _validation,
}
