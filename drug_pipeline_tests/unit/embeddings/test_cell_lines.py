"""Cell-line vectors: components of the controls, organ, drivers, and lines that come later."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain.errors import (
    AlignmentError,
    ConfigurationError,
    MetadataError,
    MissingControlError,
)
from drug_pipeline.domain.tables import ControlTable, EmbeddingTable
from drug_pipeline.embeddings.cell_lines import (
    CellLineEmbeddingConfig,
    cell_line_vectors,
    line_controls,
    principal_axes,
)

G = 30
TOKENS = np.arange(3, 3 + G)
CONFIG = CellLineEmbeddingConfig(n_components=3)
LINES = pd.DataFrame(
    {
        "cell_line_id": ["L1", "L2", "L3", "L4", "L5", "L6"],
        "depmap_id": ["D1", "D2", None, "D4", "D5", "D6"],
        "organ": ["Lung", "Bowel", "Lung", "Skin", "Bowel", "Brain"],
        "driver_mutations": [["KRAS", "TP53"], ["KRAS"], ["TP53", "TP53"], ["BRAF"], [], ["TP53"]],
    }
)


def controls_of(lines: list[str], seed: int = 0, n_plates: int = 2) -> ControlTable:
    rng = np.random.default_rng(seed)
    groups = pd.DataFrame(
        [(line, f"plate{plate}", 40) for plate in range(n_plates) for line in lines],
        columns=["cell_line_id", "plate", "n_cells"],
    )
    control_MG = rng.gamma(2.0, 0.5, size=(len(groups), G)).astype(np.float32)
    wells = groups.assign(sample="w").head(0)
    return ControlTable(groups=groups, control_MG=control_MG, wells=wells, well_WG=control_MG[:0])


def vectors_of(lines: list[str], config: CellLineEmbeddingConfig = CONFIG) -> EmbeddingTable:
    return cell_line_vectors(controls_of(lines), TOKENS, LINES, config)[0]


def test_a_profile_is_the_plain_mean_over_the_plates_of_a_line():
    controls = controls_of(["L2", "L1"])
    lines, control_LG = line_controls(controls)
    assert lines == ["L1", "L2"]
    np.testing.assert_allclose(control_LG[0], controls.control_MG[[1, 3]].mean(axis=0), rtol=1e-6)


def test_components_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(1)
    scaled_LG = rng.normal(size=(7, G))
    scaled_LG -= scaled_LG.mean(axis=0)
    axes_GP = principal_axes(scaled_LG, 4)
    _, _, right = np.linalg.svd(scaled_LG, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(axes_GP.T * right[:4], axis=1)), 1.0, atol=1e-10)


def test_the_largest_entry_of_each_axis_is_positive_whatever_the_sign_of_the_data():
    scaled_LG = np.random.default_rng(2).normal(size=(5, G))
    scaled_LG -= scaled_LG.mean(axis=0)
    axes_GP = principal_axes(scaled_LG, 3)
    np.testing.assert_allclose(axes_GP, principal_axes(-scaled_LG, 3), atol=1e-10)
    assert (axes_GP[np.abs(axes_GP).argmax(axis=0), range(3)] > 0).all()


@pytest.mark.parametrize(("n_lines", "n_axes"), [(1, 0), (2, 1), (3, 2), (9, 5)])
def test_there_are_fewer_components_than_lines(n_lines: int, n_axes: int) -> None:
    scaled_LG = np.random.default_rng(0).normal(size=(n_lines, G))
    assert principal_axes(scaled_LG, 5).shape == (G, n_axes)


def test_a_single_line_has_a_vector_of_organ_alone():
    table = vectors_of(["L4"])
    assert table.blocks == {"control_pca": (0, 0), "organ": (0, 1), "drivers": (1, 1)}
    assert table.feature_names == ("organ_Skin",)


def test_organs_and_drivers_of_at_least_two_lines_are_marked():
    table = vectors_of(LINES["cell_line_id"].tolist())
    assert table.feature_names[3:] == (
        *("organ_Bowel", "organ_Brain", "organ_Lung", "organ_Skin"),
        *("driver_KRAS", "driver_TP53"),
    )
    np.testing.assert_array_equal(
        table.block("drivers").vectors_KF, [[1, 1], [1, 0], [0, 1], [0, 0], [0, 0], [0, 1]]
    )
    assert (table.block("organ").vectors_KF.sum(axis=1) == 1).all()


def test_vectors_are_in_the_order_of_the_metadata_and_lines_without_controls_are_listed():
    table, left_out, _ = cell_line_vectors(controls_of(["L5", "L2", "L1"]), TOKENS, LINES, CONFIG)
    assert table.keys == ("L1", "L2", "L5")
    assert left_out == dict.fromkeys(["L3", "L4", "L6"], "no vehicle cells in the data")


def test_shuffling_controls_and_metadata_changes_no_vector():
    controls = controls_of(["L1", "L2", "L3", "L4", "L5"])
    order = np.random.default_rng(4).permutation(len(controls.groups))
    shuffled = replace(
        controls,
        groups=controls.groups.iloc[order].reset_index(drop=True),
        control_MG=controls.control_MG[order],
    )
    table, _, _ = cell_line_vectors(controls, TOKENS, LINES, CONFIG)
    again, _, _ = cell_line_vectors(shuffled, TOKENS, LINES.iloc[::-1], CONFIG)
    np.testing.assert_allclose(again.rows(list(table.keys)), table.vectors_KF, atol=1e-5)


def test_two_runs_give_the_same_bits():
    first, second = vectors_of(["L1", "L2", "L3", "L4"]), vectors_of(["L1", "L2", "L3", "L4"])
    assert first.vectors_KF.tobytes() == second.vectors_KF.tobytes()


def test_a_gene_that_does_not_vary_adds_nothing():
    controls = controls_of(["L1", "L2", "L3"])
    controls.control_MG[:, 7] = 0.5
    _, _, encoder = cell_line_vectors(controls, TOKENS, LINES, CONFIG)
    assert encoder.scale_G[7] == 1.0
    np.testing.assert_allclose(encoder.loadings_GP[7], 0.0, atol=1e-12)


def test_a_new_line_gets_its_vector_from_its_controls_without_a_new_fit():
    controls = controls_of(["L1", "L2", "L3", "L4", "L5"])
    table, _, encoder = cell_line_vectors(controls, TOKENS, LINES, CONFIG)
    _, control_LG = line_controls(controls)
    new = LINES.iloc[[1]].assign(cell_line_id="NEW", organ="Uvea")
    vector = encoder.transform(control_LG[[1]], new, CONFIG)
    assert vector.keys == ("NEW",)
    np.testing.assert_array_equal(
        vector.block("control_pca").vectors_KF, table.block("control_pca").vectors_KF[[1]]
    )
    np.testing.assert_array_equal(
        vector.block("drivers").vectors_KF, table.block("drivers").vectors_KF[[1]]
    )
    np.testing.assert_array_equal(vector.block("organ").vectors_KF, np.zeros((1, 3)))


def test_profiles_over_other_genes_are_refused():
    _, _, encoder = cell_line_vectors(controls_of(["L1", "L2", "L3"]), TOKENS, LINES, CONFIG)
    with pytest.raises(AlignmentError, match="have 29 genes, the encoder was fitted on 30"):
        encoder.project(np.ones((1, 29), dtype=np.float32))


def test_a_line_with_controls_that_the_metadata_lack_is_refused():
    with pytest.raises(MetadataError, match="1 of 2 cell lines are not in the metadata; first: X9"):
        vectors_of(["L1", "X9"])


def test_no_control_at_all_is_refused():
    with pytest.raises(MissingControlError, match="no cell line has vehicle cells"):
        vectors_of([])


def test_a_line_without_own_vector_is_known_by_its_other_blocks_or_refused(caplog):
    own = EmbeddingTable(
        key_name="depmap_id",
        keys=("D4", "D2", "D1", "D99"),
        vectors_KF=np.array([[4.0], [2.0], [1.0], [9.0]], dtype=np.float32),
        feature_names=("score",),
        blocks={"own": (0, 1)},
        trained_on="the user's own table depmap.csv",
    )
    falling_back = replace(CONFIG, blocks=("organ", "own"), own_path="d.csv")
    controls = controls_of(["L1", "L2", "L3", "L4"])
    with pytest.raises(AlignmentError, match="1 of 4 keys have no vector in the user's own table"):
        cell_line_vectors(controls, TOKENS, LINES, replace(falling_back, own_missing="refuse"), own)

    table, left_out, _ = cell_line_vectors(controls, TOKENS, LINES, falling_back, own)

    assert table.keys == ("L1", "L2", "L3", "L4")
    assert "L3" not in left_out
    assert table.block("own").keys == ("L1", "L2", "L4")
    np.testing.assert_array_equal(table.block("own").vectors_KF[:, 0], [1.0, 2.0, 4.0])
    assert np.isnan(table.rows(["L3"])[0, -1])  # never a zero that poses as a measurement
    said = [record.getMessage() for record in caplog.records]
    assert any("1 of 4 keys have no vector" in one and "other blocks alone" in one for one in said)
    assert any("1 of 4 keys" in one and "not used; first: D99" in one for one in said)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": ("pca",)}, "give some of control_pca, organ, drivers, own"),
        ({"n_components": 0}, "both are 1 or more"),
        ({"blocks": ("own",)}, "not named: set cell_line_embeddings.own_path"),
        ({"own_key": "organ_id", "blocks": ("own",), "own_path": "x.csv"}, "own_key is 'organ_id'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CellLineEmbeddingConfig(**settings)  # type: ignore[arg-type]
