"""A raw folder behind ``gs://``, against a stand-in that speaks its JSON interface."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drug_pipeline.domain.errors import RawDataError
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.connect import RemoteConfig
from drug_pipeline.storage.raw.raw_files import RawFolder, RawSource
from drug_pipeline_tests.integration.remote import gcs_server
from drug_pipeline_tests.integration.remote.conftest import QUICK, Chain

REMOTE = RemoteConfig(is_anonymous=True, retries=QUICK)


@pytest.fixture
def google_cloud(screen: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of its own: pyarrow keeps Python's lock while it asks for a size."""
    with subprocess.Popen(
        [sys.executable, gcs_server.__file__, str(screen.parent)], stdout=subprocess.PIPE, text=True
    ) as server:
        port = server.stdout.readline().strip()
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", f"http://127.0.0.1:{port}")
        yield
        server.kill()


@pytest.mark.slow
@pytest.mark.usefixtures("google_cloud")
def test_a_screen_on_google_cloud_gives_the_bytes_of_the_local_one(
    local: Chain, screen: Path, tmp_path: Path
) -> None:
    source = RawSource(address=f"gs://{gcs_server.BUCKET}/{screen.name}", remote=REMOTE)
    chain = Chain(raw=source, layout=Layout(tmp_path / "made"))

    assert chain.reduced().sums() == local.sums()


@pytest.mark.usefixtures("google_cloud")
def test_a_missing_prefix_on_google_cloud_is_named() -> None:
    source = RawSource(address=f"gs://{gcs_server.BUCKET}/nothing", remote=REMOTE)

    with pytest.raises(RawDataError, match=r"screen/nothing/data does not exist"):
        RawFolder(source).data_files()
