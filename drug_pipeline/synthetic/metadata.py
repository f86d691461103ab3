"""The metadata tables of the generated screen, in the released columns, types and oddities.

What belongs here: drug, line, gene, well and cell tables. All but the cell table describe the whole
design, whichever plates are written, as the released tables do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.names import CONTROL_DRUG, MARKER_VALUE
from drug_pipeline.synthetic.design import Design, Well
from drug_pipeline.synthetic.genes import GeneTable
from drug_pipeline.synthetic.public.cell_lines import CELL_LINES
from drug_pipeline.synthetic.public.compounds import (
    BLANK_AFTER_NAME,
    BLANKS_AROUND_SMILES,
    Compound,
)
from drug_pipeline.synthetic.streams import stream

DRUG_TABLE = pa.schema(
    [
        ("drug", pa.string()),
        ("targets", pa.string()),
        ("moa-broad", pa.string()),
        ("moa-fine", pa.string()),
        ("human-approved", pa.string()),
        ("clinical-trials", pa.string()),
        ("gpt-notes-approval", pa.string()),
        ("canonical_smiles", pa.string()),
        ("pubchem_cid", pa.float64()),
    ]
)
CELL_LINE_TABLE = pa.schema(
    [
        ("cell_name", pa.string()),
        ("Cell_ID_DepMap", pa.string()),
        ("Cell_ID_Cellosaur", pa.string()),
        ("Organ", pa.string()),
        ("Driver_Gene_Symbol", pa.string()),
        ("Driver_VarZyg", pa.string()),
        ("Driver_VarType", pa.string()),
        ("Driver_ProtEffect_or_CdnaEffect", pa.string()),
        ("Driver_Mech_InferDM", pa.string()),
        ("Driver_GeneType_DM", pa.string()),
    ]
)
GENE_TABLE = pa.schema(
    [("gene_symbol", pa.string()), ("ensembl_id", pa.string()), ("token_id", pa.int64())]
)
SAMPLE_TABLE = pa.schema(
    [
        ("sample", pa.string()),
        ("plate", pa.string()),
        ("mean_gene_count", pa.float64()),
        ("mean_tscp_count", pa.float64()),
        ("mean_mread_count", pa.float64()),
        ("mean_pcnt_mito", pa.float32()),
        ("drug", pa.string()),
        ("drugname_drugconc", pa.string()),
    ]
)
OBS_TABLE = pa.schema(
    [
        ("plate", pa.string()),
        ("BARCODE_SUB_LIB_ID", pa.string()),
        ("sample", pa.string()),
        ("gene_count", pa.int64()),
        ("tscp_count", pa.int64()),
        ("mread_count", pa.int64()),
        ("drugname_drugconc", pa.string()),
        ("drug", pa.string()),
        ("cell_line", pa.string()),
        ("sublibrary", pa.string()),
        ("BARCODE", pa.string()),
        ("pcnt_mito", pa.float32()),
        ("S_score", pa.float64()),
        ("G2M_score", pa.float64()),
        ("phase", pa.string()),
        ("pass_filter", pa.string()),
        ("cell_name", pa.string()),
    ]
)
READS_PER_UMI = 1.2
MEAN_MITO_FRAC = 0.06


@dataclass(frozen=True, kw_only=True)
class DrugColumns:
    """What the records repeat of the drug table, by drug name; None where nothing is known."""

    moa_fine: dict[str, str | None]
    smiles: dict[str, str | None]
    pubchem_cid: dict[str, str | None]


def drug_columns(compounds: Sequence[Compound]) -> DrugColumns:
    """The drug columns of the records, the vehicle included; identifiers are floats as text."""
    moa_fine: dict[str, str | None] = {CONTROL_DRUG: None}
    smiles: dict[str, str | None] = {CONTROL_DRUG: None}
    pubchem_cid: dict[str, str | None] = {CONTROL_DRUG: None}
    for drug in compounds:
        moa_fine[drug.name] = drug.moa_fine
        smiles[drug.name] = _smiles_text(drug)
        pubchem_cid[drug.name] = None if drug.pubchem_cid is None else f"{drug.pubchem_cid}.0"
    return DrugColumns(moa_fine=moa_fine, smiles=smiles, pubchem_cid=pubchem_cid)


def _smiles_text(compound: Compound) -> str | None:
    """The SMILES as released: one drug's stands between blanks."""
    if compound.name in BLANKS_AROUND_SMILES:
        return f" {compound.smiles}  "
    return compound.smiles


def drug_table(compounds: Sequence[Compound]) -> pa.Table:
    """One row a drug; without targets, the cell is null or the text "None", by turns."""
    absent: list[str | None] = [None, "None"]
    n_without = 0
    rows = []
    for compound in compounds:
        targets: str | None = ", ".join(compound.targets)
        if not targets:
            targets = absent[n_without % 2]
            n_without += 1
        rows.append(
            {
                "drug": compound.name,
                "targets": targets,
                "moa-broad": compound.moa_broad,
                "moa-fine": compound.moa_fine,
                "human-approved": "yes" if compound.is_approved else "no",
                "clinical-trials": "yes",
                "gpt-notes-approval": "Generated data: names and structures are public, responses invented.",
                "canonical_smiles": _smiles_text(compound),
                "pubchem_cid": compound.pubchem_cid,
            }
        )
    return pa.Table.from_pylist(rows, schema=DRUG_TABLE)


def cell_line_table() -> pa.Table:
    """One row a line and driver mutation, lines without cells included."""
    rows = [
        (
            line.name,
            line.depmap_id,
            line.cellosaurus_id,
            line.organ,
            driver.gene,
            driver.zygosity,
            driver.kind,
            driver.change,
            driver.mechanism,
            driver.gene_type,
        )
        for line in CELL_LINES
        for driver in line.drivers
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(dict(zip(CELL_LINE_TABLE.names, columns, strict=True)), schema=CELL_LINE_TABLE)


def gene_table(genes: GeneTable) -> pa.Table:
    """One row a gene, in token order."""
    return pa.table(
        {
            "gene_symbol": list(genes.symbols),
            "ensembl_id": list(genes.ensembl_ids),
            "token_id": genes.token_ids,
        },
        schema=GENE_TABLE,
    )


def table_name(drug: str) -> str:
    """The drug's name as the well table writes it: two names carry a trailing blank."""
    return f"{drug} " if drug in BLANK_AFTER_NAME else drug


def dose_text(well: Well) -> str:
    """The content of a well as released: ``[('Infigratinib', 0.05, 'uM')]``."""
    return repr([(table_name(well.drug), well.dose_um, "uM")])


def sample_table(
    design: Design,
    *,
    n_genes_W: NDArray[np.floating],
    n_umi_W: NDArray[np.floating],
    seed: int,
) -> pa.Table:
    """One row a well of the whole design.

    Parameters
    ----------
    n_genes_W, n_umi_W
        Expected detected genes and UMI of a cell of each well. Expected and not counted, so that
        the table does not change when further plates are written.
    """
    mito_W = MEAN_MITO_FRAC * stream(seed, "mitochondria").uniform(0.5, 1.5, len(design.wells))
    return pa.table(
        {
            "sample": [well.sample for well in design.wells],
            "plate": [well.plate for well in design.wells],
            "mean_gene_count": n_genes_W.astype(np.float64),
            "mean_tscp_count": n_umi_W.astype(np.float64),
            "mean_mread_count": (n_umi_W * READS_PER_UMI).astype(np.float64),
            "mean_pcnt_mito": mito_W.astype(np.float32),
            "drug": [table_name(well.drug) for well in design.wells],
            "drugname_drugconc": [dose_text(well) for well in design.wells],
        },
        schema=SAMPLE_TABLE,
    )


def obs_table(records: pa.Table, design: Design, rng: np.random.Generator) -> pa.Table:
    """One row a cell of one table of records; scores and phases are noise."""
    n_cells = records.num_rows
    well_of = {well.sample: well for well in design.wells}
    name_of = {line.cellosaurus_id: line.name for line in design.lines}
    wells = [well_of[sample] for sample in records[names.SAMPLE].to_pylist()]
    lines = records[names.CELL_LINE_ID].to_pylist()
    barcodes = records[names.BARCODE].to_pylist()
    values = records[names.EXPRESSIONS].combine_chunks()
    starts = values.offsets.to_numpy()[:-1]
    n_umi = np.add.reduceat(values.values.to_numpy(), starts, dtype=np.float64) - MARKER_VALUE
    return pa.table(
        {
            "plate": records[names.PLATE],
            "BARCODE_SUB_LIB_ID": barcodes,
            "sample": records[names.SAMPLE],
            "gene_count": np.diff(values.offsets.to_numpy()).astype(np.int64) - 1,
            "tscp_count": n_umi.astype(np.int64),
            "mread_count": (n_umi * READS_PER_UMI).astype(np.int64),
            "drugname_drugconc": [dose_text(well) for well in wells],
            "drug": records[names.DRUG],
            "cell_line": lines,
            "sublibrary": [barcode.partition("-")[2] for barcode in barcodes],
            "BARCODE": [barcode.partition("-")[0] for barcode in barcodes],
            "pcnt_mito": rng.gamma(4.0, MEAN_MITO_FRAC / 4.0, n_cells).astype(np.float32),
            "S_score": rng.normal(0.0, 0.1, n_cells),
            "G2M_score": rng.normal(0.0, 0.1, n_cells),
            "phase": rng.choice(["G1", "S", "G2M"], n_cells, p=[0.5, 0.25, 0.25]).tolist(),
            "pass_filter": ["full"] * n_cells,
            "cell_name": [name_of[line] for line in lines],
        },
        schema=OBS_TABLE,
    )
