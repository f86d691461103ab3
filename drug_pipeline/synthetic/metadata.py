"""The metadata tables of the generated screen, in the released columns, types and oddities.

What belongs here: drug, line, gene, well and cell tables. All but the cell table describe the whole
design, whichever plates are written, as the released tables do.
"""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.names import CONTROL_DRUG, MARKER_VALUE
from drug_pipeline.synthetic.design import Design, Well
from drug_pipeline.synthetic.genes import GeneTable
from drug_pipeline.synthetic.public.cell_lines import LINE_FILE
from drug_pipeline.synthetic.public.compounds import (
    BLANK_AFTER_NAME,
    BLANKS_AROUND_SMILES,
    Compound,
)
from drug_pipeline.synthetic.streams import stream

TEXT = pa.string()
NOTE = "Generated data: names and structures are public, responses invented."
DRUG_TABLE = pa.schema(
    {
        "drug": TEXT,
        "targets": TEXT,
        "moa-broad": TEXT,
        "moa-fine": TEXT,
        "human-approved": TEXT,
        "clinical-trials": TEXT,
        "gpt-notes-approval": TEXT,
        "canonical_smiles": TEXT,
        "pubchem_cid": pa.float64(),
    }
)
GENE_TABLE = pa.schema({"gene_symbol": TEXT, "ensembl_id": TEXT, "token_id": pa.int64()})
SAMPLE_TABLE = pa.schema(
    {
        "sample": TEXT,
        "plate": TEXT,
        "mean_gene_count": pa.float64(),
        "mean_tscp_count": pa.float64(),
        "mean_mread_count": pa.float64(),
        "mean_pcnt_mito": pa.float32(),
        "drug": TEXT,
        "drugname_drugconc": TEXT,
    }
)
OBS_TABLE = pa.schema(
    {
        "plate": TEXT,
        "BARCODE_SUB_LIB_ID": TEXT,
        "sample": TEXT,
        "gene_count": pa.int64(),
        "tscp_count": pa.int64(),
        "mread_count": pa.int64(),
        "drugname_drugconc": TEXT,
        "drug": TEXT,
        "cell_line": TEXT,
        "sublibrary": TEXT,
        "BARCODE": TEXT,
        "pcnt_mito": pa.float32(),
        "S_score": pa.float64(),
        "G2M_score": pa.float64(),
        "phase": TEXT,
        "pass_filter": TEXT,
        "cell_name": TEXT,
    }
)
READS_PER_UMI = 1.2
MEAN_MITO_FRAC = 0.06


def drug_columns(compounds: Sequence[Compound]) -> dict[str, tuple[str | None, ...]]:
    """Class, SMILES and PubChem id (a float as text) as the records repeat them, by drug; None where unknown."""
    columns: dict[str, tuple[str | None, ...]] = {CONTROL_DRUG: (None, None, None)}
    for drug in compounds:
        cid = None if drug.pubchem_cid is None else f"{drug.pubchem_cid}.0"
        columns[drug.name] = (drug.moa_fine, _smiles_text(drug), cid)
    return columns


def _smiles_text(compound: Compound) -> str | None:
    """The SMILES as released: one drug's stands between blanks."""
    if compound.name in BLANKS_AROUND_SMILES:
        return f" {compound.smiles}  "
    return compound.smiles


def drug_table(compounds: Sequence[Compound]) -> pa.Table:
    """One row per drug; without targets, the cell is null or the text "None", by turns."""
    absent = cycle([None, "None"])
    return pa.table(
        {
            "drug": [compound.name for compound in compounds],
            "targets": [", ".join(compound.targets) or next(absent) for compound in compounds],
            "moa-broad": [compound.moa_broad for compound in compounds],
            "moa-fine": [compound.moa_fine for compound in compounds],
            "human-approved": ["yes" if one.is_approved else "no" for one in compounds],
            "clinical-trials": ["yes"] * len(compounds),
            "gpt-notes-approval": [NOTE] * len(compounds),
            "canonical_smiles": [_smiles_text(compound) for compound in compounds],
            "pubchem_cid": pa.array([one.pubchem_cid for one in compounds], pa.float64()),
        },
        schema=DRUG_TABLE,
    )


def cell_line_table() -> pa.Table:
    """One row per line and driver mutation, lines without cells included."""
    as_text = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    return csv.read_csv(LINE_FILE, convert_options=as_text)


def gene_table(genes: GeneTable) -> pa.Table:
    """One row per gene, in token order."""
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
    design: Design, *, n_genes_W: NDArray[np.floating], n_umi_W: NDArray[np.floating], seed: int
) -> pa.Table:
    """One row per well of the whole design.

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
    """One row per cell of one table of records; scores and phases are noise."""
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
