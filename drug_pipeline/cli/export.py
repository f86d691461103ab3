"""``export``: predictions in the forms that others' tools read."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from drug_pipeline.cli.console import out, print_table
from drug_pipeline.cli.options import DataDir
from drug_pipeline.settings import load_settings


def export(
    *,
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Gets a folder for each split.")
    ],
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", metavar="NAME", help="May be given again. [default: all]"),
    ] = None,
    predictors: Annotated[
        list[str] | None,
        typer.Option(
            "--predictor",
            metavar="NAME",
            help="Such as `network`, `drug_mean`; may be given again. [default: what ships]",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write predictions of held-out conditions as AnnData and as inputs of cell-eval.

    `<split>/<predictor>.h5ad` has the predicted Δ as X, the measured one as layer `measured`. What
    `cell-eval run` compares lies beside it, a pair of files for each cell line and plate: what
    shares a control is compared, nothing else; genes that a prediction takes below 0, which
    cell-eval refuses, are raised alike in both files (`var["raised_by"]`), so that no Δ changes.

    Example: `drug-pipeline export --split pair --predictor network --out /tmp/predictions`
    """
    from drug_pipeline.evaluation.export import SHIPPED, export_predictions
    from drug_pipeline.storage.formats.cell_eval import command_of

    exported = export_predictions(
        load_settings(data_dir=data_dir).layout,
        out_dir,
        splits=splits or (),
        predictors=predictors or (SHIPPED,),
    )
    print_table(
        str(out_dir),
        ("split", "predictor", "conditions", "AnnData", "for cell-eval"),
        [
            (
                one.split,
                one.predictor,
                one.n_conditions,
                str(one.path.relative_to(out_dir)),
                f"{len(one.cell_eval_folders)} lines and plates",
            )
            for one in exported
        ],
        right=("conditions",),
        whole=("AnnData",),
    )
    out.print(shlex.join(command_of(exported[0].cell_eval_folders[0])), style="dim")
