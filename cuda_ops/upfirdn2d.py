"""Upsample by zeros, pad, FIR filter, downsample: the resampling of StyleGAN2."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FIR = (1, 3, 3, 1)


def setup_filter(taps: Sequence[float] = FIR, gain: float = 1.0) -> Tensor:
    """The outer product of taps with themselves, of sum gain, float32 [K, K].

    Source: Karras et al. 2020, arXiv 1912.04958; 4 * setup_filter() is the upsampling filter.
    """
    f = torch.tensor(taps, dtype=torch.float64)
    f = torch.outer(f, f)
    return (f * (gain / f.sum())).float()


def upfirdn2d_ref(x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """Insert up - 1 zeros after each pixel, pad, convolve with f, keep every down-th pixel; plain PyTorch.

    Args:
        x: [N, C, H, W], any float dtype.
        f: [KH, KW], the filter of a true convolution; it gets no gradient.
        up, down: factors for both axes.
        pad: (before, after) for both axes, or (left, right, top, bottom); negative crops.
    Returns: [N, C, H', W'] with H' = (H * up + top + bottom - KH) // down + 1, in the dtype of x.
    Raises: ValueError if the filter does not fit in the padded picture.
    """
    x0, x1, y0, y1 = pad if len(pad) == 4 else (*pad, *pad)
    n, c, h, w = x.shape
    if h * up + y0 + y1 < f.shape[0] or w * up + x0 + x1 < f.shape[1]:
        raise ValueError(f"a {list(f.shape)} filter does not fit into {[h, w]} with up {up} and padding {list(pad)}")
    weight = f.to(x.dtype).flip(0, 1).expand(c, 1, *f.shape)
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    if x0 == x1 == y0 == y1 and x0 >= 0:
        return F.conv2d(x, weight, stride=down, padding=x0, groups=c)
    return F.conv2d(F.pad(x, (x0, x1, y0, y1)), weight, stride=down, groups=c)


def upfirdn2d(x: Tensor, f: Tensor, up: int = 1, down: int = 1, pad: Sequence[int] = (0, 0)) -> Tensor:
    """As upfirdn2d_ref, by the fastest way this device has, differentiable any number of times."""
    x0, x1, y0, y1 = pad if len(pad) == 4 else (*pad, *pad)
    return _upfirdn2d(x, f, up, down, (x0, x1, y0, y1))


def _upfirdn2d(x: Tensor, f: Tensor, up: int, down: int, pad: tuple[int, int, int, int]) -> Tensor:
    if torch.is_grad_enabled() and x.requires_grad:
        return _Upfirdn2d.apply(x, f, up, down, pad)
    return upfirdn2d_ref(x, f, up, down, pad)


class _Upfirdn2d(torch.autograd.Function):
    """Its gradient is the same operation with up and down exchanged and the filter flipped.

    Written out because autograd's double backward of a depthwise convolution loops over the channels.
    """

    @staticmethod
    def forward(ctx, x, f, up, down, pad):
        ctx.save_for_backward(f)
        ctx.args = (up, down, pad, x.shape[2:])
        return upfirdn2d_ref(x, f, up, down, pad)

    @staticmethod
    def backward(ctx, grad):
        (f,) = ctx.saved_tensors
        up, down, (x0, _, y0, _), (h, w) = ctx.args
        kh, kw = f.shape
        back = (
            kw - x0 - 1,
            w * up - grad.shape[3] * down + x0 - up + 1,
            kh - y0 - 1,
            h * up - grad.shape[2] * down + y0 - up + 1,
        )
        return _upfirdn2d(grad, f.flip(0, 1), down, up, back), None, None, None, None
