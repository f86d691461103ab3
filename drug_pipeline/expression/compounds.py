"""Compound identity: which drugs are one substance under several names.

What belongs here: the parent compound and the scaffold of a SMILES, through RDKit. What does not:
drug tables (``released/metadata.py``), vectors for models (``embeddings/``).
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ParentCompound:
    """A compound without its salt, charge and stereochemistry.

    Parameters
    ----------
    smiles
        Canonical SMILES of the parent.
    key
        First block of its InChIKey: equal for the salts, solvates and stereoisomers of a compound.
    scaffold
        Murcko scaffold of the parent; the parent itself where it has no ring.
    """

    smiles: str
    key: str
    scaffold: str


def parent_compound(smiles: str) -> ParentCompound | None:
    """The parent of a compound; None where RDKit cannot read the SMILES.

    Notes
    -----
    RDKit's fragment parent, uncharged, stereo removed; then the InChIKey skeleton. Taking the
    longest fragment instead splits four of the released compounds from their twins.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            return None
        parent = rdMolStandardize.Uncharger().uncharge(rdMolStandardize.FragmentParent(molecule))
        Chem.RemoveStereochemistry(parent)
        key = Chem.MolToInchiKey(parent).split("-")[0]  # type: ignore[no-untyped-call]
        parent_smiles = Chem.MolToSmiles(parent)
    if not key:
        return None
    return ParentCompound(smiles=parent_smiles, key=key, scaffold=murcko_scaffold(parent_smiles))


def murcko_scaffold(parent_smiles: str) -> str:
    """Murcko scaffold of a parent compound, as SMILES; the parent itself where it has no ring."""
    from rdkit.Chem.Scaffolds import MurckoScaffold

    scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles=parent_smiles)  # type: ignore[no-untyped-call]
    return scaffold or parent_smiles
