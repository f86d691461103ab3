"""The asset ``delta_shards``: Δ of every kept condition, plate by plate.

What belongs here: which plates changed, reading sums and pairs, writing shards.
What does not: the definition of Δ (``expression/delta.py``), the files (``storage/shards.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import EmptyResultError, MissingControlError, first_few
from drug_pipeline.domain.progress import Progress
from drug_pipeline.expression.delta import (
    TOO_FEW_CONTROL_CELLS,
    DeltaConfig,
    PlateDelta,
    Sums,
    WellSums,
    control_sums,
    delta_of_plate,
)
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.files import remove_leftovers, sha256_of_json
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import plates_in, read_fingerprint, read_plate_sums
from drug_pipeline.storage.shards import (
    ASSET,
    DeltaShard,
    delta_files,
    made_from,
    read_index,
    remove_delta_shard,
    write_all_dropped,
    write_delta_genes,
    write_delta_shard,
)

CODE_VERSION: Final = "1"


def build_delta_shards(
    layout: Layout, config: DeltaConfig, progress: Progress | None = None
) -> BuildResult:
    """Bring the Δ shards of every plate up to date with its sums, the kept pairs and the settings.

    Raises
    ------
    MissingControlError
        If no condition of a kept pair has enough control cells.
    EmptyResultError
        If no condition is left for another reason.
    """
    return build_once(
        layout,
        ASSET,
        code_version=CODE_VERSION,
        upstream=["pseudobulk", "filtered_pairs", "tahoe_metadata", "gene_panel"],
        config=asdict(config),
        build=lambda: _build(layout, config, progress),
    )


def _build(layout: Layout, config: DeltaConfig, progress: Progress | None) -> BuildOutput:
    remove_leftovers(layout.delta_dir)
    pairs = read_table(layout, "filtered_pairs")
    kept = pairs[pairs["is_kept"].astype(bool)]
    kept_pairs = frozenset(zip(kept[names.DRUG], kept[names.CELL_LINE_ID], strict=True))
    drugs = pq.read_table(layout.metadata_dir / "drugs.parquet").to_pandas()
    parents = dict(zip(drugs[names.DRUG], drugs[names.PARENT_COMPOUND], strict=True))
    plates = plates_in(layout.pseudobulk_dir)
    for plate in set(plates_in(layout.delta_dir)) - set(plates):
        remove_delta_shard(layout, plate)
    elsewhere = {  # vehicle cells by plate and line: 16 bytes per gene, line and plate
        plate: control_sums(_well_sums(layout, plate))
        for plate in plates
        if config.fallback_to_other_plates
    }
    n_written = 0
    for number, plate in enumerate(plates):
        inputs = _inputs_of(layout, plate, kept_pairs, parents, config)
        if made_from(layout, plate) != inputs:
            delta = delta_of_plate(
                _well_sums(layout, plate),
                kept_pairs=kept_pairs,
                config=config,
                elsewhere=_all_but(elsewhere, plate),
            )
            write_delta_shard(layout, _shard(plate, delta, parents), made_from=inputs)
            n_written += 1
        if progress is not None:
            progress(number + 1, len(plates), plate)
    write_delta_genes(layout, pq.read_table(layout.gene_panel))
    dropped = write_all_dropped(layout)
    return BuildOutput(
        files=delta_files(layout), summary=_summary(layout, plates, dropped, config, n_written)
    )


def _inputs_of(
    layout: Layout,
    plate: str,
    kept_pairs: frozenset[tuple[str, str]],
    parents: Mapping[str, str],
    config: DeltaConfig,
) -> str:
    """Hash of all that a plate's shard depends on; with borrowed controls, that is every plate."""
    well_lines = read_plate_sums(layout, plate).well_lines
    drugs = sorted(set(well_lines[names.DRUG]))
    on_plate = set(zip(well_lines[names.DRUG], well_lines[names.CELL_LINE_ID], strict=True))
    sums_of = plates_in(layout.pseudobulk_dir) if config.fallback_to_other_plates else [plate]
    return sha256_of_json(
        {
            "code_version": CODE_VERSION,
            "config": asdict(config),
            "sums": {name: read_fingerprint(layout, name) for name in sums_of},
            "pairs": sorted(on_plate & kept_pairs),
            "parents": {drug: parents.get(drug) for drug in drugs},
        }
    )


def _well_sums(layout: Layout, plate: str) -> WellSums:
    sums = read_plate_sums(layout, plate)
    return WellSums(
        plate=plate,
        well_lines=sums.well_lines,
        sum_x_WG=sums.sum_x_WG,
        sum_x2_WG=sums.sum_x2_WG,
        half_sum_x_WG=sums.half_sum_x_WG,
    )


def _all_but(controls: Mapping[str, Mapping[str, Sums]], left_out: str) -> dict[str, Sums]:
    """Vehicle cells by line, over all plates but one."""
    total: dict[str, Sums] = {}
    for plate, of_line in controls.items():
        if plate == left_out:
            continue
        for line, sums in of_line.items():
            total[line] = total[line] + sums if line in total else sums
    return total


def _shard(plate: str, delta: PlateDelta, parents: Mapping[str, str]) -> DeltaShard:
    index = delta.conditions.copy()
    index[names.PARENT_COMPOUND] = index[names.DRUG].map(parents)
    return DeltaShard(
        plate=plate,
        arrays={
            "delta": delta.delta_NG,
            "se": delta.se_NG,
            "half_a": delta.half_a_NG,
            "half_b": delta.half_b_NG,
            "control": delta.control_MG,
            "control_well": delta.control_well_VG,
        },
        index=index,
        controls=delta.controls,
        control_wells=delta.control_wells,
        dropped=delta.dropped,
    )


def _summary(
    layout: Layout,
    plates: Sequence[str],
    dropped: pd.DataFrame,
    config: DeltaConfig,
    n_written: int,
) -> dict[str, Any]:
    """What people are told; refuses an empty result."""
    index = pd.concat([read_index(layout, plate) for plate in plates])
    if not len(index):
        _raise_empty(dropped, config)
    reasons = dropped[names.REASON].value_counts()
    return {
        "n_conditions": len(index),
        "n_plates": len(plates),
        "n_plates_written": n_written,
        "n_genes": pq.read_metadata(layout.gene_panel).num_rows,
        "n_drugs": int(index[names.DRUG].nunique()),
        "n_cell_lines": int(index[names.CELL_LINE_ID].nunique()),
        "median_cells": float(np.median(index[names.N_CELLS])),
        "n_fallback_controls": int(index[names.IS_FALLBACK_CONTROL].sum()),
        "n_dropped": len(dropped),
        "dropped": {str(reason): int(n) for reason, n in reasons.sort_index().items()},
    }


def _raise_empty(dropped: pd.DataFrame, config: DeltaConfig) -> None:
    without_control = dropped[dropped[names.REASON] == TOO_FEW_CONTROL_CELLS]
    if len(without_control):
        first = [
            f"{line} on {plate} ({n} control cells)"
            for line, plate, n in without_control[[names.CELL_LINE_ID, names.PLATE, "n"]]
            .drop_duplicates()
            .itertuples(index=False)
        ]
        msg = (
            f"none of {len(without_control)} conditions of kept pairs has "
            f"{config.min_control_cells} vehicle cells ({names.CONTROL_DRUG}) of its line on its "
            f"plate; first: {first_few(first)}. Lower min_control_cells, or set "
            "delta.fallback_to_other_plates=true."
        )
        raise MissingControlError(msg)
    msg = (
        f"none of {len(dropped)} conditions is left: their pairs were not kept, or they have fewer "
        f"than {config.min_cells_per_condition} cells. Lower min_cells_per_pair or "
        "delta.min_cells_per_condition."
    )
    raise EmptyResultError(msg)
