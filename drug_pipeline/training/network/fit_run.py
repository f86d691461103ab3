"""What every stage of a split's fit needs, and how any of its networks is trained.

What belongs here: where a training resumes and who hears of it. What does not: what is trained
(``network/tasks.py``), by how many processes (``network/train_network.py``).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from drug_pipeline.model.interface import DrugNetwork
from drug_pipeline.training.config import LoopConfig, TrainConfig
from drug_pipeline.training.network.checkpoint import load_state, save_state
from drug_pipeline.training.network.dataset import InverseDataset, inverse_dataset
from drug_pipeline.training.network.encoding import InputEncoder
from drug_pipeline.training.network.identity import Identity, identity_of
from drug_pipeline.training.network.loop import Hooks, TrainState, start_state
from drug_pipeline.training.network.train_network import ShardableTask, Training, train_network
from drug_pipeline.training.parallel.runtime import Runtime
from drug_pipeline.training.split_data import SplitData


@dataclass(frozen=True, kw_only=True)
class FitRun:
    """One fit of a split: its data, how they are encoded, settings, device, and who hears of it.

    ``resume_dir`` is the folder in which the state of every training is kept, so that a killed one
    goes on.
    """

    data: SplitData
    encoder: InputEncoder
    config: TrainConfig
    runtime: Runtime
    hooks: Hooks = field(default_factory=Hooks)
    resume_dir: Path | None = None

    @cached_property
    def identity(self) -> Identity:
        """What a checkpoint of this fit is known by."""
        return identity_of(self.data)

    def inverse_data(self) -> InverseDataset:
        """The training side as query signatures, on the device."""
        return inverse_dataset(
            self.data, self.data.train, self.encoder, self.config.inverse, self.runtime.device
        )

    def tower_inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Chemistry (D, F) and identities (D,) of the training drugs, on the device."""
        chemistry_DF, drug_id_D = self.encoder.tower_inputs(list(self.encoder.drugs))
        return chemistry_DF.to(self.runtime.device), drug_id_D.to(self.runtime.device)

    def train(
        self,
        model: DrugNetwork,
        task: ShardableTask,
        loop: LoopConfig,
        *,
        mode: str,
        number: int,
        seed: int,
    ) -> TrainState:
        """The state after training one network in a mode, ``forward`` or ``inverse``.

        Raises
        ------
        TrainingError
            If a loss, a gradient or a validation score is not finite.
        CheckpointError
            If what a killed run left belongs to another one.
        """
        state, hooks = start_state(model, loop), self.hooks
        if self.resume_dir is not None:
            path = self.resume_dir / f"{mode}-{number}.pt"
            load_state(path, state, self.identity)
            hooks = replace(
                hooks, save=lambda state: save_state(path, state, self.identity), saved_at=path
            )
        training = Training(
            state=state, task=task, loop=loop, config=self.config, seed=seed, text=mode
        )
        return train_network(training, self.runtime, hooks)
