"""How each mechanism acts in the generated screen: pathway, strength, sensitive lines, marker genes.

What belongs here: the table. The marker genes give the generated responses the signs that a
biologist expects (DUSP6 falls under MEK inhibitors); their sizes are invented.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """What drugs of one mechanism share.

    Parameters
    ----------
    pathway
        Mechanisms of one pathway have half of their effect in common.
    strength
        Factor on the effect; 0.1 for drugs that do next to nothing.
    stress
        Weight on the stress axis that all drugs share.
    sensitising_drivers
        Driver mutations that make a line respond more.
    down, up
        Marker genes.
    """

    pathway: str
    strength: float
    stress: float
    sensitising_drivers: frozenset[str]
    down: tuple[str, ...]
    up: tuple[str, ...]


STRESS_GENES = ("ATF3", "DDIT3", "HSPA1A", "DNAJB1", "HMOX1", "TRIB3", "PPP1R15A", "SESN2")
"""Named genes that rise on the shared stress axis."""

# mechanism | pathway | strength | stress | sensitising drivers | down | up
_TABLE = """
RAS | MAPK | 0.9 | 0.3 | KRAS | DUSP6 SPRY4 EGR1 | ERBB3
RAF | MAPK | 1.0 | 0.3 | BRAF | DUSP6 SPRY4 ETV4 | ERBB3
MEK | MAPK | 1.2 | 0.3 | BRAF KRAS NRAS MAP2K1 | DUSP6 SPRY4 EGR1 ETV4 CCND1 | ERBB3
EGFR | MAPK | 0.9 | 0.4 | EGFR ERBB2 ERBB3 | DUSP6 EGR1 | KLF4
FGFR | MAPK | 0.8 | 0.3 | FGFR2 FGFR3 | SPRY4 ETV4 | KLF4
MET/ALK | MAPK | 0.8 | 0.5 | MET KRAS | EGR1 | KLF4
multi-kinase | MAPK | 0.9 | 0.7 | ABL1 FGFR2 | EGR1 | TXNIP
MTOR | PI3K | 1.0 | 0.2 | PIK3CA PTEN STK11 | HMGCS1 SREBF1 | IRS2 TXNIP
AKT | PI3K | 0.9 | 0.2 | PIK3CA PTEN AKT2 | HMGCS1 SREBF1 | IRS2 KLF6
JAK | PI3K | 0.5 | 0.1 | TGFBR2 SMAD4 | SOCS3 BCL3 | -
CDK | cycle | 1.0 | 0.3 | CDKN2A CCND1 | MKI67 CCNB1 E2F1 | CCND1
microtubule | cycle | 1.1 | 0.6 | MYC TP53 | HMGCS1 | CCNB1 KIF20A
topoisomerase | damage | 1.3 | 1.0 | MYC TP53 ATM | MKI67 MYC | CDKN1A MDM2 GDF15
antimetabolite | damage | 1.0 | 0.5 | MYC CDKN2A | MKI67 | CDKN1A MDM2 GDF15
antifolate | damage | 0.9 | 0.4 | CDKN2B MYC | CCNB1 | CDKN1A GDF15
DNMT | chromatin | 0.9 | 0.3 | ARID1A SMARCA4 | MYC | CDKN1A MAGEA4
HDAC | chromatin | 1.4 | 0.6 | ARID1A KMT2D SMARCA4 | MYC CCND1 | H1-0 CDKN1A
glucocorticoid | receptor | 0.8 | 0.0 | APC STK11 | BCL3 | FKBP5 TSC22D3 PER1 DUSP1
YAP | receptor | 0.7 | 0.3 | APC SMAD4 | CCN1 CCN2 | -
proteasome | proteostasis | 1.4 | 1.6 | MYC KRAS | MKI67 | HSPA1A DNAJB1 SQSTM1
translation | proteostasis | 1.3 | 1.2 | MYC TP53 | MYC MKI67 | ATF3
XPO1 | proteostasis | 1.0 | 0.6 | TP53 RB1 | MKI67 | XPO1 CDKN1A
Na/K pump | proteostasis | 1.1 | 1.2 | KRAS TERT | MKI67 | EGR1 ATF3
none | none | 0.1 | 0.0 | - | - | -
"""


def _listed(text: str) -> tuple[str, ...]:
    """The words of a cell of the table; none where it has a dash."""
    return () if text == "-" else tuple(text.split())


def _parsed(row: str) -> tuple[str, Mechanism]:
    """Name and content of one row of the table."""
    name, pathway, strength, stress, drivers, down, up = row.split(" | ")
    return name, Mechanism(
        pathway=pathway,
        strength=float(strength),
        stress=float(stress),
        sensitising_drivers=frozenset(_listed(drivers)),
        down=_listed(down),
        up=_listed(up),
    )


MECHANISMS: dict[str, Mechanism] = dict(_parsed(row) for row in _TABLE.strip().splitlines())
