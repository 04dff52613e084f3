"""The guided filter: smooths one picture along the edges of another."""

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mean(x: Tensor, radius: int) -> Tensor:
    """The mean over the part of a square of 2 radius + 1 that lies inside the picture, [N, C, H, W]."""
    return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


def guided_filter(guide: Tensor, x: Tensor, radius: int, eps: float) -> Tensor:
    """x as a line a * guide + b in every window, averaged over the windows that hold a pixel.

    Args:
        guide, x: [N, C, H, W] of one shape; channel c of x follows channel c of guide.
        eps: the guide's variance below which a window is flattened.
    Returns: [N, C, H, W], differentiable in both.
    Source: He, Sun and Tang 2010 (ECCV, "Guided Image Filtering"), eqs. 5, 6 and 8.
    """
    both = torch.cat([guide, x, guide * x, guide * guide], 1)
    mean_g, mean_x, mean_gx, mean_gg = box_mean(both, radius).chunk(4, 1)
    a = (mean_gx - mean_g * mean_x) / (mean_gg - mean_g * mean_g + eps)
    a_mean, b_mean = box_mean(torch.cat([a, mean_x - a * mean_g], 1), radius).chunk(2, 1)
    return a_mean * guide + b_mean
