"""Sizes and switches of the networks. No torch here: settings read this module."""

from dataclasses import dataclass

from drug_pipeline.domain.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the forward + inverse network, and the switches that ablations turn.

    Parameters
    ----------
    architecture
        Which network is trained, by its name in ``model/networks.py``.
    width
        Embedding width of every token, a multiple of ``n_heads``; 64 trains in minutes on a CPU.
    n_layers, n_heads
        Layers of the transformer, and attention heads of each.
    dropout
        Dropout inside the layers.
    n_gene_tokens
        Gene tokens behind ``[CLS] [DRUG] [CELL]``, which hold the line's control expression in
        forward mode, never that of treated cells; 0 leaves them out (an ablation).
    tower_width
        Width of the space that the expression tower and the drug tower share.
    id_dropout
        Share of training examples whose drug identity and response profile are hidden, so that
        chemistry alone must also do.
    signature_dropout
        Dropout on the whole-signature path into ``[CLS]``.
    signature_width
        Hidden width of that path.
    has_skip
        Read-out skip ``LN(CLS) + Linear(LN[drug; cell; drug x cell])``; without it the encoder
        does not beat an additive model.
    has_cell_token
        False leaves ``[CELL]`` empty in both modes (an ablation); gene tokens still hold the
        line's control expression.
    is_gene_embedding_learned
        False keeps the gene embeddings at their random start (an ablation).
    """

    architecture: str = "transformer"
    width: int = 64
    n_layers: int = 2
    n_heads: int = 4
    dropout: float = 0.1
    n_gene_tokens: int = 32
    tower_width: int = 64
    id_dropout: float = 0.3
    signature_width: int = 256
    signature_dropout: float = 0.3
    has_skip: bool = True
    has_cell_token: bool = True
    is_gene_embedding_learned: bool = True

    def __post_init__(self) -> None:
        _check_shape(self, "signature_width")
        if self.n_gene_tokens < 0:
            msg = f"n_gene_tokens must not be negative, got {self.n_gene_tokens}"
            raise ConfigurationError(msg)
        _check_dropout(self, "id_dropout", "signature_dropout")


@dataclass(frozen=True, kw_only=True)
class PrototypeConfig:
    """Shape of the small-panel prototype: ``[CLS] [ORGAN]`` and at most 256 gene tokens.

    Parameters
    ----------
    width
        Embedding width of every token, a multiple of ``n_heads``.
    n_layers, n_heads
        Layers of the transformer, and attention heads of each.
    dropout
        Dropout inside the layers.
    n_gene_tokens
        Genes of its panel, 1 to 256: targets first, then the most variable ones.
    tower_width
        Width of the space that signatures, targets and drugs share.
    """

    width: int = 64
    n_layers: int = 2
    n_heads: int = 4
    dropout: float = 0.1
    n_gene_tokens: int = 128
    tower_width: int = 64

    def __post_init__(self) -> None:
        _check_shape(self)
        _check_dropout(self)
        if not 1 <= self.n_gene_tokens <= 256:
            msg = f"the prototype reads 1 to 256 genes, got {self.n_gene_tokens}"
            raise ConfigurationError(msg)


def _check_shape(config: ModelConfig | PrototypeConfig, *more: str) -> None:
    for name in ("width", "n_layers", "n_heads", "tower_width", *more):
        if getattr(config, name) < 1:
            msg = f"{name} must be at least 1, got {getattr(config, name)}"
            raise ConfigurationError(msg)
    if config.width % config.n_heads:
        msg = f"width {config.width} is not a multiple of n_heads {config.n_heads}"
        raise ConfigurationError(msg)


def _check_dropout(config: ModelConfig | PrototypeConfig, *more: str) -> None:
    for name in ("dropout", *more):
        if not 0.0 <= getattr(config, name) < 1.0:
            msg = f"{name} must be in [0, 1), got {getattr(config, name)}"
            raise ConfigurationError(msg)
