"""Prior scale of each treatment's effect, estimated from its agreement between cell lines.

A drug that does nothing must not lend or borrow as much as one that does a lot. Strength is
measured as the product of Δ between different lines, in which counting noise has no share.

Shapes: N = conditions, T = treatments (drug, dose), O = doses, P = parent compounds, K = axes.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear.base import Flags, Floats, Ints, MeasuredConditions, State, Texts
from drug_pipeline.linear.means import find, group_sums, join_keys, log_dose

PRIOR_TREATMENTS: Final = 1.0
"""A drug's strength is shrunk to 1 as if this many average treatments had been seen."""
STRENGTH_POWER: Final = 0.5
"""Power of a drug's strength in its prior: 0 to 0.5 did equally well on pairs, 1 worse, since the
strongest drug then decides the variances alone."""
FLOOR: Final = 0.05
"""Least energy of a dose or drug, relative to the mean: nothing is ruled out."""


def fit_strength(scored: MeasuredConditions) -> State:
    """Signal energy of each dose (mean over drugs) and of each parent compound relative to it.

    Notes
    -----
    Products between independent measurements have no noise of their own: Walther et al. (2016),
    "Reliability of dissimilarity measures for multi-voxel pattern analysis".
    """
    train = scored.conditions
    key_N = join_keys(train.parent_N, train.dose_um_N)
    key_T, first_T, treatment_N = np.unique(key_N, return_index=True, return_inverse=True)
    energy_T, is_known_T = _agreement(scored, treatment_N, len(key_T))
    dose_um_O, dose_T = np.unique(train.dose_um_N[first_T], return_inverse=True)
    overall = max(float(energy_T[is_known_T].mean()) if is_known_T.any() else 1.0, 1e-30)
    dose_energy_O = np.array(
        [
            energy_T[is_known_T & (dose_T == dose)].mean()
            if (is_known_T & (dose_T == dose)).any()
            else overall
            for dose in range(len(dose_um_O))
        ]
    )
    dose_energy_O = np.maximum(dose_energy_O / overall, FLOOR)
    parent_P, parent_T = np.unique(train.parent_N[first_T], return_inverse=True)
    found_P = np.bincount(parent_T, weights=energy_T / overall * is_known_T)
    expected_P = np.bincount(parent_T, weights=dose_energy_O[dose_T] * is_known_T)
    strength_P = (found_P + PRIOR_TREATMENTS) / (expected_P + PRIOR_TREATMENTS)
    return {
        "dose_um_O": dose_um_O,
        "dose_energy_O": dose_energy_O,
        "parent_P": parent_P,
        "strength_P": np.maximum(strength_P, FLOOR),
    }


def _agreement(
    scored: MeasuredConditions, treatment_N: Ints, n_treatments: int
) -> tuple[Floats, Flags]:
    """Mean product of Δ over pairs of different lines of each treatment, and where there are any."""
    weight_N = scored.weight_N
    line_N = np.unique(scored.conditions.line_N, return_inverse=True)[1]
    cell_N = treatment_N * (int(line_N.max()) + 1) + line_N
    cells_C, position_N = np.unique(cell_N, return_inverse=True)
    treatment_C = cells_C // (int(line_N.max()) + 1)
    sum_CK = group_sums(scored.delta_NG * weight_N[:, None], position_N, len(cells_C))
    weight_C = np.bincount(position_N, weights=weight_N)
    sum_TK = group_sums(sum_CK, treatment_C, n_treatments)
    weight_T = np.bincount(treatment_C, weights=weight_C, minlength=n_treatments)
    own_T = np.bincount(
        treatment_C, weights=np.einsum("ck,ck->c", sum_CK, sum_CK), minlength=n_treatments
    )
    own_weight_T = np.bincount(treatment_C, weights=weight_C**2, minlength=n_treatments)
    pairs_T = weight_T**2 - own_weight_T
    is_known_T = pairs_T > 1e-9
    product_T = np.einsum("tk,tk->t", sum_TK, sum_TK) - own_T
    return np.where(is_known_T, product_T / np.maximum(pairs_T, 1e-9), 0.0), is_known_T


def amplitude(strength: State, parent_A: Texts, dose_um_A: Floats) -> NDArray[Any]:
    """Prior scale of treatments (A): root of dose energy × drug strength^½; 1 is the mean.

    The dose energy is interpolated in log dose; an unseen drug has strength 1.

    Notes
    -----
    The interpolation and the power :data:`STRENGTH_POWER` are ours.
    """
    dose_energy_A = np.interp(
        log_dose(dose_um_A), log_dose(strength["dose_um_O"]), strength["dose_energy_O"]
    )
    position_A = find(strength["parent_P"], parent_A)
    strength_A = np.where(position_A >= 0, strength["strength_P"][position_A], 1.0)
    return np.sqrt(dose_energy_A * strength_A**STRENGTH_POWER)
