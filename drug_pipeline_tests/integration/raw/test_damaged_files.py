"""Real Parquet files with one thing wrong in their bytes: each is named and costs nothing else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.ingest.counts import build_counts
from drug_pipeline.ingest.metadata import build_tahoe_metadata
from drug_pipeline.ingest.panel import build_gene_panel
from drug_pipeline.ingest.plates.pseudobulk import PseudobulkConfig, build_pseudobulk
from drug_pipeline.ingest.raw.inventory import InventoryConfig, build_raw_tahoe
from drug_pipeline.ingest.raw.plate_index import plate_ranges
from drug_pipeline.ingest.raw.raw_cells import read_cells
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.raw.inventory import read_inventory
from drug_pipeline.storage.raw.raw_files import RawFolder

VALIDATIONS = ("full", "while_reducing")


def up_to_pseudobulk(layout: Layout, folder: Path, validation: Any) -> None:
    config = InventoryConfig(validation=validation)
    build_raw_tahoe(layout, folder, config)
    build_tahoe_metadata(layout, folder)
    build_gene_panel(layout, folder, PanelConfig(n_genes=2))
    build_pseudobulk(layout, folder, PseudobulkConfig())
    build_raw_tahoe(layout, folder, config)  # what was found while reducing is known now
    build_counts(layout, folder)


def n_counted(layout: Layout) -> int:
    return int(read_table(layout, "counts_per_pair")["n_cells"].sum())


def entry_of(layout: Layout, name: str) -> Any:
    return read_inventory(layout).set_index("file").loc[f"{name}.parquet"]


def change_footer(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the footer's bytes; its length is made right again."""
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    footer = change(content[-8 - length : -8])
    assert footer != content[-8 - length : -8]
    path.write_bytes(content[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def drop_a_level_of_the_histogram(footer: bytes) -> bytes:
    """Size statistics with too few definition levels, of every list."""
    histograms = re.compile(rb"(\x29\x26..)\x19\x46.(...\x00)", flags=re.DOTALL)
    return histograms.sub(lambda found: found[1] + b"\x19\x36" + found[2], footer)


def lie_about_sizes(screen: Any) -> None:
    change_footer(screen.write("bad", screen.cell(), screen.cell()), drop_a_level_of_the_histogram)


def name_a_column_twice(screen: Any) -> None:
    table = screen.table(screen.cell(), screen.cell())
    pq.write_table(table.append_column("drug", table.column("drug")), screen.path("bad"))


def write_latin_1(screen: Any) -> None:
    table = screen.table(*[screen.cell() for _ in range(3)])
    drugs = pa.array([b"Alpha", b"Alpha", b"\xe4lpha"]).cast(pa.string(), safe=False)
    pq.write_table(table.set_column(2, "drug", drugs), screen.path("bad"))


def write_latin_1_barcode(screen: Any) -> None:
    table = screen.table(*[screen.cell() for _ in range(3)])
    barcodes = pa.array([b"a", b"b", b"\xe4"]).cast(pa.string(), safe=False)
    table = table.set_column(4, "BARCODE_SUB_LIB_ID", barcodes)
    pq.write_table(table, screen.path("bad"))


def write_a_latin_1_name(screen: Any) -> None:
    path = screen.write("bad", screen.cell())
    change_footer(path, lambda footer: footer.replace(b"moa-fine", b"mo\xe4-fine"))


def page_offset(path: Path, column: str, group: int) -> int:
    chunks = pq.read_metadata(path).row_group(group)
    found = [chunks.column(place) for place in range(chunks.num_columns)]
    return next(c for c in found if c.path_in_schema.split(".")[0] == column).data_page_offset


def write_a_page_of_unknown_kind(screen: Any, column: str) -> None:
    path = screen.write("bad", *[screen.cell() for _ in range(4)])
    content = bytearray(path.read_bytes())
    start = page_offset(path, column, 1)
    assert content[start : start + 2] == b"\x15\x00"
    content[start + 1] = 14
    path.write_bytes(content)


def write_unknown_list_page(screen: Any) -> None:
    write_a_page_of_unknown_kind(screen, "genes")


def write_unknown_key_page(screen: Any) -> None:
    write_a_page_of_unknown_kind(screen, "plate")


def break_a_checksum(screen: Any) -> None:
    table = screen.table(screen.cell(expressions=[-2.0, 4.0, 3.0]), screen.cell())
    path = screen.path("bad")
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content, three, five = path.read_bytes(), pa.scalar(3.0, pa.float32()), b"\x00\x00\xa0\x40"
    as_bytes = pa.array([three]).buffers()[1].to_pybytes()[:4]
    place = content.index(as_bytes, page_offset(path, "expressions", 0))
    path.write_bytes(content[:place] + five + content[place + 4 :])


def break_a_checksum_of_coded_pages(screen: Any) -> None:
    cells = [screen.cell(expressions=[-2.0, 4.0, 3.0]), screen.cell()]
    path = screen.path("bad")
    pq.write_table(screen.table(*cells), path, write_page_checksum=True, compression="none")
    content = path.read_bytes()
    as_bytes = pa.array([3.0], pa.float32()).buffers()[1].to_pybytes()[:4]
    place = content.index(as_bytes, page_offset(path, "genes", 0))
    path.write_bytes(content[:place] + b"\x00\x00\xa0\x40" + content[place + 4 :])


def write_huge_counts(screen: Any) -> None:
    genes, counts = [1, *[3] * 5], [-2.0, *[2.0**24] * 5]
    screen.write("bad", screen.cell(), screen.cell(genes=genes, expressions=counts))


def write_inexact_counts(screen: Any) -> None:
    table = screen.table(screen.cell(), screen.cell())
    counts = pa.array([[-2.0, 4.0, 1.0], [-2.0, 2.0**24 + 1, 1.0]], pa.list_(pa.float64()))
    pq.write_table(table.set_column(1, "expressions", counts), screen.path("bad"))


@pytest.mark.parametrize("validation", VALIDATIONS)
@pytest.mark.parametrize(
    ("damage", "column", "row", "reason"),
    [
        (lie_about_sizes, "genes", 0, "level histogram size mismatch"),
        (name_a_column_twice, "drug", -1, "stands 2 times"),
        (write_latin_1, "drug", 2, r"b'\xe4lpha', which is not UTF-8"),
        (write_latin_1_barcode, "BARCODE_SUB_LIB_ID", 2, "not UTF-8"),
        (write_a_latin_1_name, "", -1, "not UTF-8"),
        (write_unknown_list_page, "genes", 2, "0 of 2 rows"),
        (write_unknown_key_page, "plate", 2, "0 of 2 rows"),
        (break_a_checksum, "expressions", 0, "CRC checksum"),
        (break_a_checksum_of_coded_pages, "expressions", 0, "CRC checksum"),
        (write_huge_counts, "expressions", 1, "the cell has 83,886,080 counts"),
        (write_inexact_counts, "expressions", 1, "16777217.0 has no float of its own"),
    ],
)
def test_one_damaged_file_is_quarantined_and_the_rest_is_summed(
    screen: Any,
    layout: Layout,
    damage: Callable[[Any], None],
    column: str,
    row: int,
    reason: str,
    validation: str,
) -> None:
    screen.write_default()
    damage(screen)

    if validation == "full":
        build_raw_tahoe(layout, screen.folder)
    else:
        up_to_pseudobulk(layout, screen.folder, validation)

    entry = entry_of(layout, "bad")
    assert read_inventory(layout)["state"].tolist() == ["ok", "ok", "quarantined", "ok"]
    assert entry.remedy
    if validation == "full":
        assert (entry.column, entry.row) == (column, row)
        assert reason in entry.reason
    else:
        assert n_counted(layout) == 9


def test_the_plates_of_a_file_whose_footer_lies_about_sizes_are_known(screen: Any) -> None:
    lie_about_sizes(screen)

    assert plate_ranges(pq.read_metadata(screen.path("bad"))) == [["plate1", "plate1"]]


def test_statistics_that_do_not_cover_a_plate_lose_no_cell(screen: Any) -> None:
    path = screen.write("a", *[screen.cell(well) for well in ("w1", "w2", "w3", "w4")])
    change_footer(path, lambda footer: footer.replace(b"plate2", b"plate9"))
    folder = RawFolder(screen.folder)

    rows = [
        (row, cells.num_rows)
        for row, cells in read_cells(
            folder, folder.stat("a.parquet"), columns=["genes", "expressions"], plates=["plate2"]
        )
    ]

    assert rows == [(2, 2)]


LOSSLESS = {
    "string views": {"drug": pa.string_view(), "plate": pa.string_view()},
    "large strings": {"sample": pa.large_string(), "BARCODE_SUB_LIB_ID": pa.large_string()},
    "bytes": {"cell_line_id": pa.binary(), "BARCODE_SUB_LIB_ID": pa.large_binary()},
    "categories": {"drug": pa.dictionary(pa.int8(), pa.large_string())},
    "barcode views": {"BARCODE_SUB_LIB_ID": pa.string_view(), "cell_line_id": pa.binary_view()},
    "narrow numbers": {"genes": pa.list_(pa.uint8()), "expressions": pa.list_(pa.int16())},
    "halves": {"expressions": pa.list_(pa.float16())},
    "doubles": {"genes": pa.list_(pa.float64()), "expressions": pa.list_(pa.float64())},
    "wide numbers": {"genes": pa.list_(pa.uint64()), "expressions": pa.large_list(pa.int64())},
    "decimals": {"expressions": pa.list_(pa.decimal128(12, 2))},
    "lists of one length": {
        "genes": pa.list_(pa.int64(), 3),
        "expressions": pa.list_(pa.int32(), 3),
    },
    "list views": {"genes": pa.list_view(pa.int64()), "expressions": pa.list_view(pa.float32())},
}


def as_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list_view(kind):  # Arrow does not cast to views
        return pa.array(column.to_pylist(), kind)
    return column.combine_chunks().cast(kind)


@pytest.mark.parametrize("kinds", LOSSLESS.values(), ids=list(LOSSLESS))
def test_any_physical_type_that_loses_nothing_gives_the_same_sums(
    screen: Any, layout: Layout, tmp_path: Path, kinds: dict[str, pa.DataType]
) -> None:
    screen.write_default()
    plain = Layout(tmp_path / "plain")
    up_to_pseudobulk(plain, screen.folder, "full")
    for path in (screen.folder / "data").iterdir():
        table = pq.read_table(path)
        for column, kind in kinds.items():
            place = table.schema.get_field_index(column)
            table = table.set_column(place, column, as_type(table.column(column), kind))
        pq.write_table(table, path, row_group_size=2)

    up_to_pseudobulk(layout, screen.folder, "full")

    assert read_inventory(layout)["state"].tolist() == ["ok"] * 3
    assert read_table(layout, "counts_per_pair").equals(read_table(plain, "counts_per_pair"))
    sums = [
        path.relative_to(plain.root)
        for path in plain.pseudobulk_dir.rglob("*")
        if path.suffix in (".npy", ".parquet")
    ]
    assert len(sums) == 10
    assert all(
        (layout.root / path).read_bytes() == (plain.root / path).read_bytes() for path in sums
    )
