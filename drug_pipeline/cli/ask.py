"""``rank`` and ``predict``: questions to the model, and an example that a run ends with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from drug_pipeline.cli.console import err, out, print_table
from drug_pipeline.cli.options import DataDir, Model
from drug_pipeline.domain.errors import QueryError, first_few
from drug_pipeline.embeddings.smiles import DrugEmbeddingConfig
from drug_pipeline.settings import Settings, load_settings, tracking_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from typing import Any

    import pandas as pd

    from drug_pipeline.query.open_model import OpenModel
    from drug_pipeline.query.rank import RankedDrugs
    from drug_pipeline.query.signature import Signature
    from drug_pipeline.storage.layout import Layout

Unit = Literal["ln", "log2", "z"]
N_EXAMPLE_DRUGS = 10
CHAMPION = "models:/drug-pipeline@champion"
"""The model that is asked where the data folder has none."""


def rank(
    signature: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="CSV, TSV, .rnk (or .gz of them), Parquet or .h5ad: genes by symbol or Ensembl id, "
            "and Δ, treated minus control. The names of the columns say what they hold: "
            "gene_symbol, ensembl_id or token_id; delta (natural log), logFC (log2) or z.",
        ),
    ] = None,
    *,
    like: Annotated[
        str | None,
        typer.Option(metavar="DRUG@LINE@DOSE", help="A measured Δ instead of a file, µM."),
    ] = None,
    cell_line: Annotated[
        str | None,
        typer.Option("--cell-line", metavar="LINE", help="Id or name; with --like its own line."),
    ] = None,
    is_reversed: Annotated[
        bool, typer.Option("--reverse", help="Drugs that undo the signature, not those that do it.")
    ] = False,
    unit: Annotated[
        Unit | None,
        typer.Option(
            help="Unit of the file's values: a logarithm, or z for z-scores. [default: by their "
            "column's name, or ln]"
        ),
    ] = None,
    row: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which row of an .h5ad file.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many drugs to show.")] = 10,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="All drugs to a .csv or .parquet file."),
    ] = None,
    model: Model = None,
    data_dir: DataDir = None,
) -> None:
    """Rank drugs for a signature: which drug does this to a cell line, or undoes it.

    Ranks every drug that was measured or has a structure. A score says nothing by itself: the
    percentile says how many of the gallery score lower, and the line below the table how often
    such a ranking was right on held-out data.

    Example: `drug-pipeline rank --like "Trametinib@A549@0.5" --reverse`
    """
    from drug_pipeline.query.rank import rank_drugs
    from drug_pipeline.query.signature import measured_signature, read_signature
    from drug_pipeline.storage.shards import read_delta

    if (signature is None) == (like is None):
        msg = "give a signature FILE, or --like DRUG@LINE@DOSE, and not both"
        raise typer.BadParameter(msg)
    line = cell_line or (like.rsplit("@", 2)[1].strip() if like and like.count("@") > 1 else None)
    if signature is not None and line is None:
        msg = "say in which line with --cell-line"
        raise typer.BadParameter(msg)
    if like is not None and (row is not None or unit is not None):
        msg = "--row and --unit are of a signature FILE; a measured Δ has neither"
        raise typer.BadParameter(msg)
    if out_file is not None:
        _check_out(out_file)
    settings = load_settings(data_dir=data_dir)
    opened = _opened(settings, model)
    if like is not None:
        wanted = measured_signature(read_delta(settings.layout), like, opened.library.cell_lines)
    else:
        assert signature is not None
        wanted = read_signature(signature, opened.bundle.genes, row=row, unit=unit)
    assert line is not None, "a --like without line was refused as a signature"
    ranked = rank_drugs(opened.bundle, opened.library, wanted, line, is_reversed=is_reversed)
    if out_file is not None:
        _write(ranked.table, out_file)
    _print_ranking(ranked, top)


def predict(
    *,
    drug: Annotated[str | None, typer.Option(metavar="NAME", help="A drug by name.")] = None,
    smiles: Annotated[
        str | None, typer.Option(metavar="SMILES", help="Any compound, by structure.")
    ] = None,
    dose_um: Annotated[float, typer.Option("--dose-um", metavar="µM", help="Dose in µM.")],
    cell_line: Annotated[str, typer.Option("--cell-line", metavar="LINE", help="Id or name.")],
    top: Annotated[int, typer.Option(min=1, help="How many genes to show.")] = 20,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="All genes to a .csv or .parquet file."),
    ] = None,
    model: Model = None,
    data_dir: DataDir = None,
) -> None:
    """Predict Δexpression: what this drug will do, at this dose, in this cell line.

    Says which model answered (by what of the question was never measured), the expected error,
    and what such answers reached on held-out data.

    Example: `drug-pipeline predict --smiles "CC(=O)Oc1ccccc1C(=O)O" --dose-um 5 --cell-line A549`
    """
    from drug_pipeline.query.predict import (
        NEW_DRUG,
        parent_sentence,
        predict_response,
        with_structure,
    )

    if (drug is None) == (smiles is None):
        msg = "give --drug or --smiles, and not both"
        raise typer.BadParameter(msg)
    if out_file is not None:
        _check_out(out_file)
    settings = load_settings(data_dir=data_dir)
    opened = _opened(settings, model)
    bundle = opened.bundle
    read_as = []
    if smiles is not None:
        bundle = with_structure(bundle, smiles, settings.section(DrugEmbeddingConfig))
        read_as = [parent_sentence(smiles)]
    answer = predict_response(
        bundle, opened.library, drug=drug or NEW_DRUG, dose_um=dose_um, line=cell_line
    )
    if out_file is not None:
        _write(answer.table, out_file)
    strongest = answer.table.head(top)
    print_table(
        f"Predicted Δ of {smiles or answer.drug} at {dose_um:g} µM in {answer.line}",
        ("gene", "ensembl_id", "Δ (ln)", "log2 FC"),
        [
            (gene["gene_symbol"], gene["ensembl_id"], gene["delta"], gene["log2_fold_change"])
            for gene in strongest.to_dict("records")
        ],
        right=("Δ (ln)", "log2 FC"),
    )
    for sentence in (*read_as, *answer.sentences()):
        out.print(sentence)


def print_example(settings: Settings) -> None:
    """Ten drugs for a strong response, as an example of what can be asked."""
    from drug_pipeline.query.open_model import open_model
    from drug_pipeline.query.rank import rank_drugs

    opened = open_model(settings.layout)
    wanted, line = _example_question(settings.layout, opened)
    ranked = rank_drugs(opened.bundle, opened.library, wanted, line)
    _print_ranking(ranked, N_EXAMPLE_DRUGS)
    condition = wanted.name.removeprefix("measured ")
    out.print(f'again: drug-pipeline rank --like "{condition}"', style="dim")


def _opened(settings: Settings, address: str | None) -> "OpenModel":
    """The model of the data folder; where it has none, or one is named, of the registry."""
    from drug_pipeline.query.open_model import open_model, open_registered

    tracking = tracking_of(settings)
    is_built = (settings.layout.deploy_dir / "bundle.json").is_file()
    if address is None and (is_built or not tracking.registry):
        return open_model(settings.layout)
    opened = open_registered(tracking, address or CHAMPION)
    err.print(f"asked: {opened.source}", style="dim")
    return opened


def _example_question(layout: "Layout", opened: "OpenModel") -> "tuple[Signature, str]":
    """The strongest response that the ranking models were not fitted on, where there is one."""
    import numpy as np

    from drug_pipeline.domain import names
    from drug_pipeline.query.open_model import held_out_rows
    from drug_pipeline.query.signature import measured_signature
    from drug_pipeline.storage.shards import read_delta

    table = read_delta(layout)
    size_N = np.square(table.delta_NG).mean(axis=1)
    held_out_N = held_out_rows(layout, table, opened.bundle)
    row = int(held_out_N[np.argmax(size_N[held_out_N])] if len(held_out_N) else np.argmax(size_N))
    strongest = table.conditions.iloc[row]
    line = str(strongest[names.CELL_LINE_ID])
    condition = f"{strongest[names.DRUG]}@{line}@{strongest[names.DOSE_UM]:g}"
    return measured_signature(table, condition), line


def _print_ranking(ranked: "RankedDrugs", top: int) -> None:
    rows = [
        (
            drug["rank"],
            drug["drug"],
            drug["score"],
            f"{drug['percentile']:.0f}",
            _where_measured(drug),
            drug["moa_fine"],
            first_few(drug["targets"]),
        )
        for drug in ranked.table.head(top).to_dict("records")
    ]
    print_table(
        f"{ranked.signature.name} in {ranked.line}: {len(ranked.table)} drugs ranked",
        ("rank", "drug", "score", "percentile", "measured", "mechanism", "targets"),
        rows,
        right=("rank", "score", "percentile"),
        whole=("drug",),
    )
    for sentence in (*ranked.signature.sentences(), ranked.trust.sentence()):
        out.print(sentence)


def _where_measured(drug: "Mapping[Hashable, Any]") -> str:
    if drug["is_measured_here"]:
        return "here"
    return "elsewhere" if drug["is_measured"] else "never"


def _check_out(path: Path) -> None:
    """Refuse, before anything is computed, a file that could not be written."""
    if path.suffix not in {".csv", ".parquet"}:
        msg = f"--out {path}: use a name that ends in .csv or .parquet."
        raise QueryError(msg)
    if not path.parent.is_dir() or path.is_dir():
        msg = f"--out {path}: {path if path.is_dir() else path.parent} is "
        msg += "a folder. Name a file in it." if path.is_dir() else "no folder. Make it first."
        raise QueryError(msg)


def _write(table: "pd.DataFrame", path: Path) -> None:
    from drug_pipeline.storage.files import replacing

    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
    err.print(f"{len(table):,} rows in {path}", style="dim")
