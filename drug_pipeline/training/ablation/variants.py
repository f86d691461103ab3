"""What each input and each loss is worth: the same fit with one thing left out or shuffled.

What belongs here: the variants, as changes of the configuration, of the conditions as the models see them, or of
the data they are fitted on. What does not: fitting (``fit_split.py``), judging (``evaluation/``).

Shapes: N = conditions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from drug_pipeline.domain import names
from drug_pipeline.linear import Conditions
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.split_data import Part, SplitData

ChangeConditions = Callable[[Conditions, int], Conditions]
"""The conditions as the models see them, from the true ones and a seed."""

ChangeData = Callable[[SplitData, int], SplitData]
"""The data that models are trained and chosen on, from the true data and a seed; the test stays."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ablation: how it changes settings, conditions as the models see them, and training data."""

    config: Callable[[TrainConfig], TrainConfig] = lambda config: config
    change_conditions: ChangeConditions = lambda conditions, seed: conditions
    change_data: ChangeData = lambda data, seed: data
    shares: str = names.REFERENCE
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
    names.REFERENCE: Variant(),
    names.NO_DRUG: Variant(change_conditions=without_drug, shares=names.NO_DRUG),
    names.SHUFFLED_DRUG: Variant(change_conditions=shuffled_drug, shares=names.SHUFFLED_DRUG),
    names.NO_CELL: Variant(change_conditions=without_cell, shares=names.NO_CELL),
    names.SHUFFLED_CELL: Variant(change_conditions=shuffled_cell, shares=names.SHUFFLED_CELL),
    names.NO_CELL_TOKEN: Variant(config=_model(has_cell_token=False)),
    names.NO_RANK_LOSS: Variant(config=_forward(lambda_rank=0.0)),
    names.FULL_RANK_LOSS: Variant(config=_forward(lambda_rank=1.0)),
    names.NO_ALIGN_LOSS: Variant(config=_forward(lambda_align=0.0)),
    names.NO_WARMUP: Variant(config=_forward(rank_warmup_frac=0.0)),
    names.NO_GENE_TOKENS: Variant(config=_model(n_gene_tokens=0)),
    names.NO_SKIP: Variant(config=_model(has_skip=False)),
    names.RANDOM_GENE_EMBEDDINGS: Variant(config=_model(is_gene_embedding_learned=False)),
    names.PERMUTED: Variant(change_data=permuted_targets, shares=names.PERMUTED),
}
"""Every ablation by name, the full model first."""
