"""What the checks find, where something is wrong; that all is well is shown end to end."""

from pathlib import Path

import pyarrow as pa
import pytest

from drug_pipeline.domain import schemas
from drug_pipeline.evaluation.gates.verdicts import GateResult, State, as_frame
from drug_pipeline.orchestration import findings
from drug_pipeline.storage.files import write_parquet
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.stamps import StampStore


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def stamp(layout: Layout, asset: str, summary: dict[str, object]) -> None:
    StampStore(layout).write(
        asset=asset, code_version="1", inputs={}, config={}, files=[], summary=summary
    )


def write_gates(layout: Layout, gates: dict[str, State]) -> None:
    table = as_frame(
        [
            GateResult(
                name=name,
                state=state,
                figure=0.0,
                n=int(state != "not measured"),
                explanation=f"about {name}",
            )
            for name, state in gates.items()
        ]
    )
    write_parquet(pa.Table.from_pandas(table), layout.evaluation_dir / "gates.parquet")


def test_cells_that_got_lost_between_counting_and_summing_are_found(layout: Layout) -> None:
    stamp(layout, "counts", {"n_cells": 100})
    stamp(layout, "pseudobulk", {"n_cells": 99, "refused_files": {}})

    finding = findings.cells_add_up(layout)

    assert not finding.is_passed
    assert finding.sentence == "99 of 100 counted cells are in the pseudobulk."


def test_cells_of_files_refused_on_the_way_are_accounted_for(layout: Layout) -> None:
    stamp(layout, "counts", {"n_cells": 100})
    stamp(layout, "pseudobulk", {"n_cells": 60, "refused_files": {"train-1.parquet": "why"}})

    finding = findings.cells_add_up(layout)

    assert finding.is_passed
    assert "1 files were refused" in finding.sentence


def test_wells_that_were_set_aside_are_counted_and_the_first_named(layout: Layout) -> None:
    why = "well w1 of sample_metadata has no plate. Fill it in or leave the row out."
    summary = {"notes": {"wells_set_aside": 2}, "first_of_notes": {"wells_set_aside": [why]}}
    stamp(layout, "tahoe_metadata", summary)

    finding = findings.wells_used(layout)

    assert not finding.is_passed
    assert finding.sentence.startswith(f"2 wells are set aside, and their cells not counted: {why}")


def test_a_quarantined_file_is_named_with_its_remedy(layout: Layout) -> None:
    row = {
        "file": "train-1.parquet",
        "size_bytes": 1,
        "sha256": "a",
        "n_rows": 0,
        "plates": [],
        "state": "quarantined",
        "column": "genes",
        "row": 3,
        "reason": "no marker",
        "remedy": "write it again",
    }
    write_parquet(pa.Table.from_pylist([row], schema=schemas.RAW_FILES), layout.raw_manifest)

    finding = findings.quarantine(layout)

    assert not finding.is_passed
    assert "train-1.parquet" in finding.sentence
    assert finding.figures["quarantined"][0]["remedy"] == "write it again"


@pytest.mark.parametrize(
    ("gates", "is_passed", "is_grave"),
    [
        ({"sides are disjoint: pair": "green", "shuffled genes": "green"}, True, False),
        ({"sides are disjoint: pair": "green", "input matters": "reported"}, True, False),
        ({"sides are disjoint: pair": "green", "shuffled genes": "red"}, False, False),
        ({"sides are disjoint: pair": "green", "shuffled genes": "not measured"}, False, False),
        ({"sides are disjoint: pair": "not measured", "shuffled genes": "green"}, False, False),
        ({"sides are disjoint: pair": "red", "shuffled genes": "green"}, False, True),
    ],
    ids=[
        "all-green",
        "a-report-is-no-gate",
        "a-red-gate-warns",
        "an-empty-gate-warns",
        "an-empty-split-warns",
        "a-leak-blocks",
    ],
)
def test_a_leak_across_a_split_is_grave_and_another_red_gate_warns(
    layout: Layout, gates: dict[str, State], is_passed: bool, is_grave: bool
) -> None:
    write_gates(layout, gates)

    finding = findings.gates(layout)

    assert (finding.is_passed, finding.is_grave) == (is_passed, is_grave)
    barring = {name: state for name, state in gates.items() if state in ("red", "not measured")}
    told = [f"{name} ({state}): about {name}" for name, state in barring.items()]
    assert all(one in finding.sentence for one in told)
