"""Building blocks of the encoders: a pre-LN transformer block and a two-layer perceptron.

What belongs here: layers that know neither genes nor drugs. Torch only.

Shapes: B = batch, T = tokens, Q = query tokens, E = embedding width, H = heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(n_in: int, n_hidden: int, n_out: int, *, dropout: float) -> nn.Sequential:
    """A perceptron of one hidden GELU layer."""
    return nn.Sequential(
        nn.Linear(n_in, n_hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(n_hidden, n_out)
    )


class EncoderBlock(nn.Module):
    """Pre-LN attention and feed-forward, each added to its input.

    Parameters
    ----------
    width, n_heads
        Embedding width E and the heads it is cut into.
    dropout
        Dropout of attention weights and of both residual branches.
    """

    def __init__(self, *, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.feedforward = mlp(width, 4 * width, width, dropout=dropout)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens_BTE: Tensor, *, n_queries: int | None = None) -> Tensor:
        """Encoded tokens; only the first ``n_queries`` where that is given.

        Where just ``[CLS]`` is read afterwards, ``n_queries=1`` in the last block gives exactly
        the same ``[CLS]`` (keys and values still come from every token) at a fraction of the cost.
        """
        normed_BTE = self.norm_attention(tokens_BTE)
        kept_BQE = tokens_BTE[:, :n_queries]
        query_BHQD = self._heads(self.query(normed_BTE[:, :n_queries]))
        key_BTE, value_BTE = self.key_value(normed_BTE).chunk(2, dim=-1)
        mixed_BHQD = F.scaled_dot_product_attention(
            query_BHQD,
            self._heads(key_BTE),
            self._heads(value_BTE),
            dropout_p=self.dropout if self.training else 0.0,
        )
        mixed_BQE = mixed_BHQD.transpose(1, 2).flatten(2)
        kept_BQE = kept_BQE + self.drop(self.project(mixed_BQE))
        encoded_BQE: Tensor = kept_BQE + self.drop(
            self.feedforward(self.norm_feedforward(kept_BQE))
        )
        return encoded_BQE

    def _heads(self, x_BTE: Tensor) -> Tensor:
        n_rows, n_tokens, width = x_BTE.shape
        return x_BTE.view(n_rows, n_tokens, self.n_heads, width // self.n_heads).transpose(1, 2)


class Encoder(nn.Module):
    """A stack of blocks whose last one computes ``[CLS]``, the first token, alone."""

    def __init__(self, *, n_layers: int, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            EncoderBlock(width=width, n_heads=n_heads, dropout=dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BTE: Tensor) -> Tensor:
        """The encoded and normalised ``[CLS]`` (B, E)."""
        for block in self.blocks[:-1]:
            tokens_BTE = block(tokens_BTE)
        cls_B1E = self.blocks[-1](tokens_BTE, n_queries=1)
        cls_BE: Tensor = self.norm(cls_B1E.squeeze(1))
        return cls_BE


def keep_some(values_BE: Tensor, *, drop: float, is_training: bool) -> Tensor:
    """The rows as they are, but while training each whole row is zeroed with chance ``drop``."""
    if not is_training or drop == 0.0:
        return values_BE
    is_kept_B1 = torch.rand(len(values_BE), 1, device=values_BE.device) >= drop
    return values_BE * is_kept_B1
