"""Δ shards on disk, on generated and on real measured data."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from drug_pipeline.domain import names, schemas
from drug_pipeline.domain.errors import (
    EmptyResultError,
    ForeignFileError,
    MissingControlError,
    StaleInputError,
)
from drug_pipeline.expression.delta import DeltaConfig
from drug_pipeline.expression.genes import PanelConfig
from drug_pipeline.expression.pairs import PairFilterConfig
from drug_pipeline.ingest.counts import build_counts, build_filtered_pairs
from drug_pipeline.ingest.delta import build_delta_shards
from drug_pipeline.storage.layout import Layout
from drug_pipeline.storage.pseudobulk import plates_in, read_plate_sums
from drug_pipeline.storage.shards import read_delta, read_dropped
from drug_pipeline_tests.integration.expression.conftest import Chain


def reference_delta(chain: Chain) -> dict[tuple[str, float, str, str], np.ndarray]:
    """Δ of every condition from the raw cells, in float64, one cell at a time."""
    panel = pq.read_table(chain.layout.gene_panel).column(0).to_pylist()
    wells = pq.read_table(chain.layout.metadata_dir / "wells.parquet").to_pandas()
    wells = wells.set_index(names.SAMPLE)
    x_of: dict[tuple[str, float, str, str], list[np.ndarray]] = {}
    for path in chain.data_files():
        for cell in pq.read_table(path).to_pylist():
            counts = dict.fromkeys(panel, 0.0)
            library = 0.0
            for gene, value in zip(cell[names.GENES], cell[names.EXPRESSIONS], strict=True):
                if gene != names.MARKER_TOKEN:
                    library += value
                    if gene in counts:
                        counts[gene] += value
            x_G = np.log1p(1e4 * np.array([counts[gene] for gene in panel]) / library)
            well = wells.loc[cell[names.SAMPLE]]
            key = (
                well[names.DRUG],
                well[names.DOSE_UM],
                cell[names.CELL_LINE_ID],
                well[names.PLATE],
            )
            x_of.setdefault(key, []).append(x_G)
    mean_of = {key: np.mean(x, axis=0) for key, x in x_of.items()}
    return {
        (drug, dose, line, plate): mean_G - mean_of[names.CONTROL_DRUG, 0.0, line, plate]
        for (drug, dose, line, plate), mean_G in mean_of.items()
        if (names.CONTROL_DRUG, 0.0, line, plate) in mean_of
    }


def test_delta_agrees_with_a_reference_that_reads_one_cell_at_a_time(whole: Chain) -> None:
    table = read_delta(whole.layout)

    expected = reference_delta(whole)
    keys = zip(*(table.conditions[name] for name in names.CONDITION_KEY), strict=True)
    np.testing.assert_allclose(table.delta_NG, [expected[key] for key in keys], atol=1e-6)


def test_index_and_dropped_together_hold_every_treated_condition(whole: Chain) -> None:
    table, dropped = read_delta(whole.layout), read_dropped(whole.layout)

    treated = set()
    for plate in plates_in(whole.layout.pseudobulk_dir):
        well_lines = read_plate_sums(whole.layout, plate).well_lines
        is_treated = well_lines[names.DRUG] != names.CONTROL_DRUG
        rows = well_lines.loc[is_treated, list(names.CONDITION_KEY)]
        treated |= set(rows.itertuples(index=False, name=None))
    key = list(names.CONDITION_KEY)
    kept = set(table.conditions[key].itertuples(index=False, name=None))
    left_out = set(dropped[key].itertuples(index=False, name=None))
    assert kept | left_out == treated
    assert not kept & left_out
    assert (dropped[names.REASON] != "").all()


def test_the_table_is_sorted_whole_and_finite(whole: Chain) -> None:
    table = read_delta(whole.layout)

    order = [names.PLATE, names.CELL_LINE_ID, names.DRUG, names.DOSE_UM]
    assert table.conditions.equals(table.conditions.sort_values(order, ignore_index=True))
    assert list(table.conditions.columns) == schemas.CONDITIONS.names
    assert table.conditions.notna().all(axis=None)
    assert list(table.genes.columns) == schemas.GENES.names
    assert np.isfinite(table.delta_NG).all()
    assert np.isfinite(table.controls.control_MG).all()
    assert len(table.controls.groups) == len(table.controls.control_MG)
    assert len(table.controls.wells) == len(table.controls.well_WG)


def test_halves_average_to_the_whole(whole: Chain) -> None:
    table = read_delta(whole.layout)
    has_both_N = ~np.isnan(table.half_a_NG[:, 0]) & ~np.isnan(table.half_b_NG[:, 0])

    between = (table.delta_NG - table.half_a_NG) * (table.delta_NG - table.half_b_NG)

    assert has_both_N.mean() > 0.9
    assert (between[has_both_N] <= 1e-6).all()


def test_only_plates_whose_pairs_changed_are_written_again(chain: Chain) -> None:
    chain.all()
    table = read_delta(chain.layout)
    rare = table.conditions.groupby(list(names.PAIR_KEY))[names.N_CELLS].sum().min()

    build_filtered_pairs(chain.layout, PairFilterConfig(min_cells_per_pair=int(rare) + 1))
    summary = build_delta_shards(chain.layout, DeltaConfig(min_control_cells=5)).stamp.summary

    assert 0 < summary["n_plates_written"] < summary["n_plates"]


def test_no_vehicle_at_all_is_an_error_with_its_remedy(chain: Chain) -> None:
    chain.all()

    with pytest.raises(MissingControlError, match="Lower min_control_cells"):
        build_delta_shards(chain.layout, DeltaConfig(min_control_cells=10_000))


def test_no_condition_of_enough_cells_is_an_error_with_its_remedy(chain: Chain) -> None:
    chain.all()

    with pytest.raises(EmptyResultError, match="min_cells_per_condition"):
        build_delta_shards(
            chain.layout, DeltaConfig(min_cells_per_condition=10_000, min_control_cells=1)
        )


def test_borrowed_controls_are_marked(chain: Chain) -> None:
    chain.all()
    table = read_delta(chain.layout)
    n_own = int(table.controls.groups[names.N_CELLS].median())

    build_delta_shards(
        chain.layout, DeltaConfig(min_control_cells=n_own + 1, fallback_to_other_plates=True)
    )

    conditions = read_delta(chain.layout).conditions
    is_borrowed = conditions[names.IS_FALLBACK_CONTROL]
    assert 0 < is_borrowed.sum() < len(conditions)
    assert (conditions[names.N_CONTROL_CELLS] > n_own).all()


def test_shards_older_than_their_sums_are_refused(chain: Chain) -> None:
    chain.all()
    chain.data_files()[0].unlink()
    chain.raw()
    chain.panel()
    chain.pseudobulk()

    with pytest.raises(StaleInputError, match="delta_shards was built from another"):
        read_delta(chain.layout)


def test_a_shard_that_something_else_changed_is_refused(chain: Chain) -> None:
    chain.all()
    path = next(chain.layout.delta_dir.rglob("delta.npy"))
    array = np.load(path)
    np.save(path, array + 1)

    with pytest.raises(ForeignFileError, match=r"delta\.npy"):
        read_delta(chain.layout)


def test_the_parent_compound_comes_from_the_drug_table(whole: Chain) -> None:
    drugs = pq.read_table(whole.layout.metadata_dir / "drugs.parquet").to_pandas()
    parent_of = drugs.set_index(names.DRUG)[names.PARENT_COMPOUND]

    conditions = read_delta(whole.layout).conditions

    assert (conditions[names.PARENT_COMPOUND] == conditions[names.DRUG].map(parent_of)).all()


EXPECTED_DUSP6 = {
    "PD-0325901": -2.64,
    "AZD-8330": -3.11,
    "trametinib": -2.90,
    "vemurafenib": -3.01,
    "neratinib": 0.10,
}


@pytest.fixture(scope="session")
def l1000(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Real measured responses, each well drawn as 20 cells."""
    raw_dir = shared_data / "l1000_pseudocells"
    chain = Chain(raw_dir=raw_dir, layout=Layout(tmp_path_factory.mktemp("l1000")))
    chain.up_to_panel("while_reducing", PanelConfig())
    chain.pseudobulk()
    build_counts(chain.layout, raw_dir)
    build_filtered_pairs(chain.layout, PairFilterConfig(min_cells_per_pair=20))
    build_delta_shards(chain.layout, DeltaConfig(min_control_cells=20))
    return chain


@pytest.mark.parametrize(("drug", "expected"), EXPECTED_DUSP6.items())
def test_dusp6_falls_under_mek_and_raf_inhibitors_in_a_braf_mutant_line(
    l1000: Chain, drug: str, expected: float
) -> None:
    table = read_delta(l1000.layout)
    is_gene_G = (table.genes[names.GENE_SYMBOL] == "DUSP6").to_numpy()
    conditions = table.conditions
    is_asked = (
        (conditions[names.DRUG] == drug)
        & (conditions[names.CELL_LINE_ID] == "CVCL_0132")
        & np.isclose(conditions[names.DOSE_UM], 3.33, atol=0.01)
    )

    (delta_G,) = table.delta_NG[is_asked.to_numpy()]

    assert delta_G[is_gene_G][0] == pytest.approx(expected, abs=0.01)
    if expected < -1:
        assert (delta_G < delta_G[is_gene_G][0]).sum() < 4


@pytest.mark.parametrize(
    "damaged",
    ["pseudobulk/*/sum_x.npy", "delta/*/delta.npy", "gene_panel.parquet"],
    ids=["sums", "shard", "panel"],
)
def test_a_file_damaged_on_disk_is_made_again_and_not_believed(chain: Chain, damaged: str) -> None:
    chain.all()
    before = chain.bytes_of()
    path = next((chain.layout.root / "expression").glob(damaged))
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)

    chain.all()

    assert chain.bytes_of() == before
