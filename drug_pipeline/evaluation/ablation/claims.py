"""A claim of old about the model, whether it holds here, and the figures that say so."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim in words, the verdict in words, and one sentence per finding behind it."""

    claim: str
    verdict: str
    evidence: Sequence[str]
