"""Public drugs whose names and structures the generated screen borrows.

What belongs here: the table and the type of its rows. Names, targets, structures (without stereo,
as PubChem's connectivity SMILES) and identifiers are public facts; every measured number of the
generated screen is invented. The first sixteen rows hold every trap of the released drug table, so
that the smallest screen has them all.
"""

from dataclasses import dataclass

from drug_pipeline.domain.names import UNCLEAR_MOA


@dataclass(frozen=True, kw_only=True)
class Compound:
    """One drug as the tables list it, with the mechanism that its true effect follows.

    Parameters
    ----------
    name
        As in the records: no trailing blank.
    mechanism
        Row of ``mechanisms.MECHANISMS``; hidden from the pipeline.
    moa_fine
        The listed class: "unclear" for about half of the drugs, whatever is known.
    moa_broad
        "inhibitor/antagonist", "activator/agonist" or "unclear".
    targets
        Gene symbols, possibly none.
    pubchem_cid, smiles
        None for the two drugs without a structure.
    is_approved
        Whether a regulator has approved it for people.
    """

    name: str
    mechanism: str
    moa_fine: str
    moa_broad: str
    targets: tuple[str, ...]
    pubchem_cid: int | None
    smiles: str | None
    is_approved: bool


BRIDGE_DRUG = "Adagrasib"
"""At 0.05 µM on every plate."""
BLANK_AFTER_NAME = frozenset({"Erdafitinib", "Selinexor"})
"""Drugs whose name carries a trailing blank in the well table, and nowhere else."""

BLANKS_AROUND_SMILES = frozenset({"Trametinib (DMSO_TF solvate)"})
"""Drugs whose SMILES stands between blanks in every released table."""

MOA_BROAD = {
    "inhibitor": "inhibitor/antagonist",
    "agonist": "activator/agonist",
    "unclear": UNCLEAR_MOA,
}

# name | mechanism | listed class | action | targets | PubChem | stage | SMILES
_TABLE = """
Adagrasib | RAS | RAS inhibitor | inhibitor | KRAS | 138611145 | approved | CN1CCCC1COC2=NC3=C(CCN(C3)C4=CC=CC5=C4C(=CC=C5)Cl)C(=N2)N6CCN(C(C6)CC#N)C(=O)C(=C)F
Trametinib | MEK | MEK inhibitor | inhibitor | MAP2K1 MAP2K2 | 11707110 | approved | CC1=C2C(=C(N(C1=O)C)NC3=C(C=C(C=C3)I)F)C(=O)N(C(=O)N2C4=CC=CC(=C4)NC(=O)C)C5CC5
Trametinib (DMSO_TF solvate) | MEK | MEK inhibitor | inhibitor | MAP2K1 MAP2K2 | 11707110 | approved | CC1=C2C(=C(N(C1=O)C)NC3=C(C=C(C=C3)I)F)C(=O)N(C(=O)N2C4=CC=CC(=C4)NC(=O)C)C5CC5
Erdafitinib | FGFR | unclear | inhibitor | FGFR1 FGFR2 FGFR3 FGFR4 | 67462786 | approved | CC(C)NCCN(C1=CC2=NC(=CN=C2C=C1)C3=CN(N=C3)C)C4=CC(=CC(=C4)OC)OC
Selinexor | XPO1 | unclear | inhibitor | XPO1 | 71481097 | approved | C1=CN=C(C=N1)NNC(=O)C=CN2C=NC(=N2)C3=CC(=CC(=C3)C(F)(F)F)C(F)(F)F
Verteporfin | YAP | unclear | inhibitor | YAP1 | - | approved | -
Sacubitril/Valsartan | none | unclear | inhibitor | AGTR1 | - | approved | -
crizotinib | MET/ALK | Multi-TK inhibitor | inhibitor | ALK MET ROS1 | 11626560 | approved | CC(C1=C(C=CC(=C1Cl)F)Cl)OC2=C(N=CC(=C2)C3=CN(N=C3)C4CCNCC4)N
Crizotinib (hydrochloride) | MET/ALK | unclear | inhibitor | ALK MET ROS1 | 71576688 | approved | CC(C1=C(C=CC(=C1Cl)F)Cl)OC2=C(N=CC(=C2)C3=CN(N=C3)C4CCNCC4)N.Cl
Doxorubicin (hydrochloride) | topoisomerase | DNA synthesis/repair inhibitor | inhibitor | TOP2A TOP2B TOP1 | 443939 | approved | CC1C(C(CC(O1)OC2CC(CC3=C2C(=C4C(=C3O)C(=O)C5=C(C4=O)C(=CC=C5)OC)O)(C(=O)CO)O)N)O.Cl
Epirubicin (hydrochloride) | topoisomerase | unclear | inhibitor | TOP2A TOP2B TOP1 | 65348 | approved | CC1C(C(CC(O1)OC2CC(CC3=C2C(=C4C(=C3O)C(=O)C5=C(C4=O)C(=CC=C5)OC)O)(C(=O)CO)O)N)O.Cl
Vemurafenib | RAF | RAF inhibitor | inhibitor | BRAF | 42611257 | approved | CCCS(=O)(=O)NC1=C(C(=C(C=C1)F)C(=O)C2=CNC3=C2C=C(C=N3)C4=CC=C(C=C4)Cl)F
Paclitaxel | microtubule | Microtubule inhibitor | unclear | - | 36314 | approved | CC1=C2C(C(=O)C3(C(CC4C(C3C(C(C2(C)C)(CC1OC(=O)C(C(C5=CC=CC=C5)NC(=O)C6=CC=CC=C6)O)O)OC(=O)C7=CC=CC=C7)(CO4)OC(=O)C)O)C)OC(=O)C
Rapamycin | MTOR | MTOR inhibitor | inhibitor | MTOR FKBP1A | 5284616 | approved | CC1CCC2CC(C(=CC=CC=CC(CC(C(=O)C(C(C(=CC(C(=O)CC(OC(=O)C3CCCCN3C(=O)C(=O)C1(O2)O)C(C)CC4CCC(C(C4)OC)O)C)C)O)OC)C)C)C)OC
Panobinostat | HDAC | unclear | inhibitor | HDAC1 HDAC2 HDAC3 HDAC6 HDAC8 HDAC10 HDAC11 | 6918837 | approved | CC1=C(C2=CC=CC=C2N1)CCNCC3=CC=C(C=C3)C=CC(=O)NO
Pyridoxine | none | unclear | unclear | - | 1054 | approved | CC1=NC=C(C(=C1O)CO)CO
Cobimetinib | MEK | MEK inhibitor | inhibitor | MAP2K1 | 16222096 | approved | C1CCNC(C1)C2(CN(C2)C(=O)C3=C(C(=C(C=C3)F)F)NC4=C(C=C(C=C4)I)F)O
Dabrafenib | RAF | unclear | inhibitor | BRAF RAF1 | 44462760 | approved | CC(C)(C)C1=NC(=C(S1)C2=NC(=NC=C2)N)C3=C(C(=CC=C3)NS(=O)(=O)C4=C(C=CC=C4F)F)F
Gefitinib | EGFR | EGFR/ERBB inhibitor | inhibitor | EGFR | 123631 | approved | COC1=C(C=C2C(=C1)N=CN=C2NC3=CC(=C(C=C3)F)Cl)OCCCN4CCOCC4
Erlotinib | EGFR | EGFR/ERBB inhibitor | inhibitor | EGFR | 176870 | approved | COCCOC1=C(C=C2C(=C1)C(=NC=N2)NC3=CC=CC(=C3)C#C)OCCOC
Everolimus | MTOR | MTOR inhibitor | inhibitor | MTOR FKBP1A | 6442177 | approved | CC1CCC2CC(C(=CC=CC=CC(CC(C(=O)C(C(C(=CC(C(=O)CC(OC(=O)C3CCCCN3C(=O)C(=O)C1(O2)O)C(C)CC4CCC(C(C4)OC)OCCO)C)C)O)OC)C)C)C)OC
Temsirolimus | MTOR | unclear | inhibitor | MTOR | 6918289 | approved | CC1CCC2CC(C(=CC=CC=CC(CC(C(=O)C(C(C(=CC(C(=O)CC(OC(=O)C3CCCCN3C(=O)C(=O)C1(O2)O)C(C)CC4CCC(C(C4)OC)OC(=O)C(C)(CO)CO)C)C)O)OC)C)C)C)OC
palbociclib | CDK | CDK inhibitor | inhibitor | CDK4 CDK6 | 5330286 | approved | CC1=C(C(=O)N(C2=NC(=NC=C12)NC3=NC=C(C=C3)N4CCNCC4)C5CCCC5)C(=O)C
Ribociclib | CDK | unclear | inhibitor | CDK4 CDK6 | 44631912 | approved | CN(C)C(=O)C1=CC2=CN=C(N=C2N1C3CCCC3)NC4=NC=C(C=C4)N5CCNCC5
Belinostat | HDAC | unclear | inhibitor | HDAC6 | 6918638 | approved | C1=CC=C(C=C1)NS(=O)(=O)C2=CC=CC(=C2)C=CC(=O)NO
Tucidinostat | HDAC | HDAC inhibitor | inhibitor | HDAC1 HDAC2 HDAC3 HDAC10 HDAC8 HDAC11 | 12136798 | approved | C1=CC(=CN=C1)C=CC(=O)NCC2=CC=C(C=C2)C(=O)NC3=C(C=C(C=C3)F)N
Irinotecan | topoisomerase | unclear | inhibitor | TOP1 | 60838 | approved | CCC1=C2CN3C(=CC4=C(C3=O)COC(=O)C4(CC)O)C2=NC5=C1C=C(C=C5)OC(=O)N6CCC(CC6)N7CCCCC7
Irinotecan (hydrochloride) | topoisomerase | DNA synthesis/repair inhibitor | inhibitor | TOP1 | 74990 | approved | CCC1=C2CN3C(=CC4=C(C3=O)COC(=O)C4(CC)O)C2=NC5=C1C=C(C=C5)OC(=O)N6CCC(CC6)N7CCCCC7.Cl
Docetaxel | microtubule | unclear | inhibitor | TUBB1 TUBB3 TUBB4B TUBB4A TUBB2A TUBB2B | 148124 | approved | CC1=C2C(C(=O)C3(C(CC4C(C3C(C(C2(C)C)(CC1OC(=O)C(C(C5=CC=CC=C5)NC(=O)OC(C)(C)C)O)O)OC(=O)C6=CC=CC=C6)(CO4)OC(=O)C)O)C)O
Docetaxel (Trihydrate) | microtubule | Microtubule inhibitor | unclear | TUBB1 TUBB3 TUBB4B TUBB4A TUBB2A TUBB2B | 148123 | approved | CC1=C2C(C(=O)C3(C(CC4C(C3C(C(C2(C)C)(CC1OC(=O)C(C(C5=CC=CC=C5)NC(=O)OC(C)(C)C)O)O)OC(=O)C6=CC=CC=C6)(CO4)OC(=O)C)O)C)O.O.O.O
Dexamethasone | glucocorticoid | Glucocorticoid receptor agonist | agonist | NR3C1 | 5743 | approved | CC1CC2C3CCC4=CC(=O)C=CC4(C3(C(CC2(C1(C(=O)CO)O)C)O)F)C
Triamcinolone | glucocorticoid | unclear | unclear | NR3C1 | 31307 | approved | CC12CC(C3(C(C1CC(C2(C(=O)CO)O)O)CCC4=CC(=O)C=CC43C)F)O
Afatinib | EGFR | EGFR/ERBB inhibitor | inhibitor | EGFR ERBB2 | 10184653 | approved | CN(C)CC=CC(=O)NC1=C(C=C2C(=C1)C(=NC=N2)NC3=CC(=C(C=C3)F)Cl)OC4CCOC4
Neratinib (maleate) | EGFR | EGFR/ERBB inhibitor | inhibitor | EGFR ERBB2 | 67307512 | approved | CCOC1=C(C=C2C(=C1)N=CC(=C2NC3=CC(=C(C=C3)OCC4=CC=CC=N4)Cl)C#N)NC(=O)C=CCN(C)C.C(=CC(=O)O)C(=O)O
Neratinib | EGFR | unclear | inhibitor | EGFR ERBB2 | 9915743 | approved | CCOC1=C(C=C2C(=C1)N=CC(=C2NC3=CC(=C(C=C3)OCC4=CC=CC=N4)Cl)C#N)NC(=O)C=CCN(C)C
Gemcitabine | antimetabolite | DNA synthesis/repair inhibitor | inhibitor | - | 60750 | approved | C1=CN(C(=O)N=C1N)C2C(C(C(O2)CO)O)(F)F
Cytarabine | antimetabolite | unclear | inhibitor | - | 6253 | approved | C1=CN(C(=O)N=C1N)C2C(C(C(O2)CO)O)O
Decitabine | DNMT | DNA methyltransferase inhibitor | inhibitor | DNMT1 DNMT3A DNMT3B | 451668 | approved | C1C(C(OC1N2C=NC(=NC2=O)N)CO)O
5-Azacytidine | DNMT | unclear | inhibitor | DNMT1 | 9444 | approved | C1=NC(=NC(=O)N1C2C(C(C(O2)CO)O)O)N
Methotrexate | antifolate | DNA synthesis/repair inhibitor | inhibitor | DHFR | 126941 | approved | CN(CC1=CN=C2C(=N1)C(=NC(=N2)N)N)C3=CC=C(C=C3)C(=O)NC(CCC(=O)O)C(=O)O
Trimetrexate | antifolate | unclear | inhibitor | DHFR | 5583 | approved | CC1=C(C=CC2=C1C(=NC(=N2)N)N)CNC3=CC(=C(C(=C3)OC)OC)OC
Pemetrexed | antifolate | DNA synthesis/repair inhibitor | inhibitor | TYMS DHFR GART | 135410875 | approved | C1=CC(=CC=C1CCC2=CNC3=C2C(=O)NC(=N3)N)C(=O)NC(CCC(=O)O)C(=O)O
Bortezomib | proteasome | Proteasome inhibitor | inhibitor | PSMB5 | 387447 | approved | B(C(CC(C)C)NC(=O)C(CC1=CC=CC=C1)NC(=O)C2=NC=CN=C2)(O)O
Ixazomib | proteasome | unclear | inhibitor | PSMB5 | 25183872 | approved | B(C(CC(C)C)NC(=O)CNC(=O)C1=C(C=CC(=C1)Cl)Cl)(O)O
Captopril | none | unclear | inhibitor | ACE | 44093 | approved | CC(CS)C(=O)N1CCCC1C(=O)O
Naproxen | none | Cyclooxygenase inhibitor | inhibitor | PTGS1 PTGS2 | 156391 | approved | CC(C1=CC2=C(C=C1)C=C(C=C2)OC)C(=O)O
Homoharringtonine | translation | Protein synthesis inhibitor | inhibitor | - | 285033 | approved | CC(C)(CCCC(CC(=O)OC)(C(=O)OC1C2C3=CC4=C(C=C3CCN5C2(CCC5)C=C1OC)OCO4)O)O
Harringtonine | translation | unclear | unclear | - | 276389 | trials | CC(C)(CCC(CC(=O)OC)(C(=O)OC1C2C3=CC4=C(C=C3CCN5C2(CCC5)C=C1OC)OCO4)O)O
Infigratinib | FGFR | Other TK inhibitor | inhibitor | FGFR1 FGFR2 FGFR3 FGFR4 | 53235510 | approved | CCN1CCN(CC1)C2=CC=C(C=C2)NC3=CC(=NC=N3)N(C)C(=O)NC4=C(C(=CC(=C4Cl)OC)OC)Cl
Pemigatinib | FGFR | unclear | inhibitor | FGFR1 FGFR2 FGFR3 FGFR4 | 86705695 | approved | CCN1C2=C3C=C(NC3=NC=C2CN(C1=O)C4=C(C(=CC(=C4F)OC)OC)F)CN5CCOCC5
Binimetinib | MEK | MEK inhibitor | inhibitor | MAP2K1 MAP2K2 | 10288191 | trials | CN1C=NC2=C1C=C(C(=C2F)NC3=C(C=C(C=C3)Br)F)C(=O)NOCCO
TAK-733 | MEK | unclear | inhibitor | MAP2K1 | 24963252 | trials | CN1C2=C(C(=C(C1=O)F)NC3=C(C=C(C=C3)I)F)C(=O)N(C=N2)CC(CO)O
Encorafenib | RAF | unclear | inhibitor | BRAF | 50922675 | approved | CC(C)N1C=C(C(=N1)C2=C(C(=CC(=C2)Cl)NS(=O)(=O)C)F)C3=NC(=NC=C3)NCC(C)NC(=O)OC
Budesonide | glucocorticoid | Glucocorticoid receptor agonist | agonist | NR3C1 | 5281004 | approved | CCCC1OC2CC3C4CCC5=CC(=O)C=CC5(C4C(CC3(C2(O1)C(=O)CO)C)O)C
Clobetasol propionate | glucocorticoid | unclear | inhibitor | CYP3A5 CYP3A4 | 32798 | approved | CCC(=O)OC1(C(CC2C1(CC(C3(C2CCC4=CC(=O)C=CC43C)F)O)C)C)C(=O)CCl
vincristine | microtubule | unclear | inhibitor | - | 249332 | approved | CCC1(CC2CC(C3=C(CCN(C2)C1)C4=CC=CC=C4N3)(C5=C(C=C6C(=C5)C78CCN9C7C(C=CC9)(C(C(C8N6C=O)(C(=O)OC)O)OC(=O)C)CC)OC)C(=O)OC)O.OS(=O)(=O)O
Vinblastine (sulfate) | microtubule | Microtubule inhibitor | inhibitor | - | 5388983 | approved | CCC1(CC2CC(C3=C(CCN(C2)C1)C4=CC=CC=C4N3)(C5=C(C=C6C(=C5)C78CCN9C7C(C=CC9)(C(C(C8N6C)(C(=O)OC)O)OC(=O)C)CC)OC)C(=O)OC)O.OS(=O)(=O)O
Idarubicin (hydrochloride) | topoisomerase | DNA synthesis/repair inhibitor | inhibitor | TOP2A | 636362 | approved | CC1C(C(CC(O1)OC2CC(CC3=C2C(=C4C(=C3O)C(=O)C5=CC=CC=C5C4=O)O)(C(=O)C)O)N)O.Cl
Topotecan (hydrochloride) | topoisomerase | unclear | inhibitor | TOP1 | 60699 | approved | CCC1(C2=C(COC1=O)C(=O)N3CC4=CC5=C(C=CC(=C5CN(C)C)O)N=C4C3=C2)O.Cl
AZD-8055 | MTOR | unclear | inhibitor | MTOR | 25262965 | trials | CC1COCCN1C2=NC(=NC3=C2C=CC(=N3)C4=CC(=C(C=C4)OC)CO)N5CCOCC5C
Capivasertib | AKT | PI3K/AKT inhibitor | inhibitor | AKT1 AKT2 AKT3 RPS6KB1 PRKACA ROCK2 ROCK1 | 25227436 | trials | C1CN(CCC1(C(=O)NC(CCO)C2=CC=C(C=C2)Cl)N)C3=NC=NC4=C3C=CN4
Ipatasertib | AKT | unclear | inhibitor | AKT1 AKT2 AKT3 | 24788740 | trials | CC1CC(C2=C1C(=NC=N2)N3CCN(CC3)C(=O)C(CNC(C)C)C4=CC=C(C=C4)Cl)O
Abemaciclib | CDK | CDK inhibitor | inhibitor | CDK4 CDK6 | 46220502 | approved | CCN1CCN(CC1)CC2=CN=C(C=C2)NC3=NC=C(C(=N3)C4=CC5=C(C(=C4)F)N=C(N5C(C)C)C)F
Tofacitinib | JAK | JAK/STAT inhibitor | inhibitor | JAK1 JAK2 JAK3 | 9926791 | approved | CC1CCN(CC1N(C)C2=NC=NC3=C2C=CN3)C(=O)CC#N
Tofacitinib (citrate) | JAK | unclear | inhibitor | JAK1 JAK2 JAK3 | 10174505 | approved | CC1CCN(CC1N(C)C2=NC=NC3=C2C=CN3)C(=O)CC#N.C(C(=O)O)C(CC(=O)O)(C(=O)O)O
Ponatinib | multi-kinase | Multi-TK inhibitor | inhibitor | ABL1 PDGFRA KDR FGFR1 SRC KIT | 24826799 | approved | CC1=C(C=C(C=C1)C(=O)NC2=CC(=C(C=C2)CN3CCN(CC3)C)C(F)(F)F)C#CC4=CN=C5N4N=CC=C5
Sunitinib | multi-kinase | Multi-TK inhibitor | inhibitor | KDR PDGFRB | 5329102 | approved | CCN(CC)CCNC(=O)C1=C(NC(=C1C)C=C2C3=C(C=CC(=C3)F)NC2=O)C
Regorafenib | multi-kinase | unclear | inhibitor | BRAF FLT1 FLT4 KDR KIT PDGFRB RAF1 RET TEK | 11167602 | approved | CNC(=O)C1=NC=CC(=C1)OC2=CC(=C(C=C2)NC(=O)NC3=CC(=C(C=C3)Cl)C(F)(F)F)F
Lapatinib ditosylate | EGFR | EGFR/ERBB inhibitor | inhibitor | EGFR ERBB2 | 11557040 | approved | CC1=CC=C(C=C1)S(=O)(=O)O.CC1=CC=C(C=C1)S(=O)(=O)O.CS(=O)(=O)CCNCC1=CC=C(O1)C2=CC3=C(C=C2)N=CN=C3NC4=CC(=C(C=C4)OCC5=CC(=CC=C5)F)Cl.O
Tucatinib | EGFR | unclear | inhibitor | ERBB2 | 51039094 | approved | CC1=C(C=CC(=C1)NC2=NC=NC3=C2C=C(C=C3)NC4=NC(CO4)(C)C)OC5=CC6=NC=NN6C=C5
Digitoxin | Na/K pump | unclear | unclear | - | 441207 | trials | CC1C(C(CC(O1)OC2C(OC(CC2O)OC3C(OC(CC3O)OC4CCC5(C(C4)CCC6C5CCC7(C6(CCC7C8=CC(=O)OC8)O)C)C)C)C)O)O
Gemfibrozil | none | unclear | unclear | PPARA CYP2C9 CYP2C19 CYP2C8 CYP1A2 | 3463 | approved | CC1=CC(=C(C=C1)C)OCCCC(C)(C)C(=O)O
"""


def _parsed(row: str) -> Compound:
    """One compound from one row of the table."""
    name, mechanism, moa_fine, action, targets, cid, stage, smiles = row.split(" | ")
    return Compound(
        name=name,
        mechanism=mechanism,
        moa_fine=moa_fine,
        moa_broad=MOA_BROAD[action],
        targets=() if targets == "-" else tuple(targets.split()),
        pubchem_cid=None if cid == "-" else int(cid),
        smiles=None if smiles == "-" else smiles,
        is_approved=stage == "approved",
    )


COMPOUNDS: tuple[Compound, ...] = tuple(_parsed(row) for row in _TABLE.strip().splitlines())
