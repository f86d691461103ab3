import pytest
import torch

from drug_pipeline.model.config import PrototypeConfig
from drug_pipeline.model.prototype import TargetPrototype


def small_prototype() -> TargetPrototype:
    torch.manual_seed(0)
    return TargetPrototype(
        PrototypeConfig(width=8, n_heads=2, n_gene_tokens=5, tower_width=4),
        n_panel_genes=5,
        n_organs=3,
        n_targets=6,
        n_chemistry=7,
    ).eval()


def test_the_prototype_scores_targets_and_drugs_by_cosine():
    model = small_prototype()

    query_BK = model(torch.randn(2, 5), torch.tensor([0, 2]))
    targets_BT = model.target_scores(query_BK)

    torch.testing.assert_close(query_BK.norm(dim=1), torch.ones(2))
    assert targets_BT.shape == (2, 6)
    assert float(targets_BT.detach().abs().max()) <= 1.0 + 1e-6
    torch.testing.assert_close(model.embed_drugs(torch.randn(3, 7)).norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("n_genes", [0, 257])
def test_a_panel_beyond_its_size_is_refused(n_genes):
    with pytest.raises(ValueError, match=f"reads 1 to 256 genes, got {n_genes}"):
        PrototypeConfig(n_gene_tokens=n_genes)


def test_the_prototype_knows_the_organ_and_every_gene_of_its_panel():
    model = small_prototype()
    signature_BP = torch.randn(1, 5)
    before_BK = model(signature_BP, torch.tensor([0]))

    assert not torch.allclose(model(signature_BP, torch.tensor([2])), before_BK)
    for gene in range(5):
        changed_BP = signature_BP.clone()
        changed_BP[:, gene] += 1.0
        assert not torch.allclose(model(changed_BP, torch.tensor([0])), before_BK)
