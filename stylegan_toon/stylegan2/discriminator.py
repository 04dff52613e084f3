"""The residual StyleGAN2 discriminator. Source: Karras et al. 2020, arXiv 1912.04958."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops import setup_filter, upfirdn2d
from stylegan_toon.nn.equalized import EqualConv2d, EqualLinear, MinibatchStdDev
from stylegan_toon.stylegan2.config import Config


class ResidualBlock(nn.Module):
    """[N, in, H, W] -> [N, out, H/2, W/2]: (conv, blurred stride-2 conv + blurred 1x1 skip) / sqrt(2)."""

    fir: Tensor

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv0 = EqualConv2d(n_in, n_in, 3, padding=1)
        self.conv1 = EqualConv2d(n_in, n_out, 3, stride=2)
        self.skip = EqualConv2d(n_in, n_out, 1, bias=False, activate=False)
        self.register_buffer("fir", setup_filter(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(upfirdn2d(self.conv0(x), self.fir, pad=(2, 2)))
        return (y + self.skip(upfirdn2d(x, self.fir, down=2, pad=(1, 1)))) / math.sqrt(2)


class Discriminator(nn.Module):
    """Pictures [N, 3, R, R] -> scores [N], higher for real ones. blocks run from the image side."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32  # of the blocks; minibatch-stddev and the head are float32
        widths = config.channels[::-1]
        self.from_rgb = EqualConv2d(3, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.stddev = MinibatchStdDev(config.group)
        self.final_conv = EqualConv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.fc = EqualLinear(widths[-1] * 16, widths[-1], activate=True)
        self.out = EqualLinear(widths[-1], 1)
        self.old_from_rgb: EqualConv2d | None = None  # only while a new block fades in, see grow.py

    def forward(self, x: Tensor, fade: float = 1.0) -> Tensor:
        """Scores [N] of x [N, 3, R, R]; fade < 1 mixes in the network before its newest block."""
        x = x.to(self.compute_dtype, memory_format=torch.channels_last)
        y = self.blocks[0](self.from_rgb(x))
        if fade < 1 and self.old_from_rgb is not None:
            y = torch.lerp(self.old_from_rgb(F.avg_pool2d(x, 2)), y, fade)
        for block in self.blocks[1:]:
            y = block(y)
        y = self.final_conv(self.stddev(y.float()))
        return self.out(self.fc(y.flatten(1))).squeeze(1)
