"""Blocks of UNIT and MUNIT: content and style encoders, a decoder, patch discriminators at several scales.

Convolutions pad by reflection and have a bias; instance norms have no parameters of their own.
Source: Liu et al. 2017, arXiv 1703.00848, and Huang et al. 2018, arXiv 1804.04732, as in the second version
of mingyuliutw/UNIT; written from the layers' description.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reflecting(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps H and W, or halves even ones at stride 2 and kernel 4."""
    return nn.Conv2d(n_in, n_out, kernel, stride, (kernel - 1) // 2, padding_mode="reflect")


class ChannelLayerNorm(nn.Module):
    """(x - mean) / (std + 1e-5) * gamma + beta: mean and unbiased std of a picture's C, H and W together,
    gamma and beta a channel each; gamma starts uniform in [0, 1)."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        std, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)
        return (x - mean) / (std + 1e-5) * self.gamma[:, None, None] + self.beta[:, None, None]


class ResBlock(nn.Module):
    """x + two convolutions with instance norms, ReLU between them and none after the sum."""

    def __init__(self, width: int):
        super().__init__()
        self.conv0, self.conv1 = reflecting(width, width, 3), reflecting(width, width, 3)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> the same; style [N, 4, C]: shift and scale of the first norm, and of the second."""
        y = x
        for k, conv in enumerate((self.conv0, self.conv1)):
            y = F.instance_norm(conv(y))
            if style is not None:
                y = y * style[:, 2 * k + 1, :, None, None] + style[:, 2 * k, :, None, None]
            y = y if k else F.relu(y)
        return x + y


class ContentEncoder(nn.Module):
    """[N, 3, H, W] -> [N, width * 2^downs, H / 2^downs, W / 2^downs]."""

    def __init__(self, width: int = 64, downs: int = 2, blocks: int = 4):
        super().__init__()
        widths = [width * 2**k for k in range(downs + 1)]
        self.stem = reflecting(3, width, 7)
        self.downs = nn.ModuleList(reflecting(a, b, 4, 2) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(ResBlock(widths[-1]) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.stem, *self.downs):
            x = F.relu(F.instance_norm(conv(x)))
        for block in self.blocks:
            x = block(x)
        return x


class StyleEncoder(nn.Module):
    """[N, 3, H, W], edges from 16 up -> [N, style]: four halvings without norms, a global mean."""

    def __init__(self, width: int = 64, style: int = 8):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.stem = reflecting(3, width, 7)
        self.downs = nn.ModuleList(reflecting(a, b, 4, 2) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], style, 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.stem, *self.downs):
            x = F.relu(conv(x))
        return self.head(x.mean((2, 3), keepdim=True)).flatten(1)


class Decoder(nn.Module):
    """[N, width * 2^ups, h, w] -> [N, 3, h * 2^ups, w * 2^ups] in [-1, 1]."""

    def __init__(self, width: int = 64, ups: int = 2, blocks: int = 4):
        super().__init__()
        widths = [width * 2**k for k in range(ups, -1, -1)]
        self.blocks = nn.ModuleList(ResBlock(widths[0]) for _ in range(blocks))
        self.ups = nn.ModuleList(reflecting(a, b, 5) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(ChannelLayerNorm(b) for b in widths[1:])
        self.head = reflecting(width, 3, 7)

    def forward(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """style: [N, blocks, 4, C], what every block takes; None keeps the norms plain."""
        x = content
        for k, block in enumerate(self.blocks):
            x = block(x, None if style is None else style[:, k])
        for conv, norm in zip(self.ups, self.norms, strict=True):
            x = F.relu(norm(conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))))
        return torch.tanh(self.head(x))


class MultiScalePatch(nn.Module):
    """Patch scores of a picture and of its halves: a network each, stride-2 convolutions without norms."""

    def __init__(self, width: int = 64, layers: int = 4, scales: int = 3):
        super().__init__()
        widths = [3, *(width * 2**k for k in range(layers))]
        self.scales = nn.ModuleList()
        for _ in range(scales):
            convs = [reflecting(a, b, 4, 2) for a, b in pairwise(widths)]
            self.scales.append(nn.ModuleList([*convs, nn.Conv2d(widths[-1], 1, 1)]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W], edges of at least 2^(layers + scales - 1) -> scores [N, 1, h, w] of every scale."""
        out = []
        for convs in self.scales:
            assert isinstance(convs, nn.ModuleList)
            y = x
            for conv in convs[:-1]:
                y = F.leaky_relu(conv(y), 0.2)
            out.append(convs[-1](y))
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return out
