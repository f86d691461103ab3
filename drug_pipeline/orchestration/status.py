"""What stands in a data folder, without building anything.

What belongs here: reading stamps and the inventory for people. What does not: Dagster's own idea
of freshness, which knows nothing of runs made elsewhere.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from drug_pipeline.domain.errors import (
    DrugPipelineError,
    ForeignFileError,
    StaleInputError,
    first_few,
)
from drug_pipeline.orchestration.metadata import rows_of
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import quarantined_files, read_inventory
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder
from drug_pipeline.storage.stamps import StampStore

STAMPED: Final = (
    "raw_tahoe",
    "tahoe_metadata",
    "counts",
    "imbalance_report",
    "filtered_pairs",
    "gene_panel",
    "pseudobulk",
    "delta_shards",
    "drug_embeddings",
    "cell_line_embeddings",
    "splits",
    "model_prototype",
    "model_full",
    "gate_fits",
    "evaluation_report",
    "registered_model",
    "ablation_report",
)
"""Names of stamps, upstream first; ``counts`` stands for the three count tables."""


@dataclass(frozen=True, kw_only=True)
class AssetState:
    """One asset as it stands: ``built``, ``stale``, ``changed`` by something else, or ``missing``."""

    asset: str
    state: str
    rows: str
    built_at: datetime | None
    inputs: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class RawState:
    """The raw folder against the inventory."""

    sentence: str
    quarantined: list[dict[str, Any]]


def asset_states(layout: Layout) -> list[AssetState]:
    """Every asset of a data folder, upstream first; what reads a stale asset is stale too."""
    states: dict[str, AssetState] = {}
    for asset in STAMPED:
        state = _state(StampStore(layout), asset)
        unfit = [name for name in state.inputs if name in states and states[name].state != "built"]
        if state.state == "built" and unfit:
            state = replace(state, state="stale", why=f"reads {first_few(unfit)}")
        states[asset] = state
    return list(states.values())


def raw_state(layout: Layout, raw_dir: RawDir) -> RawState:
    """Whether the raw folder holds what the inventory says, and what is quarantined."""
    if not layout.raw_manifest.exists():
        return RawState(sentence=f"{raw_dir} has not been looked at yet.", quarantined=[])
    try:
        inventory = read_inventory(layout)
        known = dict(zip(inventory["file"], inventory["size_bytes"], strict=True))
        present = {file.name: file.size_bytes for file in RawFolder(raw_dir).everything()}
    except DrugPipelineError as error:
        return RawState(sentence=str(error), quarantined=[])
    n_new = len(present.keys() - known.keys())
    n_gone = len(known.keys() - present.keys())
    n_changed = sum(known[name] != present[name] for name in known.keys() & present.keys())
    changes = f"{n_new} new, {n_changed} of another size, {n_gone} gone since the last run"
    sentence = f"{raw_dir}: {len(present):,} raw files; {changes}."
    columns = ["file", "column", "row", "reason", "remedy"]
    quarantined = quarantined_files(layout)[columns].to_dict(orient="records")
    return RawState(
        sentence=sentence, quarantined=[{str(k): v for k, v in row.items()} for row in quarantined]
    )


def _state(stamps: StampStore, asset: str) -> AssetState:
    stamp = stamps.read(asset)
    if stamp is None:
        return AssetState(asset=asset, state="missing", rows="", built_at=None, inputs=(), why="")
    state, why = "built", ""
    try:
        stamps.require(asset)
    except StaleInputError as error:
        state, why = "stale", str(error)
    except ForeignFileError as error:
        state, why = "changed", str(error)
    rows = rows_of(asset, stamp)
    return AssetState(
        asset=asset,
        state=state,
        rows="" if rows is None else f"{rows[0]:,} {rows[1]}",
        built_at=stamps.built_at(stamp),
        inputs=tuple(stamp.inputs),
        why=why,
    )
