"""Rankers that compare a query with measured conditions; they come from ``linear/``."""

from drug_pipeline.domain.errors import CheckpointError
from drug_pipeline.linear import Features, Ranker, State


def measured_rankers() -> list[Ranker]:
    """Fresh rankers, not fitted."""
    return []


def restored_ranker(name: str, state: State, features: Features) -> Ranker:
    """The fitted ranker of that name."""
    del state, features
    msg = f"no ranker {name!r}"
    raise CheckpointError(msg)
