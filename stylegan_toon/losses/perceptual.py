"""The perceptual distance: features of a network, compared place by place."""

from collections.abc import Sequence

import torch
from torch import Tensor


def unit_maps(maps: Tensor) -> Tensor:
    """Features [N, C, h, w] with those of every place brought to length 1 (0 stays 0)."""
    # vector_norm has a gradient of 0 at 0, where the root of a sum of squares has none
    return maps / (torch.linalg.vector_norm(maps, dim=1, keepdim=True) + 1e-10)


def map_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Squared distance of the features of a place, averaged over places and summed over layers, [N].

    a, b: feature maps [N, C, h, w], layer by layer, scaled by unit_maps and a network's own weights; no
        gradient reaches b. Source: Zhang et al. 2018, arXiv 1801.03924, eq. 1.
    """
    pairs = zip(a, b, strict=True)
    return torch.stack([(x - y.detach()).square().sum(1).mean([1, 2]) for x, y in pairs]).sum(0)
