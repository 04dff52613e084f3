"""Attention over channels."""

import math

import torch
from torch import Tensor, nn


def eca_kernel(channels: int) -> int:
    """|log2(C) / 2 + 1 / 2|, cut to a whole number and, where that is even, one more."""
    whole = int(abs(math.log2(channels) / 2 + 0.5))
    return whole if whole % 2 else whole + 1


class ECA(nn.Module):
    """x times sigmoid of a convolution of its means over neighbouring channels: efficient channel attention.

    Source: Wang et al. 2020, arXiv 1910.03151, eqs. 5, 6 and 12.
    """

    def __init__(self, channels: int):
        super().__init__()
        kernel = eca_kernel(channels)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same."""
        share = torch.sigmoid(self.conv(x.mean([2, 3])[:, None])[:, 0])
        return x * share[:, :, None, None]
