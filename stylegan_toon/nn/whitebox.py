"""White-box's generator, a U-Net without norms, and its discriminator.

Paddings are TensorFlow's SAME: zeros, at stride 2 below and to the right only.
Source: Wang and Yu 2020 (CVPR, "Learning to Cartoonize Using White-box Cartoon Representations"), and the
layers' description in SystemErrorWang/White-box-Cartoonization.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylegan_toon.nn.init import draw_weights
from stylegan_toon.nn.resample import double_tf1


def halve(conv: nn.Module, x: Tensor) -> Tensor:
    """A 3x3 convolution of stride 2 and no padding, after zeros below and to the right of even sides."""
    return conv(F.pad(x, (0, 1, 0, 1)))


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv0, self.conv1 = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv1(leaky(self.conv0(x)))


class WhiteBoxGenerator(nn.Module):
    """[N, 3, H, W], sides multiples of 4 -> the same, linear and before the guided filter."""

    def __init__(self, width: int = 32, blocks: int = 4):
        super().__init__()
        w = width
        self.stem = nn.Conv2d(3, w, 7, 1, 3)
        self.downs = nn.ModuleList(nn.Conv2d(n, n, 3, 2) for n in (w, 2 * w))
        self.wider = nn.ModuleList(nn.Conv2d(n, 2 * n, 3, 1, 1) for n in (w, 2 * w))
        self.blocks = nn.ModuleList(Residual(4 * w) for _ in range(blocks))
        self.narrow = nn.Conv2d(4 * w, 2 * w, 3, 1, 1)
        self.up0 = nn.ModuleList([nn.Conv2d(2 * w, 2 * w, 3, 1, 1), nn.Conv2d(2 * w, w, 3, 1, 1)])
        self.up1 = nn.Conv2d(w, w, 3, 1, 1)
        self.head = nn.Conv2d(w, 3, 7, 1, 3)
        draw_weights(self, nn.init.xavier_uniform_)

    def forward(self, x: Tensor) -> Tensor:
        skips = [leaky(self.stem(x))]
        for down, wider in zip(self.downs, self.wider, strict=True):
            skips.append(leaky(wider(leaky(halve(down, skips[-1])))))
        y = skips.pop()
        for block in self.blocks:
            y = block(y)
        y = double_tf1(leaky(self.narrow(y))) + skips.pop()
        for conv in self.up0:
            y = leaky(conv(y))
        y = double_tf1(y) + skips.pop()
        return self.head(leaky(self.up1(y)))


class WhiteBoxPatch(nn.Module):
    """Patch scores at an eighth of the size, with spectral norms: [N, C, H, W], sides multiples of 8."""

    def __init__(self, channels: int = 3, width: int = 32):
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, 2) for a, b in pairwise(widths))
        self.convs = nn.ModuleList(nn.Conv2d(b, b, 3, 1, 1) for b in widths[1:])
        self.head = nn.Conv2d(widths[-1], 1, 1)
        draw_weights(self, nn.init.xavier_uniform_)
        for conv in (*self.downs, *self.convs, self.head):
            spectral_norm(conv)

    def forward(self, x: Tensor) -> Tensor:
        for down, conv in zip(self.downs, self.convs, strict=True):
            x = leaky(conv(leaky(halve(down, x))))
        return self.head(x)
