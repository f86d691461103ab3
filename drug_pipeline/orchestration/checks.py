"""Asset checks: what is looked at after an asset is built, and what stops the way down.

Each check shows the finding of one plain function of ``findings.py``, which unit tests call too.
A blocking check that fails keeps everything downstream from being built; the others warn.
"""

from collections.abc import Callable

import dagster as dg

from drug_pipeline.orchestration import findings
from drug_pipeline.orchestration.findings import Finding
from drug_pipeline.orchestration.metadata import as_metadata
from drug_pipeline.orchestration.resources import PipelineResource

Look = Callable[[PipelineResource], Finding]


def _check(
    asset: str, name: str, look: Look, description: str, *, is_blocking: bool = True
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=description, blocking=is_blocking)
    def check(pipeline: PipelineResource) -> dg.AssetCheckResult:
        finding = look(pipeline)
        is_error = is_blocking and finding.is_grave
        severity = dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(
            passed=finding.is_passed,
            severity=severity,
            description=finding.sentence,
            metadata={key: as_metadata(value) for key, value in finding.figures.items()},
        )

    return check


schema_as_released = _check(
    "raw_tahoe",
    "schema_as_released",
    lambda pipeline: findings.raw_format(pipeline.layout, pipeline.settings.raw_source()),
    "The files in use have the released columns and types.",
)
marker_and_whole_counts = _check(
    "raw_tahoe",
    "marker_and_whole_counts",
    lambda pipeline: findings.raw_counts(pipeline.layout, pipeline.settings.raw_source()),
    "Each cell has the marker entry and whole-number counts.",
)
nothing_quarantined = _check(
    "raw_tahoe",
    "nothing_quarantined",
    lambda pipeline: findings.quarantine(pipeline.layout),
    "No raw file had to be left out. Warns only: the other files are used.",
    is_blocking=False,
)
every_well_used = _check(
    "tahoe_metadata",
    "every_well_used",
    lambda pipeline: findings.wells_used(pipeline.layout),
    "No well was set aside for its metadata. Warns only: the other wells are used.",
    is_blocking=False,
)
every_cell_summed = _check(
    "pseudobulk",
    "every_cell_summed",
    lambda pipeline: findings.cells_add_up(pipeline.layout),
    "Every counted cell is in the sums.",
)
control_present = _check(
    "delta_shards",
    "control_present",
    lambda pipeline: findings.controls_present(pipeline.layout),
    "Every Δ has enough vehicle cells of its line on its plate.",
)
no_condition_without_control = _check(
    "delta_shards",
    "no_condition_without_control",
    lambda pipeline: findings.controls_complete(pipeline.layout),
    "No condition went without Δ for want of vehicle cells. Warns only: they are listed.",
    is_blocking=False,
)
finite_delta = _check(
    "delta_shards",
    "finite_delta",
    lambda pipeline: findings.finite_delta(pipeline.layout),
    "Every Δ is a finite number.",
)
drugs_aligned = _check(
    "drug_embeddings",
    "aligned_to_metadata",
    lambda pipeline: findings.aligned(pipeline.layout, "drugs"),
    "The vectors have the keys of the drug table, in its order.",
)
cell_lines_aligned = _check(
    "cell_line_embeddings",
    "aligned_to_metadata",
    lambda pipeline: findings.aligned(pipeline.layout, "cell_lines"),
    "The vectors have the keys of the cell-line table, in its order.",
)
no_leak = _check(
    "splits",
    "no_leak",
    lambda pipeline: findings.no_leak(pipeline.layout),
    "No parent compound, pair, line or plate is on two sides of a split that holds it out.",
)
gates_green = _check(
    "evaluation_report",
    "gates_green",
    lambda pipeline: findings.gates(pipeline.layout),
    "The gates are green. A unit on two sides of a split blocks; any red gate bars `champion`.",
)
