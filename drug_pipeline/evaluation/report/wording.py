"""How things are called and written in the report: predictors, splits, tasks, numbers.

What belongs here: words for people. What does not: layout (``templates/``), figures.
"""

import math
from typing import Final

from drug_pipeline.domain.split_kinds import PEARSON_CENTRED, PEARSON_CENTRED_DOSE, kind_of
from drug_pipeline.evaluation.scoring import ceilings

PREDICTORS: Final = {
    "zero": "Zero",
    "global_mean": "Global mean",
    "line_mean": "Cell-line mean",
    "drug_mean": "Drug mean",
    "additive": "Additive",
    "additive_svd": "Additive + SVD",
    "panel_ridge": "Panel ridge",
    "line_ridge": "Line ridge",
    "pair_ridge": "Panel + line ridge",
    "gene_line": "Per-gene line on controls",
    "kernel_line": "Kernel ridge over lines",
    "morgan_ridge": "Ridge on fingerprints",
    "tanimoto_kernel_ridge": "Tanimoto kernel ridge",
    "tanimoto_knn": "Tanimoto nearest neighbours",
    "product_kernel_ridge": "Product-kernel ridge",
    "pair_average": "Line ridge + product kernel",
    "line_average": "Product kernel + line models",
    "network": "Linear + network",
    "blend": "Blend",
    "cross_well": "Blend fitted on other wells",
    ceilings.COUNTING: "Ceiling: counting",
    ceilings.WELL: "Ceiling: counting + wells",
    ceilings.PLATE: "Ceiling: another plate",
    ceilings.REPLICATE: "Replicate on another plate",
    "random": "Random",
    "popularity": "Popular drugs first",
    "plate_only": "Plate alone",
    "raw_cosine": "Raw cosine",
    "centred_cosine": "Centred cosine",
    "rank_cosine": "Rank cosine, whitened",
    "lda_cosine": "LDA-whitened cosine",
    "lda_nearest": "LDA-whitened, nearest profile",
    "lda_elsewhere": "LDA-whitened, nearest profile in another line",
    "sda_cosine": "SDA-whitened cosine",
    "tower": "Expression tower",
    "forward_gallery": "Predicted Δ, cosine",
    "rank_gallery": "Predicted Δ, rank cosine",
    "whitened_gallery": "Predicted Δ, whitened",
    "combined": "Combined rankers",
    "oracle": "Oracle: measured on another plate",
}

METRIC_PHRASES: Final = {
    PEARSON_CENTRED: "centred Pearson",
    PEARSON_CENTRED_DOSE: "Pearson centred by line and dose",
}

TASKS: Final = {
    "drug": "Which drug? (all drugs)",
    "drug_in_panel": "Which drug? (drugs of the query's plate)",
    "drug_same_line": "Which drug? (measured profiles of the query's own line alone)",
    "drug_cross_line": "Which drug? (measured profiles of other lines alone)",
    "target": "Which protein target?",
}


def predictor_title(name: str) -> str:
    """A predictor or ranker as people call it."""
    return PREDICTORS.get(name, name.replace("_", " ").capitalize())


def split_title(name: str, kind: str) -> str:
    """A split as people call it; one of its own name keeps that."""
    title = kind_of(kind).title
    return title if name == kind else f"{title} ({name})"


def split_question(kind: str) -> str:
    """What the test of a kind of split has never seen."""
    return kind_of(kind).question


def task_title(task: str) -> str:
    """A retrieval task as people call it."""
    is_prototype = task.startswith("prototype_")
    title = TASKS.get(task.removeprefix("prototype_"), task.replace("_", " "))
    return f"Prototype: {title}" if is_prototype else title


def number(value: float, digits: int = 3) -> str:
    """A number with a real minus sign; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign."""
    text = number(value, digits)
    return f"+{text}" if math.isfinite(value) and value > 0 and text.strip("0.") else text


def interval(low: float, high: float, digits: int = 3) -> str:
    """``[low, high]``; empty where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def with_interval(text: str, low: float, high: float, digits: int = 3) -> str:
    """A figure followed by its interval, where it has one."""
    return f"{text} {interval(low, high, digits)}".rstrip()


def percent(value: float) -> str:
    """A share as a whole percentage."""
    return f"{number(100 * value, 0)} %" if math.isfinite(value) else "\N{EN DASH}"


def percent_interval(low: float, high: float) -> str:
    """The interval of a share, in per cent."""
    return interval(100 * low, 100 * high, 0)


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{int(value):,}"


def at_k(title: str, k: int) -> str:
    """The title of a metric with its K, where it has one."""
    if not k:
        return title
    return title.replace("@K", f"@{k}") if "@K" in title else f"{title} @{k}"
