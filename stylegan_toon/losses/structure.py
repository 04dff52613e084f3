"""Keeping the child's layout near the source's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def structure_loss(target: Sequence[Tensor], source: Sequence[Tensor], n_layers: int) -> Tensor:
    """Mean squared gap between the first n_layers toRGB outputs of two generators, summed over layers.

    Both run from 4x4 upwards and hold [N, 3, H, H], or features [N, C, H, H]; no gradient reaches the source.
    Returns a float32 scalar.
    Raises: ValueError if n_layers is not in 1..the shorter list.
    Source: Back 2021, arXiv 2106.12445. CPTR eq. 2 leaves the norm open; this is the squared one. The code
        that Back released (Cartoon-StyleGAN) takes the features before toRGB, from 8x8 up.
    """
    if not 0 < n_layers <= min(len(target), len(source)):
        raise ValueError(f"n_layers={n_layers}, but there are {len(target)} and {len(source)} layers")
    pairs = zip(target[:n_layers], source[:n_layers], strict=True)
    return torch.stack([(t.float() - s.detach().float()).square().mean() for t, s in pairs]).sum()


def lowpass_loss(target: Tensor, source: Tensor, times: int = 4) -> Tensor:
    """Mean squared gap between pictures [N, C, H, H] at 1/times of their size, by means of squares of pixels.

    No gradient reaches the source. Returns a float32 scalar.
    Raises: ValueError if times does not divide H.
    """
    if target.shape[-1] % times:
        raise ValueError(f"pictures of {target.shape[-1]} px cannot be compared at 1/{times} of their size")
    small = F.avg_pool2d(target.float(), times), F.avg_pool2d(source.detach().float(), times)
    return (small[0] - small[1]).square().mean()
