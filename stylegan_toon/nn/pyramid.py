"""GANILLA's generator, a ResNet-18 that concatenates, under a feature pyramid; and CAMGAN's, with attention.
Source: Hicsonmez et al. 2020, arXiv 2002.05638, section 3.1, and giddyyupp/ganilla (widths; its pyramid
weights are 1, which is left out).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_toon.nn.attention import ECA
from stylegan_toon.nn.norm import small_weights


class ConcatBlock(nn.Module):
    """Two 3x3 convolutions, laid beside what came in, and a third of both; edges reflected, no bias."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, bias=False)
        same = stride == 1 and n_in == n_out
        self.skip = None if same else nn.Conv2d(n_in, n_out, 1, stride, bias=False)
        self.merge = nn.Conv2d(2 * n_out, n_out, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv1(_reflected(x))))
        y = F.instance_norm(self.conv2(_reflected(y)))
        skip = x if self.skip is None else F.instance_norm(self.skip(x))
        return F.relu(F.instance_norm(self.merge(_reflected(torch.cat([y, skip], 1)))))


class PyramidGenerator(nn.Module):
    """[N, 3, H, W] in [-1, 1] -> the same; H and W multiples of 16, from 32 up."""

    multiple, least = 16, 32

    def __init__(self, width: int = 64, attention: bool = False):
        """attention: channel attention on what each of the four layers hands to the pyramid."""
        super().__init__()
        widths = (width, 2 * width, 2 * width, 4 * width)
        self.stem = nn.Conv2d(3, width, 7)
        self.layers = nn.ModuleList()
        for k, (n_in, n_out) in enumerate(pairwise((width, *widths))):
            first = ConcatBlock(n_in, n_out, 2 if k else 1)
            self.layers.append(nn.Sequential(first, ConcatBlock(n_out, n_out, 1)))
        self.attention = nn.ModuleList(ECA(n) if attention else nn.Identity() for n in widths)
        self.laterals = nn.ModuleList(nn.Conv2d(n, 2 * width, 1) for n in widths)
        self.smooth = nn.Conv2d(2 * width, width, 3)
        self.to_rgb = nn.Conv2d(width, 3, 7)
        small_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.instance_norm(self.stem(_reflected(x, 3))))
        x = F.max_pool2d(_reflected(x), 3, 2)
        handed = []
        for layer, attend, lateral in zip(self.layers, self.attention, self.laterals, strict=True):
            x = layer(x)
            handed.append(lateral(attend(x)))
        y = handed.pop()
        while handed:
            y = handed.pop() + F.interpolate(y, scale_factor=2.0, mode="nearest")
        y = self.smooth(_reflected(F.interpolate(y, scale_factor=2.0, mode="nearest")))
        return torch.tanh(self.to_rgb(_reflected(y, 3)))


def _reflected(x: Tensor, edge: int = 1) -> Tensor:
    return F.pad(x, (edge,) * 4, mode="reflect")
