"""Asset ``tahoe_metadata``: the released metadata tables, cleaned and written.

What belongs here: reading, writing and stamping. What does not: the cleaning itself
(``expression/released/metadata.py``).
"""

import logging
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import first_few
from drug_pipeline.expression.released.metadata import MetadataTables, clean_metadata
from drug_pipeline.storage.build import BuildOutput, BuildResult, build_once
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.raw_files import RawDir, RawFolder

logger = logging.getLogger(__name__)

CODE_VERSION: Final = "3"
TABLE_SCHEMAS: Final = {
    "drugs": schemas.DRUGS,
    "cell_lines": schemas.CELL_LINES,
    "genes": schemas.GENES,
    "wells": schemas.WELLS,
}


def build_tahoe_metadata(layout: Layout, raw_dir: RawDir) -> BuildResult:
    """Clean the metadata tables into ``metadata/{drugs,cell_lines,genes,wells}.parquet``.

    Its stamp's summary has ``is_generated`` and the notes of the cleaning.

    Raises
    ------
    MetadataError
        If a table or column is missing, or a value cannot be used.
    """
    folder = RawFolder(raw_dir)
    return build_once(
        layout,
        "tahoe_metadata",
        code_version=CODE_VERSION,
        upstream=[],
        extra_inputs=folder.metadata_fingerprints(),
        config={},
        build=lambda: _write(layout, read_raw_metadata(folder)),
    )


def read_raw_metadata(folder: RawFolder) -> MetadataTables:
    """The released tables of a raw folder, cleaned."""
    return clean_metadata(
        gene=folder.metadata_table("gene_metadata"),
        drug=folder.metadata_table("drug_metadata"),
        cell_line=folder.metadata_table("cell_line_metadata"),
        sample=folder.metadata_table("sample_metadata"),
    )


def _write(layout: Layout, tables: MetadataTables) -> BuildOutput:
    set_aside = tables.notes["wells_set_aside"]
    if set_aside:
        logger.warning(
            "%d wells are set aside, their cells with them; first: %s",
            len(set_aside),
            first_few(set_aside),
        )
    files = []
    for name, schema in TABLE_SCHEMAS.items():
        frame: pd.DataFrame = getattr(tables, name)
        path = layout.metadata_dir / f"{name}.parquet"
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        write_parquet(table.replace_schema_metadata(None), path)
        files.append(path)
    return BuildOutput(files=files, summary=_summary(tables))


def _summary(tables: MetadataTables) -> dict[str, Any]:
    drugs, wells = tables.drugs, tables.wells
    has_structure = drugs[names.PARENT_SMILES].notna()
    return {
        "is_generated": tables.is_generated,
        "n_drugs": len(drugs),
        "n_drugs_with_structure": int(has_structure.sum()),
        "n_parent_compounds": int(drugs.loc[has_structure, names.PARENT_COMPOUND].nunique()),
        "n_cell_lines": len(tables.cell_lines),
        "n_genes": len(tables.genes),
        "n_wells": len(wells),
        "n_control_wells": int(wells[names.IS_CONTROL].sum()),
        "n_plates": int(wells[names.PLATE].nunique()),
        "notes": {note: len(items) for note, items in tables.notes.items()},
        "first_of_notes": {note: items[:5] for note, items in tables.notes.items() if items},
    }
