"""What a map over work units is told: where it runs, with how many workers, how often it retries.

What belongs here: the configuration and the types that every backend shares. What does not: any
backend (``workers/backends.py``, ``workers/ray_backend.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar, get_args

from drug_pipeline.domain.errors import ConfigurationError, DrugPipelineError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Tick = Callable[[int], None]
"""Called by a unit with the number of cells it has just done."""

BackendKind = Literal["local", "threads", "processes", "ray"]
MAX_THREADS: Final = 8


class WorkerLostError(DrugPipelineError):
    """Workers kept dying."""


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    """Where units run.

    Parameters
    ----------
    kind
        ``threads`` or ``processes`` of this machine, or ``ray``: a Ray cluster (extra ``ray``).
        ``local`` is threads for up to eight workers: decoding and the kernel hold no lock, and
        threads start at once; and processes for more, since what is left in Python does.
    workers
        Units at a time. One local worker is this thread itself.
    address
        Of the Ray cluster; None starts or finds one on this machine.
    max_retries
        How often a unit whose worker died is started again.
    """

    kind: BackendKind = "local"
    workers: int = 1
    address: str | None = None
    max_retries: int = 3

    def __post_init__(self) -> None:
        if self.kind not in get_args(BackendKind):
            msg = f"backend is {self.kind!r}; use one of {', '.join(get_args(BackendKind))}."
            raise ConfigurationError(msg)
        if self.workers < 1 or self.max_retries < 0:
            msg = f"workers is {self.workers}, max_retries {self.max_retries}; at least 1 and 0."
            raise ConfigurationError(msg)

    @property
    def uses_processes(self) -> bool:
        """Whether workers are processes of this machine, which can leave files for this one."""
        is_many = self.kind == "local" and self.workers > MAX_THREADS
        return self.workers > 1 and (self.kind == "processes" or is_many)

    @property
    def uses_threads(self) -> bool:
        """Whether workers are threads of this process, this one included."""
        return self.kind != "ray" and not self.uses_processes
