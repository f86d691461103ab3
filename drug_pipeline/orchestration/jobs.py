"""Named selections, and the nightly run of everything."""

from typing import Final

import dagster as dg

GROUPS: Final = ("raw", "counts", "expression", "embeddings", "models", "evaluation")
EVERYTHING: Final = "everything"

everything = dg.define_asset_job(
    EVERYTHING,
    selection=dg.AssetSelection.all(),
    executor_def=dg.in_process_executor,
    description="The whole chain, from raw files to report and registered model. "
    "What is current already is skipped in a moment.",
)

group_jobs = [
    dg.define_asset_job(
        f"{group}_assets",
        selection=dg.AssetSelection.groups(group),
        executor_def=dg.in_process_executor,
        description=f"The assets of stage {group} alone; what they read must be there.",
    )
    for group in GROUPS
]


def nightly(*, is_running: bool) -> dg.ScheduleDefinition:
    """Everything, every night at three: picks up what the sensor's machine slept through."""
    return dg.ScheduleDefinition(
        name="nightly",
        job=everything,
        cron_schedule="0 3 * * *",
        execution_timezone="UTC",
        default_status=(
            dg.DefaultScheduleStatus.RUNNING if is_running else dg.DefaultScheduleStatus.STOPPED
        ),
        description="Everything, every night at 03:00 UTC; a run with nothing new takes seconds.",
    )
