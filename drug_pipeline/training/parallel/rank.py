"""The place of a process in a ``torchrun`` job. No torch here: settings read this module."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """One of ``n_ranks`` processes, and one of the ``n_local`` of them on this machine."""

    rank: int
    n_ranks: int
    local_rank: int
    n_local: int

    @property
    def is_first(self) -> bool:
        """Whether this process leads: it alone runs the chain, writes and prints."""
        return self.rank == 0
