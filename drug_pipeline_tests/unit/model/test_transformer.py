from dataclasses import fields, replace

import pytest
import torch

from drug_pipeline.model.config import ModelConfig
from drug_pipeline.model.interface import DrugInputs, ForwardInputs, InverseInputs, ModelSizes
from drug_pipeline.model.transformer import DrugTransformer

SIZES = ModelSizes(n_genes=12, n_chemistry=6, n_cell=3, n_profile=4, n_drugs=5)
CONFIG = ModelConfig(width=8, n_heads=2, n_gene_tokens=4, signature_width=8, tower_width=4)


def network(**changes: object) -> DrugTransformer:
    torch.manual_seed(0)
    config = replace(CONFIG, **changes)
    return DrugTransformer(config, SIZES, torch.arange(config.n_gene_tokens)).eval()


def questions(n: int = 7) -> ForwardInputs:
    generator = torch.Generator().manual_seed(1)
    drug = DrugInputs(
        chemistry_BF=torch.randn(n, 6, generator=generator),
        has_chemistry_B=torch.ones(n),
        dose_B3=torch.randn(n, 3, generator=generator),
        drug_id_B=torch.arange(n) % 6,
        profile_BP=torch.randn(n, 4, generator=generator),
        has_profile_B=torch.ones(n),
    )
    return ForwardInputs(
        drug=drug,
        cell_BC=torch.randn(n, 3, generator=generator),
        control_BT=torch.randn(n, 4, generator=generator),
    )


def signatures(n: int = 7) -> InverseInputs:
    generator = torch.Generator().manual_seed(2)
    return InverseInputs(
        cell_BC=torch.randn(n, 3, generator=generator),
        signature_BG=torch.randn(n, 12, generator=generator),
    )


def test_at_step_0_the_network_adds_exactly_nothing_to_its_base():
    assert torch.equal(network()(questions()), torch.zeros(7, 12))


def test_a_forward_question_has_no_field_for_anything_measured_on_treated_cells():
    assert {field.name for field in fields(ForwardInputs)} == {"drug", "cell_BC", "control_BT"}
    assert {field.name for field in fields(InverseInputs)} == {"cell_BC", "signature_BG"}


def test_what_is_neither_kind_of_question_is_refused():
    with pytest.raises(TypeError, match="expected ForwardInputs or InverseInputs, got Tensor"):
        network()(torch.zeros(1, 12))


@pytest.mark.parametrize("n_gene_tokens", [0, 4])
def test_with_and_without_gene_tokens_the_shapes_are_the_same(n_gene_tokens):
    model = network(n_gene_tokens=n_gene_tokens)

    assert model(questions()).shape == (7, 12)
    assert model(signatures()).shape == (7, 4)


def test_query_and_drug_vectors_have_unit_length():
    model = network()

    query_BK = model(signatures())
    drugs_DK = model.embed_drugs(torch.randn(5, 6), torch.arange(5))

    torch.testing.assert_close(query_BK.norm(dim=1), torch.ones(7))
    torch.testing.assert_close(drugs_DK.norm(dim=1), torch.ones(5))


def test_gene_tokens_hold_the_control_expression_of_the_line():
    model = network()
    torch.nn.init.normal_(model.head.weight)
    asked = questions()
    other = replace(asked, control_BT=asked.control_BT + 1.0)

    assert not torch.allclose(model(asked), model(other))


def test_features_of_a_drug_without_structure_do_not_count():
    model = network()
    torch.nn.init.normal_(model.head.weight)
    asked = questions()
    hidden = replace(asked, drug=replace(asked.drug, has_chemistry_B=torch.zeros(7)))
    other_drug = replace(hidden.drug, chemistry_BF=hidden.drug.chemistry_BF * 3.0)

    assert torch.equal(model(hidden), model(replace(hidden, drug=other_drug)))


def test_a_drug_never_trained_on_has_no_identity():
    model = network()

    assert not model.drug_identity.weight[0].any()
    assert not model.tower_identity.weight[0].any()


@pytest.mark.parametrize("hidden", ["identity", "profile", "tower identity"])
def test_what_is_known_of_a_drug_by_name_is_hidden_in_three_of_ten_training_examples(hidden):
    n = 4000
    model = network(id_dropout=ModelConfig().id_dropout)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    nothing, known = torch.zeros(n), torch.ones(n)
    drug = DrugInputs(
        chemistry_BF=torch.zeros(n, 6),
        has_chemistry_B=nothing,
        dose_B3=torch.zeros(n, 3),
        drug_id_B=torch.full((n,), 3 if hidden == "identity" else 0),
        profile_BP=torch.ones(n, 4),
        has_profile_B=known if hidden == "profile" else nothing,
    )

    def told() -> torch.Tensor:
        if hidden == "tower identity":
            return model.embed_drugs(drug.chemistry_BF, torch.full((n,), 3))
        return model.drug_token(drug)

    with torch.no_grad():
        in_use = told()
        model.train()
        in_training = told()

    assert (in_use == in_use[0]).all()
    is_hidden_B = ~torch.isclose(in_training, in_use[0], atol=1e-6).all(dim=1)
    assert 0.27 < float(is_hidden_B.float().mean()) < 0.33


def test_the_sharpness_of_the_softmax_is_capped():
    model = network()
    torch.nn.init.constant_(model.log_inverse_tau, 10.0)

    assert float(model.inverse_tau().detach()) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9}, "width 9 is not a multiple of n_heads 2"),
        ({"n_gene_tokens": -1}, "n_gene_tokens must not be negative"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"n_layers": 0}, "must be at least 1"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changes)


def test_without_its_cell_token_the_network_knows_the_line_by_gene_tokens_alone():
    asked, there = questions(), network(has_cell_token=True)
    blind = network(has_cell_token=False)
    for one in (there, blind):
        torch.nn.init.normal_(one.head.weight, generator=torch.Generator().manual_seed(3))
    other_line = replace(asked, cell_BC=asked.cell_BC + 1.0)
    other_controls = replace(asked, control_BT=asked.control_BT + 1.0)

    assert not torch.equal(there(asked), there(other_line))
    assert torch.equal(blind(asked), blind(other_line))
    assert not torch.equal(blind(asked), blind(other_controls))
    query = signatures()
    assert torch.equal(blind(query), blind(replace(query, cell_BC=query.cell_BC + 1.0)))


@pytest.mark.parametrize("has_skip", [True, False])
def test_the_read_out_sees_drug_line_and_their_product_past_the_encoder_where_it_has_a_skip(
    has_skip,
):
    model = network(has_skip=has_skip)
    torch.nn.init.normal_(model.head.weight)

    torch.autograd.backward(model(questions()).square().sum())

    assert (model.skip.weight.grad is not None) == has_skip
    if has_skip:  # 3 x width columns: drug, line, drug x line
        by_part = model.skip.weight.grad.reshape(8, 3, 8).abs().sum(dim=(0, 2))
        assert (by_part > 0).all()


def test_the_whole_signature_reaches_cls_and_not_its_token_genes_alone():
    model, query = network(), signatures()
    rest_BG = query.signature_BG.clone()
    rest_BG[:, 4:] += 1.0  # the tokens are genes 0 to 3

    assert not torch.allclose(model(query), model(replace(query, signature_BG=rest_BG)))


def test_the_two_modes_share_the_encoder_and_are_told_apart_by_a_token():
    asked, query = questions(), signatures()
    trained = {}
    for mode, inputs in enumerate((asked, query)):
        model = network()
        torch.nn.init.normal_(model.head.weight)
        torch.autograd.backward(model(inputs).square().sum() + model(inputs)[:, 0].sum())
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        trained[mode] = {name for name, grad in gradients.items() if grad.abs().any()}
        assert model.mode.grad[mode].any()
        assert not model.mode.grad[1 - mode].any()

    encoder = {name for name in trained[0] if name.startswith("encoder.")}
    assert encoder
    assert encoder <= trained[1]
    assert not any(name.startswith(("chemistry", "profile")) for name in trained[1])
