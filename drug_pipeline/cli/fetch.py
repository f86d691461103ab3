"""``download``: Tahoe-100M, or a part of it, from the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from drug_pipeline.cli.console import out, task_bar
from drug_pipeline.cli.options import RawDir
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.settings import load_settings


def download(
    *,
    raw_dir: RawDir = None,
    plates: Annotated[
        str | None,
        typer.Option(help="Only files with cells of these plates, by number: `6,14`."),
    ] = None,
    n_files: Annotated[
        int | None,
        typer.Option("--files", min=1, metavar="N", help="Only N of the data files."),
    ] = None,
    is_everything: Annotated[
        bool, typer.Option("--all", help="All of it: 337 GB, 3,388 files.")
    ] = False,
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched; fetch only metadata.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Files side by side.")] = 4,
    repo_id: Annotated[
        str, typer.Option("--repo", metavar="OWNER/NAME", help="Dataset on the hub.")
    ] = "tahoebio/Tahoe-100M",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
) -> None:
    """Fetch Tahoe-100M, or a part of it, from the Hugging Face hub into the raw folder.

    Stopped at any moment, the same command goes on where it was. Every file is checked against
    the hub's hash, and whether all of it fits is checked before the first. `HF_ENDPOINT` names
    another hub, `HF_TOKEN` an account.

    Example: `drug-pipeline download --plates 6,14 --raw-dir /data/tahoe`
    """
    from drug_pipeline.ingest.raw.download import Download, DownloadConfig
    from drug_pipeline.storage.raw.hub import Hub, HubConfig

    if not (plates or n_files or is_everything):
        msg = "say which part: --plates 6,14, --files N, or --all for 337 GB."
        raise ConfigurationError(msg)
    settings = load_settings(raw_dir=raw_dir)
    if "://" in settings.raw_dir:
        msg = f"{settings.raw_dir} is no local folder. Give --raw-dir a path."
        raise ConfigurationError(msg)
    folder = Path(settings.raw_dir).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(HubConfig(repo_id=repo_id, revision=revision, remote=settings.raw_source().remote))
    chosen = tuple(plate.strip() for plate in plates.split(",")) if plates else ()
    fetcher = Download(folder, hub, DownloadConfig(plates=chosen, n_files=n_files, workers=workers))
    with task_bar("files") as tell:

        def tell_megabytes(done: int, total: int, text: str) -> None:
            tell(done // 10**6, total // 10**6, f"MB  {text}")

        plan = fetcher.plan(tell)
        out.print(
            f"{repo_id} at {plan.commit[:12]}: {len(plan.wanted):,} files wanted of "
            f"{plan.n_data_files:,} data files and the metadata; {len(plan.missing):,} to be "
            f"fetched, {plan.n_bytes_missing / 1e9:,.2f} GB",
        )
        if is_dry_run:
            return
        fetcher.run(plan, tell_megabytes)
    out.print(f"{folder}: {len(plan.wanted):,} files, each with the hub's hash")
