"""What each asset was built from: one stamp an asset, written last.

A stamp makes a re-run cheap (same inputs, same settings, same code: nothing new) and a reader
safe (inputs that have moved on, or a file that somebody changed, are refused by name).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drug_pipeline.domain.errors import ForeignFileError, StaleInputError, first_few
from drug_pipeline.storage.files import (
    read_sealed_json,
    sha256_of_file,
    sha256_of_json,
    write_sealed_json,
)
from drug_pipeline.storage.layout import Layout

TIMES = "built_at.json"
"""File of the manifest folder: fingerprint and time of each asset's last build."""
DEEP_CHECK_BYTES = 64 * 2**20
"""Files up to this size are re-hashed when read; larger ones are compared by size."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Inputs, settings and outputs of one built asset.

    ``fingerprint`` depends on the content of the outputs alone, so that rebuilding the same
    content leaves everything downstream current. ``summary`` holds what people are shown
    (rows, bytes, dropped items); JSON values only.
    """

    asset: str
    code_version: str
    inputs: dict[str, str]
    config: dict[str, Any]
    outputs: dict[str, dict[str, Any]]
    fingerprint: str
    summary: dict[str, Any] = field(default_factory=dict)


class StampStore:
    """Stamps of one data folder, under ``manifest/stamps/``."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def path(self, asset: str) -> Path:
        """Where one asset's stamp lies."""
        return self.layout.manifest_dir / "stamps" / f"{asset}.json"

    def read(self, asset: str) -> Stamp | None:
        """The stamp of an asset, or None where it was never built, or its stamp is damaged."""
        document = read_sealed_json(self.path(asset))
        if document is None or document.keys() != {item.name for item in fields(Stamp)}:
            return None
        return Stamp(**document)

    def write(
        self,
        *,
        asset: str,
        code_version: str,
        inputs: Mapping[str, str],
        config: Mapping[str, Any],
        files: Iterable[Path],
        hashes: Mapping[Path, str] | None = None,
        contents: Mapping[str, str] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> Stamp:
        """Stamp an asset whose outputs are all in place.

        Parameters
        ----------
        files
            Output files, below the data folder.
        hashes
            SHA-256 of those of them that were hashed as they were written; the others are read.
        contents
            Hashes of outputs that are not files of their own, such as DuckDB tables.
        """
        known = hashes or {}
        outputs: dict[str, dict[str, Any]] = {
            self.layout.of(path): {
                "size_bytes": path.stat().st_size,
                "sha256": known.get(path) or sha256_of_file(path),
            }
            for path in sorted(files)
        }
        content_hashes = {name: output["sha256"] for name, output in outputs.items()}
        content_hashes |= dict(contents or {})
        stamp = Stamp(
            asset=asset,
            code_version=code_version,
            inputs=dict(inputs),
            config=dict(config),
            outputs=outputs,
            fingerprint=sha256_of_json(content_hashes),
            summary=dict(summary or {}),
        )
        write_sealed_json(asdict(stamp), self.path(asset))
        built = read_sealed_json(self._times) or {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_sealed_json({**built, asset: [stamp.fingerprint, now]}, self._times)
        return stamp

    def built_at(self, stamp: Stamp) -> datetime | None:
        """When what a stamp tells of was built; None where that is not known.

        Stamps tell of content alone, so that building the same again changes no byte of them: the
        times stand in a file of their own, which no copy of the folder alters.
        """
        fingerprint, built = (read_sealed_json(self._times) or {}).get(stamp.asset, ("", ""))
        return datetime.fromisoformat(built) if fingerprint == stamp.fingerprint else None

    @property
    def _times(self) -> Path:
        return self.layout.manifest_dir / TIMES

    def is_current(
        self, asset: str, *, code_version: str, inputs: Mapping[str, str], config: Mapping[str, Any]
    ) -> bool:
        """Whether an asset stands as these inputs, settings and code would build it."""
        stamp = self.read(asset)
        if stamp is None:
            return False
        same = (
            stamp.code_version == code_version
            and stamp.inputs == dict(inputs)
            and sha256_of_json(stamp.config) == sha256_of_json(dict(config))
        )
        return same and not self._changed_outputs(stamp)

    def require(self, asset: str) -> Stamp:
        """The stamp of an input, checked.

        Raises
        ------
        StaleInputError
            If the asset was never built, its stamp is damaged, or one of its inputs has changed.
        ForeignFileError
            If one of its files is missing or is not the one that was written.
        """
        stamp = self.read(asset)
        if stamp is None:
            is_damaged = "; its stamp is damaged" if self.path(asset).exists() else ""
            msg = (
                f"{asset} has not been built in {self.layout.root}{is_damaged}. "
                f"Materialise {asset} first."
            )
            raise StaleInputError(msg)
        moved = [
            name for name, fingerprint in stamp.inputs.items() if self._moved(name, fingerprint)
        ]
        if moved:
            msg = (
                f"{asset} was built from another {first_few(moved)} than the one there now. "
                f"Materialise {asset} again."
            )
            raise StaleInputError(msg)
        changed = self._changed_outputs(stamp)
        if changed:
            msg = (
                f"{len(changed)} of {len(stamp.outputs)} files of {asset} are missing or were "
                f"changed by something else; first: {first_few(changed)}. "
                f"Materialise {asset} again."
            )
            raise ForeignFileError(msg)
        return stamp

    def _moved(self, asset: str, fingerprint: str) -> bool:
        upstream = self.read(asset)
        return upstream is not None and upstream.fingerprint != fingerprint

    def _changed_outputs(self, stamp: Stamp) -> list[str]:
        return [name for name, output in stamp.outputs.items() if self._is_changed(name, output)]

    def _is_changed(self, name: str, output: Mapping[str, Any]) -> bool:
        path = self.layout.root / name
        if not path.is_file() or path.stat().st_size != output["size_bytes"]:
            return True
        is_small = bool(output["size_bytes"] <= DEEP_CHECK_BYTES)
        return is_small and sha256_of_file(path) != output["sha256"]
