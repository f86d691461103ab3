"""Every metric by name, in the order of ``metrics.parquet`` and of the report.

What belongs here: nothing but the order of the rooms' rows. What does not: rows (they stand beside
their functions), what a row is (``metric``).
"""

from typing import Final

from drug_pipeline.evaluation.scoring import de_metrics, delta_metrics, ranking_metrics

FORWARD: Final = (*delta_metrics.METRICS, *de_metrics.METRICS, *delta_metrics.DISCRIMINATION)
"""Metrics of predicted Δ, one value per condition."""

RETRIEVAL: Final = ranking_metrics.METRICS
"""Metrics of rankings, one value per query."""

BY_NAME: Final = {metric.name: metric for metric in (*FORWARD, *RETRIEVAL)}

ROOTED: Final = tuple(
    metric.name for metric in FORWARD if metric.ceiling is not None and metric.ceiling.is_rooted
)
"""Metrics whose plate ceiling is the root of the mean over replicates."""
