"""Layers with an equalised learning rate: weights drawn from N(0, 1) and scaled at run time."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops import fused_bias_act
from stylegan_toon.nn.convolution import conv2d


class PixelNorm(nn.Module):
    """z / sqrt(mean(z^2) + 1e-8) over dimension 1. Source: Karras et al. 2018, arXiv 1710.10196."""

    def forward(self, z: Tensor) -> Tensor:
        return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """x (W * lr_mul / sqrt(in))^T + b * lr_mul, then leaky ReLU * sqrt(2) if asked for.

    Source: Karras et al. 2018, arXiv 1710.10196, section 4.1; lr_mul: arXiv 1812.04948, appendix C.
    """

    def __init__(self, n_in: int, n_out: int, bias: float = 0.0, lr_mul: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_mul)
        self.bias = nn.Parameter(torch.full([n_out], float(bias) / lr_mul))
        self.scale, self.lr_mul, self.activate = lr_mul / math.sqrt(n_in), lr_mul, activate

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        weight, bias = (self.weight * self.scale).to(x.dtype), (self.bias * self.lr_mul).to(x.dtype)
        if self.activate:
            return fused_bias_act(F.linear(x, weight), bias)
        return F.linear(x, weight, bias)


class EqualConv2d(nn.Module):
    """A convolution scaled by 1 / sqrt(in * k^2), with leaky ReLU * sqrt(2) if asked for."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        activate: bool = True,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.scale = 1 / math.sqrt(n_in * kernel**2)
        self.stride, self.padding, self.activate = stride, padding, activate

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W'], in the dtype of x."""
        y = conv2d(x, (self.weight * self.scale).to(x.dtype), self.stride, self.padding)
        if self.activate:
            return fused_bias_act(y, self.bias)
        return y if self.bias is None else y + self.bias.to(y.dtype).reshape(1, -1, 1, 1)


class MinibatchStdDev(nn.Module):
    """Append one channel: the deviation over groups of the batch, averaged over channels and pixels.

    The group is the largest divisor of N that is at most `group`, so any batch size works; it is the
    original's min(4, N) wherever the original runs.
    Source: Karras et al. 2018, arXiv 1710.10196, section 3; grouping: arXiv 1912.04958.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + 1, H, W]."""
        n, c, h, w = x.shape
        size = next(g for g in range(min(self.group, n), 0, -1) if n % g == 0)
        y = x.float().reshape(size, n // size, c, h, w)
        y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])  # [N / size]
        y = y.to(x.dtype).repeat(size).reshape(n, 1, 1, 1).expand(n, 1, h, w)
        return torch.cat([x, y], 1)
