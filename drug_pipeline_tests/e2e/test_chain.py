"""The whole chain on a generated screen, through the real definitions, judged by its results."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from drug_pipeline.definitions import defs
from drug_pipeline.domain import names
from drug_pipeline.orchestration.assets.counts import COUNT_TABLES
from drug_pipeline.orchestration.status import STAMPED, asset_states
from drug_pipeline.storage.counts_db import read_table
from drug_pipeline.storage.shards import read_delta
from drug_pipeline.storage.stamps import StampStore
from drug_pipeline.synthetic import SyntheticConfig, generate
from drug_pipeline_tests.e2e.conftest import Built, build, contents

PLATES = [f"plate{number}" for number in range(1, 9)]
"""Those of the tiny screen."""


@pytest.fixture(scope="module")
def later_plate(screen: SyntheticConfig, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The chain up to the splits, without one plate and then with it."""
    folder = tmp_path_factory.mktemp("later")
    generate(folder / "raw", screen, plates=PLATES[:-1])
    assert build(folder / "raw", folder / "data", "*splits").outcome.is_success
    generate(folder / "raw", screen)
    return build(folder / "raw", folder / "data", "*splits")


def raw_cells(raw_dir: Path) -> pd.DataFrame:
    return pq.read_table(raw_dir / "data").to_pandas()


def test_every_asset_is_built_and_every_check_passes(built: Built) -> None:
    assert built.outcome.failures == ()
    assert built.outcome.is_success
    assert {state.state for state in asset_states(built.layout)} == {"built"}
    assert len(built.checks) >= 11
    assert [check.check_name for check in built.checks if not check.passed] == []


def test_the_counts_are_those_of_the_raw_cells(built: Built, raw_dir: Path) -> None:
    expected = raw_cells(raw_dir).groupby([names.DRUG, names.CELL_LINE_ID]).size()

    counted = read_table(built.layout, "counts_per_pair").set_index(
        [names.DRUG, names.CELL_LINE_ID]
    )[names.N_CELLS]

    assert counted.sort_index().to_dict() == expected.sort_index().to_dict()


def test_delta_is_the_difference_of_means_of_log1p_cp10k(built: Built, raw_dir: Path) -> None:
    table = read_delta(built.layout)
    row = 17
    condition = table.conditions.iloc[row]
    cells = raw_cells(raw_dir)
    wells = pq.read_table(built.layout.metadata_dir / "wells.parquet").to_pandas()
    cells = cells.merge(wells[[names.SAMPLE, names.DOSE_UM]], on=names.SAMPLE)
    here = cells[
        (cells[names.CELL_LINE_ID] == condition[names.CELL_LINE_ID])
        & (cells[names.PLATE] == condition[names.PLATE])
    ]
    treated = here[
        (here[names.DRUG] == condition[names.DRUG])
        & (here[names.DOSE_UM] == condition[names.DOSE_UM])
    ]
    control = here[here[names.DRUG] == names.CONTROL_DRUG]

    expected_G = _mean_log1p(treated, table.genes) - _mean_log1p(control, table.genes)

    np.testing.assert_allclose(table.delta_NG[row], expected_G, atol=2e-6)


def _mean_log1p(cells: pd.DataFrame, genes: pd.DataFrame) -> np.ndarray:
    tokens_G = genes[names.TOKEN_ID].to_numpy()
    total_G = np.zeros(len(tokens_G))
    for tokens, counts in zip(cells[names.GENES], cells[names.EXPRESSIONS], strict=True):
        is_gene = tokens != names.MARKER_TOKEN
        # A gene may occur twice in a cell: its counts add up before the logarithm.
        count_T = np.bincount(tokens[is_gene], counts[is_gene], minlength=tokens_G.max() + 1)
        total_G += np.log1p(names.TARGET_SUM * count_T[tokens_G] / count_T.sum())
    return np.asarray(total_G / len(cells))


def test_the_graph_says_what_each_asset_really_reads(built: Built) -> None:
    declared = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for spec in defs.resolve_all_asset_specs()
    }
    declared["counts"] = declared["counts_per_pair"]
    stamps = StampStore(built.layout)

    for asset in STAMPED:
        stamp = stamps.read(asset)
        assert stamp is not None
        read = {name for name in stamp.inputs if name in STAMPED}
        reachable = {"counts" if name in COUNT_TABLES else name for name in declared[asset]}
        assert read == reachable, asset


def test_a_second_run_says_nothing_new_and_changes_no_byte(built: Built, raw_dir: Path) -> None:
    before = contents(built.layout.root)

    again = build(raw_dir, built.layout.root)

    assert again.outcome.is_success
    assert again.outcomes.built == set()
    assert len(again.outcomes.results) == len(STAMPED)
    assert contents(built.layout.root) == before


def test_the_same_seed_gives_the_same_bytes_in_another_folder(
    built: Built, raw_dir: Path, tmp_path: Path
) -> None:
    other = build(raw_dir, tmp_path)

    assert other.outcome.is_success
    ours, theirs = contents(built.layout.root), contents(tmp_path)
    # The warehouse is compared by its tables, the hash cache names the folder it was made from.
    own = {"warehouse.duckdb", "manifest/raw_hashes.json"}
    differing = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    assert differing <= own
    for table in (*COUNT_TABLES, "filtered_pairs"):
        pd.testing.assert_frame_equal(
            read_table(built.layout, table), read_table(other.layout, table)
        )


def test_plates_that_come_later_give_what_all_at_once_give(
    built: Built, later_plate: Built
) -> None:
    for asset in ("counts", "filtered_pairs", "gene_panel", "pseudobulk", "delta_shards", "splits"):
        expected = StampStore(built.layout).require(asset).fingerprint
        assert StampStore(later_plate.layout).require(asset).fingerprint == expected, asset


def test_with_a_frozen_panel_only_the_new_plate_is_read(
    later_plate: Built, screen: SyntheticConfig, tmp_path: Path
) -> None:
    generate(tmp_path / "raw", screen, plates=PLATES[:-1])
    early = build(tmp_path / "raw", tmp_path / "data", "*pseudobulk", panel_policy="frozen")

    generate(tmp_path / "raw", screen)
    late = build(tmp_path / "raw", tmp_path / "data", "*pseudobulk", panel_policy="frozen")

    n_early, n_late = (
        run.outcomes.results["pseudobulk"].stamp.summary["n_cells_read"] for run in (early, late)
    )
    n_all = later_plate.outcomes.results["pseudobulk"].stamp.summary["n_cells"]
    panels = {run.outcomes.results["gene_panel"].stamp.fingerprint for run in (early, late)}
    assert len(panels) == 1
    assert n_early + n_late == n_all


def test_a_broken_file_is_quarantined_and_the_rest_goes_on(
    built: Built, raw_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "raw"
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").symlink_to(raw_dir / "metadata")
    for file in (raw_dir / "data").iterdir():
        (folder / "data" / file.name).symlink_to(file)
    whole = next(iter(sorted((raw_dir / "data").iterdir()))).read_bytes()
    (folder / "data" / "train-broken.parquet").write_bytes(whole[: len(whole) // 2])

    result = build(folder, tmp_path / "data", "*delta_shards")

    assert result.outcome.is_success
    (warning,) = result.outcome.warnings
    assert warning.about == "raw_tahoe:nothing_quarantined"
    assert "train-broken.parquet" in warning.reason
    ours = StampStore(built.layout).require("delta_shards")
    assert StampStore(result.layout).require("delta_shards").fingerprint == ours.fingerprint


def test_a_missing_raw_folder_fails_with_the_remedy(tmp_path: Path) -> None:
    result = build(tmp_path / "nowhere", tmp_path / "data")

    assert not result.outcome.is_success
    reasons = {failure.about: failure.reason for failure in result.outcome.failures}
    assert "drug-pipeline synth" in reasons["raw_tahoe"]
    assert "delta_shards" in result.outcome.not_reached


def test_a_filter_that_keeps_nothing_is_refused_by_name(
    built: Built, raw_dir: Path, tmp_path: Path
) -> None:
    result = build(raw_dir, tmp_path, "*filtered_pairs", min_cells_per_pair=1_000_000)

    (failure,) = result.outcome.failures
    assert failure.about == "filtered_pairs"
    assert "min_cells_per_pair" in failure.reason


@pytest.mark.parametrize("asset", ["raw_tahoe", "tahoe_metadata", "splits"])
def test_a_file_that_something_else_changed_is_built_again(
    built: Built, raw_dir: Path, asset: str
) -> None:
    before = contents(built.layout.root)
    stamp = StampStore(built.layout).require(asset)
    victim = built.layout.root / next(iter(stamp.outputs))
    victim.write_bytes(b"not what was written")

    again = build(raw_dir, built.layout.root, "*splits")

    assert again.outcomes.built == {asset}
    assert contents(built.layout.root) == before
