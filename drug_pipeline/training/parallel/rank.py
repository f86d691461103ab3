"""The rank of a process in a ``torchrun`` job. No torch here: settings read this module."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One of ``world_size`` processes, and one of the ``local_world_size`` of them on this machine."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone runs the chain, writes and prints."""
        return self.rank == 0
