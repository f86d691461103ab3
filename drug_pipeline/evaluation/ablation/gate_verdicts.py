"""The asset ``gate_fits``: the gates that ask what a model would do had it been fitted otherwise.

What belongs here: which fits are read, and where the verdicts lie. What does not: a gate itself
(``gates/``, ``costs``), fitting (``training/``).
"""

from pathlib import Path
from typing import Final

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import EmptyResultError
from drug_pipeline.evaluation.ablation.costs import (
    SplitAblation,
    gates,
    require_reference,
    scores,
)
from drug_pipeline.evaluation.config import EvaluationConfig
from drug_pipeline.evaluation.gates.gates import BLIND_FIT_GATE, predicts_blind
from drug_pipeline.evaluation.gates.verdicts import NOT_MEASURED, RED, GateResult
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig
from drug_pipeline.evaluation.scoring.noise import measure_noise
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import read_json, write_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.predictions import SplitPredictions, read_predictions
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.splits import read_splits

ASSET: Final = "gate_fits"
CODE_VERSION: Final = "1"
"""Raised when the same fits would give other verdicts."""
UPSTREAM: Final = (
    *names.MODEL_INPUTS,
    "fits_for_gates",
)


def build_gate_verdicts(layout: Layout, config: EvaluationConfig) -> BuildResult:
    """Judge the fits that gates need; the verdicts lie in ``models/gate_fits.json``.

    Raises
    ------
    EmptyResultError
        If there is no fit.
    """

    def build() -> BuildOutput:
        table = read_delta(layout)
        noise = measure_noise(table)
        found = _blind_gates(layout)
        for fits in read_fits(layout, layout.gate_fits_dir):
            found += gates(fits, scores(table, fits, noise), bootstrap)
        write_json([gate.as_json() for gate in found], _path(layout))
        states = [gate.state for gate in found]
        return BuildOutput(
            files=[_path(layout)],
            summary={
                "n_gates": len(found),
                "n_gates_red": states.count(RED),
                "n_gates_not_measured": states.count(NOT_MEASURED),
            },
        )

    bootstrap = BootstrapConfig(n_resamples=config.n_resamples, seed=config.seed)
    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=UPSTREAM,
        config={"n_resamples": config.n_resamples, "seed": config.seed},
        build=build,
    )


def read_gate_verdicts(layout: Layout) -> list[GateResult]:
    """The gates that were run on fits of their own."""
    return [GateResult.from_json(gate) for gate in read_json(_path(layout))]


def _path(layout: Layout) -> Path:
    return layout.gate_fits_dir.with_suffix(".json")


def read_fits(layout: Layout, folder: Path) -> list[SplitAblation]:
    """Every split below a folder of fits with its variants, in the order of the splits.

    Raises
    ------
    EmptyResultError
        If there is none.
    """
    splits = read_splits(layout)
    found = []
    for name, split in splits.items():
        fits: dict[str, list[SplitPredictions]] = {}
        for fit in sorted((folder / name).glob("*"), key=_variant_and_seed):
            variant, _ = _variant_and_seed(fit)
            if variant not in (*names.BLIND, names.GENE_VECTORS):
                fits.setdefault(variant, []).append(read_predictions(fit))
        if fits:
            require_reference(fits, name)
            found.append(SplitAblation(split=split, fits=fits))
    if not found:
        msg = f"nothing was fitted below {folder}. Materialise gate_fits and ablation_report."
        raise EmptyResultError(msg)
    return found


def _blind_gates(layout: Layout) -> list[GateResult]:
    """Gate 1 on the fit of every split, in the order of the splits."""
    found = []
    for name in read_splits(layout):
        folders = [layout.gate_fits_dir / name / f"{variant}-0" for variant in names.BLIND]
        if all(folder.is_dir() for folder in folders):
            measured, noise = (read_predictions(folder).predictions for folder in folders)
            found.append(predicts_blind(f"{BLIND_FIT_GATE}: {name}", measured, noise))
    return found


def _variant_and_seed(folder: Path) -> tuple[str, int]:
    variant, _, seed = folder.name.rpartition("-")
    return variant, int(seed)
