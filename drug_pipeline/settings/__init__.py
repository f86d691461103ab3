"""The settings of a run: what people set in, the small configs of each room out.

What belongs here: names, defaults and bounds of what a user may set, where it may be set, and how
it becomes the frozen configs that stand beside the code they steer. What does not: reading data,
or choosing a default for one room's own fields (that is the config's business).

This is the only place that reads the environment.
"""

from drug_pipeline.settings.listing import Described, described_settings, recorded_settings
from drug_pipeline.settings.loading import load_settings, rank_in_job, settings_help
from drug_pipeline.settings.sections import ENV_PREFIX, SECTIONS, setting_types
from drug_pipeline.settings.settings import Settings
from drug_pipeline.settings.tracker import tracking_of

__all__ = [
    "ENV_PREFIX",
    "SECTIONS",
    "Described",
    "Settings",
    "described_settings",
    "load_settings",
    "rank_in_job",
    "recorded_settings",
    "setting_types",
    "settings_help",
    "tracking_of",
]
