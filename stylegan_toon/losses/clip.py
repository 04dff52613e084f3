"""Losses between pictures and texts."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def prompt_loss(
    pictures: Tensor, prompts: Tensor, labels: Tensor, sizes: Sequence[int], scale: Tensor
) -> Tensor:
    """Cross-entropy of naming each picture by the nearest prompt of a group, averaged; one value a group.

    Args:
        pictures: [N, E] of length 1.
        prompts: [sum of sizes, E] of length 1: one text for each member of each group, group after group.
        labels: [N, G] int64, the member of each group; -1 where it is not known.
        scale: a scalar, 1 / temperature.
    Returns: [G]; 0 for a group of which nothing is known.
    Source: Radford et al. 2021, arXiv 2103.00020, 3.1, with its zero-shot classifier trained as it is used.
    """
    groups = (pictures @ prompts.T * scale).split(list(sizes), dim=1)
    out = []
    for logits, label in zip(groups, labels.unbind(1), strict=True):
        total = F.cross_entropy(logits, label, ignore_index=-1, reduction="sum")
        out.append(total / (label >= 0).sum().clamp(min=1))
    return torch.stack(out)


def caption_loss(pictures: Tensor, captions: Tensor, wrong: Tensor, scale: Tensor) -> Tensor:
    """Contrastive loss over pairs, both ways, against those captions alone that are wrong for a picture.

    Args:
        pictures, captions: [N, E] of length 1, pair by pair.
        wrong: [N, N] bool, whether caption j contradicts picture i; the others are no evidence against it.
        scale: a scalar, 1 / temperature.
    Source: Radford et al. 2021, arXiv 2103.00020, figure 3. Masked: a caption fits many pictures.
    """
    own = torch.eye(len(pictures), dtype=torch.bool, device=pictures.device)
    logits = (pictures @ captions.T * scale).masked_fill(~(wrong | own), -torch.inf)
    target = torch.arange(len(pictures), device=pictures.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
