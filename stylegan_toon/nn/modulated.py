"""The modulated convolution of StyleGAN2, by scaling activations instead of weights."""

import math

import torch
from torch import Tensor, nn

from cuda_ops import fused_epilogue, setup_filter
from stylegan_toon.nn.convolution import conv2d, conv_transpose2d
from stylegan_toon.nn.equalized import EqualLinear


class ModulatedConv2d(nn.Module):
    """conv(x * s) * d with s = affine(w) and d_o = rsqrt(sum_i s_i^2 sum_kk W_oikk^2 + 1e-8).

    The same numbers as convolving each sample with its own weights, without making them: batch, export
    and double backward stay cheap. (Of 1x1 without demodulation they are made, as scaling x costs more.)
    With up, a transposed convolution of stride 2 and a FIR of gain 4.
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

    def style(self, w: Tensor) -> Tensor:
        """w [N, D] -> what the input's channels are multiplied by [N, in]."""
        return self.affine(w) * self.scale  # cheaper than scaling the weights, and the same

    def convolve(self, x: Tensor) -> Tensor:
        """x [N, in, H, W], scaled by the style -> [N, out, H, W]; with up [N, out, 2H+1, 2W+1]."""
        if self.up:
            return conv_transpose2d(x, self.weight.transpose(0, 1).to(x.dtype), 2)
        return conv2d(x, self.weight.to(x.dtype), padding=self.kernel // 2)

    def demodulation(self, style: Tensor) -> Tensor | None:
        """d [N, out] for a style [N, in]; None where this layer has none."""
        if not self.demodulate:
            return None
        return (style.square() @ self.weight.square().sum([2, 3]).T + 1e-8).rsqrt()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W] of any dtype, w [N, D] float -> [N, out, H, W], or twice the size with up."""
        style = self.style(w)
        if self.kernel == 1 and not self.demodulate:
            weight = self.weight[:, :, 0, 0] * style[:, None]
            y = (weight.to(x.dtype) @ x.flatten(2)).unflatten(2, x.shape[2:])
            last = x.is_contiguous(memory_format=torch.channels_last)
            return y.contiguous(memory_format=torch.channels_last) if last else y
        y = self.convolve(scaled(x, style))
        fir = self.fir if self.up else None
        return fused_epilogue(y, self.demodulation(style), f=fir, slope=1, gain=1, overwrite=True)


def scaled(x: Tensor, style: Tensor) -> Tensor:
    """x [N, C, H, W] with its channels multiplied by a style [N, C]."""
    return fused_epilogue(x, style, slope=1, gain=1)


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
        style = self.conv.style(w)
        y = self.conv.convolve(scaled(x, style))
        fir = self.conv.fir if self.conv.up else None
        if noise == "const":
            noise = self.noise_const[None, None]
        elif noise == "random":
            size = [edge - self.conv.up for edge in y.shape[2:]]
            noise = torch.randn(y.shape[0], 1, *size, device=y.device, dtype=torch.float32)
        given = noise if isinstance(noise, Tensor) else None
        strength = None if given is None else self.noise_strength
        d = self.conv.demodulation(style)
        return fused_epilogue(y, d, given, strength, self.bias, f=fir, overwrite=True)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, without demodulation."""

    def __init__(self, n_in: int, w_dim: int):
        super().__init__()
        self.conv = ModulatedConv2d(n_in, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, in, H, W], w [N, D] -> [N, 3, H, W] in the dtype of the bias."""
        return self.conv(x, w).to(self.bias.dtype) + self.bias[:, None, None]
