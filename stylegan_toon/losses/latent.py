"""Losses between codes, and between a picture and its reconstruction."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Both eyes with their brows and the mouth in an aligned square: middle, and half of width and height
PARTS = ((0.37, 0.46, 0.085, 0.06), (0.62, 0.46, 0.085, 0.06), (0.5, 0.735, 0.13, 0.055))


def offset_loss(w_plus: Tensor) -> Tensor:
    """Mean squared distance of each layer's code to the sample's mean code: 0 for codes of W.

    w_plus: [N, L, D]. Returns a scalar. Source: Tov et al. 2021, arXiv 2102.02766, section 4.1.
    """
    return (w_plus - w_plus.mean(1, keepdim=True)).square().mean()


def part_weights(size: int, parts: float) -> Tensor:
    """[1, 1, size, size], float64, of mean 1: eyes, brows and mouth count 1 + parts times as much."""
    weights = 1 + parts * part_mask(size)
    return weights / weights.mean()


def part_mask(size: int, parts: Sequence[tuple[float, ...]] = PARTS) -> Tensor:
    """[1, 1, size, size], float64: 1 in the middle of eyes with brows and of the mouth, 0 elsewhere, softly.

    For aligned squares (faces.align), in which these parts always lie at the same places; not of a paper. A
    multiple of 2^-10, so that it is the same on every machine.
    """
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size

    def along(middle: float, half: float) -> Tensor:
        return ((at - middle) / half).square().square()

    inside = torch.zeros(size, size, dtype=torch.float64)
    for x, y, wide, high in parts:
        part = 1 - 0.3 * (along(y, high)[:, None] + along(x, wide))
        inside = inside.maximum((part * 1024).round() / 1024)
    return inside[None, None]


def pyramid_l1(a: Tensor, b: Tensor, levels: int = 3, weights: Tensor | None = None) -> Tensor:
    """Mean absolute difference at full size and at levels - 1 halvings, averaged.

    a, b: [N, 3, H, W] in [-1, 1]. Returns a scalar.
    weights: [1, 1, H, W], of the places; None means that all count alike.
    """
    terms = []
    for level in range(levels):
        if level:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            weights = None if weights is None else F.avg_pool2d(weights, 2)
        gap = (a - b).abs()
        terms.append((gap if weights is None else gap * weights).mean())
    return torch.stack(terms).mean()


def feature_l1(a: Sequence[Tensor], b: Sequence[Tensor], sizes: Tensor | None = None) -> Tensor:
    """Mean absolute difference of features, layer by layer, each divided by the mean size of b's; averaged.

    a, b: feature maps of equal shapes; no gradient reaches b. Returns a float32 scalar.
    sizes: feature_sizes of a batch of which b is a part; None means b's own.
    """
    sizes = feature_sizes(b) if sizes is None else sizes
    gaps = [(x.float() - y.detach().float()).abs().mean() for x, y in zip(a, b, strict=True)]
    return torch.stack([gap / (size + 1e-8) for gap, size in zip(gaps, sizes, strict=True)]).mean()


def feature_sizes(features: Sequence[Tensor]) -> Tensor:
    """[layers], the mean absolute value of each feature map, without a graph."""
    return torch.stack([y.detach().float().abs().mean() for y in features])


def step_l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the steps between neighbouring pixels, across and down, averaged.

    a, b: [N, C, H, W] of at least 2 x 2. Returns a scalar: 0 for pictures that differ by a constant.
    """
    gap = a - b
    return (gap.diff(dim=3).abs().mean() + gap.diff(dim=2).abs().mean()) / 2
