"""The predictor that a split ships: a weighted sum of linear models and of the gated network.

Shapes: N = conditions, G = genes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.linear import Conditions, Predictor

if TYPE_CHECKING:
    from drug_pipeline.training.network.forward_network import ForwardNetwork


@dataclass(frozen=True, kw_only=True)
class ShippedPredictor:
    """``Σ weight · linear + network_weight · residual``.

    Parameters
    ----------
    linear
        Fitted linear predictors that count, by name.
    weights
        Their weights, same names.
    network, network_weight
        The networks and what their mean residual is multiplied with (α times the blend weight).
    """

    linear: Mapping[str, Predictor]
    weights: Mapping[str, float]
    network: "ForwardNetwork | None"
    network_weight: float

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        """Predicted Δ (N, G), natural log."""
        total_NG: NDArray[np.float32] | None = None
        for name, weight in self.weights.items():
            part_NG = np.float32(weight) * self.linear[name].predict(asked)
            total_NG = part_NG if total_NG is None else total_NG + part_NG
        if self.network is not None and self.network_weight:
            part_NG = np.float32(self.network_weight) * self.network.predict(asked)
            total_NG = part_NG if total_NG is None else total_NG + part_NG
        assert total_NG is not None, "a shipped predictor has at least one part"
        return total_NG


def expand(
    weights: Mapping[str, float], *, base: str, alpha: float
) -> tuple[dict[str, float], float]:
    """Weights of linear predictors and of the raw residual, from weights that name the network."""
    linear = {name: weight for name, weight in weights.items() if name != names.NETWORK}
    network = weights.get(names.NETWORK, 0.0)
    if network:
        linear[base] = linear.get(base, 0.0) + network
    return linear, network * alpha
