"""Quality targets as levels, and the losses shared by the stages."""

import torch
import torch.nn.functional as F

LEVEL_SCORES = (100.0, 75.0, 50.0, 25.0, 0.0)


def level_score(logits: torch.Tensor) -> torch.Tensor:
    """Logits [..., 5] (high to low) to the expected score 0..100."""
    return (logits.softmax(-1) * logits.new_tensor(LEVEL_SCORES)).sum(-1)


def soft_levels(score: torch.Tensor) -> torch.Tensor:
    """Scores [n] 0..100 to level weights [n,5]: a linear split between the two nearest levels."""
    place = ((100 - score) / 25).clamp(0, 4)
    lower = place.floor().clamp(0, 3).long()
    share = (place - lower).unsqueeze(1)
    weights = torch.zeros(len(score), 5, dtype=score.dtype)
    return weights.scatter_(1, lower[:, None], 1 - share).scatter_add_(1, lower[:, None] + 1, share)


def rank_loss(score: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Pairwise hinge in a batch: a pair must differ by its target difference, at most by 20 points."""
    wanted, got = target[:, None] - target[None], score[:, None] - score[None]
    return F.relu(0.05 * wanted.abs().clamp(max=20) - 0.05 * got * wanted.sign()).mean()


# Points by which two rungs of a ladder differ beyond doubt.
ORDER_POINTS = 0.5


def order_loss(score: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Pairwise logistic loss (RankNet; Burges et al., ICML 2005): every pair counts alike, however little its targets
    differ, which is what tells the rungs of a ladder near transparency apart."""
    wanted, got = target[:, None] - target[None], score[:, None] - score[None]
    return F.softplus(-got[wanted > 0] / ORDER_POINTS).sum() / max(1, len(score) * (len(score) - 1) // 2)


def quality_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Soft-label cross-entropy over the five levels, distance of the expected score, and rank in the batch."""
    score = level_score(logits)
    levels = -(soft_levels(target) * logits.log_softmax(-1)).sum(1).mean()
    return levels + F.smooth_l1_loss(score / 10, target / 10) + rank_loss(score, target)
