"""Partial results that were damaged are made again: the same numbers, and a line in the log."""

import logging
from pathlib import Path

import pytest

from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.layout import Layout
from drug_pipeline_tests.integration.expression.conftest import Chain

TABLES = ("counts_per_condition", "counts_per_pair", "filtered_pairs")


def flip_a_bit_of_each(folder: Path, pattern: str) -> int:
    paths = [path for path in folder.rglob(pattern) if path.is_file()]
    for path in paths:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    return len(paths)


def forget(layout: Layout, *assets: str) -> None:
    for asset in assets:
        (layout.manifest_dir / "stamps" / f"{asset}.json").unlink()


def test_damaged_partial_results_are_not_believed(
    chain: Chain, whole: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.all()
    manifest = chain.layout.manifest_dir
    n_files = len(chain.data_files())
    for pattern in ("counts/*.parquet", "panel/*/*.parquet", "inspections/*.json", "cells/*.npy"):
        assert flip_a_bit_of_each(manifest, pattern) == n_files, pattern
    assert flip_a_bit_of_each(manifest, "raw_hashes.json") == 1
    forget(chain.layout, "raw_tahoe", "counts", "gene_panel", "pseudobulk")

    with caplog.at_level(logging.WARNING):
        chain.all()

    assert chain.bytes_of() == whole.bytes_of()
    for table in TABLES:
        assert read_table(chain.layout, table).equals(read_table(whole.layout, table))
    for folder in ("counts", "panel", "inspections"):
        assert f"/manifest/{folder}/" in caplog.text


def test_a_damaged_warehouse_is_made_again(chain: Chain, whole: Chain) -> None:
    chain.all()
    for place in (16, 5_000, 300_000, chain.layout.warehouse.stat().st_size - 9):
        content = bytearray(chain.layout.warehouse.read_bytes())
        content[place] ^= 4
        chain.layout.warehouse.write_bytes(content)

        build_counts(chain.layout, chain.raw_dir)
        build_filtered_pairs(chain.layout, PairFilterConfig(min_cells_per_pair=10))

        assert read_table(chain.layout, "counts_per_pair").equals(
            read_table(whole.layout, "counts_per_pair")
        )


def test_a_damaged_state_of_a_plate_is_made_again(chain: Chain, whole: Chain) -> None:
    chain.all()
    for path in sorted((chain.layout.root / "expression").rglob("state.json")):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    chain.all()

    assert chain.bytes_of() == whole.bytes_of()
