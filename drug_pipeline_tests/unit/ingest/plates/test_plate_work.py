"""Which plates are reduced together."""

import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError
from drug_pipeline.ingest.plates.plate_work import PlateWork, files_of, next_batch, plates_of
from drug_pipeline.ingest.plates.reduce import FileToReduce, split_into_units
from drug_pipeline.ingest.raw.raw_cells import CountedFile
from drug_pipeline.storage.pseudobulk import PlateSources
from drug_pipeline.storage.raw.raw_files import RawFile

SOURCES = PlateSources(files={}, panel="", code_version="1")


def file_of(name: str, **cells_of_plate: int) -> CountedFile:
    counts = pd.DataFrame(
        [(plate, f"well of {plate}", "line", n) for plate, n in cells_of_plate.items()],
        columns=[names.PLATE, names.SAMPLE, names.CELL_LINE_ID, names.N_CELLS],
    )
    raw = RawFile(name=name, size_bytes=1, version_tag="1")
    return CountedFile(raw=raw, sha256=f"hash of {name}", counts=counts)


def work_of(plate: str, n_groups: int, *files: CountedFile) -> PlateWork:
    groups = pd.DataFrame({names.PLATE: [plate] * n_groups})
    return PlateWork(plate=plate, files=files, sources=SOURCES, is_addition=False, groups=groups)


WORKS = [work_of("p1", 10), work_of("p2", 20), work_of("p3", 10)]


@pytest.mark.parametrize(
    ("limit_bytes", "n_workers", "expected"),
    [
        (40 * 320, 1, (["p1", "p2", "p3"], 1)),
        (80 * 320, 2, (["p1", "p2", "p3"], 2)),
        (79 * 320, 2, (["p1", "p2"], 2)),
        (30 * 320, 1, (["p1", "p2"], 1)),
        (29 * 320, 1, (["p1"], 1)),
        (20 * 320, 4, (["p1"], 2)),
    ],
)
def test_as_many_plates_are_taken_as_every_worker_can_hold(
    limit_bytes: int, n_workers: int, expected: tuple[list[str], int]
) -> None:
    batch, n = next_batch(WORKS, n_genes=10, n_workers=n_workers, limit_bytes=limit_bytes)

    assert ([work.plate for work in batch], n) == expected


def test_a_limit_below_one_plate_says_how_many_genes_fit() -> None:
    works = [work_of("p1", 100), work_of("p2", 4_700)]

    with pytest.raises(ConfigurationError, match=r"plate p2 take 1,434 MB .* at most 6,971 genes"):
        next_batch(works, n_genes=10_000, n_workers=2, limit_bytes=1_000 * 2**20)


def test_a_file_of_two_plates_is_read_once_for_both() -> None:
    both, one = file_of("b", p1=5, p2=7), file_of("a", p2=1)

    parts = files_of([work_of("p1", 1, both), work_of("p2", 1, both, one)])

    assert [(part.file.name, part.plates) for part in parts] == [
        ("a", ("p2",)),
        ("b", ("p1", "p2")),
    ]
    assert [part.n_cells for part in parts] == [1, 12]
    assert plates_of([one, both]) == ["p1", "p2"]


def test_units_have_about_as_many_cells_each() -> None:
    files = [FileToReduce(file=file_of(f"f{n}", p1=n), plates=("p1",)) for n in (8, 5, 4, 3)]

    units = split_into_units(files, n_units=2)

    assert [[part.file.name for part in unit] for unit in units] == [["f3", "f8"], ["f4", "f5"]]


def test_no_unit_is_empty() -> None:
    files = [FileToReduce(file=file_of("a", p1=1), plates=("p1",))]

    assert len(split_into_units(files, n_units=3)) == 1
