"""Structures as the true effects see them: a smooth random function of the parent's fingerprint.

Shape letters: D = drugs, F = fingerprint bins, H = random features.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.synthetic.public.compounds import Compound
from drug_pipeline.synthetic.streams import stream

FINGERPRINT_BITS = 2048
KERNEL_WIDTH = 0.8
"""Distance at which two structures are half alike: Morgan cosines of 0.7 and 0.2 give a
likeness of 0.63 and 0.29."""


def parent_smiles(smiles: str) -> str:
    """The largest organic fragment, uncharged and without stereo, as canonical SMILES."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with rdBase.BlockLogs():
        parent = rdMolStandardize.FragmentParent(Chem.MolFromSmiles(smiles))
        parent = rdMolStandardize.Uncharger().uncharge(parent)
        Chem.RemoveStereochemistry(parent)
        return str(Chem.MolToSmiles(parent))


def fingerprint_F(parent: str) -> NDArray[np.float64]:
    """Log Morgan counts (radius 2) of one parent structure, (F,), scaled to length 1."""
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)
    counts_F = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(parent))
    log_F = np.log1p(counts_F.astype(np.float64))
    return np.asarray(log_F / np.linalg.norm(log_F))


def structure_features_DH(
    compounds: Sequence[Compound], *, n_features: int, seed: int
) -> NDArray[np.float64]:
    """Random Fourier features of the parents' fingerprints, (D, H), each column of variance about 1.

    Inner products of two rows approximate H times a Gaussian kernel of the fingerprint distance, so
    that like structures get like features and twins of one parent the same. A drug without a
    structure gets features of its own name.
    """
    rng = stream(seed, "structure")
    weights_FH = rng.normal(0.0, 1.0 / KERNEL_WIDTH, (FINGERPRINT_BITS, n_features))
    phase_H = rng.uniform(0.0, 2.0 * np.pi, n_features)
    rows = [
        np.sqrt(2.0) * np.cos(fingerprint_F(parent_smiles(compound.smiles)) @ weights_FH + phase_H)
        if compound.smiles is not None
        else stream(seed, "structure", compound.name).normal(0.0, 1.0, n_features)
        for compound in compounds
    ]
    return np.stack(rows)
