"""Writes a generated screen in the released layout, with its truth beside it.

What belongs here: the order of writing, the file names and the label. The truth is for tests and for
judging; the pipeline never reads it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import ConfigurationError, first_few
from drug_pipeline.domain.progress import Progress
from drug_pipeline.synthetic import metadata
from drug_pipeline.synthetic.cells import place_cells, row_groups, shares_WLG, well_depths
from drug_pipeline.synthetic.config import SyntheticConfig
from drug_pipeline.synthetic.design import DOSES_UM, Design, make_design
from drug_pipeline.synthetic.genes import GeneTable, make_genes
from drug_pipeline.synthetic.labelled import (
    LABEL,
    labelled,
    write_array,
    write_labelled,
    written_whole,
)
from drug_pipeline.synthetic.measurement import expected_detected_genes, expected_umi, log_softmax
from drug_pipeline.synthetic.streams import stream
from drug_pipeline.synthetic.truth import Truth, make_truth

CONDITION_TABLE = pa.schema(
    [
        (names.DRUG, pa.string()),
        (names.DOSE_UM, pa.float64()),
        (names.CELL_LINE_ID, pa.string()),
        ("rms", pa.float64()),  # root mean square of Δ over the genes, natural log
    ]
)


@dataclass(frozen=True, kw_only=True)
class SyntheticSummary:
    """What was written.

    Parameters
    ----------
    files
        The raw data files, in plate order.
    """

    n_cells: int
    n_plates: int
    n_wells: int
    n_drugs: int
    n_cell_lines: int
    n_genes: int
    size_bytes: int
    files: tuple[Path, ...]


def generate(
    out_dir: Path,
    config: SyntheticConfig,
    progress: Progress | None = None,
    *,
    plates: Sequence[str] | None = None,
) -> SyntheticSummary:
    """Write a generated screen below ``out_dir`` and say what was written.

    Same settings, same bytes. Peak memory: one plate's expression shares, the truth (three times
    drugs · doses · lines · genes · 4 bytes) and one row group of cells.

    Parameters
    ----------
    out_dir
        Gets ``data/``, ``metadata/``, ``truth/`` and ``GENERATED.md``.
    config
        Size, strength and seed.
    progress
        Called with (files done, files in all, text).
    plates
        Write the cells of these plates only; none at all writes the metadata and the truth. Their files are the same, byte for byte, as those of a
        run over all plates, so that further plates can be added to the folder later; the metadata
        always describe the whole design, but for the cell table, which grows.

    Raises
    ------
    ConfigurationError
        For an unknown plate, or a folder that holds other data.
    """
    design = make_design(config)
    chosen = _chosen_plates(design, plates)
    _claim_folder(out_dir, config)
    genes = make_genes(design.compounds, design.lines, config)
    truth = make_truth(design, genes, config)
    _write_truth(out_dir / "truth", design, genes, truth)
    _write_tables(out_dir / "metadata", design, genes, truth, config)
    (out_dir / "GENERATED.md").write_text(LABEL, encoding="utf-8")

    files: list[Path] = []
    obs_tables = [metadata.OBS_TABLE.empty_table()]
    for plate in chosen:
        for path, obs in _write_plate(out_dir / "data", plate, design, genes, truth, config):
            files.append(path)
            obs_tables.append(obs)
            if progress is not None:
                total = len(chosen) * config.files_per_plate
                progress(len(files), total, f"{plate}: {obs.num_rows:,} generated cells")
    obs = pa.concat_tables(obs_tables)
    _write_obs(out_dir / "metadata" / "obs_metadata.parquet", obs, design)
    return SyntheticSummary(
        n_cells=obs.num_rows,
        n_plates=len(chosen),
        n_wells=sum(well.plate in chosen for well in design.wells),
        n_drugs=len(design.compounds),
        n_cell_lines=len(design.lines),
        n_genes=config.n_genes,
        size_bytes=sum(path.stat().st_size for path in files),
        files=tuple(files),
    )


def _chosen_plates(design: Design, plates: Sequence[str] | None) -> list[str]:
    """The plates to write, in the order of the design."""
    unknown = sorted(set(plates or ()) - set(design.plates))
    if unknown:
        msg = (
            f"{len(unknown)} unknown plates: {first_few(unknown)}. "
            f"This design has {design.plates[0]} to {design.plates[-1]}."
        )
        raise ConfigurationError(msg)
    return [plate for plate in design.plates if plates is None or plate in plates]


def _claim_folder(out_dir: Path, config: SyntheticConfig) -> None:
    """Note the settings in the folder; refuse one that holds anything else."""
    path = out_dir / "truth" / "config.json"
    text = json.dumps(asdict(config), indent=1, sort_keys=True) + "\n"
    if path.exists():
        if path.read_text(encoding="utf-8") != text:
            msg = f"{out_dir} holds generated data with other settings; empty it or choose another"
            raise ConfigurationError(msg)
    elif out_dir.is_dir() and any(out_dir.iterdir()):
        msg = f"{out_dir} holds files that were not generated; choose another folder"
        raise ConfigurationError(msg)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_plate(
    data_dir: Path,
    plate: str,
    design: Design,
    genes: GeneTable,
    truth: Truth,
    config: SyntheticConfig,
) -> Iterator[tuple[Path, pa.Table]]:
    """Write the files of one plate; yields each path with its rows of the cell table."""
    cells = place_cells(design, plate, config)
    shares = shares_WLG(design, truth, cells, config)
    n_files = len(design.plates) * config.files_per_plate
    for file_number in range(config.files_per_plate):
        number = design.plates.index(plate) * config.files_per_plate + file_number
        path = data_dir / f"train-{number:05d}-of-{n_files:05d}.parquet"
        obs_rng = stream(config.seed, "obs", plate, str(file_number))
        obs_tables = [metadata.OBS_TABLE.empty_table()]
        with (
            written_whole(path) as temporary,
            pq.ParquetWriter(temporary, labelled(schemas.RAW_CELL), compression="zstd") as writer,
        ):
            for records in row_groups(
                design, cells, shares, genes, config, file_number=file_number
            ):
                writer.write_table(records.cast(labelled(schemas.RAW_CELL)))
                obs_tables.append(metadata.obs_table(records, design, obs_rng))
        yield path, pa.concat_tables(obs_tables)


def _write_tables(
    folder: Path, design: Design, genes: GeneTable, truth: Truth, config: SyntheticConfig
) -> None:
    """Write the four tables that describe the whole design."""
    depth_W = np.concatenate(
        [well_depths(plate, len(design.wells_of(plate)), config) for plate in design.plates]
    )
    share_LG = np.exp(log_softmax(truth.base_LG))
    samples = metadata.sample_table(
        design,
        n_genes_W=np.array([expected_detected_genes(share_LG, depth) for depth in depth_W]),
        n_umi_W=expected_umi(depth_W),
        seed=config.seed,
    )
    write_labelled(metadata.drug_table(design.compounds), folder / "drug_metadata.parquet")
    write_labelled(metadata.cell_line_table(), folder / "cell_line_metadata.parquet")
    write_labelled(metadata.gene_table(genes), folder / "gene_metadata.parquet")
    write_labelled(samples, folder / "sample_metadata.parquet")


def _write_obs(path: Path, obs: pa.Table, design: Design) -> None:
    """Write the cell table: these rows, and those of plates written into the folder before."""
    if path.exists():
        earlier = pq.read_table(path)
        written_now = pc.unique(obs["plate"])
        kept = earlier.filter(pc.invert(pc.is_in(earlier["plate"], value_set=written_now)))
        obs = pa.concat_tables([kept.replace_schema_metadata(None), obs])
    by_plate = [obs.filter(pc.equal(obs["plate"], plate)) for plate in design.plates]
    write_labelled(pa.concat_tables(by_plate), path)


def _write_truth(folder: Path, design: Design, genes: GeneTable, truth: Truth) -> None:
    """Write the true Δ with its rows and columns."""
    delta = truth.delta_DXLG.reshape(-1, len(genes.expressed))
    keys = [
        (compound.name, dose_um, line.cellosaurus_id)
        for compound in design.compounds
        for dose_um in DOSES_UM
        for line in design.lines
    ]
    drugs, doses, lines = (list(column) for column in zip(*keys, strict=True))
    conditions = pa.table(
        {
            names.DRUG: drugs,
            names.DOSE_UM: doses,
            names.CELL_LINE_ID: lines,
            "rms": np.sqrt(np.mean(np.square(delta, dtype=np.float64), axis=1)),
        },
        schema=CONDITION_TABLE,
    )
    gene_rows = pa.table(
        {
            names.TOKEN_ID: genes.expressed_tokens,
            names.ENSEMBL_ID: [genes.ensembl_ids[position] for position in genes.expressed],
            names.GENE_SYMBOL: list(genes.expressed_symbols),
        },
        schema=schemas.GENES,
    )
    write_labelled(conditions, folder / "conditions.parquet")
    write_labelled(gene_rows, folder / "genes.parquet")
    write_array(delta, folder / "delta.npy")
