"""The asset ``ablation_report``: read the fits, judge them, write tables and page.

What belongs here: which files are read and written. What does not: any judging (``ablation``),
wording (``ablation_report``) or fitting (``training/``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import DeltaTable
from drug_pipeline.evaluation.ablation.costs import SplitAblation, figures, scores
from drug_pipeline.evaluation.ablation.gate_verdicts import read_fits
from drug_pipeline.evaluation.ablation.gene_findings import GeneFindings, look_at_genes
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.storage.arrays import read_arrays
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import (
    files_below,
    replacing,
    replacing_folder,
    sha256_of_json,
    write_parquet,
    write_text,
)
from drug_pipeline.storage.formats.gene_sets import read_gene_sets
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.stamps import StampStore

ASSET: Final = "ablation_report"
CODE_VERSION: Final = "8"
"""Raised when the same inputs and settings would give other figures."""
FITS: Final = "ablation_fits"
UPSTREAM: Final = (
    *names.MODEL_INPUTS,
    "model_full",
    "gate_fits",
    FITS,
)
GENES: Final = f"{names.GENE_VECTORS}-0"
VECTORS: Final = "vectors.npz"
FIGURES: Final = "ablation.parquet"
REPORT, SUMMARY, HEADLINE = "report.html", "summary.md", "costs.png"


def build_ablation_report(
    layout: Layout, config: EvaluationConfig, *, gene_sets: Path | None = None
) -> BuildResult:
    """Judge the fitted variants and write ``reports/ablation``.

    Parameters
    ----------
    gene_sets
        A GMT file; without one nothing is said of gene sets, and no map of genes is drawn.

    Raises
    ------
    EmptyResultError
        If there is no fit.
    ConfigurationError
        If the gene sets cannot be read.
    """
    sets = read_gene_sets(gene_sets) if gene_sets is not None else {}
    listed = sorted((name, sorted(members)) for name, members in sets.items())
    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=UPSTREAM,
        config={"n_resamples": config.n_resamples, "seed": config.seed},
        extra_inputs={"gene_sets": sha256_of_json(listed)} if sets else {},
        build=lambda: _build(layout, config, sets),
    )


def _build(
    layout: Layout, config: EvaluationConfig, gene_sets: dict[str, frozenset[str]]
) -> BuildOutput:
    from drug_pipeline.evaluation.ablation import page as report
    from drug_pipeline.evaluation.report.provenance import data_facts

    table = read_delta(layout)
    noise = measure_noise(table)
    bootstrap = BootstrapConfig(n_resamples=config.n_resamples, seed=config.seed)
    ablations = read_fits(layout, layout.ablation_fits_dir)
    frames = [figures(one, scores(table, one, noise), bootstrap) for one in ablations]
    long_table = pd.concat(frames, ignore_index=True)
    inputs = report.AblationInputs(
        figures=long_table,
        genes=_genes(layout, table, ablations[0], gene_sets, bootstrap),
        fitted=_fitted(layout, ablations),
        is_generated=data_facts(layout).is_generated,
        n_resamples=config.n_resamples,
    )
    with replacing_folder(layout.ablation_dir) as folder:
        write_parquet(pa.Table.from_pandas(long_table, preserve_index=False), folder / FIGURES)
        write_text(report.render_page(inputs), folder / REPORT)
        write_text(report.render_summary(inputs), folder / SUMMARY)
        with replacing(folder / HEADLINE) as temporary:
            temporary.write_bytes(report.render_picture(inputs))
    files = files_below(layout.ablation_dir)
    return BuildOutput(files=files, summary=report.summary_figures(inputs))


def _genes(
    layout: Layout,
    table: DeltaTable,
    ablation: SplitAblation,
    gene_sets: dict[str, frozenset[str]],
    config: BootstrapConfig,
) -> GeneFindings | None:
    """What is found of the network's vectors of genes; None where no network was looked at."""
    path = layout.ablation_fits_dir / ablation.split.name / GENES / VECTORS
    if not path.is_file():
        return None
    return look_at_genes(table, ablation.split, read_arrays(path), gene_sets, config)


def _fitted(layout: Layout, ablations: Sequence[SplitAblation]) -> dict[str, Any]:
    """How the variants were fitted, beside how ``model_full`` is: settings and sizes."""
    stamp = StampStore(layout).require(FITS)
    return {
        "model": stamp.config["model"],
        "ablation": stamp.config["ablation"],
        "n_train": {one.split.name: one.reference.notes.get("n_train") for one in ablations},
        "n_test": {one.split.name: len(one.reference.rows_N) for one in ablations},
        "n_train_whole": {one.split.name: len(one.split.rows("train")) for one in ablations},
        "n_test_whole": {one.split.name: len(one.split.rows("test")) for one in ablations},
    }
