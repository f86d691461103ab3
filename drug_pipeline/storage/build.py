"""One way to build an asset: lock, check inputs, skip when current, build, stamp."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from drug_pipeline.domain.errors import DrugPipelineError
from drug_pipeline.storage.files import explaining_full_disk
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import Stamp, StampStore

LOCK_TIMEOUT_SECONDS = 600.0
"""How long a build waits for another run on the same data folder before it gives up."""


@dataclass(frozen=True, kw_only=True)
class BuildOutput:
    """What a build wrote: files, hashes of contents that are no files, and what to tell people.

    ``hashes`` are those of files that were hashed as they were written.
    ``timings`` are seconds by what they went into, such as a raw file; they are not stamped.
    """

    files: list[Path]
    hashes: dict[Path, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """The stamp of an asset and whether anything was built; False means nothing new."""

    stamp: Stamp
    is_new: bool
    timings: dict[str, float] = field(default_factory=dict)


class FolderBusyError(DrugPipelineError):
    """Another run is writing to the same data folder."""


def folder_lock(layout: Layout, *, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> FileLock:
    """The lock that one writing run of a data folder holds; re-entrant within a process."""
    layout.manifest_dir.mkdir(parents=True, exist_ok=True)
    return FileLock(layout.manifest_dir / ".lock", timeout=timeout_seconds, is_singleton=True)


def build_once(
    layout: Layout,
    asset: str,
    *,
    code_version: str,
    upstream: Sequence[str],
    config: Mapping[str, Any],
    build: Callable[[], BuildOutput],
    extra_inputs: Mapping[str, str] | None = None,
) -> BuildResult:
    """Build an asset unless it stands already as these inputs, settings and code would make it.

    Parameters
    ----------
    upstream
        Assets read by the build; their stamps are checked first.
    extra_inputs
        Fingerprints of inputs that are not assets, such as raw metadata files.
    build
        Writes every output under its final name, atomically, and lists them.

    Raises
    ------
    StaleInputError, ForeignFileError
        If an upstream asset is missing, stale, or was changed by something else.
    FolderBusyError
        If another run holds the data folder for too long.
    DiskFullError
        If there is no room for an output.
    """
    stamps = StampStore(layout)
    lock = folder_lock(layout)
    try:
        lock.acquire()
    except Timeout as error:
        msg = (
            f"another run has been writing to {layout.root} for over {lock.timeout:.0f} s. "
            "Wait for it to end, or give this run a data folder of its own."
        )
        raise FolderBusyError(msg) from error
    try:
        inputs = {name: stamps.require(name).fingerprint for name in upstream}
        inputs |= dict(extra_inputs or {})
        if stamps.is_current(asset, code_version=code_version, inputs=inputs, config=config):
            return BuildResult(stamp=stamps.require(asset), is_new=False)
        with explaining_full_disk(layout.root):
            output = build()
            stamp = stamps.write(
                asset=asset,
                code_version=code_version,
                inputs=inputs,
                config=config,
                files=output.files,
                hashes=output.hashes,
                contents=output.contents,
                summary=output.summary,
            )
        return BuildResult(stamp=stamp, is_new=True, timings=output.timings)
    finally:
        lock.release()
