"""The gene panel, chosen on control cells."""

import numpy as np
import pandas as pd
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import ConfigurationError, EmptyResultError
from drug_pipeline.expression.genes import ControlGeneStats, PanelConfig, choose_panel
from drug_pipeline.expression.moments import X2_SCALE, X_SCALE

GENES = pd.DataFrame(
    {
        names.TOKEN_ID: [3, 4, 5, 6, 7],
        names.ENSEMBL_ID: [f"ENSG{token}" for token in range(3, 8)],
        names.GENE_SYMBOL: list("ABCDE"),
    }
)


def stats_of(x_CG: list[list[float]]) -> ControlGeneStats:
    """Sums over cells; columns are tokens 3 to 7."""
    x_CT = np.pad(np.array(x_CG, dtype=float), ((0, 0), (3, 0)))
    return ControlGeneStats(
        n_cells=len(x_CT),
        sum_x_T=np.rint(x_CT * X_SCALE).sum(axis=0).astype(np.int64),
        sum_x2_T=np.rint(x_CT**2 * X2_SCALE).sum(axis=0).astype(np.int64),
        nnz_T=(x_CT > 0).sum(axis=0),
    )


# Variance per gene: A 0, B largest, C second, D third, E never detected.
STATS = stats_of([[2, 0, 0, 1, 0], [2, 6, 4, 1, 0], [2, 0, 0, 2, 0], [2, 6, 4, 2, 0]])


def tokens_of(stats: ControlGeneStats, targets: set[str], **config: object) -> list[int]:
    panel = choose_panel(stats, GENES, targets, PanelConfig(**config))  # type: ignore[arg-type]
    return panel[names.TOKEN_ID].tolist()


def test_the_most_variable_genes_are_chosen_and_stand_in_token_order() -> None:
    assert tokens_of(STATS, set(), n_genes=2) == [4, 5]
    assert tokens_of(STATS, set(), n_genes=3) == [4, 5, 6]


def test_with_enough_room_every_detected_gene_is_in() -> None:
    assert tokens_of(STATS, set(), n_genes=100, min_detected_frac=0.0) == [3, 4, 5, 6]


def test_targets_come_on_top_if_any_control_cell_has_them() -> None:
    assert tokens_of(STATS, {"A", "E", "unheard of"}, n_genes=1) == [3, 4]
    assert tokens_of(STATS, {"A"}, n_genes=1, include_targets=False) == [4]


def test_a_gene_of_too_few_cells_has_no_rank() -> None:
    assert tokens_of(STATS, set(), n_genes=1, min_detected_frac=0.6) == [6]


def test_ties_go_to_the_larger_mean_then_to_the_smaller_token() -> None:
    stats = stats_of([[1, 2, 2, 1, 0], [1, 2, 2, 1, 0]])

    assert tokens_of(stats, set(), n_genes=1) == [4]
    assert tokens_of(stats, set(), n_genes=3) == [3, 4, 5]


def test_the_statistics_stand_beside_the_genes() -> None:
    row = choose_panel(STATS, GENES, {"B"}, PanelConfig(n_genes=1)).iloc[0]

    assert row["mean_log1p"] == pytest.approx(3.0)
    assert row["variance"] == pytest.approx(np.var([0, 6, 0, 6], ddof=1))
    assert row["detected_frac"] == 0.5
    assert row["is_target"]


def test_parts_add_up_in_any_order() -> None:
    parts = [stats_of([[1, 0, 0, 5, 0]]), stats_of([[2, 0, 1, 0, 0]]), STATS]

    one, other = ControlGeneStats.merged(parts), ControlGeneStats.merged(parts[::-1])

    assert one.n_cells == other.n_cells == 6
    assert np.array_equal(one.sum_x2_T, other.sum_x2_T)


def test_no_control_cells_is_an_error_that_names_the_vehicle() -> None:
    nothing = ControlGeneStats(
        n_cells=0, sum_x_T=np.zeros(8, int), sum_x2_T=np.zeros(8, int), nnz_T=np.zeros(8, int)
    )

    with pytest.raises(EmptyResultError, match="DMSO_TF"):
        choose_panel(nothing, GENES, set(), PanelConfig())


def test_no_gene_in_enough_cells_is_an_error_that_names_the_threshold() -> None:
    with pytest.raises(EmptyResultError, match=r"Lower panel\.min_detected_frac"):
        choose_panel(
            stats_of([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]]),
            GENES,
            set(),
            PanelConfig(min_detected_frac=0.9),
        )


@pytest.mark.parametrize(
    "config",
    [{"n_genes": 0}, {"min_detected_frac": 1.0}, {"policy": "thawed"}, {"max_files_per_plate": 0}],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(config))):
        PanelConfig(**config)  # type: ignore[arg-type]
