import subprocess
import sys
from dataclasses import replace

import pytest

from drug_pipeline.training.config import ForwardConfig, InverseConfig, LoopConfig, TrainConfig


@pytest.mark.parametrize("name", ["tiny", "demo", "full"])
def test_every_preset_can_be_built(name):
    assert TrainConfig.preset(name).splits


def test_an_unknown_preset_is_refused_and_the_known_ones_named():
    with pytest.raises(ValueError, match="no training preset 'huge'; there are tiny, demo, full"):
        TrainConfig.preset("huge")


def test_settings_can_read_the_configuration_without_torch():
    code = "import sys, drug_pipeline.training.config; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (LoopConfig(), {"patience": 0}, "patience must be at least 1, got 0"),
        (LoopConfig(), {"n_epochs": -1}, "n_epochs must not be negative"),
        (LoopConfig(), {"learning_rate": 0.0}, "must be positive"),
        (LoopConfig(), {"ema_decay": 1.0}, r"must be in \[0, 1\)"),
        (ForwardConfig(), {"lambda_rank": -1.0}, "loss weights must not be negative"),
        (ForwardConfig(), {"tau": 0.0}, "tau must be positive"),
        (ForwardConfig(), {"rank_warmup_frac": 1.5}, "rank_warmup_frac must be in"),
        (ForwardConfig(), {"n_folds": 1}, "n_folds must be at least 2"),
        (InverseConfig(), {"scale_range": (2.0, 1.0)}, "scale_range must be positive and rising"),
        (TrainConfig(), {"splits": ()}, "splits must be named"),
        (TrainConfig(), {"splits": ("pair", "pair")}, "each once"),
        (TrainConfig(), {"n_members": 0}, "n_members must be at least 1"),
        (TrainConfig(), {"device": "tpu"}, "device must be one of"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(config, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **changes)
