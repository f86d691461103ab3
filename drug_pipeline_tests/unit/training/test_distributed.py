"""Two processes over gloo, as ``torchrun`` starts them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, torch
from drug_pipeline.training.config import TrainConfig
from drug_pipeline.training.loop import start_state, train
from drug_pipeline.training.runtime import running
from drug_pipeline_tests.unit.training.test_loop import CONFIG, LineTask, line_model
from dataclasses import replace

class Mine(LineTask):
    rank = 0
    def batches(self, epoch):
        for number, batch in enumerate(super().batches(epoch)):
            yield batch + self.rank

with running(replace(TrainConfig.preset("tiny"), device="cpu")) as runtime:
    task = Mine(); task.rank = runtime.rank
    state = train(start_state(line_model(), CONFIG), task, CONFIG)
    print(runtime.world, [round(float(p.detach().sum()), 6) for p in state.model.parameters()])
"""


@pytest.mark.slow
def test_processes_of_one_job_end_with_the_same_weights(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    shared = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(29_500 + os.getpid() % 400),
        "PYTHONPATH": str(Path.cwd()),
        "OMP_NUM_THREADS": "1",
    }
    jobs = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]

    said = [job.communicate(timeout=120)[0].strip() for job in jobs]

    assert said[0].startswith("2 [")
    assert said[0] == said[1]
