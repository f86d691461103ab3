"""Fixtures that every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from drug_pipeline.domain.workers import end_when_told

CHAIN_READERS = (
    *("test_ablation.py", "test_chain.py", "test_examples.py", "test_export.py"),
    *("test_questions.py", "test_registered_model.py", "test_report_page.py"),
)
"""Files of ``e2e`` whose tests read the one chain that its ``built`` fixture makes."""
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    """The processes that tests start can be ended, also where the suite runs in the background."""
    end_when_told()


@pytest.fixture(scope="session", autouse=True)
def own_mlflow() -> Iterator[None]:
    """No MLflow server of the machine hears of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real metadata, real measured responses and a simulated atlas; skipped where absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the data sets in {SHARED_DATA}, which are not there")
    return SHARED_DATA


class ByFile(LoadScopeScheduling):
    """A file's tests run in one worker, and all that read the chain in one: each is built once."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", maxsplit=1)[0]
        return "chain" if Path(path).name in CHAIN_READERS else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are dealt out: by file, in the order of the folders, so that the chain is first."""
    config.option.loadscopereorder = False
    return ByFile(config, log)
