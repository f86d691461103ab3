"""The loss terms of both models, one function each.

Shapes: B = batch, G = genes, K = tower width, D = drugs of the softmax, T = targets.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mse(predicted_BG: Tensor, measured_BG: Tensor, weight_B: Tensor) -> Tensor:
    """Mean squared error over genes and conditions, each condition weighted by its evidence."""
    per_condition_B = (predicted_BG - measured_BG).square().mean(dim=1)
    return (weight_B * per_condition_B).sum() / weight_B.sum().clamp(min=1e-12)


def is_negative(line_B: Tensor, parent_B: Tensor) -> Tensor:
    """Which columns are negatives of which rows (B, B): same line, another parent compound.

    The same drug at another dose, and twins (another salt or stereoisomer), are never negatives.
    """
    is_same_line = line_B[:, None] == line_B[None, :]
    is_same_parent = parent_B[:, None] == parent_B[None, :]
    return is_same_line & ~is_same_parent


def rank_loss(
    predicted_BG: Tensor,
    measured_BG: Tensor,
    *,
    line_B: Tensor,
    parent_B: Tensor,
    evidence_B: Tensor,
    tau: float,
) -> Tensor:
    """InfoNCE that asks each predicted Δ to be nearest to its own measured Δ, and the reverse.

    Both are CENTRED TOTAL Δ (base plus residual, minus the training mean of the line), compared
    by cosine. Each condition weighs e / (1 + e), e its signal to noise; the term of a condition
    is divided by the log of its number of candidates, so that chance is about 1 for any batch.

    Notes
    -----
    Conditions without a negative in the batch do not count; without any the loss is 0.
    """
    cosine_BB = F.normalize(predicted_BG, dim=1) @ F.normalize(measured_BG, dim=1).T
    is_candidate_BB = is_negative(line_B, parent_B)
    n_negatives_B = is_candidate_BB.sum(dim=1)
    is_candidate_BB = is_candidate_BB | torch.eye(
        len(line_B), dtype=torch.bool, device=line_B.device
    )
    logits_BB = (cosine_BB / tau).masked_fill(~is_candidate_BB, -torch.inf)
    own_B = logits_BB.diagonal()
    per_condition_B = 0.5 * (logits_BB.logsumexp(1) + logits_BB.logsumexp(0)) - own_B
    log_candidates_B = (n_negatives_B + 1.0).log().clamp(min=math.log(2.0))
    weight_B = evidence_B / (1.0 + evidence_B) * (n_negatives_B > 0)
    weighted = (weight_B * per_condition_B / log_candidates_B).sum()
    return weighted / weight_B.sum().clamp(min=1e-12)


def drug_softmax_loss(
    query_BK: Tensor,
    drugs_DK: Tensor,
    *,
    is_positive_BD: Tensor,
    weight_B: Tensor,
    inverse_tau: Tensor,
) -> Tensor:
    """Multi-positive softmax over ALL training drugs: -log of the share of the positives.

    ``is_positive_BD`` marks the drug and its twins, so a twin never counts against it; a query
    without one (an ablation may hide its drug) counts nothing. This is the CLIP term between the
    expression tower and the drug tower.
    """
    logits_BD = inverse_tau * query_BK @ drugs_DK.T
    has_positive_B = is_positive_BD.any(dim=1)
    is_other_BD = ~is_positive_BD & has_positive_B[:, None]
    positive_BD = logits_BD.masked_fill(is_other_BD, -torch.inf)
    per_query_B = logits_BD.logsumexp(dim=1) - positive_BD.logsumexp(dim=1)
    weight_B = weight_B * has_positive_B
    return (weight_B * per_query_B).sum() / weight_B.sum().clamp(min=1e-12)


def sampled_bce(cosine_BT: Tensor, is_target_BT: Tensor, *, n_negatives: int) -> Tensor:
    """Binary cross-entropy of drug-target cosines on all positives and some negatives.

    The ``n_negatives`` hardest negatives a row stand in for all of them: targets are few, and the
    mean over every non-target drowns them.
    """
    logits_BT = cosine_BT * 10.0
    is_positive_BT = is_target_BT.bool()
    negative_BT = logits_BT.masked_fill(is_positive_BT, -torch.inf)
    n_negatives = min(n_negatives, logits_BT.shape[1])
    hardest_BN = negative_BT.topk(n_negatives, dim=1).values
    negative_terms = F.softplus(hardest_BN[torch.isfinite(hardest_BN)])
    positive_terms = F.softplus(-logits_BT[is_positive_BT])
    if len(positive_terms) == 0 or len(negative_terms) == 0:
        return logits_BT.sum() * 0.0
    return positive_terms.mean() + negative_terms.mean()


def multi_positive_infonce(cosine_BT: Tensor, is_target_BT: Tensor, *, tau: float) -> Tensor:
    """-log of the softmax share that falls on any of a drug's targets; rows without one skipped."""
    is_positive_BT = is_target_BT.bool()
    has_target_B = is_positive_BT.any(dim=1)
    if not bool(has_target_B.any()):
        return cosine_BT.sum() * 0.0
    logits_BT = cosine_BT[has_target_B] / tau
    positive_BT = logits_BT.masked_fill(~is_positive_BT[has_target_B], -torch.inf)
    return (logits_BT.logsumexp(dim=1) - positive_BT.logsumexp(dim=1)).mean()
