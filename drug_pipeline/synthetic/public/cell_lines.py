"""Public cancer cell lines whose names, organs and driver mutations the generated screen borrows.

What belongs here: the two tables and the type of a line. The first five rows hold every trap of the
released line table: a line without DepMap id, and one of the two that have almost no cells. The
last four never have cells, as half of the released table.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Driver:
    """One driver mutation of a line, as the released table writes it; None where not known."""

    gene: str
    zygosity: str | None
    kind: str | None
    change: str | None
    mechanism: str | None
    gene_type: str | None


@dataclass(frozen=True, kw_only=True)
class CellLine:
    """One cell line with its driver mutations.

    Parameters
    ----------
    cellosaurus_id
        The key of the records, such as CVCL_0023.
    depmap_id
        None for hTERT-HPNE.
    is_rare
        Whether the line has almost no cells.
    """

    name: str
    depmap_id: str | None
    cellosaurus_id: str
    organ: str
    is_rare: bool
    drivers: tuple[Driver, ...]

    @property
    def driver_genes(self) -> frozenset[str]:
        """Genes with at least one driver mutation."""
        return frozenset(driver.gene for driver in self.drivers)


# name | DepMap | Cellosaurus | organ | abundance
_LINES = """
A549 | ACH-000681 | CVCL_0023 | Lung | common
HT-29 | ACH-000552 | CVCL_0320 | Bowel | common
PANC-1 | ACH-000164 | CVCL_0480 | Pancreas | common
hTERT-HPNE | - | CVCL_C466 | Pancreas | common
NCI-H596 | ACH-000628 | CVCL_1571 | Lung | rare
SW480 | ACH-000842 | CVCL_0546 | Bowel | common
NCI-H460 | ACH-000463 | CVCL_0459 | Lung | common
A498 | ACH-000555 | CVCL_1056 | Kidney | common
HepG2/C3A | ACH-001021 | CVCL_1098 | Liver | common
LOX-IMVI | ACH-000750 | CVCL_1381 | Skin | common
BT-474 | ACH-000927 | CVCL_0179 | Breast | common
A-172 | ACH-000558 | CVCL_0131 | CNS/Brain | common
KATO III | ACH-000793 | CVCL_0371 | Esophagus/Stomach | common
C32 | ACH-000580 | CVCL_1097 | Skin | common
NCI-H2122 | ACH-000311 | CVCL_1531 | Lung | rare
MIA PaCa-2 | ACH-000601 | CVCL_0428 | Pancreas | common
SK-MEL-2 | ACH-001190 | CVCL_0069 | Skin | common
J82 | ACH-000396 | CVCL_0359 | Bladder/Urinary Tract | common
CHP-212 | ACH-000120 | CVCL_1125 | Peripheral Nervous System | common
SW 900 | ACH-000669 | CVCL_1731 | Lung | common
HOP-92 | ACH-000825 | CVCL_1286 | Lung | common
HMVII | ACH-002040 | CVCL_1282 | Vulva/Vagina | common
Hs 936.T(C1) | - | CVCL_1034 | Skin | common
MM485 | ACH-001973 | CVCL_2610 | Skin | common
"""

# line | gene | zygosity | kind | change | mechanism | gene type
_DRIVERS = """
A549 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
A549 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
A549 | KRAS | Hom | Missense | p.G12S | GoF | Oncogene
A549 | SMARCA4 | Hom | Frameshift | p.Q729fs | LoF | Suppressor
A549 | STK11 | Hom | Stopgain | p.Q37* | LoF | Suppressor
A549 | ZFHX3 | Het | Missense | p.L1473F | - | Suppressor
HT-29 | APC | Het | Stopgain | p.E853* | LoF | Suppressor
HT-29 | APC | Het | Frameshift | p.T1556fs | LoF | Suppressor
HT-29 | BRAF | Het | Missense | p.V600E | GoF | Oncogene
HT-29 | MYC | - | Gain | GAIN | GoF | Oncogene
HT-29 | PIK3CA | Het | Missense | p.P449T | - | Oncogene
HT-29 | SMAD4 | Hom | Stopgain | p.Q311* | LoF | Suppressor
HT-29 | TP53 | Hom | Missense | p.R273H | LoF | Suppressor
HT-29 | ZFHX3 | Het | Missense | p.I1217M | - | Suppressor
PANC-1 | AKT2 | - | Gain | GAIN | GoF | Oncogene
PANC-1 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
PANC-1 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
PANC-1 | KRAS | Het | Missense | p.G12D | GoF | Oncogene
PANC-1 | TP53 | Hom | Missense | p.R273H | LoF | Suppressor
hTERT-HPNE | TERT | - | Transgene | - | - | Oncogene
NCI-H596 | KMT2D | Het | Missense | p.M4058V | - | Suppressor
NCI-H596 | PIK3CA | Het | Missense | p.E545K | GoF | Oncogene
NCI-H596 | RB1 | Hom | Frameshift | p.S182fs | LoF | Suppressor
NCI-H596 | TGFBR2 | Hom | Frameshift | p.S75fs | LoF | Suppressor
NCI-H596 | TP53 | Hom | Missense | p.G245C | LoF | Suppressor
SW480 | APC | Hom | Stopgain | p.Q1338* | LoF | Suppressor
SW480 | ATM | Het | Missense | p.R2461P | LoF | Suppressor
SW480 | KRAS | Hom | Missense | p.G12V | GoF | Oncogene
SW480 | MYC | - | Gain | GAIN | GoF | Oncogene
SW480 | TP53 | Hom | Missense | p.P309S | LoF | Suppressor
SW480 | TP53 | Hom | Missense | p.R273H | LoF | Suppressor
NCI-H460 | ARID1A | Hom | Missense | p.LI1917del | - | Suppressor
NCI-H460 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
NCI-H460 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
NCI-H460 | KRAS | Hom | Missense | p.Q61H | GoF | Oncogene
NCI-H460 | MAP2K1 | Het | Missense | p.Y134C | - | Oncogene
NCI-H460 | MYC | - | Gain | GAIN | GoF | Oncogene
NCI-H460 | PIK3CA | Het | Missense | p.E545K | GoF | Oncogene
NCI-H460 | STK11 | Hom | Stopgain | p.Q37* | LoF | Suppressor
NCI-H460 | ZFHX3 | Het | Missense | p.P3675Q | - | Suppressor
A498 | APC | Het | Missense | p.C1270R | LoF | Suppressor
A498 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
A498 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
A498 | PIK3CB | Het | Missense | p.D1067V | GoF | Oncogene
A498 | SMARCA4 | Het | Missense | p.A923P | LoF | Suppressor
A498 | VHL | Hom | Frameshift | p.G144fs | LoF | Suppressor
HepG2/C3A | ATM | Het | Missense | p.V2906I | - | Suppressor
HepG2/C3A | EGFR | Het | Missense | p.C186S | - | Oncogene
HepG2/C3A | ERBB3 | Het | Missense | p.R421K | - | Oncogene
HepG2/C3A | NRAS | Het | Missense | p.Q61L | GoF | Oncogene
HepG2/C3A | TERT | - | Promoter | 1-124C>T | GoF | Oncogene
LOX-IMVI | ARID1A | Het | Stopgain | p.Q1212* | LoF | Suppressor
LOX-IMVI | BRAF | Het | Missense | p.V600E | GoF | Oncogene
LOX-IMVI | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
LOX-IMVI | NF1 | Het | Stopgain | p.Q1174* | LoF | Suppressor
LOX-IMVI | TERT | - | Promoter | 1-124C>T | GoF | Oncogene
BT-474 | ACVR2A | Het | Missense | p.S17F | - | Suppressor
BT-474 | ATM | Het | Missense | p.E2468K | LoF | Suppressor
BT-474 | BRCA2 | Het | Stopgain | p.S3094* | LoF | Suppressor
BT-474 | ERBB2 | - | Gain | GAIN | GoF | Oncogene
BT-474 | HNF1A | Het | Stopgain | p.Q495* | LoF | Suppressor
BT-474 | KMT2D | Het | Missense | p.E1623K | - | Suppressor
BT-474 | LASP1 | - | Gain | GAIN | GoF | Oncogene
BT-474 | MAPK1 | Het | Missense | p.H61Q | - | Oncogene
BT-474 | PIK3CA | Het | Missense | p.K111N | GoF | Oncogene
BT-474 | TGFBR2 | Het | Missense | p.M36I | - | Suppressor
BT-474 | TP53 | Hom | Missense | p.E285K | LoF | Suppressor
BT-474 | WNK2 | Het | Missense | p.E398Q | - | Suppressor
A-172 | ABL1 | - | Fusion | ABL1-CBFB | - | Oncogene
A-172 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
A-172 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
A-172 | PTEN | Hom | Deletion | DEL | LoF | Suppressor
A-172 | RB1 | Het | Missense | p.V852L | - | Suppressor
KATO III | ATM | Het | Missense | p.S2581I | - | Suppressor
KATO III | BRCA2 | Het | Missense | p.G2044V | - | Suppressor
KATO III | CTNNB1 | - | Gain | GAIN | GoF | Oncogene
KATO III | FGFR2 | - | Gain | GAIN | GoF | Oncogene
KATO III | KMT2D | Het | Missense | p.A3242P | - | Suppressor
KATO III | KMT2D | Het | Stopgain | p.E1747* | LoF | Suppressor
KATO III | TP53 | - | Deletion | DEL | LoF | Suppressor
C32 | BRAF | Het | Missense | p.V600E | GoF | Oncogene
C32 | CDKN2A | Hom | Stoploss | Ter157Serext*13 | - | Suppressor
C32 | PTEN | Hom | Deletion | DEL | LoF | Suppressor
C32 | TERT | - | Promoter | 1-124C>T | GoF | Oncogene
NCI-H2122 | CDKN2A | - | Deletion | DEL | LoF | Suppressor
NCI-H2122 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
NCI-H2122 | KRAS | Hom | Missense | p.G12C | GoF | Oncogene
NCI-H2122 | MYC | - | Gain | GAIN | GoF | Oncogene
NCI-H2122 | STK11 | Hom | Frameshift | p.P281fs | LoF | Suppressor
NCI-H2122 | TP53 | Het | Missense | p.C176F | LoF | Suppressor
NCI-H2122 | TP53 | Het | Missense | p.Q16L | LoF | Suppressor
MIA PaCa-2 | ARID1A | Het | Missense | p.P1723L | - | Suppressor
MIA PaCa-2 | ARID1A | Hom | Stopgain | p.Q321* | LoF | Suppressor
MIA PaCa-2 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
MIA PaCa-2 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
MIA PaCa-2 | KRAS | Hom | Missense | p.G12C | GoF | Oncogene
MIA PaCa-2 | TP53 | Hom | Missense | p.R248W | LoF | Suppressor
SK-MEL-2 | CCND1 | - | Gain | GAIN | GoF | Oncogene
SK-MEL-2 | EP300 | Het | Missense | p.P989S | - | Suppressor
SK-MEL-2 | NRAS | Het | Missense | p.Q61R | GoF | Oncogene
SK-MEL-2 | POLE | Het | Missense | p.T1052A | - | Suppressor
SK-MEL-2 | SETD1B | Het | Frameshift | p.L1255fs | LoF | Suppressor
SK-MEL-2 | TERT | - | Promoter | 1-146C>T | GoF | Oncogene
SK-MEL-2 | TP53 | Hom | Missense | p.G245S | LoF | Suppressor
SK-MEL-2 | ZFHX3 | Het | Frameshift | p.H3611fs | LoF | Suppressor
J82 | APC | Het | Missense | p.S770P | - | Suppressor
J82 | ERBB2 | Het | Missense | p.R678Q | GoF | Oncogene
J82 | FGFR3 | Het | Missense | p.K651E | GoF | Oncogene
J82 | PIK3CA | Het | Missense | p.P124L | - | Oncogene
J82 | PTEN | Hom | Frameshift | p.N212fs | LoF | Suppressor
J82 | RB1 | Hom | Splice_site | - | LoF | Suppressor
J82 | TERT | - | Promoter | 1-124C>T | GoF | Oncogene
J82 | TP53 | Het | Missense | p.E271K | LoF | Suppressor
J82 | TP53 | Het | Missense | p.K320N | LoF | Suppressor
CHP-212 | NRAS | Het | Missense | p.Q61K | GoF | Oncogene
SW 900 | CDKN2A | Hom | Deletion | DEL | LoF | Suppressor
SW 900 | CDKN2B | Hom | Deletion | DEL | LoF | Suppressor
SW 900 | KMT2D | Hom | Stopgain | p.K5522* | LoF | Suppressor
SW 900 | KRAS | Het | Missense | p.G12V | GoF | Oncogene
SW 900 | SMAD3 | Hom | Missense | p.K334E | LoF | Suppressor
SW 900 | TP53 | Hom | Stopgain | p.Q167* | LoF | Suppressor
HOP-92 | ACVR2A | Het | Missense | p.K133M | LoF | Suppressor
HOP-92 | GNAS | Het | Missense | p.V117M | - | Oncogene
HOP-92 | NF1 | Het | Frameshift | p.M799fs | LoF | Suppressor
HOP-92 | SOS1 | Het | Missense | p.N233Y | GoF | Oncogene
HOP-92 | TP53 | Hom | Missense | p.R175L | LoF | Suppressor
HMVII | B2M | Hom | Deletion | DEL | LoF | Suppressor
HMVII | BRAF | Het | Missense | p.G469V | GoF | Oncogene
HMVII | BRCA2 | Het | Missense | p.M784V | - | Suppressor
HMVII | NRAS | Het | Missense | p.Q61K | GoF | Oncogene
HMVII | RB1 | Het | Missense | p.L819V | - | Suppressor
HMVII | TP53 | Het | Missense | p.N268I | LoF | Suppressor
Hs 936.T(C1) | NRAS | Het | Missense | p.Q61K | GoF | Oncogene
MM485 | APC | Het | Missense | p.P2783S | LoF | Suppressor
MM485 | CDKN2A | Hom | Stopgain | p.W59* | LoF | Suppressor
MM485 | NRAS | Het | Missense | p.Q61R | GoF | Oncogene
MM485 | SMARCB1 | Het | Missense | p.W349L | LoF | Suppressor
MM485 | TP53 | Hom | Stopgain | p.R196* | LoF | Suppressor
"""


def _known(text: str) -> str | None:
    """The text, or None where the table has a dash."""
    return None if text == "-" else text


def _drivers_of(line: str) -> tuple[Driver, ...]:
    """Driver mutations of one line, in table order."""
    rows = [row.split(" | ") for row in _DRIVERS.strip().splitlines()]
    return tuple(
        Driver(
            gene=gene,
            zygosity=_known(zygosity),
            kind=_known(kind),
            change=_known(change),
            mechanism=_known(mechanism),
            gene_type=_known(gene_type),
        )
        for name, gene, zygosity, kind, change, mechanism, gene_type in rows
        if name == line
    )


def _parsed(row: str) -> CellLine:
    """One line from one row of the table."""
    name, depmap_id, cellosaurus_id, organ, abundance = row.split(" | ")
    return CellLine(
        name=name,
        depmap_id=_known(depmap_id),
        cellosaurus_id=cellosaurus_id,
        organ=organ,
        is_rare=abundance == "rare",
        drivers=_drivers_of(name),
    )


CELL_LINES: tuple[CellLine, ...] = tuple(_parsed(row) for row in _LINES.strip().splitlines())
