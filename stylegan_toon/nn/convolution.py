"""Convolutions whose weight gradients are matrix products, where a processor's own are slow.

On AVX2, oneDNN computes the gradient of a weight in float32 at a fifth to a half of its forward rate, slowest
for pictures in channels_last. The same gradient is one matrix product a tap of the kernel, over pixels that
lie in a row: out[s, b, ky, kx] = sum of small[n, s, i, j] * large[n, b, stride i + ky, stride j + kx].
Elsewhere, and under TOON_OPS=reference, these are torch's own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops._dispatch import mode

PARTS = 4  # of the pixels: their products are computed side by side, and added


def conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """As torch.nn.functional.conv2d, differentiable as often as that."""
    if _own(x, weight):
        out: Tensor = _Conv.apply(x, weight, stride, padding)
        return out
    return F.conv2d(x, weight, stride=stride, padding=padding)


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """As torch.nn.functional.conv_transpose2d without padding, differentiable as often as that."""
    if _own(x, weight):
        size = [(edge - 1) * stride + k for edge, k in zip(x.shape[2:], weight.shape[2:], strict=True)]
        out: Tensor = _Transposed.apply(x, weight, stride, 0, size)
        return out
    return F.conv_transpose2d(x, weight, stride=stride)


def _own(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and weight.requires_grad
        and torch.is_grad_enabled()
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
        and mode() != "reference"
    )


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), how = ctx.saved_tensors, ctx.how
        dx = _Transposed.apply(g, weight, *how, list(x.shape[2:])) if ctx.needs_input_grad[0] else None
        dw = _Weight.apply(g, x, *how, list(weight.shape[2:])) if ctx.needs_input_grad[1] else None
        return dx, dw, None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, size: list[int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        left = [
            edge - ((small - 1) * stride + k - 2 * padding)
            for edge, small, k in zip(size, x.shape[2:], weight.shape[2:], strict=True)
        ]
        return F.conv_transpose2d(x, weight, stride=stride, padding=padding, output_padding=left)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), how = ctx.saved_tensors, ctx.how
        dx = _Conv.apply(g, weight, *how) if ctx.needs_input_grad[0] else None
        dw = _Weight.apply(x, g, *how, list(weight.shape[2:])) if ctx.needs_input_grad[1] else None
        return dx, dw, None, None, None


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, small: Tensor, large: Tensor, stride: int, padding: int, kernel: list[int]
    ) -> Tensor:
        ctx.save_for_backward(small, large)
        ctx.how = stride, padding
        (_, s, h, w), b = small.shape, large.shape[1]
        if min(s, b) >= 32 and h * w >= 256:
            return weight_gradient(small, large, stride, padding, kernel)
        how = [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False]
        weight = small.new_empty(s, b, *kernel)
        found: Tensor = torch.ops.aten.convolution_backward(small, large, weight, None, *how)[1]
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (small, large), how = ctx.saved_tensors, ctx.how
        ds = _Conv.apply(large, g, *how) if ctx.needs_input_grad[0] else None
        dl = _Transposed.apply(small, g, *how, list(large.shape[2:])) if ctx.needs_input_grad[1] else None
        return ds, dl, None, None, None


def weight_gradient(small: Tensor, large: Tensor, stride: int, padding: int, kernel: list[int]) -> Tensor:
    """[S, B, kh, kw] for small [N, S, h, w] and large [N, B, H, W], which a convolution brings to h x w."""
    n, s, h, w = small.shape
    b, (kh, kw) = large.shape[1], kernel
    rows, columns = h + (kh - 1) // stride, w + (kw - 1) // stride  # with those that the last taps reach
    count = n * rows * columns
    whole = -(-count // PARTS) * PARTS
    flat = small.new_zeros(whole, s)
    flat[:count].view(n, rows, columns, s)[:, :h, :w] = small.permute(0, 2, 3, 1)
    left = flat.view(PARTS, -1, s).transpose(1, 2)
    out = small.new_empty(kh, kw, s, b)
    last = (kh - 1) // stride * columns + (kw - 1) // stride  # how far the last tap is from the first
    for dy in range(min(stride, kh)):
        for dx in range(min(stride, kw)):
            phase = large.new_zeros(whole + last, b)  # every stride-th pixel, from this one on
            square = phase[:count].view(n, rows, columns, b)
            down, from_y = _inside(dy - padding, stride)
            along, from_x = _inside(dx - padding, stride)
            part = large[:, :, from_y::stride, from_x::stride].permute(0, 2, 3, 1)
            part = part[:, : rows - down, : columns - along]
            square[:, down : down + part.shape[1], along : along + part.shape[2]] = part
            for ky in range(dy, kh, stride):
                for kx in range(dx, kw, stride):
                    first = ky // stride * columns + kx // stride
                    right = phase[first : first + whole].view(PARTS, -1, b)
                    torch.sum(left @ right, 0, out=out[ky, kx])
    return out.permute(2, 3, 0, 1)


def _inside(first: int, stride: int) -> tuple[int, int]:
    """Of first, first + stride and so on: which is the first that is not below 0, and what it is."""
    skipped = max(0, -(first // stride))
    return skipped, first + skipped * stride
