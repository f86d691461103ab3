"""Starts a run when raw files are new or changed, once they have stopped growing.

What belongs here: watching the raw folder. What does not: reading a file; ``raw_tahoe`` does.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

import dagster as dg

from drug_pipeline.domain.errors import MetadataError, RawDataError
from drug_pipeline.orchestration.dead_runs import UNFINISHED, end_dead_runs
from drug_pipeline.orchestration.jobs import EVERYTHING, everything
from drug_pipeline.orchestration.resources import PipelineResource
from drug_pipeline.storage.files import sha256_of_json
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder

SECONDS_BETWEEN_LOOKS: Final = 30


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What the sensor remembers: the listing seen last, the one last run for, and runs so far."""

    seen: str = ""
    launched: str = ""
    n_launched: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The cursor a tick left behind, or a fresh one."""
        return cls(**json.loads(text)) if text else cls()

    def dump(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


def listing_fingerprint(raw_dir: RawDir) -> str:
    """A hash of names, sizes and times of the raw data files; metadata by content.

    Raises
    ------
    RawDataError, MetadataError
        If the folder is missing, empty or without its metadata tables.
    """
    folder = RawFolder(raw_dir)
    files = [asdict(file) for file in folder.everything()]
    return sha256_of_json({"files": files, "metadata": folder.metadata_fingerprints()})


def raw_folder_sensor(*, is_running: bool) -> dg.SensorDefinition:
    """The sensor on the raw folder."""

    @dg.sensor(
        name="raw_folder",
        job=everything,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=(
            dg.DefaultSensorStatus.RUNNING if is_running else dg.DefaultSensorStatus.STOPPED
        ),
        description="Runs everything when raw files are new or changed and have stopped growing.",
    )
    def raw_folder(
        context: dg.SensorEvaluationContext, pipeline: PipelineResource
    ) -> dg.SkipReason | dg.RunRequest:
        end_dead_runs(context.instance, pipeline.layout)
        return look(context, pipeline.settings.raw_source())

    return raw_folder


def look(context: dg.SensorEvaluationContext, raw_dir: RawDir) -> dg.SkipReason | dg.RunRequest:
    """One tick: wait for the listing to stand still, then ask for one run of it.

    A run that is still going is waited for. The run key is the listing's hash after the number of
    runs so far: a tick that is repeated after a crash starts no second run, and files that come
    back as they once were do start one.
    """
    cursor = Cursor.parse(context.cursor)
    try:
        listing = listing_fingerprint(raw_dir)
    except (RawDataError, MetadataError) as error:
        return dg.SkipReason(str(error))
    if listing == cursor.launched:
        return dg.SkipReason(f"Nothing new in {raw_dir}.")
    if listing != cursor.seen:
        context.update_cursor(replace(cursor, seen=listing).dump())
        return dg.SkipReason(f"Files in {raw_dir} have changed; waiting until they stand still.")
    filters = dg.RunsFilter(job_name=EVERYTHING, statuses=list(UNFINISHED))
    if context.instance.get_runs_count(filters):
        return dg.SkipReason("A run is still going; the new files are next.")
    launched = Cursor(seen=listing, launched=listing, n_launched=cursor.n_launched + 1)
    context.update_cursor(launched.dump())
    key = f"{launched.n_launched}-{listing}"
    return dg.RunRequest(run_key=key, tags={"raw_listing": listing[:12]})
