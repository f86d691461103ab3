"""Compound identity: which drugs are one substance under several names.

What belongs here: the parent compound and the scaffold of a SMILES, through RDKit. What does not:
drug tables (``released/metadata.py``), vectors for models (``embeddings/``).

``counter_ions.smi`` keeps what is left off a drug: the salts and solvents of the ChEMBL structure
pipeline (MIT licence, github.com/chembl/ChEMBL_Structure_Pipeline) and a few more, by name.
"""

from dataclasses import dataclass
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rdkit.Chem import Mol

COUNTER_IONS: Final = Path(__file__).with_name("counter_ions.smi")
LONE_IONS: Final = frozenset(
    # H, alkali metals, alkaline earths, halides, sulphide
    (1, 3, 11, 19, 37, 55, 87, 4, 12, 20, 38, 56, 88, 9, 17, 35, 53, 16)
)
"""Atomic numbers of atoms that are a counter-ion where they stand alone."""
METALS: Final = frozenset(
    (
        13,
        *range(21, 32),
        *range(39, 52),
        *range(57, 85),
        *range(89, 104),
    )  # no B, Si, Ge, As, Se, Te
)
"""Atomic numbers of metals that a drug has for their own sake: platinum, gold, iron, zinc…"""


@dataclass(frozen=True, kw_only=True)
class ParentCompound:
    """A compound without its salt, charge, isotopes and stereochemistry.

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
    """The parent of a compound; None where RDKit cannot read it, or gives it no InChI.

    Notes
    -----
    Cleaned as RDKit cleans, without isotopes (a deuterated drug has the parent of the drug itself)
    and stereochemistry, each part uncharged, what ``counter_ions.smi`` lists left off; then the
    InChIKey skeleton. Size decides nothing: pamoic acid is larger than pyrantel. Where every part is
    listed, the organic ones are the drug (sodium salicylate); several parts that are not listed are
    one compound. Alkali and alkaline-earth metals are counter-ions; a compound with another metal is
    kept whole, for its ligands are no salts (oxaliplatin, auranofin, ferroquine).
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            return None
        try:
            parent = _without_salt(molecule)
            key = Chem.MolToInchiKey(parent).split("-")[0]  # type: ignore[no-untyped-call]
            parent_smiles = Chem.MolToSmiles(parent)
        except (ValueError, RuntimeError):  # RDKit's, for a valence that cleaning cannot mend
            return None
    if not key:
        return None
    return ParentCompound(smiles=parent_smiles, key=key, scaffold=murcko_scaffold(parent_smiles))


def murcko_scaffold(parent_smiles: str) -> str:
    """Murcko scaffold of a parent compound, as SMILES; the parent itself where it has no ring."""
    from rdkit.Chem.Scaffolds import MurckoScaffold

    scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles=parent_smiles)  # type: ignore[no-untyped-call]
    return scaffold or parent_smiles


def _without_salt(molecule: "Mol") -> "Mol":
    from rdkit import Chem

    if any(atom.GetAtomicNum() in METALS for atom in molecule.GetAtoms()):
        return _plain(molecule)
    parts = _parts(molecule)
    drug = {name: part for name, part in parts.items() if not _is_counter_ion(name, part)}
    drug = drug or {name: part for name, part in parts.items() if _is_organic(part)} or parts
    return reduce(Chem.CombineMols, (drug[name] for name in sorted(drug)))


def _plain(molecule: "Mol") -> "Mol":
    """The molecule without isotopes and stereochemistry."""
    from rdkit import Chem

    for atom in molecule.GetAtoms():
        atom.SetIsotope(0)
    Chem.RemoveStereochemistry(molecule)
    return Chem.RemoveHs(molecule)


def _parts(molecule: "Mol") -> "dict[str, Mol]":
    """The parts of a molecule, each cleaned and uncharged, by canonical SMILES and so each once."""
    from rdkit import Chem
    from rdkit.Chem.MolStandardize import rdMolStandardize

    cleaned = rdMolStandardize.Cleanup(_plain(molecule))
    uncharge = rdMolStandardize.Uncharger().uncharge
    parts = map(uncharge, Chem.GetMolFrags(cleaned, asMols=True))
    return {Chem.MolToSmiles(part): part for part in parts}


def _is_counter_ion(smiles: str, part: "Mol") -> bool:
    is_lone = part.GetNumAtoms() == 1
    return smiles in _listed() or (is_lone and part.GetAtomWithIdx(0).GetAtomicNum() in LONE_IONS)


def _is_organic(part: "Mol") -> bool:
    """Whether it has two carbons: of carbonate, formate or methane no drug is left."""
    return sum(atom.GetAtomicNum() == 6 for atom in part.GetAtoms()) > 1


@cache
def _listed() -> frozenset[str]:
    """The counter-ions and solvents as :func:`_parts` names them."""
    from rdkit import Chem

    lines = COUNTER_IONS.read_text(encoding="utf-8").splitlines()
    listed = (Chem.MolFromSmiles(line.split("\t")[0]) for line in lines)
    return frozenset(name for molecule in listed for name in _parts(molecule))
