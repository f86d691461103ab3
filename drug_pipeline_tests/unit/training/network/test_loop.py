from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn

from drug_pipeline.domain.errors import TrainingError
from drug_pipeline.training.config import LoopConfig
from drug_pipeline.training.network.loop import (
    Hooks,
    LossTerms,
    learning_rate_factor,
    start_state,
    train,
    train_step,
)

CONFIG = LoopConfig(n_epochs=6, learning_rate=0.05, evaluate_every=1, ema_decay=0.5)


@dataclass
class LineTask:
    """Fit y = 2x; can be told to break at a step."""

    broken_step: int = -1
    broken: str = "loss"
    validation_scores: list[float] | None = None
    n_seen: int = 0
    asked: list[float] = field(default_factory=list)

    def n_batches(self) -> int:
        return 4

    def batches(self, epoch: int) -> Iterator[torch.Tensor]:
        for number in range(4):
            generator = torch.Generator().manual_seed(10 * epoch + number)
            yield torch.randn(8, 1, generator=generator)

    def loss(self, model: nn.Module, batch: torch.Tensor, progress: float) -> LossTerms:
        self.asked.append(progress)
        loss = (model(batch) - 2.0 * batch).square().mean()
        if self.n_seen == self.broken_step:
            # The square root of 0 is 0, its slope is not finite: such a loss looks well.
            off = (0.0 * loss).sqrt() if self.broken == "gradient" else float("nan")
            loss = loss + off
        self.n_seen += 1
        return {"loss": loss, "mse": loss}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        if self.validation_scores is not None:
            return {"score": self.validation_scores.pop(0)} if self.validation_scores else {}
        x = torch.ones(1, 1)
        return {"score": float((model(x) - 2.0).square())}


def line_model() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Dropout(0.2), nn.Linear(1, 1))


def test_training_improves_on_the_start_and_logs_both_sides():
    logged: list[dict[str, float]] = []
    state = start_state(line_model(), CONFIG)
    task = LineTask()

    train(state, task, CONFIG, hooks=Hooks(log=lambda figures, step: logged.append(figures)))

    scores = [entry["validation_score"] for entry in state.history]
    assert state.best_score == min(scores) < 0.7 * scores[0]
    assert {"train_loss", "train_mse"} <= set(logged[1])
    assert task.asked[0] == 0.0
    assert task.asked[-1] == pytest.approx(23 / 24)


def test_the_best_weights_are_kept_and_not_the_last():
    scores = [5.0, 1.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    state = start_state(line_model(), CONFIG)

    train(state, LineTask(validation_scores=scores), CONFIG)

    assert state.best_epoch == 1
    weight = state.model.state_dict()["1.weight"]
    assert torch.equal(weight, state.best["1.weight"])
    assert not torch.equal(weight, state.averaged["1.weight"])


def test_training_stops_when_validation_no_longer_improves():
    config = LoopConfig(n_epochs=50, evaluate_every=1, patience=3)
    scores = [2.0, 1.0] + [3.0] * 49
    state = start_state(line_model(), config)

    train(state, LineTask(validation_scores=scores), config)

    assert state.epoch == 4


def test_without_validation_conditions_the_last_averaged_weights_are_kept():
    state = start_state(line_model(), CONFIG)

    train(state, LineTask(validation_scores=[]), CONFIG)

    assert state.epoch == 6
    assert torch.equal(state.model.state_dict()["1.weight"], state.averaged["1.weight"])


BROKEN = r"training, batch 2 of 4: the {} is not finite at epoch 2, step 9 .*epoch 2. are kept"


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_names_the_batch_and_keeps_the_best_weights(what):
    state = start_state(line_model(), CONFIG)

    with pytest.raises(TrainingError, match=BROKEN.format(what)):
        train(state, LineTask(broken_step=9, broken=what), CONFIG)

    weight = state.model.state_dict()["1.weight"]
    assert torch.isfinite(weight).all()
    assert torch.equal(weight, state.best["1.weight"])
    assert state.best_epoch == 2


def test_a_validation_score_that_is_not_finite_stops_and_leaves_the_best_weights():
    state = start_state(line_model(), CONFIG)
    scores = [5.0, 1.0, 2.0, float("nan")]

    with pytest.raises(TrainingError, match=r"validation score is nan at epoch 3.*epoch 1. are"):
        train(state, LineTask(validation_scores=scores), CONFIG)

    assert torch.equal(state.model.state_dict()["1.weight"], state.best["1.weight"])
    assert not torch.equal(state.best["1.weight"], state.averaged["1.weight"])


def test_the_file_in_which_the_best_weights_are_is_named_once_it_is_there(tmp_path):
    path = tmp_path / "run.pt"
    hooks = Hooks(save=lambda state: path.touch(), saved_at=path)

    with pytest.raises(TrainingError, match=r"are kept\. Look"):
        train(start_state(line_model(), CONFIG), LineTask(broken_step=2), CONFIG, hooks=hooks)
    with pytest.raises(TrainingError, match=f"are kept in {path}"):
        train(start_state(line_model(), CONFIG), LineTask(broken_step=6), CONFIG, hooks=hooks)


@pytest.mark.parametrize(("decay", "kept"), [(0.1, 0.1), (0.5, 2 / 11)])
def test_the_average_starts_quickly_and_then_decays_as_configured(decay, kept):
    config = replace(CONFIG, ema_decay=decay)
    state = start_state(line_model(), config)
    before = state.model.state_dict()["1.weight"].clone()

    train_step(state, next(LineTask().batches(0)), LineTask(), config, total_steps=9, is_bf16=False)

    after = state.model.state_dict()["1.weight"]
    assert not torch.equal(after, before)
    torch.testing.assert_close(state.averaged["1.weight"], kept * before + (1 - kept) * after)


def test_one_step_moves_the_weights_and_leaves_the_caller_the_terms():
    state = start_state(line_model(), CONFIG)
    before = state.model.state_dict()["1.weight"].clone()
    batch = next(LineTask().batches(0))

    terms = train_step(state, batch, LineTask(), CONFIG, total_steps=24, is_bf16=False)

    assert set(terms) == {"loss", "mse"}
    assert state.step == 1
    assert not torch.equal(state.model.state_dict()["1.weight"], before)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 0.01), (0.05, 0.5), (0.1, 1.0), (0.55, 0.5), (1.0, 0.0)]
)
def test_the_learning_rate_rises_and_falls(progress, factor):
    assert learning_rate_factor(progress, 0.1) == pytest.approx(factor)


def test_no_epochs_leave_the_model_as_it_was():
    config = LoopConfig(n_epochs=0)
    model = line_model()
    before = model.state_dict()["1.weight"].clone()

    train(start_state(model, config), LineTask(), config)

    assert torch.equal(model.state_dict()["1.weight"], before)
