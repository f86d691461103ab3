"""Arrow schemas of the tables that cross a floor. A new column starts here.

``RAW_CELL`` is the released record; the others are what the pipeline writes.
"""

import pyarrow as pa

from drug_pipeline.domain import names

RAW_CELL = pa.schema(
    [
        (names.GENES, pa.list_(pa.int64())),
        (names.EXPRESSIONS, pa.list_(pa.float32())),
        (names.DRUG, pa.string()),
        (names.SAMPLE, pa.string()),
        (names.BARCODE, pa.string()),
        (names.CELL_LINE_ID, pa.string()),
        (names.RAW_MOA_FINE, pa.string()),
        (names.CANONICAL_SMILES, pa.string()),
        (names.PUBCHEM_CID, pa.string()),
        (names.PLATE, pa.string()),
    ]
)
"""One record per cell, in the released order and types."""

RAW_FILES = pa.schema(
    [
        ("file", pa.string()),  # path relative to the raw data folder
        ("size_bytes", pa.int64()),
        ("sha256", pa.string()),
        ("n_rows", pa.int64()),  # 0 where the file cannot be read
        ("plates", pa.list_(pa.string())),  # sorted
        ("state", pa.string()),  # "ok" or "quarantined"
        ("column", pa.string()),  # what is wrong, where quarantined
        ("row", pa.int64()),
        (names.REASON, pa.string()),
        ("remedy", pa.string()),
    ]
)
"""The inventory of raw files."""

DRUGS = pa.schema(
    [
        (names.DRUG, pa.string()),  # stripped; the vehicle is not in this table
        (names.TARGETS, pa.list_(pa.string())),  # gene symbols, sorted, may be empty
        (names.MOA_BROAD, pa.string()),
        (names.MOA_FINE, pa.string()),  # "unclear" where not known
        (names.CANONICAL_SMILES, pa.string()),  # null where unknown
        (names.PARENT_SMILES, pa.string()),  # desalted, neutral, stereo removed; null
        (names.PARENT_COMPOUND, pa.string()),  # InChIKey skeleton, or "name:<drug>"
        (names.SCAFFOLD, pa.string()),  # Murcko; the parent SMILES where acyclic; "name:<drug>"
        (names.PUBCHEM_CID, pa.int64()),  # null where unknown
    ]
)

CELL_LINES = pa.schema(
    [
        (names.CELL_LINE_ID, pa.string()),
        (names.CELL_NAME, pa.string()),
        (names.DEPMAP_ID, pa.string()),  # null for hTERT-HPNE
        (names.ORGAN, pa.string()),
        (names.DRIVER_MUTATIONS, pa.list_(pa.string())),  # gene symbols, sorted, unique
    ]
)

GENES = pa.schema(
    [
        (names.TOKEN_ID, pa.int64()),
        (names.ENSEMBL_ID, pa.string()),
        (names.GENE_SYMBOL, pa.string()),
    ]
)

WELLS = pa.schema(
    [
        (names.SAMPLE, pa.string()),
        (names.PLATE, pa.string()),
        (names.DRUG, pa.string()),  # stripped
        (names.DOSE_UM, pa.float64()),  # 0.0 for the vehicle
        (names.IS_CONTROL, pa.bool_()),
    ]
)

CELL_COUNTS = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.CELL_LINE_ID, pa.string()),
        (names.SAMPLE, pa.string()),
        (names.PLATE, pa.string()),
        (names.N_CELLS, pa.int64()),
    ]
)
"""Partial counts of one raw file; the count tables are sums of these."""

PAIRS = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.CELL_LINE_ID, pa.string()),
        (names.N_CELLS, pa.int64()),
        ("is_kept", pa.bool_()),
        (names.REASON, pa.string()),  # empty where kept
    ]
)

WELL_LINES = pa.schema(
    [
        (names.SAMPLE, pa.string()),
        (names.CELL_LINE_ID, pa.string()),
        (names.PLATE, pa.string()),
        (names.DRUG, pa.string()),
        (names.DOSE_UM, pa.float64()),
        (names.N_CELLS, pa.int64()),
        (names.N_CELLS_HALF, pa.int64()),  # cells of the first half (barcode hash)
        (names.TOTAL_COUNTS, pa.int64()),  # over ALL genes
    ]
)
"""The grain of the pseudobulk state: one well and one cell line."""

CONDITIONS = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.DOSE_UM, pa.float64()),
        (names.CELL_LINE_ID, pa.string()),
        (names.PLATE, pa.string()),
        (names.PARENT_COMPOUND, pa.string()),
        (names.N_CELLS, pa.int64()),
        (names.N_CONTROL_CELLS, pa.int64()),
        (names.TOTAL_COUNTS, pa.int64()),
        (names.IS_FALLBACK_CONTROL, pa.bool_()),
    ]
)
"""The index of the Δ shards, in row order: sorted by plate, cell line, drug, dose."""

METRICS = pa.schema(
    [
        ("split", pa.string()),
        ("task", pa.string()),  # "forward", or a retrieval task
        ("predictor", pa.string()),  # a predictor, ranker, ceiling or replicate
        ("stratum_kind", pa.string()),  # all, activity, line, dose, drug, active_line…
        ("stratum", pa.string()),
        ("metric", pa.string()),
        ("k", pa.int64()),  # 0 where the metric has none
        ("value", pa.float64()),
        ("ci_low", pa.float64()),  # 95 % over parent compounds; NaN where there are too few
        ("ci_high", pa.float64()),
        ("n", pa.int64()),  # conditions or queries behind the value
        ("gallery", pa.int64()),  # median number of candidates; 0 outside retrieval
    ]
)
"""The long table of all figures of an evaluation."""
