"""Penalties: R1 and R2 for the discriminator, path length for the generator, L2-SP for what is fine-tuned,
and for noise that is optimised."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def r1_penalty(scores: Tensor, pictures: Tensor) -> Tensor:
    """mean over samples of the squared gradient of D at real pictures, half of it: 1/2 E ||grad D(x)||^2.

    At pictures of the generator it is R2.

    Args:
        scores: [N], computed from pictures with a graph.
        pictures: [N, 3, H, W], requiring gradients.
    Returns: a scalar with a graph to the discriminator; multiply by gamma.
    Source: Mescheder et al. 2018, arXiv 1801.04406, eq. 9.
    """
    (gradient,) = torch.autograd.grad(scores.float().sum(), pictures, create_graph=True)
    return gradient.float().square().sum([1, 2, 3]).mean() / 2


def path_length_penalty(
    pictures: Tensor, w_plus: Tensor, mean: Tensor, decay: float = 0.01, y: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(||J_w^T y|| - a)^2 with y a random picture of unit size and a the running mean of that length.

    Args:
        pictures: [N, 3, H, W], computed from w_plus with a graph.
        w_plus: [N, L, D], requiring gradients; the length is the root of the mean over L of sums over D.
        mean: scalar, the running mean a before this step.
        decay: how far a moves towards this batch's mean length.
        y: [N, 3, H, W] from N(0, 1), scaled here; drawn if not given.
    Returns: the penalty, a scalar with a graph, and the new mean, without one.
    Source: Karras et al. 2020, arXiv 1912.04958, section 3.2.
    """
    y = (torch.randn_like(pictures) if y is None else y) / (pictures.shape[2] * pictures.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((pictures * y).sum(), w_plus, create_graph=True)
    lengths = gradient.float().square().sum(2).mean(1).sqrt()
    new_mean = torch.lerp(mean, lengths.detach().mean(), decay)
    return (lengths - new_mean).square().mean(), new_mean


def l2_sp(parameters: Iterable[Tensor], starts: Iterable[Tensor]) -> Tensor:
    """1/2 sum (w - w_0)^2: half the squared distance of weights to where fine-tuning began.

    parameters, starts: tensors of equal shapes, in one order; no gradient reaches starts. Returns a scalar.
    Source: Li et al. 2018, arXiv 1802.01483 (L2-SP), without its term for layers that had no beginning.
    """
    pairs = zip(parameters, starts, strict=True)
    return torch.stack([(w - start.detach()).square().sum() for w, start in pairs]).sum() / 2


def noise_penalty(maps: Sequence[Tensor]) -> Tensor:
    """How far noise is from white: the squared correlation with itself one pixel on, down and across, [N].

    Summed over the maps, and over each one's halvings down to 8x8 (the mean of 2x2, times 2, so that white
    noise keeps its variance).
    maps: [N, 1, r, r], one a noise input.
    Source: Karras et al. 2020, arXiv 1912.04958, appendix D.
    """
    terms = []
    for noise in maps:
        while True:
            terms += [(noise * noise.roll(1, axis)).mean([1, 2, 3]).square() for axis in (2, 3)]
            if noise.shape[2] <= 8:
                break
            noise = F.avg_pool2d(noise, 2) * 2
    return torch.stack(terms).sum(0)
