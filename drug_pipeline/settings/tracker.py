"""Which tracker the settings ask for."""

from drug_pipeline.settings.listing import recorded_settings
from drug_pipeline.settings.settings import Settings
from drug_pipeline.tracking.base import NullTracking, Tracking
from drug_pipeline.tracking.store import MlflowTracking


def tracking_of(settings: Settings) -> Tracking:
    """Where runs are recorded and models registered."""
    if not settings.tracking:
        return NullTracking()
    changed, whole = recorded_settings(settings)
    return MlflowTracking(
        settings.layout.mlflow_dir,
        tracking_uri=settings.mlflow_tracking_uri,
        registry_uri=settings.mlflow_registry_uri,
        ui=settings.mlflow_ui,
        changed=changed,
        settings=whole,
    )
