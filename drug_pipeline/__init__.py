"""From raw Tahoe-100M single cells to Δexpression, models, honest scores and ranked drugs."""

__version__ = "0.1.0"
