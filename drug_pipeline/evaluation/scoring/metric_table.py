"""Every metric by name: what it is, which way is better, how a report prints it.

What belongs here: names, definitions, directions. What does not: computing them (``forward``,
``retrieval``). The report prints these definitions, so that a table explains itself.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: its name in ``metrics.parquet``, its title and definition in the report."""

    name: str
    title: str
    definition: str
    is_error: bool = False
    has_ceiling: bool = False

    @property
    def sign(self) -> float:
        """+1 where larger is better, -1 for errors."""
        return -1.0 if self.is_error else 1.0


_CENTRED = "of Δ minus the mean Δ over the training conditions of the line, both sides"

FORWARD: Final = (
    Metric(
        name="pearson_centred",
        title="Pearson, centred",
        definition=f"Correlation over genes {_CENTRED}. What the drug does beyond what any drug "
        "does in that line; predicting the line's mean scores 0.",
        has_ceiling=True,
    ),
    Metric(
        name="pearson",
        title="Pearson",
        definition="Correlation over genes of predicted and measured Δ. Shared stress counts: "
        "predicting the same for every drug scores well.",
        has_ceiling=True,
    ),
    Metric(
        name="mse",
        title="MSE",
        definition="Mean squared error over genes, squared natural logs. Centring does not change "
        "it. A perfect prediction scores the noise variance, not 0.",
        is_error=True,
        has_ceiling=True,
    ),
    Metric(
        name="pearson_centred_dose",
        title="Pearson, centred by dose",
        definition="As centred Pearson, about the training mean of the line at that dose: knowing "
        "that high doses do more earns nothing either.",
        has_ceiling=True,
    ),
    Metric(
        name="cosine_centred",
        title="Cosine, centred",
        definition=f"Cosine {_CENTRED}.",
        has_ceiling=True,
    ),
    Metric(
        name="spearman_centred",
        title="Spearman, centred",
        definition=f"Rank correlation over genes {_CENTRED}.",
    ),
    Metric(
        name="cosine",
        title="Cosine",
        definition="Cosine of the angle between predicted and measured Δ.",
        has_ceiling=True,
    ),
    Metric(
        name="spearman",
        title="Spearman",
        definition="Rank correlation over genes of predicted and measured Δ (mid-ranks).",
    ),
    Metric(
        name="weighted_mse",
        title="MSE, weighted",
        definition="Squared error with each gene weighted by 1 / (SE² + s²), s the median SE of "
        "the condition.",
        is_error=True,
    ),
    Metric(name="mae", title="MAE", definition="Mean absolute error, natural logs.", is_error=True),
    Metric(
        name="r2",
        title="R²",
        definition="1 - SSE / SST over genes; below 0 when worse than the condition's own mean.",
    ),
    Metric(
        name="overlap",
        title="DE overlap",
        definition="Share of the k genes measured to change most that are predicted to. Chance is "
        "k / genes.",
    ),
    Metric(
        name="direction",
        title="DE direction",
        definition="Share of the k genes measured to change most whose predicted sign is right; a "
        "predicted 0 counts one half. Chance is one half.",
    ),
    Metric(
        name="pds",
        title="PDS",
        definition="Perturbation discrimination: 1 - rank / C, the rank of the condition's own "
        "measurement among the C test conditions of its line and plate by L1 distance to the "
        "prediction (signed Δ, ties one half, other forms of the drug no rivals). Chance is near "
        "one half. It saturates where every method knows the drug.",
    ),
    Metric(
        name="pds_cosine",
        title="PDS, cosine",
        definition="The same by cosine of centred Δ, which ignores the size of effects.",
    ),
)
"""Metrics of predicted Δ, one value a condition; the report's columns in this order."""

_RELATED = "drugs of other parent compounds with the same targets or the same clear mechanism"

RETRIEVAL: Final = (
    Metric(name="mrr", title="MRR", definition="Mean of 1 / rank of the right parent compound."),
    Metric(
        name="hit",
        title="Hit@K",
        definition="Share of queries whose parent compound is among the first K.",
    ),
    Metric(
        name="normalised_rank",
        title="Normalised rank",
        definition="Share of the other candidates ranked below the right one; chance is one half.",
    ),
    Metric(
        name="median_rank",
        title="Median rank",
        definition="Median rank of the right parent compound.",
        is_error=True,
    ),
    Metric(
        name="precision",
        title="Precision@K",
        definition="Share of the first K candidates that are relevant. Identity level: at most "
        "1 / K, as there is one right parent compound.",
    ),
    Metric(
        name="recall",
        title="Recall@K",
        definition="Share of the relevant candidates among the first K. Identity level: Hit@K.",
    ),
    Metric(
        name="map",
        title="mAP@K",
        definition="Mean average precision over the first K.",
    ),
    Metric(
        name="ndcg",
        title="NDCG@K",
        definition="Gain of the first K discounted by 1 / log2(1 + rank), over the best possible.",
    ),
    Metric(
        name="graded_ndcg",
        title="NDCG@K, graded",
        definition="NDCG with grades 3 same parent compound, 2 same targets, 1 same fine mechanism "
        '("unclear" is none), gain 2^grade - 1.',
    ),
    Metric(
        name="related_precision",
        title="Precision@K, related",
        definition=f"Precision over {_RELATED}; the drug's own forms are left out.",
    ),
    Metric(
        name="related_recall",
        title="Recall@K, related",
        definition=f"Recall over {_RELATED}; the drug's own forms are left out.",
    ),
    Metric(
        name="related_map",
        title="mAP@K, related",
        definition=f"mAP over {_RELATED}; the drug's own forms are left out.",
    ),
    Metric(
        name="recall_ceiling",
        title="Recall@K, most possible",
        definition="min(K, R) / R with R relevant candidates.",
    ),
)
"""Metrics of rankings, one value a query."""

BY_NAME: Final = {metric.name: metric for metric in (*FORWARD, *RETRIEVAL)}
