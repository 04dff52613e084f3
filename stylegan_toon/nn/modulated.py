"""The modulated convolution of StyleGAN2, by scaling activations instead of weights."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops import fused_bias_act, setup_filter, upfirdn2d
from stylegan_toon.nn.equalized import EqualLinear


class ModulatedConv2d(nn.Module):
    """conv(x * s) * d with s = affine(w) and d_o = rsqrt(sum_i s_i^2 sum_kk W_oikk^2 + 1e-8).

    The same numbers as convolving each sample with its own weights, without making them: batch, export
    and double backward stay cheap. With up, a transposed convolution of stride 2 and a FIR of gain 4.
    Source: Karras et al. 2020, arXiv 1912.04958, section 2.2.
    """

    fir: Tensor

    def __init__(
        self, n_in: int, n_out: int, kernel: int, w_dim: int, demodulate: bool = True, up: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.affine = EqualLinear(w_dim, n_in, bias=1)
        self.scale = 1 / math.sqrt(n_in * kernel**2)
        self.kernel, self.demodulate, self.up = kernel, demodulate, up
        if up:
            self.register_buffer("fir", setup_filter(gain=4), persistent=False)

    def arrange(self) -> None:
        """Lay the weight out in memory as the convolutions of inference read it; its numbers stay."""
        order = (1, 0) if self.up else (0, 1)  # otherwise the transposed one copies its weight at every call
        laid = self.weight.data.permute(*order, 2, 3).contiguous(memory_format=torch.channels_last)
        self.weight.data = laid.permute(*order, 2, 3)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W] of any dtype, w [N, D] float -> [N, out, H, W], or twice the size with up."""
        style = self.affine(w) * self.scale  # cheaper than scaling the weights, and the same
        x = x * style.to(x.dtype)[:, :, None, None]
        if self.up:
            weight = self.weight.transpose(0, 1)
            y = F.conv_transpose2d(x, weight.to(x.dtype), stride=2)
            y = upfirdn2d(y, self.fir, pad=(1, 1))
        else:
            weight = self.weight
            y = F.conv2d(x, weight.to(x.dtype), padding=self.kernel // 2)
        if self.demodulate:
            squares = weight.square().sum([2, 3])
            d = (style.square() @ (squares if self.up else squares.T) + 1e-8).rsqrt()
            d = d.to(y.dtype)[:, :, None, None]
            y = y * d if torch.is_grad_enabled() else y.mul_(d)
        return y


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    noise_const: Tensor

    def __init__(self, n_in: int, n_out: int, w_dim: int, resolution: int, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv2d(n_in, n_out, 3, w_dim, up=up)
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: str | Tensor = "random") -> Tensor:
        """x [N, in, H, W], w [N, D] -> [N, out, H', W']; noise: random, const, none, or [N, 1, H', W']."""
        y = self.conv(x, w)
        if noise == "const":
            noise = self.noise_const
        elif noise == "random":
            noise = torch.randn(y.shape[0], 1, *y.shape[2:], device=y.device, dtype=torch.float32)
        if isinstance(noise, Tensor):
            noise = (noise * self.noise_strength).to(y.dtype)
            y = y + noise if torch.is_grad_enabled() else y.add_(noise)
        return fused_bias_act(y, self.bias)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, without demodulation."""

    def __init__(self, n_in: int, w_dim: int):
        super().__init__()
        self.conv = ModulatedConv2d(n_in, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, D] -> [N, 3, H, W] in the dtype of the bias."""
        return self.conv(x, w).to(self.bias.dtype) + self.bias[:, None, None]
