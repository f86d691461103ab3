"""Shared fits on disk: fitted numbers as plain arrays, nothing pickled.

What belongs here: the arrays of shared fits, and the fits that they make again. What does
not: who shares them (``ablation/one_fit.py``), models for use (``deployed/``).
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.linear import Conditions, Predictor, Ranker, State, restored, restored_ranker
from drug_pipeline.linear.base import nested, part
from drug_pipeline.storage.arrays import read_arrays, write_arrays
from drug_pipeline.training.fit_linear import LinearFit
from drug_pipeline.training.fit_split import SharedFits
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.selection.cross_fitting import HeldOut
from drug_pipeline.training.split_data import Part, SplitData

Fitted = Mapping[str, Predictor] | Mapping[str, Ranker]


def write_shared_fits(path: Path, shared: SharedFits) -> None:
    """Write shared fits as one ``.npz``; their features are not in it."""
    fit = shared.linear
    models: dict[str, Fitted] = {
        "linear": fit.linear,
        "final": fit.final,
        "measured": shared.measured,
        "final_measured": shared.final_measured,
    }
    arrays: State = {"base_train_NG": fit.base_train_NG, "weight_N": fit.weight_N}
    arrays |= nested("encoder", shared.encoder.state())
    arrays |= nested("validation", fit.validation) | nested("test", fit.test)
    for role, fitted in models.items():
        for name, one in fitted.items():
            arrays |= nested(f"{role}.{name}", one.state())
    if fit.held_out is not None:
        arrays |= nested("hidden", _arrays_of(fit.held_out.part))
        arrays |= nested("hidden_predicted", fit.held_out.predicted)
    about = {
        "names": {role: list(fitted) for role, fitted in models.items()},
        "n_gene_tokens": shared.n_gene_tokens,
        "best_linear": fit.best_linear,
        "base": fit.base,
        "seconds": fit.seconds,
    }
    write_arrays(arrays | {"about": np.array(json.dumps(about))}, path)


def read_shared_fits(path: Path, data: SplitData) -> SharedFits:
    """The fits of :func:`write_shared_fits`, of the same data."""
    arrays, features = read_arrays(path), data.features
    about = json.loads(str(arrays["about"]))

    def predictors(role: str) -> dict[str, Predictor]:
        states = {name: part(f"{role}.{name}", arrays) for name in about["names"][role]}
        return {
            name: restored(name, data.split.kind, state, features) for name, state in states.items()
        }

    def rankers(role: str) -> dict[str, Ranker]:
        states = {name: part(f"{role}.{name}", arrays) for name in about["names"][role]}
        return {name: restored_ranker(name, state, features) for name, state in states.items()}

    def predicted(role: str) -> dict[str, NDArray[np.float32]]:
        found = part(role, arrays)
        return {name: found[name] for name in about["names"]["linear"] if name in found}

    held_out = None
    if hidden := part("hidden", arrays):
        held_out = HeldOut(part=_part_of(hidden), predicted=part("hidden_predicted", arrays))
    return SharedFits(
        encoder=InputEncoder(part("encoder", arrays), features),
        n_gene_tokens=about["n_gene_tokens"],
        linear=LinearFit(
            linear=predictors("linear"),
            final=predictors("final"),
            validation=predicted("validation"),
            test=predicted("test"),
            held_out=held_out,
            best_linear=about["best_linear"],
            base=about["base"],
            base_train_NG=arrays["base_train_NG"],
            weight_N=arrays["weight_N"],
            seconds=about["seconds"],
        ),
        measured=rankers("measured"),
        final_measured=rankers("final_measured"),
    )


def _arrays_of(conditions: Part) -> State:
    columns = {one.name: getattr(conditions, one.name) for one in fields(conditions)}
    return nested("asked", vars(columns.pop("asked"))) | columns


def _part_of(arrays: State) -> Part:
    columns = {name: array for name, array in arrays.items() if not name.startswith("asked.")}
    return Part(asked=Conditions(**part("asked", arrays)), **columns)
