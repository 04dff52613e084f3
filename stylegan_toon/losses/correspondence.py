"""Keeping how the child's pictures differ from each other as the source's do."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def correspondence_loss(child: Sequence[Tensor], source: Sequence[Tensor], group: int) -> Tensor:
    """KL(child || source) of how alike a picture is to the others of its group, averaged over layers.

    How alike: a softmax over the cosines between a picture's features and each other picture's.
    Args:
        child, source: features [N, ...] of the same codes, layer by layer; no gradient reaches the source.
        group: from 3 up, a divisor of N; pictures i, i + N / group, ... are a group, as in MinibatchStdDev.
    Returns: a float32 scalar, 0 where both agree.
    Raises: ValueError if group is below 3 (one neighbour is always likeliest) or does not divide N.
    Source: Ojha et al. 2021, arXiv 2104.06820, section 3.1. Deviations: the paper sums over pictures and
        layers, this is the mean, so that its size does not depend on them (their code draws one layer at
        random and divides by group - 1 as well); without their second, patchwise discriminator.
    """
    n = len(child[0])
    if group < 3 or n % group:
        raise ValueError(f"correspondence needs groups of 3 or more: {n} pictures in groups of {group}")
    terms = []
    for mine, theirs in zip(child, source, strict=True):
        p, q = _log_likeness(mine, group), _log_likeness(theirs.detach(), group)
        terms.append((p.exp() * (p - q)).sum(2).mean())
    return torch.stack(terms).mean()


def _log_likeness(features: Tensor, group: int) -> Tensor:
    """[N / group, group, group - 1]: log of each picture's softmax over the others of its group."""
    x = F.normalize(features.flatten(1).float(), dim=1)
    x = x.reshape(group, -1, x.shape[1]).transpose(0, 1)
    others = ~torch.eye(group, dtype=torch.bool, device=x.device)
    cosines = (x @ x.transpose(1, 2))[:, others].reshape(-1, group, group - 1)
    return cosines.log_softmax(2)
