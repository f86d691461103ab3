"""Cosine similarity to measured conditions: the plain ways to find a drug by its signature.

What belongs here: cosines on raw, centred and scaled Δ. What does not: anything that learns which
directions tell drugs apart (``rankers/whitening.py``).

Shapes: N = measured conditions, Q = queries, G = genes, R = reference rows, K = G here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import MeasuredConditions, Queries, State
from drug_pipeline.linear.rankers.gallery import (
    GalleryRanker,
    centred,
    line_means,
)


class RawCosine(GalleryRanker):
    """Cosine similarity of Δ as it was measured, as in connectivity mapping.

    Notes
    -----
    The idea: Lamb et al. (2006), "The Connectivity Map: using gene-expression signatures to connect
    small molecules, genes, and disease"; the cosine in place of its enrichment score: Duan et al.
    (2016), "L1000CDS2: LINCS L1000 characteristic direction signatures search engine".
    """

    def __init__(self) -> None:
        super().__init__("raw_cosine")

    def _reference(
        self, measured: MeasuredConditions
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        return measured.delta_NG, measured.conditions.drug_N, {}

    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        del state
        return np.nan_to_num(queries.signature_QG)  # a gene that is not known adds nothing


class CentredCosine(GalleryRanker):
    """Cosine similarity of Δ minus the training mean of its line, the response that drugs share.

    With ``is_scaled`` each gene is divided by its training SD first.

    Notes
    -----
    The perturbed mean as reference: Viñas Torné et al. (2025), "Systema: a framework for evaluating
    genetic perturbation response prediction beyond systematic variation".
    """

    def __init__(self, *, is_scaled: bool = False) -> None:
        super().__init__("scaled_cosine" if is_scaled else "centred_cosine")
        self._is_scaled = is_scaled

    def _reference(
        self, measured: MeasuredConditions
    ) -> tuple[NDArray[Any], NDArray[np.str_], State]:
        state = line_means(measured)
        centred_NG = centred(measured.delta_NG, measured.conditions.line_N, state)
        sd_G = np.ones(centred_NG.shape[1])
        if self._is_scaled:
            measured_sd_G = centred_NG.std(axis=0)
            sd_G = np.where(measured_sd_G > 0, measured_sd_G, 1.0)
        return centred_NG / sd_G, measured.conditions.drug_N, state | {"sd_G": sd_G}

    def _project(self, queries: Queries, state: State) -> NDArray[Any]:
        filled_QG = np.nan_to_num(queries.signature_QG)
        return centred(filled_QG, queries.line_Q, state) / state["sd_G"]
