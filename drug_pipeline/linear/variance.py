"""Variance components of Δ by kernel, by the method of moments (Haseman-Elston regression).

What belongs here: Haseman-Elston regression on a treatment × line design, where every kernel is a
product (treatment kernel) ⊗ (line kernel) and every nuisance a grouping of conditions, so that no
N × N matrix is formed. Cost: one T × T × L product a pair of terms; memory T × T a term.

Shapes: N = conditions, T = treatments (drug, dose), L = lines, K = gene axes, I = terms (first the
product kernels, then the groupings, last the counting noise).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy import optimize, sparse

from drug_pipeline.linear.base import Floats, Ints

N_REWEIGHTED: Final = 1
"""Passes of reweighting after the first."""
LEAST_VARIANCE: Final = 0.1
"""Least variance a condition is weighed by; the mean condition has about 1."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs X of conditions, and where their kernels stand in the flat (T, T) and (L, L) arrays."""

    first_X: Ints
    second_X: Ints
    treatments_X: Ints
    lines_X: Ints


@dataclass(frozen=True, kw_only=True)
class ProductDesign:
    """Conditions on a treatment × line grid, product kernels over it, groups with a shared error.

    ``groupings`` are group numbers of conditions that share an error, such as one well; conditions
    have independent errors of variance ``noise_N`` besides.
    """

    treatment_N: Ints
    line_N: Ints
    noise_N: Floats
    treatment_kernels: Sequence[Floats]
    line_kernels: Sequence[Floats]
    groupings: Sequence[Ints]

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Numbers of treatments and lines (T, L)."""
        return len(self.treatment_kernels[0]), len(self.line_kernels[0])

    @cached_property
    def pairs(self) -> list[Pairs]:
        """Pairs of conditions of one group, for each grouping (10⁷ on full Tahoe)."""
        n_treatments, n_lines = self.grid_shape
        found = []
        for group_N in self.groupings:
            first_X, second_X = pairs_within(group_N)
            found.append(
                Pairs(
                    first_X=first_X,
                    second_X=second_X,
                    treatments_X=self.treatment_N[first_X] * n_treatments
                    + self.treatment_N[second_X],
                    lines_X=self.line_N[first_X] * n_lines + self.line_N[second_X],
                )
            )
        return found

    @cached_property
    def shared_groups(self) -> dict[tuple[int, int], Ints]:
        """Groups of conditions that share a group of either grouping (N), for each two of them."""
        numbers = range(len(self.groupings))
        return {
            (one, other): np.unique(
                np.stack([self.groupings[one], self.groupings[other]]), axis=1, return_inverse=True
            )[1].ravel()
            for one in numbers
            for other in numbers[one:]
        }

    @cached_property
    def cells(self) -> sparse.csr_array:
        """Sparse (cells of the grid × N) matrix that sums the conditions of each cell."""
        n_treatments, n_lines = self.grid_shape
        return indicator(self.treatment_N * n_lines + self.line_N, n_treatments * n_lines)

    def to_grid(self, values_NK: Floats) -> Floats:
        """Sums of the conditions of each grid cell (T, L, K)."""
        return np.asarray(self.cells @ values_NK).reshape(*self.grid_shape, -1)

    def diagonal(self, term: int) -> Floats:
        """Variance that one product kernel gives each condition (N)."""
        treatment_T = np.diag(self.treatment_kernels[term])
        line_L = np.diag(self.line_kernels[term])
        return np.asarray(treatment_T[self.treatment_N] * line_L[self.line_N])

    def variance(self, component_I: Floats) -> Floats:
        """Variance of each condition under some components (N), noise included."""
        n_terms = len(self.treatment_kernels)
        variance_N = component_I[-1] * self.noise_N + component_I[n_terms:-1].sum()
        for term, component in enumerate(component_I[:n_terms]):
            variance_N = variance_N + component * self.diagonal(term)
        return np.asarray(variance_N)


def indicator(group_N: Ints, n_groups: int) -> sparse.csr_array:
    """Sparse (groups × N) matrix that sums the rows of each group."""
    n = len(group_N)
    return sparse.csr_array((np.ones(n), (group_N, np.arange(n))), shape=(n_groups, n))


def kernel_products(design: ProductDesign, weight_N: Floats) -> Floats:
    """tr(Kᵢ W Kⱼ W) of all terms (I, I), W the diagonal matrix of weights.

    Notes
    -----
    The matrix of the moment equations of Zhou (2017), see :func:`variance_components`; the traces
    of Kronecker products follow from Van Loan (2000), "The ubiquitous Kronecker product".
    """
    n_terms, n_groupings = len(design.treatment_kernels), len(design.groupings)
    size = n_terms + n_groupings + 1
    products = np.zeros((size, size))
    weight_TL = design.to_grid(weight_N[:, None])[:, :, 0]
    for i in range(n_terms):
        for j in range(i, n_terms):
            # tr((A⊗B) W (C⊗D) W) = Σ (A∘C) ∘ (W (B∘D) Wᵀ): T × T × L work, no N × N matrix.
            line_LL = design.line_kernels[i] * design.line_kernels[j]
            spread_TT = weight_TL @ line_LL @ weight_TL.T
            treatment_TT = design.treatment_kernels[i] * design.treatment_kernels[j]
            products[i, j] = float(np.sum(treatment_TT * spread_TT))
    for number in range(n_groupings):
        row = n_terms + number
        for i in range(n_terms):
            products[i, row] = _within_groups(design, i, number, weight_N)
        for other in range(number, n_groupings):
            shared = np.bincount(design.shared_groups[number, other], weights=weight_N)
            products[row, n_terms + other] = float(np.sum(shared**2))
        products[row, -1] = float(np.sum(weight_N**2 * design.noise_N))
    for i in range(n_terms):
        diagonal_N = design.diagonal(i)
        products[i, -1] = float(np.sum(weight_N**2 * design.noise_N * diagonal_N))
    products[-1, -1] = float(np.sum((weight_N * design.noise_N) ** 2))
    return products + np.triu(products, 1).T  # only the upper triangle was filled


def _within_groups(design: ProductDesign, term: int, grouping: int, weight_N: Floats) -> float:
    """Sum of a product kernel over all pairs of conditions of one group, weighted."""
    pairs = design.pairs[grouping]
    kernel_X = np.take(design.treatment_kernels[term], pairs.treatments_X)
    kernel_X *= np.take(design.line_kernels[term], pairs.lines_X)
    return float(np.einsum("x,x,x->", kernel_X, weight_N[pairs.first_X], weight_N[pairs.second_X]))


def pairs_within(group_N: Ints) -> tuple[Ints, Ints]:
    """All ordered pairs of rows of one group, a row with itself included: two row arrays."""
    order_N = np.argsort(group_N, kind="stable")
    bounds = np.flatnonzero(np.diff(group_N[order_N])) + 1
    groups = np.split(order_N, bounds)
    first = [np.repeat(rows, len(rows)) for rows in groups]
    second = [np.tile(rows, len(rows)) for rows in groups]
    return np.concatenate(first), np.concatenate(second)


def kernel_energies(design: ProductDesign, scores_NK: Floats, weight_N: Floats) -> Floats:
    """sₖᵀ W Kᵢ W sₖ of each term and gene axis (I, K).

    Notes
    -----
    The right-hand side of the moment equations of Zhou (2017), see :func:`variance_components`.
    """
    weighted_NK = scores_NK * weight_N[:, None]
    values_TLK = design.to_grid(weighted_NK)
    flat_TX = values_TLK.reshape(len(values_TLK), -1)
    energies = []
    for treatment_TT, line_LL in zip(design.treatment_kernels, design.line_kernels, strict=True):
        spread_TLK = (treatment_TT @ flat_TX).reshape(values_TLK.shape)
        spread_TLK = np.einsum("lm,tmk->tlk", line_LL, spread_TLK, optimize=True)
        energies.append(np.einsum("tlk,tlk->k", values_TLK, spread_TLK))
    for group_N in design.groupings:
        sums = indicator(group_N, int(group_N.max()) + 1) @ weighted_NK
        energies.append(np.einsum("gk,gk->k", sums, sums))
    energies.append(np.einsum("nk,n->k", weighted_NK**2, design.noise_N))
    return np.stack(energies)


def variance_components(
    design: ProductDesign, scores_NK: Floats, axis_groups: Sequence[Ints]
) -> Floats:
    """Non-negative variance of each term on each group of gene axes (I, groups).

    Haseman-Elston: the weighted outer product of the scores is regressed on the kernels, all
    entries at once, with coefficients ≥ 0. Axes of a group are scaled to variance 1 and share
    their components, so a row says what fraction of the variance a term explains. A second pass
    weighs each condition by the inverse of its variance under the first, so that the few strong
    drugs do not decide alone.

    Notes
    -----
    Haseman & Elston (1972), "The investigation of linkage between a quantitative trait and a marker
    locus", in the form for kernels of Zhou (2017), "A unified framework for variance component
    estimation with summary statistics in genome-wide association studies", where it equals the
    method of moments. Coefficients ≥ 0 as in Yue, Ma, Thornton & Shojaie (2021), "REHE: fast
    variance components estimation for linear mixed models".
    """
    variance_K = np.maximum(
        np.mean(scores_NK**2, axis=0), 1e-30
    )  # an axis without variance stays 0
    first_weight_N = 1.0 / (1.0 + design.noise_N)  # as if signal had the variance 1 of the scaling
    first_products_II = kernel_products(design, first_weight_N)
    components = []
    for axes in axis_groups:
        scaled_NK = scores_NK[:, axes] / np.sqrt(variance_K[axes])
        component_I = _regression(design, scaled_NK, first_weight_N, first_products_II)
        for _ in range(N_REWEIGHTED):
            weight_N = 1.0 / np.maximum(design.variance(component_I), LEAST_VARIANCE)
            products_II = kernel_products(design, weight_N)
            component_I = _regression(design, scaled_NK, weight_N, products_II)
        components.append(component_I)
    return np.stack(components, axis=1)


def _regression(
    design: ProductDesign, scaled_NK: Floats, weight_N: Floats, products_II: Floats
) -> Floats:
    """Non-negative least squares of the scores' weighted outer product on the terms (I).

    ``products_II`` are the :func:`kernel_products` under these weights.
    """
    target_I = kernel_energies(design, scaled_NK, weight_N).mean(axis=1)
    # Terms differ by orders of magnitude (T² pairs against N noises): scaled, then solved.
    scale_I = np.sqrt(np.maximum(np.diag(products_II), 1e-30))
    scaled_II = products_II / scale_I[:, None] / scale_I[None, :]
    # min xᵀAx - 2bᵀx with x ≥ 0 is the least squares problem of A's Cholesky factor; the small
    # ridge decides between two kernels that say the same.
    root_II = np.linalg.cholesky(scaled_II + 1e-6 * np.eye(len(scaled_II))).T
    answer_I = optimize.nnls(root_II, np.linalg.solve(root_II.T, target_I / scale_I))[0]
    return np.asarray(answer_I / scale_I)
