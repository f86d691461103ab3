"""One small generated screen that all tests of the package read and none changes."""

from pathlib import Path

import pytest

from drug_pipeline.synthetic import SyntheticConfig, SyntheticSummary, generate


@pytest.fixture(scope="session")
def tiny_config() -> SyntheticConfig:
    return SyntheticConfig.preset("tiny")


@pytest.fixture(scope="session")
def tiny(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: SyntheticConfig
) -> tuple[Path, SyntheticSummary]:
    out_dir = tmp_path_factory.mktemp("synthetic") / "tiny"
    return out_dir, generate(out_dir, tiny_config)
