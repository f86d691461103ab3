"""The networks that a split can train, by name: what they are asked, and which there are.

What belongs here: the interface and the table. What does not: any network (one a file). To add
one, write its class in a file of its own and give it a row in :data:`NETWORKS`.

Shapes: B = conditions or queries, G = genes, D = drugs, K = width of the shared space, F = chemistry,
T = gene tokens.
"""

import warnings
from collections.abc import Callable
from typing import Final

from torch import Tensor

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import DrugNetwork, ModelSizes
from drug_pipeline.model.transformer import DrugTransformer

NETWORKS: Final[dict[str, Callable[[ModelConfig, ModelSizes, Tensor], DrugNetwork]]] = {
    "transformer": DrugTransformer,
}
"""Networks by the name that ``training.model.architecture`` gives."""


def make_network(config: ModelConfig, sizes: ModelSizes, token_genes_T: Tensor) -> DrugNetwork:
    """A network with random weights (torch's seed).

    Raises
    ------
    ConfigurationError
        If there is no network of that name.
    """
    if config.architecture not in NETWORKS:
        msg = (
            f"training.model.architecture is {config.architecture!r}; "
            f"there are: {', '.join(NETWORKS)}"
        )
        raise ConfigurationError(msg)
    with warnings.catch_warnings():
        # A screen of one line has no vectors of lines: such a layer is empty, and torch says so.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return NETWORKS[config.architecture](config, sizes, token_genes_T)
