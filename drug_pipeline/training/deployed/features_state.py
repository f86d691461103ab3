"""Features of drugs and lines as plain arrays, for the files of a model.

Shapes: L = lines, G = genes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drug_pipeline.domain import names
from drug_pipeline.domain.tables import EmbeddingTable
from drug_pipeline.linear import Features, State


def features_state(features: Features) -> State:
    """The features as plain arrays."""
    state: State = {"lines": np.array(features.lines), "control": features.control_LG}
    tables = {"drugs": features.drugs, "cell_lines": features.cell_lines}
    if features.annotations is not None:
        tables["annotations"] = features.annotations
    for name, table in tables.items():
        state[f"{name}.keys"] = np.array(table.keys)
        state[f"{name}.vectors"] = table.vectors_KF
        state[f"{name}.features"] = np.array(table.feature_names)
        state[f"{name}.blocks"] = np.array(list(table.blocks))
        state[f"{name}.ranges"] = np.array(list(table.blocks.values()), dtype=np.int64)
        state[f"{name}.trained_on"] = np.array(table.trained_on)
    return state


def features_of(state: Mapping[str, Any]) -> Features:
    """The features of :func:`features_state`."""

    def table(name: str, key_name: str) -> EmbeddingTable:
        ranges = [(int(start), int(stop)) for start, stop in state[f"{name}.ranges"]]
        return EmbeddingTable(
            key_name=key_name,
            keys=tuple(map(str, state[f"{name}.keys"])),
            vectors_KF=state[f"{name}.vectors"],
            feature_names=tuple(map(str, state[f"{name}.features"])),
            blocks=dict(zip(map(str, state[f"{name}.blocks"]), ranges, strict=True)),
            trained_on=str(state[f"{name}.trained_on"]),
        )

    has_annotations = "annotations.keys" in state
    return Features(
        drugs=table("drugs", names.DRUG),
        cell_lines=table("cell_lines", names.CELL_LINE_ID),
        lines=tuple(map(str, state["lines"])),
        control_LG=state["control"],
        annotations=table("annotations", names.DRUG) if has_annotations else None,
    )
