from dataclasses import replace

import numpy as np
import pytest

from drug_pipeline.domain import names
from drug_pipeline.domain.errors import CheckpointError, EmptyResultError
from drug_pipeline.training.network.checkpoint import load_module
from drug_pipeline.training.prototype import FittedPrototype, fit_prototype
from drug_pipeline_tests.unit.training.conftest import pair_split


@pytest.fixture(scope="module")
def fitted(world, tiny) -> FittedPrototype:
    loop = replace(tiny.prototype.loop, n_epochs=20, learning_rate=3e-3)
    config = replace(tiny, prototype=replace(tiny.prototype, loop=loop))
    return fit_prototype(
        world.table,
        world.features,
        pair_split(world),
        config,
        drugs=world.drugs,
        cell_lines=world.cell_lines,
    )


def test_target_genes_come_first_into_the_panel(world, tiny):
    small = replace(tiny.prototype.model, n_gene_tokens=4)
    config = replace(
        tiny,
        prototype=replace(
            tiny.prototype, model=small, loop=replace(tiny.prototype.loop, n_epochs=0)
        ),
    )

    fitted = fit_prototype(
        world.table,
        world.features,
        pair_split(world),
        config,
        drugs=world.drugs,
        cell_lines=world.cell_lines,
    )

    assert set(fitted.vocabulary.panel_P) <= {0, 1, 2, 4, 5}  # GENE0 to GENE5 are targets


def test_the_prototype_ranks_targets_and_drugs_of_every_test_condition(fitted, world):
    predictions = fitted.predictions(world.table)

    assert not predictions.predictions
    target, drug = (predictions.rankings[task] for task in (names.TARGET_TASK, names.DRUG_TASK))
    n_queries = len(predictions.rows_N)
    assert target.gallery == fitted.vocabulary.targets
    assert target.scores["target_matching"].shape == (n_queries, len(target.gallery))
    assert drug.scores["drug_tower"].shape == (n_queries, 14)


def test_training_finds_targets_better_than_chance(fitted):
    n_targets = len(fitted.vocabulary.targets)
    chance = np.mean(1.0 / np.arange(1, n_targets + 1))

    assert fitted.figures[fitted.shipped_target]["mrr"] > chance + 0.1


def test_a_saved_prototype_belongs_to_its_genes(fitted, tmp_path):
    fitted.save(tmp_path / "prototype")

    document, tensors = load_module(tmp_path / "prototype", fitted.identity)

    assert document["targets"] == list(fitted.vocabulary.targets)
    assert set(tensors) == set(fitted.model.state_dict())
    with pytest.raises(CheckpointError, match="in another order"):
        load_module(
            tmp_path / "prototype",
            replace(fitted.identity, genes=fitted.identity.genes[::-1]),
        )


def test_drugs_without_any_known_target_leave_nothing_to_match(world, tiny):
    nothing = world.drugs.assign(targets=[[] for _ in range(len(world.drugs))])

    with pytest.raises(EmptyResultError, match="none of 14 training drugs has a known target"):
        fit_prototype(
            world.table,
            world.features,
            pair_split(world),
            tiny,
            drugs=nothing,
            cell_lines=world.cell_lines,
        )
