"""How a build reads in Dagster."""

import base64

import dagster as dg
import pytest

from drug_pipeline.orchestration.metadata import (
    as_metadata,
    build_metadata,
    markdown_table,
    picture_of,
    sentence,
)
from drug_pipeline.storage.build import BuildResult
from drug_pipeline.storage.stamps import Stamp


@pytest.fixture
def built() -> BuildResult:
    stamp = Stamp(
        asset="delta_shards",
        code_version="1",
        inputs={"pseudobulk": "a" * 64},
        config={"min_control_cells": 20},
        outputs={
            "x.npy": {"size_bytes": 10, "sha256": ""},
            "y.npy": {"size_bytes": 5, "sha256": ""},
        },
        fingerprint="f" * 64,
        summary={"n_conditions": 1234, "dropped": {"pair not kept": 6}},
    )
    return BuildResult(stamp=stamp, is_new=True)


def test_rows_bytes_seconds_and_fingerprint_are_told(built: BuildResult) -> None:
    metadata = build_metadata("delta_shards", built, 1.23456, picture="", run_url="http://ui/1")

    told = {name: value.value for name, value in metadata.items()}
    assert told["dagster/row_count"] == 1234
    assert told["size_bytes"] == 15
    assert told["seconds"] == 1.235
    assert told["fingerprint"] == "f" * 64
    assert told["mlflow_run"] == "http://ui/1"
    assert told["inputs"] == {"pseudobulk": "a" * 12}
    assert "picture" not in told


def test_what_is_new_and_what_is_not_is_one_sentence(built: BuildResult) -> None:
    again = BuildResult(stamp=built.stamp, is_new=False)

    assert sentence("delta_shards", built, 2.0) == "delta_shards: built in 2.0 s, 1,234 conditions"
    assert sentence("delta_shards", again, 0.1) == "delta_shards: nothing new (0.1 s)"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, dg.BoolMetadataValue),
        (3, dg.IntMetadataValue),
        (0.5, dg.FloatMetadataValue),
        ("text", dg.TextMetadataValue),
        ({"reason": 6}, dg.MarkdownMetadataValue),
        ([{"file": "a"}], dg.MarkdownMetadataValue),
        ([], dg.JsonMetadataValue),
        ({"nested": {"a": 1}}, dg.JsonMetadataValue),
    ],
)
def test_each_value_is_shown_by_its_kind(value: object, kind: type) -> None:
    assert isinstance(as_metadata(value), kind)


def test_a_long_table_is_cut_and_says_so() -> None:
    table = markdown_table([{"n": number} for number in range(60)], limit=50).value

    assert table is not None
    assert table.count("\n| ") == 1 + 50  # the rule below the heads, and the rows
    assert table.endswith("… and 10 more")


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert "a\\|b" in str(markdown_table([{"key": "a|b"}]).value)


def test_a_picture_carries_its_bytes() -> None:
    markdown = picture_of(b"png", "alt")

    assert markdown == f"![alt](data:image/png;base64,{base64.b64encode(b'png').decode()})"


def test_the_seconds_of_each_file_are_told_slowest_first(built: BuildResult) -> None:
    timed = BuildResult(
        stamp=built.stamp, is_new=True, timings={"a.parquet": 0.25, "b.parquet": 1.5}
    )

    metadata = build_metadata("pseudobulk", timed, 2.0, picture="", run_url="")

    text = str(metadata["seconds_of_files"].value)
    assert text.index("b.parquet | 1.5") < text.index("a.parquet | 0.25")
    assert "seconds_of_files" not in build_metadata("x", built, 2.0, picture="", run_url="")
