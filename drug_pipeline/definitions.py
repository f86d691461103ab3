"""The Dagster code location: assembly only.

``dagster dev`` finds it through ``workspace.yaml``; ``dagster asset materialize`` needs
``DAGSTER_MODULE_NAME=drug_pipeline.definitions`` or ``-m drug_pipeline.definitions``.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from drug_pipeline.orchestration import checks, jobs, sensors
from drug_pipeline.orchestration.assets import (
    counts,
    embeddings,
    evaluation,
    expression,
    models,
    raw,
)
from drug_pipeline.orchestration.resources import Listener, PipelineResource
from drug_pipeline.settings import Settings, load_settings


def build_defs(
    settings: Settings | None = None,
    listener: Listener | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The code location.

    Parameters
    ----------
    settings
        By default those of the environment.
    listener
        Hears how the assets go; by default nobody.
    overrides
        Resources to put in the place of the usual ones.
    """
    settings = settings or load_settings()
    pipeline = PipelineResource.from_settings(settings, listener or Listener())
    return dg.Definitions(
        assets=dg.load_assets_from_modules(
            [raw, counts, expression, embeddings, models, evaluation]
        ),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[jobs.everything, *jobs.group_jobs],
        schedules=[jobs.nightly(is_running=settings.automation)],
        sensors=[sensors.raw_folder_sensor(is_running=settings.automation)],
        resources={"pipeline": pipeline, **(overrides or {})},
        executor=dg.in_process_executor,
    )


defs = build_defs()
