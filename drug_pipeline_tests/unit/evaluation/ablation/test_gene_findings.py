"""What is found of vectors of genes whose sets were planted: neighbours, co-expression, a map."""

from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain.tables import DeltaTable, Split
from drug_pipeline.evaluation.ablation.gene_findings import (
    RANDOM,
    TOKENS,
    GeneFindings,
    look_at_genes,
)
from drug_pipeline.evaluation.ablation.gene_sections import gene_map, gene_observation, gene_table
from drug_pipeline.evaluation.scoring.bootstrap import BootstrapConfig

N_SETS, PER_SET = 6, 10
SETS = {
    f"HALLMARK_SET_{number}": [
        f"G{gene}" for gene in range(number * PER_SET, (number + 1) * PER_SET)
    ]
    for number in range(N_SETS)
}
OF_GENE = np.repeat(np.arange(N_SETS), PER_SET)
CONFIG = BootstrapConfig(n_resamples=200)


def planted(seed: int) -> np.ndarray:
    """A vector a gene, near that of its set."""
    rng = np.random.default_rng(seed)
    return (np.eye(N_SETS)[OF_GENE] + 0.1 * rng.normal(size=(60, N_SETS))).astype(np.float32)


def look(table: DeltaTable, split: Split, tokens_GE: np.ndarray, sets: dict) -> GeneFindings:
    rng = np.random.default_rng(3)
    expressed_MG = rng.normal(size=(9, N_SETS)) @ planted(1).T  # genes of a set go together
    controls = replace(table.controls, control_MG=expressed_MG.astype(np.float32))
    vectors = {
        "token_genes_T": np.arange(60),
        "token_vectors_TE": tokens_GE,
        "readout_vectors_GE": rng.normal(size=(60, 8)).astype(np.float32),
    }
    return look_at_genes(replace(table, controls=controls), split, vectors, sets, CONFIG)


@pytest.fixture(scope="module")
def found(table: DeltaTable, plate_split: Split) -> GeneFindings:
    return look(table, plate_split, planted(0), SETS)


def test_planted_sets_are_found_among_neighbours_and_in_co_expression(found: GeneFindings) -> None:
    own, _, by_chance = found.rows[:3]

    assert (own.genes, own.vectors, by_chance.vectors) == (TOKENS, TOKENS, RANDOM)
    assert own.sets is not None
    assert by_chance.sets is not None
    assert own.sets.ratio == pytest.approx((9 / 10) / (9 / 59), rel=0.05)  # nine of ten neighbours
    assert own.sets.low > 3
    assert by_chance.sets.low < 1 < by_chance.sets.high
    assert own.co_expression is not None
    assert own.co_expression.low > 0.3
    assert by_chance.co_expression is not None
    assert abs(by_chance.co_expression.value) < 0.1
    seen = gene_observation(found)
    assert seen.verdict == "confirmed"  # the response of these genes knows no sets
    assert "n = 60 genes in 6 sets" in seen.evidence[0]
    assert "agreement with co-expression 0." in seen.evidence[0]


def test_genes_of_a_planted_set_lie_together_on_the_map(found: GeneFindings) -> None:
    assert found.mapped == TOKENS
    assert found.map_G2 is not None
    assert found.map_G2.shape == (60, 2)
    apart_GG = np.linalg.norm(found.map_G2[:, None] - found.map_G2[None], axis=2)
    np.fill_diagonal(apart_GG, np.inf)

    assert np.mean(OF_GENE[apart_GG.argmin(axis=1)] == OF_GENE) > 0.9
    assert found.label_G is not None
    assert set(found.label_G) == {"", *list(SETS)[:5]}
    picture = gene_map(found)
    assert picture is not None
    assert picture.source.startswith("data:image/")
    rows = {row.title: row for row in gene_table(found).rows[:3]}
    assert all(cell.text for cell in rows[TOKENS].cells)
    assert rows[TOKENS].note == "60 genes"


def test_vectors_without_any_order_refute_the_claim_and_without_sets_it_stays_open(
    table: DeltaTable, plate_split: Split
) -> None:
    at_random = np.random.default_rng(5).normal(size=(60, 16)).astype(np.float32)

    refuted = gene_observation(look(table, plate_split, at_random, SETS))
    without = look(table, plate_split, planted(0), {})

    assert refuted.verdict == "refuted, neighbours share sets no oftener than chance"
    assert gene_observation(without).verdict.startswith("not decided: no gene sets were given")
    assert without.map_G2 is None
    assert gene_map(without) is None
