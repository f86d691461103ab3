"""The training loop: one readable step, averaging, early stopping, exact resume.

What belongs here: how any of the networks is optimised. What does not: what a batch is
(``network/dataset.py``), file names (``network/checkpoint.py``), tracking (figures go out through a callback).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.domain.progress import Log, Progress
from drug_pipeline.training.config import LoopConfig
from drug_pipeline.training.parallel.process_group import ProcessGroup

LossTerms = dict[str, Tensor]
"""Loss terms by name; ``loss`` is the one that is minimised."""


class Task(Protocol):
    """Training objective: batches of an epoch, the loss of one, the validation score that decides."""

    def n_batches(self) -> int:
        """Batches per epoch."""
        ...

    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches of one epoch; the same epoch gives the same batches."""
        ...

    def loss(self, model: nn.Module, batch: Any, progress: float) -> LossTerms:
        """Loss terms of one batch; ``progress`` runs from 0 to 1 over the training."""
        ...

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Validation figures; ``score`` decides, lower is better. Empty without validation data."""
        ...


@dataclass
class TrainState:
    """Weights, optimiser and averages of a training run; saving and loading it resumes exactly."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    averaged: dict[str, Tensor]
    best: dict[str, Tensor]
    best_score: float = math.inf
    best_epoch: int = -1
    epoch: int = 0
    step: int = 0
    is_stopped: bool = False
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Callbacks of a training run: figures, progress, and the state after each evaluation.

    ``saved_at`` is the file that ``save`` writes, for messages.
    """

    log: Log = lambda figures, step: None
    progress: Progress = lambda done, total, text: None
    save: Callable[[TrainState], None] = lambda state: None
    saved_at: Path | None = None


@dataclass(frozen=True, kw_only=True)
class DataParallel:
    """The part of this process in a training: all of it, or its shard as a rank of a group.

    ``seed`` is that of what the ranks draw at random, such as dropout.
    """

    group: ProcessGroup | None = None
    seed: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process, as rank 0, evaluates the validation conditions."""
        return self.group is None or self.group.rank.is_first

    def start_epoch(self, epoch: int) -> None:
        """Seed every rank differently; a resumed training draws the same numbers again."""
        if self.group is not None:
            entropy = [self.seed, epoch, self.group.rank.rank]
            torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def average_gradients(self, model: nn.Module, loss: Tensor) -> None:
        """All-reduce the gradients to their mean over the ranks; not finite where a loss is not.

        One call for all parameters after the backward pass: each of the two modes may leave other
        parameters without a gradient, which DDP's hooks on a single forward pass do not allow for.
        """
        if self.group is None:
            return
        trained = [p for p in model.parameters() if p.requires_grad]
        flat = torch.cat(
            [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in trained]
        )
        if not torch.isfinite(loss):
            flat.fill_(math.nan)
        self.group.all_reduce_mean(flat)
        sizes = [p.numel() for p in trained]
        for parameter, gradient in zip(trained, torch.split(flat, sizes), strict=True):
            parameter.grad = gradient.view_as(parameter).clone()

    def broadcast_score(self, score: float) -> float:
        """Rank 0's score, broadcast, so that all ranks stop at the same epoch."""
        return score if self.group is None else self.group.broadcast(score)


ALONE = DataParallel()


def hooks_of(log: Log | None, progress: Progress | None) -> Hooks:
    """Hooks of two optional callbacks."""
    given = {"log": log, "progress": progress}
    return Hooks(**{name: hook for name, hook in given.items() if hook is not None})  # type: ignore[arg-type]


def start_state(model: nn.Module, config: LoopConfig) -> TrainState:
    """A state at step 0: the model as it is, an AdamW without history."""
    is_decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    is_plain = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": is_decayed, "weight_decay": config.weight_decay},
        {"params": is_plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    weights = copy_weights(model)
    return TrainState(model=model, optimizer=optimizer, averaged=weights, best=dict(weights))


def copy_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors by name, copied."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def train_step(
    state: TrainState,
    batch: Any,
    task: Task,
    config: LoopConfig,
    *,
    total_steps: int,
    is_bf16: bool,
    parallel: DataParallel = ALONE,
) -> dict[str, float]:
    """Loss terms of one optimisation step.

    Raises
    ------
    TrainingError
        If the loss or its gradient is not finite, in a group that of any process, so that all stop
        together; the weights are as before the step.
    """
    progress = state.step / max(total_steps, 1)
    for parameters in state.optimizer.param_groups:
        parameters["lr"] = config.learning_rate * learning_rate_factor(progress, config.warmup_frac)
    state.model.train()
    state.optimizer.zero_grad(set_to_none=True)
    device_type = next(state.model.parameters()).device.type
    with torch.autocast(device_type, dtype=torch.bfloat16, enabled=is_bf16):
        terms = task.loss(state.model, batch, progress)
    if parallel.group is None:
        _refuse_not_finite("loss", terms["loss"], state, terms)
    torch.autograd.backward(terms["loss"])
    parallel.average_gradients(state.model, terms["loss"])
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.max_grad_norm, foreach=True)
    of_process = (
        "" if parallel.group is None else f" of one of {parallel.group.rank.world_size} processes"
    )
    _refuse_not_finite(f"gradient{of_process}", norm, state, terms)
    state.optimizer.step()
    state.step += 1
    _average(state, config.ema_decay)
    return {name: float(term.detach()) for name, term in terms.items()}


def _refuse_not_finite(what: str, value: Tensor, state: TrainState, terms: LossTerms) -> None:
    if torch.isfinite(value):
        return
    values = ", ".join(f"{name}={float(term.detach()):g}" for name, term in terms.items())
    msg = f"the {what} is not finite at epoch {state.epoch}, step {state.step} ({values})"
    raise TrainingError(msg)


def learning_rate_factor(progress: float, warmup_frac: float) -> float:
    """Learning-rate schedule: linear from 0 over the warm-up, then cosine decay to 0."""
    if progress < warmup_frac:
        return max(progress / warmup_frac, 1e-2)
    after = (progress - warmup_frac) / (1.0 - warmup_frac)
    return 0.5 * (1.0 + math.cos(math.pi * min(after, 1.0)))


def train(
    state: TrainState,
    task: Task,
    config: LoopConfig,
    *,
    hooks: Hooks | None = None,
    is_bf16: bool = False,
    text: str = "training",
    parallel: DataParallel = ALONE,
) -> TrainState:
    """The state after training, its model holding the best averaged weights.

    Starts where ``state`` stands, so a loaded state goes on exactly. Without validation data the
    last averaged weights are kept.

    Raises
    ------
    TrainingError
        If a loss, a gradient or a validation score is not finite; ``state.model`` then holds the
        best weights so far.
    """
    hooks = hooks or Hooks()
    try:
        if state.step == 0:
            _evaluate(state, task, hooks, parallel)
        while state.epoch < config.n_epochs and not state.is_stopped:
            _train_epoch(state, task, config, hooks, parallel, is_bf16=is_bf16, text=text)
            if state.epoch % config.evaluate_every == 0 or state.epoch == config.n_epochs:
                _evaluate(state, task, hooks, parallel)
                state.is_stopped = state.epoch - state.best_epoch >= config.patience
                hooks.save(state)
    except TrainingError as error:
        msg = f"{text}, {error}. {_kept(state, hooks)}"
        raise TrainingError(msg) from error
    finally:
        state.model.load_state_dict(state.best)
        state.model.eval()
    return state


def _train_epoch(
    state: TrainState,
    task: Task,
    config: LoopConfig,
    hooks: Hooks,
    parallel: DataParallel,
    *,
    is_bf16: bool,
    text: str,
) -> None:
    n_batches = task.n_batches()
    total_steps = config.n_epochs * n_batches
    sums: dict[str, float] = {}
    parallel.start_epoch(state.epoch)
    for number, batch in enumerate(task.batches(state.epoch), start=1):
        try:
            terms = train_step(
                state,
                batch,
                task,
                config,
                total_steps=total_steps,
                is_bf16=is_bf16,
                parallel=parallel,
            )
        except TrainingError as error:
            msg = f"batch {number} of {n_batches}: {error}"
            raise TrainingError(msg) from error
        sums = {name: sums.get(name, 0.0) + value for name, value in terms.items()}
    state.epoch += 1
    means = {f"train_{name}": value / n_batches for name, value in sums.items()}
    hooks.log(means, state.step)
    hooks.progress(state.epoch, config.n_epochs, f"{text} {means['train_loss']:.3f}")


def _kept(state: TrainState, hooks: Hooks) -> str:
    """Where the best weights so far are, and what to do, for people whose training broke off."""
    where = hooks.saved_at
    place = f" in {where}" if where is not None and where.is_file() else ""
    return (
        f"The best weights so far (epoch {max(state.best_epoch, 0)}) are kept{place}. "
        "Look for a value that is not finite in the inputs, or lower the rate of what broke off: "
        "training.forward.loop.learning_rate, training.inverse.loop.learning_rate or "
        "training.prototype.loop.learning_rate."
    )


def _evaluate(state: TrainState, task: Task, hooks: Hooks, parallel: DataParallel) -> None:
    """Look at the validation conditions with the averaged weights; keep them where they are best."""
    raw = copy_weights(state.model)
    state.model.load_state_dict(state.averaged)
    state.model.eval()
    with torch.no_grad():
        figures = task.evaluate(state.model) if parallel.is_first else {}
    state.model.load_state_dict(raw)
    score = figures.get("score", -float(state.epoch))  # no validation data: the last one is best
    score = parallel.broadcast_score(score)
    if not math.isfinite(score):
        msg = f"the validation score is {score} at epoch {state.epoch}"
        raise TrainingError(msg)
    if score < state.best_score:
        state.best_score, state.best_epoch = score, state.epoch
        state.best = {name: tensor.clone() for name, tensor in state.averaged.items()}
    logged = {f"validation_{name}": value for name, value in figures.items()}
    state.history.append({"epoch": float(state.epoch), **logged})
    hooks.log(logged, state.step)


@torch.no_grad()
def _average(state: TrainState, decay: float) -> None:
    # A short warm-up of the decay: otherwise the random start lingers for 1 / (1 - decay) steps.
    decay = min(decay, (1.0 + state.step) / (10.0 + state.step))
    for name, tensor in state.model.state_dict().items():
        kept = state.averaged[name]
        if tensor.is_floating_point():
            kept.lerp_(tensor, 1.0 - decay)
        else:
            kept.copy_(tensor)
