"""What the checks look at, as plain functions of a data folder: no Dagster in here.

What belongs here: joining stored results to a test of a science floor, and saying what was found.
What does not: the tests themselves, and what Dagster does about a finding (``checks.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import BadCellError, DrugPipelineError, first_few
from drug_pipeline.evaluation.evaluation_report import GATES
from drug_pipeline.evaluation.gates.gates import DISJOINT_GATE
from drug_pipeline.evaluation.gates.verdicts import RED, GateResult, tally
from drug_pipeline.expression.delta import TOO_FEW_CONTROL_CELLS
from drug_pipeline.expression.released.metadata import clean_genes
from drug_pipeline.expression.released.records import TokenTable, as_released_lists, check_records
from drug_pipeline.expression.released.tahoe import schema_problems
from drug_pipeline.ingest.embeddings import check_stored_alignment
from drug_pipeline.ingest.splits import audit_stored_splits
from drug_pipeline.storage.embeddings import Which
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import OkFile, ok_files, quarantined_files
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder
from drug_pipeline.storage.shards import read_delta, read_dropped
from drug_pipeline.storage.stamps import StampStore

MAX_SPOT_CHECKS: Final = 16
"""Raw files whose first row group is decoded once more; the others were judged by the inventory."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found: whether it passed, a sentence, and figures.

    A failure that is not ``is_grave`` warns also where the check blocks.
    """

    is_passed: bool
    sentence: str
    is_grave: bool = True
    figures: dict[str, Any] = field(default_factory=dict)


def raw_format(layout: Layout, raw_dir: RawDir) -> Finding:
    """Schema and marker of every file in use hold, tried on files spread over the folder."""
    return _spot_check(layout, raw_dir, _schema_fault, "have the released columns and types")


def raw_counts(layout: Layout, raw_dir: RawDir) -> Finding:
    """The marker is there and counts are whole numbers, tried on files spread over the folder."""
    genes = RawFolder(raw_dir).metadata_table("gene_metadata")
    tokens = TokenTable.of(clean_genes(genes)[names.TOKEN_ID].to_numpy())

    def fault(parquet: pq.ParquetFile) -> BadCellError | None:
        first_row = 0
        try:
            for batch in parquet.read_row_group(0).to_batches():
                check_records(as_released_lists(batch), first_row=first_row, tokens=tokens)
                first_row += batch.num_rows
        except BadCellError as error:
            return error
        return None

    return _spot_check(layout, raw_dir, fault, "hold the marker and whole-number counts")


def quarantine(layout: Layout) -> Finding:
    """No raw file had to be left out."""
    left_out = quarantined_files(layout)
    if left_out.empty:
        return Finding(is_passed=True, sentence="No raw file is quarantined.")
    rows = [{str(key): value for key, value in row.items()} for row in left_out.to_dict("records")]
    return Finding(
        is_passed=False,
        sentence=f"{len(left_out)} raw files are quarantined: {first_few(left_out['file'])}. "
        "The others are used; mend or remove these, and run again.",
        figures={"quarantined": rows},
    )


def wells_used(layout: Layout) -> Finding:
    """No well had to be set aside for its row of ``sample_metadata``."""
    summary = StampStore(layout).require("tahoe_metadata").summary
    n_set_aside = summary["notes"].get("wells_set_aside", 0)
    if not n_set_aside:
        return Finding(is_passed=True, sentence="Every well is used.")
    reasons = summary["first_of_notes"]["wells_set_aside"]
    return Finding(
        is_passed=False,
        sentence=f"{n_set_aside} wells are set aside, and their cells not counted: "
        f"{first_few(reasons)} The others are used; correct these rows, and run again.",
        figures={"n_wells_set_aside": n_set_aside},
    )


def cells_add_up(layout: Layout) -> Finding:
    """Every cell of the files in use is in the sums, or in a file refused on the way."""
    stamps = StampStore(layout)
    n_counted = int(stamps.require("counts").summary["n_cells"])
    pseudobulk = stamps.require("pseudobulk").summary
    n_summed, refused = int(pseudobulk["n_cells"]), pseudobulk["refused_files"]
    is_passed = n_summed == n_counted or bool(refused)
    return Finding(
        is_passed=is_passed,
        sentence=f"{n_summed:,} of {n_counted:,} counted cells are in the pseudobulk"
        + (f"; {len(refused)} files were refused while reducing." if refused else "."),
        figures={"n_cells_counted": n_counted, "n_cells_summed": n_summed},
    )


def controls_present(layout: Layout) -> Finding:
    """Every Δ has vehicle cells of its line on its plate, as many as the settings ask."""
    table = read_delta(layout)
    config = StampStore(layout).require("delta_shards").config
    fewest = int(config["min_control_cells"])
    conditions = table.conditions
    is_short = conditions[names.N_CONTROL_CELLS] < fewest
    if not config["fallback_to_other_plates"]:
        groups = table.controls.groups
        known = set(zip(groups[names.CELL_LINE_ID], groups[names.PLATE], strict=True))
        keys = zip(conditions[names.CELL_LINE_ID], conditions[names.PLATE], strict=True)
        is_short |= np.array([key not in known for key in keys])
    n_short = int(is_short.sum())
    return Finding(
        is_passed=n_short == 0,
        sentence=f"{n_short} of {len(conditions):,} conditions have a Δ without {fewest} vehicle "
        "cells of their line on their plate.",
        figures={"fewest_control_cells": int(conditions[names.N_CONTROL_CELLS].min())},
    )


def controls_complete(layout: Layout) -> Finding:
    """No condition went without Δ for want of vehicle cells."""
    dropped = read_dropped(layout)
    too_few = dropped[dropped[names.REASON] == TOO_FEW_CONTROL_CELLS]
    if too_few.empty:
        return Finding(is_passed=True, sentence="No condition lacks vehicle cells.")
    groups = too_few.groupby([names.CELL_LINE_ID, names.PLATE]).size()
    first = first_few(f"{line} on {plate}" for line, plate in groups.index)
    return Finding(
        is_passed=False,
        sentence=f"{len(too_few):,} conditions have no Δ because the vehicle of their line on "
        f"their plate has too few cells: {first}. Lower min_control_cells to keep them.",
        figures={"n_conditions": len(too_few), "n_line_plates": len(groups)},
    )


def finite_delta(layout: Layout) -> Finding:
    """Every Δ is a finite number."""
    table = read_delta(layout)
    n_bad = int(np.count_nonzero(~np.isfinite(table.delta_NG)))
    largest = float(np.nanmax(np.abs(table.delta_NG)))
    return Finding(
        is_passed=n_bad == 0,
        sentence=f"{n_bad:,} of {table.delta_NG.size:,} values of Δ are not finite; the largest "
        f"|Δ| is {largest:.2f}.",
        figures={"n_not_finite": n_bad, "largest": largest},
    )


def aligned(layout: Layout, which: Which) -> Finding:
    """The keys of an embedding are those of its metadata table, in its order."""

    def look() -> str:
        return f"{check_stored_alignment(layout, which):,} vectors have the keys of {which}."

    return _unless_refused(look)


def no_leak(layout: Layout) -> Finding:
    """No split has a unit on two sides."""

    def look() -> str:
        return f"No unit is on two sides of {first_few(audit_stored_splits(layout), limit=9)}."

    return _unless_refused(look)


def gates(layout: Layout) -> Finding:
    """The gates of the evaluation; a leak across the sides of a split is grave, others warn.

    A gate that is demanded and measured nothing fails the check too.
    """
    rows = pq.read_table(layout.evaluation_dir / GATES).to_pylist()
    gates = [GateResult.from_json(gate) for gate in rows]
    barring = [gate for gate in gates if gate.bars]
    reasons = " ".join(f"{gate.name} ({gate.state}): {gate.explanation}" for gate in barring)
    return Finding(
        is_passed=not barring,
        is_grave=any(gate.state == RED and gate.name.startswith(DISJOINT_GATE) for gate in barring),
        sentence=f"{tally(gates)}. {reasons}".strip(),
        figures={"gates": rows},
    )


def _unless_refused(look: Callable[[], str]) -> Finding:
    try:
        return Finding(is_passed=True, sentence=look())
    except DrugPipelineError as error:
        return Finding(is_passed=False, sentence=str(error))


def _schema_fault(parquet: pq.ParquetFile) -> BadCellError | None:
    return next(iter(schema_problems(parquet.schema_arrow)), None)


def _spot_check(
    layout: Layout,
    raw_dir: RawDir,
    fault_of: Callable[[pq.ParquetFile], BadCellError | None],
    what: str,
) -> Finding:
    raw = RawFolder(raw_dir)
    tried = _spread(ok_files(layout, raw))
    faults = {}
    for file in tried:
        with raw.open(file.raw.name) as stream:
            fault = fault_of(pq.ParquetFile(stream))
        if fault is not None:
            faults[file.raw.name] = str(fault)
    first = "".join(f" {name}: {fault}" for name, fault in list(faults.items())[:1])
    return Finding(
        is_passed=not faults,
        sentence=f"{len(tried) - len(faults)} of {len(tried)} files tried {what}.{first}",
        figures={"n_files_tried": len(tried)},
    )


def _spread(files: Sequence[OkFile]) -> list[OkFile]:
    """At most :data:`MAX_SPOT_CHECKS` files, evenly over the folder."""
    n_tried = min(len(files), MAX_SPOT_CHECKS)
    return [files[int(place)] for place in np.linspace(0, len(files) - 1, n_tried)]
