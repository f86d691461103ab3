"""What each token and loss is worth, trained as long as the model itself, from several seeds.

    python benchmarks/ablation.py DATA_DIR [--seeds 2] [--splits pair drug] [--workers 2]
        [--linear additive panel_ridge] [--variants as_configured no_skip]

DATA_DIR is a data folder on which `drug-pipeline run` has ended. The page and its tables lie
under DATA_DIR/reports/ablation afterwards; the next `drug-pipeline run` makes those of its preset.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from drug_pipeline.evaluation.ablation.ablation_report import SUMMARY, build_ablation_report
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.settings import load_settings
from drug_pipeline.storage.layout import Layout
from drug_pipeline.training.ablation.config import ALL_VARIANTS, AblationConfig
from drug_pipeline.training.ablation.fits import build_ablation_fits


def main() -> None:
    """Fit, judge, print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--splits", nargs="+", default=["pair", "drug"])
    parser.add_argument("--variants", nargs="+", default=ALL_VARIANTS, choices=ALL_VARIANTS)
    parser.add_argument("--linear", nargs="*", default=[], help="beside the means; default: all")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    settings = load_settings(preset=given.preset)
    config = AblationConfig(
        variants=dict.fromkeys(given.splits, tuple(given.variants)),
        n_seeds=given.seeds,
        linear=tuple(given.linear),
        max_test=None,
    )
    layout = Layout(given.data_dir.resolve())
    started = time.perf_counter()

    def tell(done: int, total: int, text: str) -> None:
        print(f"{time.perf_counter() - started:7.1f} s  {done}/{total}  {text}", flush=True)

    model = replace(settings.training(), n_workers=given.workers)
    build_ablation_fits(layout, model, config, progress=tell)
    build_ablation_report(layout, settings.section(EvaluationConfig), gene_sets=settings.gene_sets)
    print((layout.ablation_dir / SUMMARY).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
