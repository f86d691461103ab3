"""``register``: a linear model on its own, as a version in the model registry."""

from typing import Annotated

import typer

from drug_pipeline.cli.console import out
from drug_pipeline.cli.options import DataDir
from drug_pipeline.settings import load_settings, tracking_of


def register(
    *,
    linear: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Such as `additive`, `product_kernel_ridge`, `tanimoto_knn`."
        ),
    ],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split on whose training side it is fitted.")
    ] = "pair",
    data_dir: DataDir = None,
) -> None:
    """Register a linear model on its own, so that it can be served without any network.

    Fitted in seconds as `model_full` fits it beside its network: settings chosen on the training
    side, then fitted on training and validation together. MLflow loads it as it loads the registered
    model, and it answers the same questions. Its alias is `candidate`: `champion` is for what went
    through the gates.

    Example: `drug-pipeline register --linear product_kernel_ridge --split drug`
    """
    from drug_pipeline.orchestration.registry import register_linear

    settings = load_settings(data_dir=data_dir)
    tracking = tracking_of(settings)
    registration = register_linear(
        settings.layout, split, linear, tracking, settings.training().kernel_blocks
    )
    own = f"sqlite:///{settings.layout.mlflow_dir}/mlflow.db"
    out.print(registration.sentence())
    out.print(
        f"mlflow.set_tracking_uri({tracking.registry or own!r}); "
        f"mlflow.pyfunc.load_model('models:/{registration.name}/{registration.version}')",
        style="dim",
    )
