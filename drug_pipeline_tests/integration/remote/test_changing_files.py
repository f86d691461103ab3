"""Local files that vanish, shrink or change while they are reduced, or cannot be decoded."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain.errors import RawDataError
from drug_pipeline.ingest.raw import raw_cells
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import quarantined_files
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline_tests.integration.remote.conftest import Chain


@pytest.fixture
def chain(screen: Path, tmp_path: Path) -> Chain:
    """The chain over a copy of the screen that a test may change."""
    raw = Path(shutil.copytree(screen, tmp_path / "raw"))
    return Chain(raw=raw, layout=Layout(tmp_path / "made"))


def data_file(chain: Chain, number: int) -> Path:
    return sorted(Path(str(chain.raw), "data").glob("*.parquet"))[number]


@pytest.mark.parametrize("event", ["vanishes", "shrinks", "grows", "is replaced"])
def test_a_file_that_changes_under_the_reader_stops_the_run_and_the_next_one_finishes_it(
    chain: Chain, local: Chain, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    chain.up_to_panel()
    victim = data_file(chain, 3)
    content, original = victim.read_bytes(), raw_cells._batches

    def disturbed(parquet: pq.ParquetFile, *arguments: Any) -> Any:
        if event == "vanishes":
            victim.unlink(missing_ok=True)
        elif event == "shrinks":
            victim.write_bytes(content[: len(content) // 3])
        elif event == "grows":
            victim.write_bytes(content + b"more")
        else:
            victim.write_bytes(content[:1000] + bytes(1000) + content[2000:])
        yield from original(parquet, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(raw_cells, "_batches", disturbed)
        with pytest.raises(RawDataError, match=rf"{victim.name}.*(no longer|changed while)"):
            chain.pseudobulk()

    assert chain.half_written() == []
    assert StampStore(chain.layout).read("pseudobulk") is None
    victim.write_bytes(content)
    assert chain.reduced().sums() == local.sums()
    assert quarantined_files(chain.layout).empty


def test_a_page_that_cannot_be_decoded_costs_its_file_and_is_quarantined(chain: Chain) -> None:
    victim = data_file(chain, 3)
    content = bytearray(victim.read_bytes())
    pages = pq.read_metadata(victim).row_group(0).column(0)
    start = pages.dictionary_page_offset or pages.data_page_offset
    content[start + 40 : start + 400] = bytes(360)
    victim.write_bytes(content)

    chain.reduced()
    chain.inventory()

    (entry,) = quarantined_files(chain.layout).to_dict("records")
    assert (entry["file"], entry["column"]) == (victim.name, "genes, expressions")
    assert "not readable to its end" in entry["reason"]
