"""``synth`` and ``run``: the commands that make things."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from drug_pipeline.cli.console import err, out, own_stderr, progress_bar, task_bar
from drug_pipeline.cli.options import (
    FAILED,
    Assignments,
    ConfigFile,
    DataDir,
    RawDir,
    is_debugging,
)
from drug_pipeline.domain.errors import DrugPipelineError
from drug_pipeline.domain.workers import allow_open_files
from drug_pipeline.settings import Settings, load_settings, rank_in_job

Device = Literal["auto", "cpu", "cuda"]
RunPreset = Literal["tiny", "demo", "full"]
SynthPreset = Literal["tiny", "demo", "large"]


def synth(
    *,
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Gets data/, metadata/ and truth/.")
    ] = Path("data/raw"),
    preset: Annotated[
        SynthPreset, typer.Option(help="About 8,000, 100,000 or a million cells.")
    ] = "demo",
    n_cells: Annotated[
        int | None, typer.Option("--cells", min=1, help="Expected number of cells instead.")
    ] = None,
    plates: Annotated[
        str | None,
        typer.Option(help="Only these plates, separated by commas; add the others later."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same bytes.")] = None,
) -> None:
    """Write a generated screen in Tahoe-100M's layout, with its known truth beside it.

    For trying everything out without the real data. Every quirk of the real design is in it; the
    effects depend on real structures and on the line's expression. It is labelled as generated
    wherever it is shown, and the pipeline never reads the truth.

    Example: `drug-pipeline synth --preset tiny --out /tmp/screen`
    """
    from drug_pipeline.synthetic import SyntheticConfig, generate

    changes = {"n_cells": n_cells, "seed": seed}
    config = SyntheticConfig.preset(
        preset, **{name: value for name, value in changes.items() if value is not None}
    )
    chosen = plates.split(",") if plates else None
    with task_bar("synth") as tell:
        summary = generate(out_dir, config, tell, plates=chosen)
    out.print(
        f"{out_dir}: {summary.n_cells:,} generated cells, {summary.n_plates} plates, "
        f"{summary.n_drugs} drugs, {summary.n_cell_lines} cell lines, {summary.n_genes:,} genes, "
        f"{summary.size_bytes / 2**20:.0f} MiB"
    )


def run(
    *,
    raw_dir: RawDir = None,
    data_dir: DataDir = None,
    preset: Annotated[
        RunPreset | None,
        typer.Option(help="Sizes of panel and models, and thresholds. [default: demo]"),
    ] = None,
    select: Annotated[
        str,
        typer.Option(
            metavar="ASSETS",
            help="In Dagster's language: `*` all, `*delta_shards` with all upstream, `a,b`.",
        ),
    ] = "*",
    min_cells_per_pair: Annotated[
        str | None,
        typer.Option(metavar="N", help="Drop pairs (drug, cell line) with fewer cells."),
    ] = None,
    min_control_cells: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="No Δ where the vehicle (same line and plate) has fewer cells."
        ),
    ] = None,
    n_genes: Annotated[
        str | None, typer.Option("--genes", metavar="N", help="Genes of the panel.")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N", help="Worker processes. [default: the cores]")
    ] = None,
    backend: Annotated[
        Literal["local", "ray"] | None, typer.Option(help="Where raw files are reduced.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster. [default: one is started here]"),
    ] = None,
    stream: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Fetch raw files, reduce and delete them; at most N on the disk."
        ),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where networks are trained.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", help="Same seed, same numbers.")] = None,
    assignments: Assignments = None,
    config: ConfigFile = None,
) -> None:
    """Build the chain, from raw files to report, registered model and ranked drugs.

    Only what is new is built: a second run says "nothing new" of every asset and changes no byte.
    Runs in this process through Dagster; `dagster dev` shows its history. Under
    `torchrun --nproc-per-node N -m drug_pipeline.cli run …` N processes train each network.

    Example: `drug-pipeline run --raw-dir /data/screen --data-dir /data/made --preset full`
    """
    with _whole_job():
        settings = load_settings(
            assignments or (),
            config=config,
            raw_dir=raw_dir,
            data_dir=data_dir,
            preset=preset,
            min_cells_per_pair=min_cells_per_pair,
            min_control_cells=min_control_cells,
            n_genes=n_genes,
            workers=workers,
            backend=backend,
            ray_address=address,
            stream_files=stream,
            device=device,
            seed=seed,
        )
        _materialise(settings, select)


@contextmanager
def _whole_job() -> Iterator[None]:
    """A block that the first process of a ``torchrun`` job goes through, for all of them.

    The others help it train and end when it does, always well: ``torchrun`` ends a whole job at
    the first process that fails, and this one may still have to say why it did.
    """
    rank = rank_in_job()
    if rank is None:
        yield
        return
    from drug_pipeline.training.network.train_network import work_for_rank_zero
    from drug_pipeline.training.parallel.process_group import joined_group

    with joined_group(rank) as group:
        if not rank.is_first:
            work_for_rank_zero(group)
            raise typer.Exit
        try:
            yield
        finally:
            group.dismiss()


def _materialise(settings: Settings, select: str) -> None:
    from drug_pipeline.cli.run_drawing import RunDrawing
    from drug_pipeline.definitions import build_defs
    from drug_pipeline.orchestration.launch import launch, open_history, select_assets

    allow_open_files()
    with own_stderr() as console, progress_bar(console) as progress:
        defs = build_defs(settings, RunDrawing(console, progress))
        assets = select_assets(defs, select)
        console.print(
            f"{settings.raw_dir} → {settings.layout.root}, preset {settings.preset}, "
            f"{len(assets)} assets",
            style="dim",
        )
        with open_history(settings.layout) as history:
            outcome = launch(defs, history, assets)
    for warning in outcome.warnings:
        _tell(f"warning: {warning.about}: {warning.reason}", "yellow")
    for failure in outcome.failures:
        _tell(f"failed: {failure.about}: {failure.reason}", "red")
        if failure.trace and is_debugging():
            _tell(failure.trace, "dim")
    if not outcome.is_success:
        if outcome.not_reached:
            err.print(f"not built: {', '.join(outcome.not_reached)}")
        raise typer.Exit(FAILED)
    _print_what_there_is(settings)


def _print_what_there_is(settings: Settings) -> None:
    """Where the report is, which model was registered, and ten drugs for an example question."""
    from drug_pipeline.cli.ask import print_example
    from drug_pipeline.orchestration.registry import registration_sentence

    layout = settings.layout
    report = layout.evaluation_dir / "report.html"
    if report.exists():
        out.print(f"report:           {report}")
    if registered := registration_sentence(layout):
        out.print(f"registered model: {registered}")
    try:
        print_example(settings)
    except DrugPipelineError as error:
        _tell(f"no example ranking: {error}", "yellow")


def _tell(text: str, style: str) -> None:
    err.print(text, style=style)
