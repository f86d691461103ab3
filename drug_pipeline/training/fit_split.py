"""One split, fitted: linear models, networks, gate, blend, rankers, uncertainty, predictions.

What belongs here: the order of the stages and what leaves them. What does not: the stages
(``fit_forward.py``, ``fit_inverse.py``), files of the data folder (``model_assets.py``).

Shapes: N = test conditions, G = genes, Q = queries, D = gallery drugs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drug_pipeline.domain import names
from drug_pipeline.domain.progress import Log, Progress
from drug_pipeline.domain.split_kinds import kind_of
from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.linear import Conditions, Features, Ranker, measured_rankers
from drug_pipeline.linear.rankers.whitening import space_of
from drug_pipeline.storage.predictions import Rankings, SplitPredictions
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.fit_forward import ForwardFit, fit_forward_stage
from drug_pipeline.training.fit_inverse import InverseFit, fit_inverse_stage
from drug_pipeline.training.fit_linear import LinearFit, fit_linear_stage
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.fit_run import FitRun
from drug_pipeline.training.network.identity import Identity
from drug_pipeline.training.network.loop import Hooks, hooks_of
from drug_pipeline.training.parallel.process_group import current_group
from drug_pipeline.training.parallel.runtime import running
from drug_pipeline.training.selection.clustered_tests import clusterings
from drug_pipeline.training.selection.error_bound import ErrorModel, error_terms, fit_error_model
from drug_pipeline.training.split_data import Part, SplitData, prepare


@dataclass(frozen=True, kw_only=True)
class SharedFits:
    """Encoder, linear models and rankers of a split, shared by fits that differ in networks alone.

    ``n_gene_tokens`` is that of the settings the encoder was fitted with.
    """

    encoder: InputEncoder
    n_gene_tokens: int
    linear: LinearFit
    measured: dict[str, Ranker]
    final_measured: dict[str, Ranker]


@dataclass(frozen=True, kw_only=True)
class FittedSplit:
    """All fitted models of one split, for evaluation and for use."""

    data: SplitData
    config: TrainConfig
    encoder: InputEncoder
    identity: Identity
    forward: ForwardFit
    inverse: InverseFit
    error_model: ErrorModel | None
    notes: dict[str, Any]

    def predictions(self, table: DeltaTable) -> SplitPredictions:
        """What evaluation reads: predictions, rankings and figures of the test side."""
        data, forward, inverse = self.data, self.forward, self.inverse
        parts = _ensemble(forward.test, forward)
        shipped_NG = forward.test[forward.shipped_name]
        uncertainty_N = None
        if self.error_model is not None:
            uncertainty_N = self.error_model.expected(error_terms(shipped_NG, parts))
        rankings = Rankings(
            query_rows_Q=data.test.rows_N,
            gallery=tuple(inverse.gallery),
            groups=tuple(data.parent_of[drug] for drug in inverse.gallery),
            scores=inverse.test,
            shipped=names.COMBINED,
        )
        return SplitPredictions.of_test(
            table,
            data.split,
            predictions=forward.test,
            shipped=forward.shipped_name,
            network=names.NETWORK,
            best_linear=forward.best_linear,
            blend=names.BLEND,
            rankings={names.DRUG_TASK: rankings},
            validation={**forward.figures, **inverse.figures},
            uncertainty_N=uncertainty_N,
            notes=self.notes,
        )


def fit_split(
    table: DeltaTable,
    features: Features,
    split: Split,
    config: TrainConfig,
    *,
    progress: Progress | None = None,
    log: Log | None = None,
    asked: Conditions | None = None,
    resume_dir: Path | None = None,
) -> FittedSplit:
    """Every model of one split, fitted on its training side and chosen on its validation side.

    Nothing of the test side but its keys (drug, dose, line, plate) reaches a model that predicts;
    its measured Δ are the queries of the rankings and nothing else.

    Parameters
    ----------
    asked
        Conditions as the models are to see them (ablations); those of the table by default.
    resume_dir
        Folder in which the state of every training run is kept, so that a killed one goes on.

    Raises
    ------
    EmptyResultError
        If the training or the test side is empty.
    TrainingError
        If a Δ or a loss is not finite.
    """
    return fit_prepared(
        prepare(table, features, split, asked),
        config,
        progress=progress,
        log=log,
        resume_dir=resume_dir,
    )


def fit_shared(
    data: SplitData, config: TrainConfig, *, progress: Progress | None = None
) -> SharedFits:
    """Encoder, linear models and measured rankers of a split."""
    measured = _measured(data.train, data)
    return SharedFits(
        encoder=_encoder(data, config),
        n_gene_tokens=config.model.n_gene_tokens,
        linear=fit_linear_stage(data, config, hooks_of(None, progress)),
        measured=measured,
        final_measured=_measured(data.known, data) if _is_gallery_joined(data) else measured,
    )


def _is_gallery_joined(data: SplitData) -> bool:
    """Whether validation conditions join the measured gallery in the end.

    Across plates they are of the test plate itself: they share its error with the queries, which
    would find them in place of their own drug.
    """
    return len(data.validation) > 0 and not kind_of(data.split.kind).is_replicate


def _measured(known: Part, data: SplitData) -> dict[str, Ranker]:
    measured = known.record(data.features)
    return {
        ranker.name: ranker.fit(measured)
        for ranker in measured_rankers(data.split.kind, space_of(measured))
    }


def fit_prepared(
    data: SplitData,
    config: TrainConfig,
    *,
    shared: SharedFits | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
    resume_dir: Path | None = None,
) -> FittedSplit:
    """Every model of conditions that are ready to train on; see :func:`fit_split`.

    In a ``torchrun`` job all its processes train the networks.

    Parameters
    ----------
    shared
        Those of the same data, where they are there already.
    """
    with running(config, current_group()) as runtime:
        shared = shared or fit_shared(data, config, progress=progress)
        encoder = shared.encoder
        if config.model.n_gene_tokens != shared.n_gene_tokens:
            encoder = _encoder(data, config)
        run = FitRun(
            data=data,
            encoder=encoder,
            config=config,
            runtime=runtime,
            hooks=hooks_of(log, progress),
            resume_dir=resume_dir,
        )
        forward = fit_forward_stage(run, shared.linear)
        inverse = fit_inverse_stage(
            run, forward, measured=shared.measured, final_measured=shared.final_measured
        )
    return _fitted(run, forward, inverse)


def fit_forward_alone(data: SplitData, config: TrainConfig) -> ForwardFit:
    """The forward models of conditions that are ready to train on, without any ranker.

    Always in this process alone: it takes an epoch, and is to repeat to the last bit.
    """
    with running(config) as runtime:
        linear = fit_linear_stage(data, config, Hooks())
        run = FitRun(data=data, encoder=_encoder(data, config), config=config, runtime=runtime)
        return fit_forward_stage(run, linear)


def _encoder(data: SplitData, config: TrainConfig) -> InputEncoder:
    return InputEncoder.fit(data.train.record(data.features), config)


def _fitted(run: FitRun, forward: ForwardFit, inverse: InverseFit) -> FittedSplit:
    data = run.data
    error_model, coverage = _calibrate(data, forward)
    notes = {
        "n_train": len(data.train),
        "n_validation": len(data.validation),
        "n_left_out_in_turn": 0 if forward.held_out is None else len(forward.held_out.part),
        "n_test": len(data.test),
        "base": forward.base,
        "alpha": forward.alpha,
        "blend_weights": forward.weights,
        "ranker_weights": inverse.weights,
        "shipped": forward.shipped_name,
        "bound_coverage_test": coverage,
    }
    return FittedSplit(
        data=data,
        config=run.config,
        encoder=run.encoder,
        identity=run.identity,
        forward=replace(forward, held_out=None),  # calibrated on, and too large to hand on
        inverse=inverse,
        error_model=error_model,
        notes=notes,
    )


def _calibrate(data: SplitData, forward: ForwardFit) -> tuple[ErrorModel | None, float | None]:
    """The error model of the shipped predictor, and its coverage on the test conditions.

    Where known conditions were hidden in folds, the best linear model's errors there tell how much
    errors differ between lines or compounds. Networks were not fitted on these folds: where one
    ships, its bound is not below that of the best linear model.
    """
    model = None
    if len(data.validation):
        shipped_VG = forward.validation[forward.shipped_name]
        terms_VK = error_terms(shipped_VG, _ensemble(forward.validation, forward))
        model = fit_error_model(terms_VK, shipped_VG, data.validation.delta_NG)
    held_out = _calibrated_on_folds(data, forward)
    if held_out is not None and (model is None or forward.shipped_name == forward.best_linear):
        model = held_out
    elif held_out is not None and model is not None:
        model = replace(model, bound_factor=max(model.bound_factor, held_out.bound_factor))
    if model is None:
        return None, None
    shipped_NG = forward.test[forward.shipped_name]
    terms_NK = error_terms(shipped_NG, _ensemble(forward.test, forward))
    return model, model.coverage(terms_NK, shipped_NG, data.test.delta_NG)


def _calibrated_on_folds(data: SplitData, forward: ForwardFit) -> ErrorModel | None:
    """The error model of the best linear model on hidden folds; None without such folds."""
    held_out = forward.held_out
    if held_out is None:
        return None
    predicted_NG, part = held_out.predicted[forward.best_linear], held_out.part
    cluster_N = clusterings(part.asked, part.parent_N, data.split.kind)[0]
    terms_NK = error_terms(predicted_NG, [predicted_NG])
    return fit_error_model(terms_NK, predicted_NG, part.delta_NG, cluster_N)


def _ensemble(
    predicted: Mapping[str, NDArray[np.float32]], forward: ForwardFit
) -> list[NDArray[np.float32]]:
    """The predictions whose disagreement tells of the error: best linear model and network.

    Where no network ships none is at hand when the error is asked for: its base stands for it.
    """
    other = forward.base if forward.shipped.network is None else names.NETWORK
    return [predicted[forward.best_linear], predicted[other]]
