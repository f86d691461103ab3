"""Names and constants of the field, as every floor above uses them.

What belongs here: column names, the vehicle's name, facts of the raw format, units.
What does not: code that reads, cleans or computes (see ``expression/``).
"""

from typing import Final

# --- the raw format (Tahoe-100M as released) ---------------------------------
CONTROL_DRUG: Final = "DMSO_TF"
"""The vehicle, exactly. ``Trametinib (DMSO_TF solvate)`` is a drug: never test a substring."""
MARKER_TOKEN: Final = 1
"""Token of the first, artificial entry of each cell."""
MARKER_VALUE: Final = -2.0
"""Value of the marker entry."""
FIRST_GENE_TOKEN: Final = 3
"""Smallest token id of a gene in the released gene table."""
UNCLEAR_MOA: Final = "unclear"
"""Not a class of mechanisms: two drugs with it are not alike."""
TARGET_SUM: Final = 10_000.0
"""Counts per cell after scaling, before the natural log of one plus it."""

GENERATED_KEY: Final = b"drug_pipeline.generated"
"""Schema metadata key of ``sample_metadata``; ``b"true"`` where the data are generated."""

# --- columns of the raw records ----------------------------------------------
GENES: Final = "genes"
EXPRESSIONS: Final = "expressions"
DRUG: Final = "drug"
SAMPLE: Final = "sample"
BARCODE: Final = "BARCODE_SUB_LIB_ID"
CELL_LINE_ID: Final = "cell_line_id"
RAW_MOA_FINE: Final = "moa-fine"
CANONICAL_SMILES: Final = "canonical_smiles"
PUBCHEM_CID: Final = "pubchem_cid"
PLATE: Final = "plate"

# --- columns of the derived tables -------------------------------------------
DOSE_UM: Final = "dose_um"
TOKEN_ID: Final = "token_id"  # noqa: S105 - a gene token, not a secret
ENSEMBL_ID: Final = "ensembl_id"
GENE_SYMBOL: Final = "gene_symbol"
CELL_NAME: Final = "cell_name"
DEPMAP_ID: Final = "depmap_id"
ORGAN: Final = "organ"
DRIVER_MUTATIONS: Final = "driver_mutations"
TARGETS: Final = "targets"
MOA_BROAD: Final = "moa_broad"
MOA_FINE: Final = "moa_fine"
PARENT_SMILES: Final = "parent_smiles"
PARENT_COMPOUND: Final = "parent_compound"
SCAFFOLD: Final = "scaffold"
IS_CONTROL: Final = "is_control"
N_CELLS: Final = "n_cells"
N_CELLS_HALF: Final = "n_cells_half"
N_CONTROL_CELLS: Final = "n_control_cells"
TOTAL_COUNTS: Final = "total_counts"
IS_FALLBACK_CONTROL: Final = "is_fallback_control"
REASON: Final = "reason"
ROLE: Final = "role"

CONDITION_KEY: Final = (DRUG, DOSE_UM, CELL_LINE_ID, PLATE)
"""The grain of a Δ row."""
PAIR_KEY: Final = (DRUG, CELL_LINE_ID)
"""A (drug, cell line) pair, doses pooled."""

MODEL_INPUTS: Final = (
    "delta_shards",
    "drug_embeddings",
    "cell_line_embeddings",
    "splits",
    "tahoe_metadata",
)
"""Assets that every model is fitted on."""

# --- predictors of Δ, rankers of drugs, tasks ------------------------------------
NETWORK: Final = "network"
"""Predictor ``base + α · network``."""
BLEND: Final = "blend"
"""Weighted sum of predictors that may ship: on validation never worse than the best linear model."""
CROSS_WELL: Final = "cross_well"
"""Weighted sum of predictors that is fitted on other wells alone, without that guarantee."""
COMBINED: Final = "combined"
"""Weighted mean of rankers: what ranks drugs for a user."""
TOWER: Final = "tower"
"""Ranker: the network's vector of the signature against its vectors of drugs."""
FORWARD_GALLERY: Final = "forward_gallery"
"""Ranker: the signature against the predicted Δ of each drug."""
RANK_GALLERY: Final = "rank_gallery"
WHITENED_GALLERY: Final = "whitened_gallery"
"""The same, compared in the space of ``LDA_COSINE``."""
LDA_COSINE: Final = "lda_cosine"
"""Ranker: the signature against the mean measured Δ of each drug, along axes that tell drugs apart."""
"""The same, compared by ``RANK_COSINE``."""
RANK_COSINE: Final = "rank_cosine"
"""Ranker: the signature against measured Δ by the ranks of genes, whitened; the one that ranks
where nothing is shown to be better."""
RAW_COSINE: Final = "raw_cosine"
CENTRED_COSINE: Final = "centred_cosine"
"""Rankers of plain correlation: what any other one has to beat."""
DRUG_TASK: Final = "drug"
"""Retrieval task: which drug does this signature point to?"""
TARGET_TASK: Final = "target"
"""Retrieval task: which protein target does this signature point to?"""

# --- variants of the input ablation, and the fits beside them ---------------------
REFERENCE: Final = "as_configured"
PERMUTED: Final = "permuted_targets"
NO_DRUG: Final = "no_drug"
SHUFFLED_DRUG: Final = "shuffled_drug"
NO_CELL: Final = "no_cell"
SHUFFLED_CELL: Final = "shuffled_cell"
INPUT_VARIANTS: Final = (NO_DRUG, SHUFFLED_DRUG, NO_CELL, SHUFFLED_CELL)
"""Variants in which the whole model, linear parts too, sees less of drug or line."""
NO_CELL_TOKEN: Final = "no_cell_token"  # noqa: S105 - a token of a network, not a secret
NO_RANK_LOSS: Final = "no_rank_loss"
FULL_RANK_LOSS: Final = "full_rank_loss"
NO_ALIGN_LOSS: Final = "no_align_loss"
NO_WARMUP: Final = "no_warmup"
NO_GENE_TOKENS: Final = "no_gene_tokens"
NO_SKIP: Final = "no_skip"
RANDOM_GENE_EMBEDDINGS: Final = "random_gene_embeddings"
BLIND_MEASURED: Final = "blind_measured"
BLIND_NOISE: Final = "blind_noise"
BLIND: Final = (BLIND_MEASURED, BLIND_NOISE)
"""Two small fits, with the test as measured and as noise: their predictions must be the same."""
GENE_VECTORS: Final = "genes"
"""Not a variant: the vectors that a network has for genes."""

# --- roles of a condition in a split -----------------------------------------
TRAIN: Final = "train"
VALIDATION: Final = "validation"
TEST: Final = "test"
UNUSED: Final = "unused"


def is_control(drug: str) -> bool:
    """Whether a drug name is the vehicle, exactly."""
    return drug == CONTROL_DRUG
