"""One linear model of a split on its own: fitted in seconds, saved, asked as the network is.

What belongs here: the fit, the files, the answers of one predictor of ``linear/``. What does not:
the bundle with networks and rankers (``deployed/bundle.py``, ``save_bundle.py``), the registry.

    <folder>/linear.json     name, split, genes, drugs, identity
             features.npz    drug and cell-line vectors, control profiles
             model.npz       the fitted numbers

Shapes: N = conditions asked, G = genes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import CheckpointError, ConfigurationError
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear import Conditions, Features, Predictor, predictors_for, restored
from drug_pipeline.storage.arrays import read_arrays, write_arrays
from drug_pipeline.storage.files import read_json, refuse_changed, seal_folder, write_json
from drug_pipeline.training.deployed.bundle import refuse_unknown
from drug_pipeline.training.deployed.features_state import features_of, features_state
from drug_pipeline.training.network.identity import Identity, identity_of
from drug_pipeline.training.split_data import prepare

FORMAT: Final = 2
"""Raised when an older reader could not understand a newer file."""
ABOUT: Final = "linear.json"


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """A fitted linear predictor with what it needs to answer for any drug and line.

    ``genes`` follows ``schemas.GENES`` (G rows); ``trained_drugs`` and ``doses_um`` (sorted) are those
    it was fitted on;
    ``parent_of`` holds the parent compound of every drug of the Δ table.
    """

    split: str
    kind: str
    predictor: Predictor
    genes: pd.DataFrame
    features: Features
    parent_of: Mapping[str, str]
    trained_drugs: tuple[str, ...]
    doses_um: tuple[float, ...]
    identity: Identity

    @property
    def name(self) -> str:
        """The name of the predictor in every table."""
        return self.predictor.name

    def default_gallery(self) -> tuple[str, ...]:
        """Every drug that can be asked for: measured in training, or with a structure."""
        return tuple(sorted({*self.trained_drugs, *self.features.drugs.keys}))

    def predict(self, asked: Conditions) -> NDArray[np.float32]:
        """Predicted Δ (N, G), natural log.

        Raises
        ------
        QueryError
            If a drug has neither measurements nor a structure, or a line no control profile.
        """
        refuse_unknown(
            asked.drug_N, asked.line_N, drugs=self.default_gallery(), lines=self.features.lines
        )
        with threadpool_limits(1):
            return self.predictor.predict(asked)


def fit_linear(table: DeltaTable, features: Features, split: Split, name: str) -> LinearModel:
    """A linear model as ``model_full`` fits it beside its network.

    Its settings are chosen on training conditions; then it is fitted with them on training and
    validation conditions together. Nothing of the test side is read.

    Raises
    ------
    ConfigurationError
        If no linear model of that name answers this kind of split.
    EmptyResultError, AlignmentError, TrainingError
        See :func:`drug_pipeline.training.split_data.prepare`.
    """
    known = {make().name: make for make in predictors_for(split.kind, features)}
    if name not in known:
        msg = (
            f"there is no linear model {name!r} for split {split.name!r}; "
            f"there are {', '.join(known)}"
        )
        raise ConfigurationError(msg)
    data = prepare(table, features, split)
    with threadpool_limits(1):
        part = data.train
        fitted = known[name]().fit(part.record(features))
        if len(data.validation):
            part = data.known
            fitted = fitted.with_chosen_settings().fit(part.record(features))
    return LinearModel(
        split=split.name,
        kind=split.kind,
        predictor=fitted,
        genes=table.genes,
        features=features,
        parent_of=data.parent_of,
        trained_drugs=tuple(sorted(set(map(str, part.asked.drug_N)))),
        doses_um=tuple(map(float, np.unique(part.asked.dose_um_N))),
        identity=identity_of(data),
    )


def save_linear(folder: Path, model: LinearModel) -> list[Path]:
    """The files written for one linear model."""
    document = {
        "format": FORMAT,
        "name": model.name,
        "split": model.split,
        "kind": model.kind,
        "genes": {column: model.genes[column].tolist() for column in model.genes},
        "parent_of": dict(model.parent_of),
        "trained_drugs": list(model.trained_drugs),
        "doses_um": list(model.doses_um),
        "identity": asdict(model.identity),
    }
    write_json(document, folder / ABOUT)
    files = [
        folder / ABOUT,
        write_arrays(features_state(model.features), folder / "features.npz"),
        write_arrays(model.predictor.state(), folder / "model.npz"),
    ]
    return [*files, seal_folder(folder, files)]


def load_linear(folder: Path) -> LinearModel:
    """The model of :func:`save_linear`, ready to answer.

    Raises
    ------
    CheckpointError
        If a file is missing, of another format, or belongs to other genes or vectors.
    ForeignFileError
        If a file was changed since it was saved.
    """
    files = [folder / name for name in (ABOUT, "features.npz", "model.npz")]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        msg = (
            f"there is no linear model in {folder}: {', '.join(missing)} not there. Register again."
        )
        raise CheckpointError(msg)
    refuse_changed(folder)
    document = read_json(files[0])
    if document["format"] != FORMAT:
        msg = (
            f"{files[0]} has format {document['format']}, this code reads {FORMAT}. Register again."
        )
        raise CheckpointError(msg)
    features = features_of(read_arrays(files[1]))
    genes = pd.DataFrame(document["genes"])
    identity = Identity.from_json(document["identity"])
    Identity.of(
        genes=tuple(map(int, genes[names.TOKEN_ID])),
        data=identity.data,
        split=identity.split,
        drugs=features.drugs,
        lines=features.cell_lines,
    ).require(identity, folder)
    return LinearModel(
        split=document["split"],
        kind=document["kind"],
        predictor=restored(document["name"], document["kind"], read_arrays(files[2]), features),
        genes=genes,
        features=features,
        parent_of=document["parent_of"],
        trained_drugs=tuple(document["trained_drugs"]),
        doses_um=tuple(document["doses_um"]),
        identity=identity,
    )
