"""One generated screen, built once through the real definitions."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from drug_pipeline.definitions import build_defs
from drug_pipeline.orchestration.launch import Outcome, launch, select_assets
from drug_pipeline.orchestration.resources import Listener
from drug_pipeline.settings import Settings, load_settings, settings_help
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import TIMES
from drug_pipeline.synthetic import SyntheticConfig, generate

HISTORY = ("dagster", "mlflow")
"""Folders that grow with every run; everything else must not change without reason."""


class Outcomes(Listener):
    """Remembers what each asset came to."""

    def __init__(self) -> None:
        self.results: dict[str, BuildResult] = {}

    def finished(self, asset: str, result: BuildResult, seconds: float) -> None:
        self.results[asset] = result

    @property
    def built(self) -> set[str]:
        return {asset for asset, result in self.results.items() if result.is_new}


@dataclass(frozen=True)
class Built:
    """A data folder, how the run that made it went, and what each asset came to."""

    settings: Settings
    outcome: Outcome
    outcomes: Outcomes
    checks: list[dg.AssetCheckEvaluation]

    @property
    def layout(self) -> Layout:
        return self.settings.layout


@pytest.fixture(scope="session", autouse=True)
def plain_environment() -> Iterator[None]:
    """No settings of the machine reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in (*settings_help(), "DAGSTER_HOME"):
            patch.delenv(variable, raising=False)
        logging.getLogger("dagster").setLevel(logging.CRITICAL)
        yield


def build(raw_dir: Path, data_dir: Path, select: str = "*", **settings: Any) -> Built:
    """A run of the chain in this process, with a history of its own."""
    chosen = load_settings(
        raw_dir=str(raw_dir),
        data_dir=data_dir,
        **{"preset": "tiny", "device": "cpu", "tracking": False, **settings},
    )
    outcomes = Outcomes()
    defs = build_defs(chosen, outcomes)
    with dg.DagsterInstance.ephemeral() as history:
        outcome = launch(defs, history, select_assets(defs, select))
        records = history.get_records_for_run(outcome.run_id).records
        checks = [
            record.event_log_entry.dagster_event.event_specific_data
            for record in records
            if record.event_log_entry.dagster_event is not None
            and record.event_log_entry.dagster_event.event_type
            == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ]
    return Built(settings=chosen, outcome=outcome, outcomes=outcomes, checks=checks)


def contents(data_dir: Path) -> dict[str, str]:
    """SHA-256 of every file of a data folder by its path, without history, times and locks."""
    files = (path for path in sorted(data_dir.rglob("*")) if path.is_file())
    return {
        path.relative_to(data_dir).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.relative_to(data_dir).parts[0] not in HISTORY
        and path.suffix != ".lock"
        and path.name != TIMES
    }


@pytest.fixture(scope="session")
def screen() -> SyntheticConfig:
    return SyntheticConfig.preset("tiny")


@pytest.fixture(scope="session")
def raw_dir(tmp_path_factory: pytest.TempPathFactory, screen: SyntheticConfig) -> Path:
    folder = tmp_path_factory.mktemp("screen") / "raw"
    generate(folder, screen)
    return folder


@pytest.fixture(scope="session")
def built(raw_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The whole chain on the generated screen."""
    return build(raw_dir, tmp_path_factory.mktemp("built"))
