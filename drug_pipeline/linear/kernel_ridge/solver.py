"""Kernel ridge regression on a treatment × line design, solved without an N × N matrix.

What belongs here: the system operator and the conjugate gradients that invert it.

Cost an iteration: 2 · B · T² · L · K (B different line kernels); memory a few arrays N × K and
T × L × K. On full Tahoe (T = 1,137, L = 50, K = 128, B = 3) one iteration is 50 GFLOP.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, K = gene axes, I = terms.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from drug_pipeline.linear.base import Floats
from drug_pipeline.linear.variance import ProductDesign, indicator

TOLERANCE: Final = 1e-3
"""Residual norm, relative to the right-hand side, at which an axis counts as solved."""
MAX_ITERATIONS: Final = 300
"""Iterations after which the current answer is taken; early stopping only shrinks a little more."""

MIN_NOISE: Final = 1e-2
"""Least share of noise in the variance of a condition, so that the system can be inverted."""


def system_operator(design: ProductDesign, component_I: Floats) -> Callable[[Floats], Floats]:
    """Multiplication by the covariance of the conditions, ``Σᵢ componentᵢ Kᵢ`` with its noise.

    Notes
    -----
    The covariance of a variance components model: Searle, Casella & McCulloch (1992), "Variance
    Components".
    """
    n_terms = len(design.treatment_kernels)
    by_line = combined_kernels(design.treatment_kernels, design.line_kernels, component_I[:n_terms])
    groupings = [
        (component, group_N, indicator(group_N, int(group_N.max()) + 1))
        for component, group_N in zip(component_I[n_terms:-1], design.groupings, strict=True)
        if component > 0
    ]
    noise_N1 = (component_I[-1] * design.noise_N + MIN_NOISE)[:, None]

    def multiply(values_NK: Floats) -> Floats:
        values_TLK = design.to_grid(values_NK)
        product_TLK = kernel_times(by_line, values_TLK)
        answer_NK = product_TLK[design.treatment_N, design.line_N] + noise_N1 * values_NK
        for component, group_N, gather in groupings:
            answer_NK += (component * (gather @ values_NK))[group_N]
        return np.asarray(answer_NK)

    return multiply


def combined_kernels(
    treatment_kernels: Sequence[Floats], line_kernels: Sequence[Floats], component_I: Floats
) -> list[tuple[Floats, Floats]]:
    """Pairs (treatment kernel, line kernel), the terms that share a line kernel added up."""
    sums: dict[int, tuple[Floats, Floats]] = {}
    for component, treatment_AT, line_AL in zip(
        component_I, treatment_kernels, line_kernels, strict=True
    ):
        if component > 0:
            scaled_AT = component * treatment_AT
            known = sums.get(id(line_AL))
            sums[id(line_AL)] = (scaled_AT if known is None else known[0] + scaled_AT, line_AL)
    return list(sums.values())


def kernel_times(kernels: list[tuple[Floats, Floats]], values_TLK: Floats) -> Floats:
    """Kronecker products ``Σ (A ⊗ B) values`` for kernels A (T*, T) and B (L*, L): (T*, L*, K).

    Notes
    -----
    ``(A ⊗ B) vec(X)`` without the Kronecker product: Van Loan (2000), "The ubiquitous Kronecker
    product".
    """
    n_treatments, n_lines, n_axes = values_TLK.shape
    total: Floats | None = None
    for treatment_AT, line_BL in kernels:
        mixed_TBK = np.matmul(line_BL, values_TLK)
        flat_AX = treatment_AT @ mixed_TBK.reshape(n_treatments, -1)
        part_ABK = flat_AX.reshape(len(treatment_AT), len(line_BL), n_axes)
        total = part_ABK if total is None else total + part_ABK
    return np.zeros((n_treatments, n_lines, n_axes)) if total is None else total


def conjugate_gradients(
    multiply: Callable[[Floats], Floats],
    target_NK: Floats,
    diagonal_N: Floats,
    *,
    tolerance: float = TOLERANCE,
) -> Floats:
    """Solution of ``system · x = target`` for all axes at once, Jacobi-preconditioned (N, K).

    Notes
    -----
    Hestenes & Stiefel (1952), "Methods of conjugate gradients for solving linear systems"; with a
    preconditioner: Shewchuk (1994), "An introduction to the conjugate gradient method without the
    agonizing pain".
    """
    inverse_N1 = 1.0 / diagonal_N[:, None]
    solution_NK = np.zeros_like(target_NK)
    residual_NK = target_NK.copy()
    turned_NK = residual_NK * inverse_N1
    direction_NK = turned_NK.copy()
    energy_K = np.einsum("nk,nk->k", residual_NK, turned_NK)
    goal = tolerance * np.linalg.norm(target_NK)
    for _ in range(MAX_ITERATIONS):
        image_NK = multiply(direction_NK)
        curvature_K = np.einsum("nk,nk->k", direction_NK, image_NK)
        step_K = energy_K / np.maximum(curvature_K, 1e-300)
        solution_NK += step_K * direction_NK
        residual_NK -= step_K * image_NK
        if np.linalg.norm(residual_NK) <= goal:
            break
        turned_NK = residual_NK * inverse_N1
        next_K = np.einsum("nk,nk->k", residual_NK, turned_NK)
        direction_NK = turned_NK + (next_K / np.maximum(energy_K, 1e-300)) * direction_NK
        energy_K = next_K
    return solution_NK
