"""The same bytes from a Ray cluster of two nodes, also when one of them is lost."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drug_pipeline.domain.errors import ConfigurationError, RawAccessError
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.workers.backend_config import BackendConfig
from drug_pipeline.ingest.workers.backends import run_units
from drug_pipeline_tests.integration.expression.conftest import Chain

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets to the collector
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two local nodes of one CPU each; the driver is on the first, which has none to give."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        started.add_node(num_cpus=1)
        started.add_node(num_cpus=1)
        started.wait_for_nodes()
        yield started
    finally:
        ray.shutdown()
        started.shutdown()


def ray_config(cluster: Any) -> PseudobulkConfig:
    return PseudobulkConfig(
        backend="ray", ray_address=cluster.address, workers=2, files_per_unit=2, max_retries=5
    )


def test_a_cluster_gives_the_same_bytes(chain: Chain, whole: Chain, cluster: Any) -> None:
    chain.all(ray_config(cluster))

    assert chain.bytes_of() == whole.bytes_of()


def test_a_node_lost_in_the_middle_changes_no_byte(
    chain: Chain, whole: Chain, cluster: Any
) -> None:
    chain.up_to_panel()
    lost = threading.Event()

    def lose_a_node(done: int, total: int, _text: str) -> None:
        if not lost.is_set() and 0 < done < total:
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            lost.set()

    build_pseudobulk(chain.layout, chain.raw_dir, ray_config(cluster), lose_a_node)
    chain.delta()

    assert lost.is_set()
    assert chain.bytes_of() == whole.bytes_of()


def test_no_cluster_at_an_address_is_an_error_that_says_so(tmp_path: Path) -> None:
    config = BackendConfig(kind="ray", address="127.0.0.1:1", workers=1)

    with pytest.raises(ConfigurationError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        list(run_units(len, [tmp_path], config, lambda _: None))  # type: ignore[arg-type]


def test_an_error_of_a_unit_reads_as_it_does_anywhere_else(cluster: Any) -> None:
    def fail(unit: int, tick: Any) -> None:
        msg = f"unit {unit} cannot be reached"
        raise RawAccessError(msg)

    config = BackendConfig(kind="ray", address=cluster.address)
    with pytest.raises(RawAccessError, match=r"^unit 7 cannot be reached$"):
        dict(run_units(fail, [7], config, lambda _: None))
