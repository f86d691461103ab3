import subprocess
import sys

import pytest

from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.synthetic.config import MAX_DRUGS, MAX_LINES, PRESETS, SyntheticConfig
from drug_pipeline.synthetic.public.cell_lines import CELL_LINES
from drug_pipeline.synthetic.public.compounds import COMPOUNDS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_each_preset_is_a_valid_configuration(name):
    assert SyntheticConfig.preset(name).n_cells >= 8_000


def test_a_preset_can_be_changed_in_single_settings():
    config = SyntheticConfig.preset("tiny", seed=11)

    assert (config.seed, config.n_drugs) == (11, 16)


def test_an_unknown_preset_is_refused_and_the_known_ones_are_named():
    with pytest.raises(
        ConfigurationError, match="no preset 'huge'; choose one of tiny, demo, large"
    ):
        SyntheticConfig.preset("huge")


@pytest.mark.parametrize(
    "setting", [{"n_drugs": 15}, {"n_lines": 21}, {"null_frac": 1.0}, {"n_cells": 0}]
)
def test_a_setting_out_of_its_range_is_refused_by_name(setting):
    with pytest.raises(ConfigurationError, match=f"{next(iter(setting))} is .* must lie between"):
        SyntheticConfig(**setting)


def test_the_limits_are_those_of_the_tables():
    assert len(COMPOUNDS) == MAX_DRUGS
    assert len(CELL_LINES) == MAX_LINES + 4


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, drug_pipeline.synthetic; "
        "print(sorted({'rdkit', 'scipy', 'torch', 'pandas'} & set(sys.modules)))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"
