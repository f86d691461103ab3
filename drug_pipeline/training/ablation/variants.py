"""What each input and each loss is worth: the same fit with one thing left out or shuffled.

What belongs here: the variants, as changes of the configuration or of what the models are told of
each condition. What does not: fitting (``fit_split.py``), judging (``evaluation/``).

Shapes: N = conditions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from drug_pipeline.linear import Conditions
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.split_data import Part, SplitData

Told = Callable[[Conditions, int], Conditions]
"""What the models are told of the conditions, from the true conditions and a seed."""

Dealt = Callable[[SplitData, int], SplitData]
"""What is trained and chosen on, from the true data and a seed; the test side stays."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ablation: how the settings change, how conditions are told, how Δ is dealt out."""

    config: Callable[[TrainConfig], TrainConfig] = lambda config: config
    told: Told = lambda conditions, seed: conditions
    dealt: Dealt = lambda data, seed: data
    shares: str = "as_configured"
    """The variant whose linear models, encoder and measured rankers are those of this one."""


def without_drug(conditions: Conditions, seed: int) -> Conditions:
    """The conditions as if all had one drug; doses stay."""
    del seed
    return replace(
        conditions,
        drug_N=np.full_like(conditions.drug_N, conditions.drug_N[0]),
        parent_N=np.full_like(conditions.parent_N, conditions.parent_N[0]),
    )


def shuffled_drug(conditions: Conditions, seed: int) -> Conditions:
    """The conditions with drugs shuffled over rows, parents with them; doses stay."""
    order = np.random.default_rng(seed).permutation(len(conditions))
    return replace(conditions, drug_N=conditions.drug_N[order], parent_N=conditions.parent_N[order])


def without_cell(conditions: Conditions, seed: int) -> Conditions:
    """The conditions as if all were of one line."""
    del seed
    return replace(conditions, line_N=np.full_like(conditions.line_N, conditions.line_N[0]))


def shuffled_cell(conditions: Conditions, seed: int) -> Conditions:
    """The conditions with lines shuffled over rows."""
    order = np.random.default_rng(seed).permutation(len(conditions))
    return replace(conditions, line_N=conditions.line_N[order])


def permuted_targets(data: SplitData, seed: int) -> SplitData:
    """The data with measurements shuffled over the conditions of training, and of validation.

    Δ, its errors and its evidence move together; what was asked stays.
    """
    rng = np.random.default_rng(seed)

    def shuffled(part: Part) -> Part:
        order = rng.permutation(len(part))
        moved = ("rows_N", "delta_NG", "weight_N", "noise_N", "evidence_N", "n_cells_N")
        return replace(part, **{name: getattr(part, name)[order] for name in moved})

    return replace(data, train=shuffled(data.train), validation=shuffled(data.validation))


def _forward(**changes: Any) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: replace(config, forward=replace(config.forward, **changes))


def _model(**changes: Any) -> Callable[[TrainConfig], TrainConfig]:
    return lambda config: replace(config, model=replace(config.model, **changes))


VARIANTS: Final[Mapping[str, Variant]] = {
    "as_configured": Variant(),
    "no_drug": Variant(told=without_drug, shares="no_drug"),
    "shuffled_drug": Variant(told=shuffled_drug, shares="shuffled_drug"),
    "no_cell": Variant(told=without_cell, shares="no_cell"),
    "shuffled_cell": Variant(told=shuffled_cell, shares="shuffled_cell"),
    "no_cell_token": Variant(config=_model(has_cell_token=False)),
    "no_rank_loss": Variant(config=_forward(lambda_rank=0.0)),
    "full_rank_loss": Variant(config=_forward(lambda_rank=1.0)),
    "no_align_loss": Variant(config=_forward(lambda_align=0.0)),
    "no_warmup": Variant(config=_forward(rank_warmup_frac=0.0)),
    "no_gene_tokens": Variant(config=_model(n_gene_tokens=0)),
    "no_skip": Variant(config=_model(has_skip=False)),
    "random_gene_embeddings": Variant(config=_model(is_gene_embedding_learned=False)),
    "permuted_targets": Variant(dealt=permuted_targets, shares="permuted_targets"),
}
"""Every ablation by name, the full model first."""
