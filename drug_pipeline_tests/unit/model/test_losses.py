import math

import pytest
import torch

from drug_pipeline.model.losses import (
    drug_softmax_loss,
    is_negative,
    multi_positive_infonce,
    rank_loss,
    sampled_bce,
    weighted_mse,
)


def ranked(predicted, measured, *, line, parent, evidence=None, tau=1.0) -> float:
    loss = rank_loss(
        torch.tensor(predicted),
        torch.tensor(measured),
        line_B=torch.tensor(line),
        parent_B=torch.tensor(parent),
        evidence_B=torch.full((len(line),), 1e9) if evidence is None else torch.tensor(evidence),
        tau=tau,
    )
    return float(loss)


def test_weighted_mse_of_a_worked_example():
    predicted_BG = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    measured_BG = torch.tensor([[0.0, 0.0], [2.0, 0.0]])

    loss = weighted_mse(predicted_BG, measured_BG, torch.tensor([3.0, 1.0]))

    assert float(loss) == pytest.approx((3 * 5.0 + 1 * 2.0) / 4)  # per condition 5 and 2


def test_negatives_are_of_the_same_line_and_another_parent():
    line_B = torch.tensor([0, 0, 0, 1])
    parent_B = torch.tensor([7, 7, 8, 8])

    assert is_negative(line_B, parent_B).tolist() == [
        [False, False, True, False],  # row 1 is a twin or another dose, row 3 another line
        [False, False, True, False],
        [True, True, False, False],
        [False, False, False, False],
    ]


def test_rank_loss_of_a_worked_example():
    axes = [[1.0, 0.0], [0.0, 1.0]]

    loss = ranked(axes, axes, line=[0, 0], parent=[1, 2])

    # own cosine 1, the other 0, two candidates; divided by ln 2
    assert loss == pytest.approx(math.log(1 + math.exp(-1)) / math.log(2), rel=1e-5)


def test_rank_loss_of_predictions_that_say_nothing_is_that_of_chance():
    same = [[1.0, 0.0]] * 3

    assert ranked(same, same, line=[0, 0, 0], parent=[1, 2, 3]) == pytest.approx(1.0, rel=1e-5)


def test_a_twin_is_never_a_negative():
    predicted = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    measured = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]

    with_twin = ranked(predicted, measured, line=[0, 0, 0], parent=[1, 1, 2])
    without = ranked(predicted[1:], measured[1:], line=[0, 0], parent=[1, 2])

    as_strangers = ranked(predicted, measured, line=[0, 0, 0], parent=[1, 3, 2])
    assert with_twin < as_strangers
    assert with_twin == pytest.approx(
        (2 * without * math.log(2) + 0 * without) / (3 * math.log(2)) + _third(), rel=1e-4
    )


def _third() -> float:
    """The condition of the other parent has two negatives: 3 candidates, cosines 1, 0, 0."""
    own = math.log(math.e + 2) - 1
    return own / math.log(3) / 3


def test_conditions_without_a_negative_do_not_count():
    rows = [[1.0, 0.0], [0.0, 1.0]]

    assert ranked(rows, rows, line=[0, 1], parent=[1, 2]) == 0.0


def test_a_condition_without_evidence_does_not_count():
    predicted = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    measured = [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]
    line, parent = [0, 0, 0], [1, 2, 3]

    wrong = ranked(predicted, measured, line=line, parent=parent, evidence=[1e9, 1e9, 1e9])
    ignored = ranked(predicted, measured, line=line, parent=parent, evidence=[1e9, 1e9, 0.0])

    assert ignored < wrong


def test_softmax_over_drugs_of_a_worked_example():
    query_BK = torch.tensor([[1.0, 0.0]])
    drugs_DK = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    loss = drug_softmax_loss(
        query_BK,
        drugs_DK,
        is_positive_BD=torch.tensor([[True, False]]),
        weight_B=torch.ones(1),
        inverse_tau=torch.tensor(2.0),
    )

    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)


def test_a_twin_in_the_softmax_counts_as_right():
    query_BK, drugs_DK = torch.tensor([[1.0, 0.0]]), torch.eye(2)

    loss = drug_softmax_loss(
        query_BK,
        drugs_DK,
        is_positive_BD=torch.tensor([[True, True]]),
        weight_B=torch.ones(1),
        inverse_tau=torch.tensor(5.0),
    )

    assert float(loss) == pytest.approx(0.0, abs=1e-6)


def test_a_query_whose_drug_is_hidden_counts_nothing_and_sends_no_gradient():
    query_BK = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)

    loss = drug_softmax_loss(
        query_BK,
        torch.eye(2),
        is_positive_BD=torch.tensor([[True, False], [False, False]]),
        weight_B=torch.ones(2),
        inverse_tau=torch.tensor(2.0),
    )
    torch.autograd.backward(loss)

    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    assert query_BK.grad is not None
    assert query_BK.grad[1].tolist() == [0.0, 0.0]


def test_sampled_bce_of_a_worked_example():
    cosine_BT = torch.tensor([[0.1, 0.0, -0.1]])
    is_target_BT = torch.tensor([[True, False, False]])

    loss = sampled_bce(cosine_BT, is_target_BT, n_negatives=1)

    # logits are ten times the cosine; the hardest negative has logit 0
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2), rel=1e-5)


def test_losses_over_targets_are_0_where_no_drug_has_one():
    cosine_BT = torch.zeros(2, 3)
    nothing = torch.zeros(2, 3, dtype=torch.bool)

    assert float(sampled_bce(cosine_BT, nothing, n_negatives=2)) == 0.0
    assert float(multi_positive_infonce(cosine_BT, nothing, tau=0.1)) == 0.0


def test_multi_positive_infonce_of_a_worked_example():
    cosine_BT = torch.tensor([[1.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    is_target_BT = torch.tensor([[True, True, False], [False, False, False]])

    loss = multi_positive_infonce(cosine_BT, is_target_BT, tau=1.0)

    assert float(loss) == pytest.approx(math.log((2 * math.e + 1) / (2 * math.e)), rel=1e-5)
