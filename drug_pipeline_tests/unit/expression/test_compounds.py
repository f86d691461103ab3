"""Parent compounds: what is left off a drug, and what is the drug."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from drug_pipeline.expression.compounds import parent_compound

PAMOIC_ACID = "OC(=O)c1cc2ccccc2c(Cc3c(O)c(cc4ccccc34)C(=O)O)c1O"
PYRANTEL, IMIPRAMINE = "CN1CCCN=C1C=CC2=CC=CS2", "CN(C)CCCN1C2=CC=CC=C2CCC3=CC=CC=C31"
FERROQUINE = "CN(C)C[C-]1C=CC=C1CNC2=C3C=CC(=CC3=NC=C2)Cl.[CH-]1C=CC=C1.[Fe+2]"


def key(smiles: str) -> str:
    parent = parent_compound(smiles)
    assert parent is not None, smiles
    return parent.key


@pytest.mark.parametrize(
    ("salt", "drug"),
    [
        (f"{PYRANTEL}.{PAMOIC_ACID}", PYRANTEL),
        (f"{IMIPRAMINE}.{IMIPRAMINE}.{PAMOIC_ACID}", IMIPRAMINE),
        (f"Cn1c(=O)c2[nH]c(Cl)nc2n(C)c1=O.{IMIPRAMINE}", IMIPRAMINE),
        ("NCCCCS(=O)(=O)[O-].[Na+].O.O", "NCCCCS(=O)(=O)O"),
        ("CC(C)NCC(O)COc1ccccc1.C", "CC(C)NCC(O)COc1ccccc1"),
        ("c1ccncc1CN.F[P-](F)(F)(F)(F)F", "c1ccncc1CN"),
        ("CC(C)NCC(O)COc1ccccc1.O[N+](=O)[O-]", "CC(C)NCC(O)COc1ccccc1"),
    ],
    ids=["pamoate", "hemipamoate", "teoclate", "sodium", "methane", "PF6", "nitrate"],
)
def test_the_counter_ion_is_left_off_whatever_its_size(salt: str, drug: str) -> None:
    assert key(salt) == key(drug)


@pytest.mark.parametrize(
    ("salt", "drug"),
    [
        ("OC(=O)c1ccccc1O.[Na]", "OC(=O)c1ccccc1O"),
        (f"{PAMOIC_ACID}.[Na+].[Na+]", PAMOIC_ACID),
        ("NC(CCCNC(=N)N)C(=O)O.Cl", "NC(CCCNC(=N)N)C(=O)O"),
        ("CC(O)C(=O)[O-].CC(O)C(=O)[O-].[Ca+2].O.C", "CC(O)C(=O)O"),
    ],
    ids=["salicylate", "pamoate", "arginine", "lactate"],
)
def test_where_every_part_is_a_counter_ion_the_organic_one_is_the_drug(
    salt: str, drug: str
) -> None:
    assert key(salt) == key(drug)


def test_salts_of_ions_alone_are_no_twins() -> None:
    lithium, calcium = key("[Li+].[Li+].[O-]C(=O)[O-]"), key("[Ca+2].[O-]C(=O)[O-]")

    assert lithium != calcium


def test_two_drugs_in_one_are_neither_of_them() -> None:
    trimethoprim = "COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC"
    sulfamethoxazole = "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1"
    both = key(f"{trimethoprim}.{sulfamethoxazole}")

    assert both == key(f"{sulfamethoxazole}.{trimethoprim}")
    assert both not in {key(trimethoprim), key(sulfamethoxazole)}


@pytest.mark.parametrize(
    "smiles",
    [
        FERROQUINE,
        "C1CCC(C(C1)[NH-])[NH-].C(=O)(C(=O)O)O.[Pt+2]",
        "N.N.Cl[Pt]Cl",
        "CCP(CC)CC.CC(=O)OCC1C(C(C(C(O1)[S-])OC(=O)C)OC(=O)C)OC(=O)C.[Au+]",
    ],
    ids=["ferroquine", "oxaliplatin", "cisplatin", "auranofin"],
)
def test_a_compound_of_a_metal_is_kept_whole(smiles: str) -> None:
    parent = parent_compound(smiles)

    assert parent is not None
    assert parent.smiles.count(".") == smiles.count(".")


def test_a_deuterated_drug_has_the_parent_of_the_drug() -> None:
    heavy, light = (
        parent_compound(smiles) for smiles in ("[2H]C([2H])([2H])Oc1ccccc1N", "COc1ccccc1N")
    )

    assert heavy == light


@pytest.mark.parametrize(
    "smiles", ["", "not a molecule", "C1CC", "*", "[NH2]->[Pt]", "F[Cl](F)(F)F.[H]"]
)
def test_what_has_no_parent_is_none_and_raises_nothing(smiles: str) -> None:
    parent_compound(smiles)


def by_size(smiles: str) -> str:
    """What RDKit's largest organic fragment would be: the rule before counter-ions were listed."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with rdBase.BlockLogs():
        largest = rdMolStandardize.FragmentParent(Chem.MolFromSmiles(smiles))
        parent = rdMolStandardize.Uncharger().uncharge(largest)
        Chem.RemoveStereochemistry(parent)
        return Chem.MolToSmiles(parent)


def test_of_the_released_drugs_the_list_changes_those_of_platinum_and_gold_alone(
    shared_data: Path,
) -> None:
    """`pytest -s` prints what becomes of each of them."""
    drugs = pd.read_parquet(shared_data / "tahoe_metadata" / "drug_metadata.parquet")
    drugs = drugs[drugs["canonical_smiles"].str.len() > 0]
    changed = {}
    for drug, smiles in zip(drugs["drug"], drugs["canonical_smiles"], strict=True):
        parent = parent_compound(smiles)
        after = parent.smiles if parent else "without structure"
        before = by_size(smiles) if "." in smiles else after  # one part: nothing to leave off
        sys.stdout.write(f"{drug}: {smiles} -> {after}{'' if before == after else ' CHANGED'}\n")
        if before != after:
            changed[drug] = (before, after)

    assert len(drugs) == 377
    assert changed == {
        "Oxaliplatin": (
            "NC1CCCCC1N",
            "O=C(O)C(=O)O.[NH-]C1CCCCC1[NH-].[Pt+2]",
        ),
        "Auranofin": (
            "CC(=O)OCC1OC(S)C(OC(C)=O)C(OC(C)=O)C1OC(C)=O",
            "CC(=O)OCC1OC([S-])C(OC(C)=O)C(OC(C)=O)C1OC(C)=O.CCP(CC)CC.[Au+]",
        ),
    }
